"""Shapes with names drawn over one another: what labelme, Cityscapes, COCO instances and CVAT share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mseg_studio.errors import DatasetError, nearest
from mseg_studio.labels.import_polygon import Region
from mseg_studio.labels.importer import BACKGROUND, ImportOptions, Painted, table_of
from mseg_studio.media.image import MAX_PIXELS


class Canvas:
    """Pixels of one file, drawn shape by shape; later shapes lie over earlier ones."""

    def __init__(self, path: Path, height: int, width: int) -> None:
        if height < 1 or width < 1 or height * width > MAX_PIXELS:
            limit = f"1 to {MAX_PIXELS // 1_000_000} million"
            raise DatasetError(f"the image is said to be {width} x {height} pixels, expected {limit}", path=path)
        self._path = path
        self._numbers_HW = np.zeros((height, width), np.uint16)
        self._numbers: dict[str, int] = {}
        self._skipped: Counter[str] = Counter()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self._numbers_HW.shape[0], self._numbers_HW.shape[1]

    def draw(self, name: str, region: Region) -> None:
        """Give the pixels of `region` to the class called `name`."""
        number = self._numbers.setdefault(name, len(self._numbers) + 1)
        if number > 65535:
            raise DatasetError("more than 65535 different names", path=self._path)
        height, width = region.mask_HW.shape
        place = self._numbers_HW[region.top : region.top + height, region.left : region.left + width]
        place[region.mask_HW] = number

    def skip(self, what: str) -> None:
        """Remember that something was left out, for the notes."""
        self._skipped[what] += 1

    def painted(
        self, options: ImportOptions, class_id: Callable[[str], int] | None = None, *, background: str = BACKGROUND
    ) -> Painted:
        """The drawing; pixels without a shape are called `background`. `class_id` stands in for that of the options."""
        resolve = class_id or options.class_id
        words = {number: name for name, number in self._numbers.items()}
        known = [*options.taxonomy.names, *options.names]
        return Painted(
            self._numbers_HW,
            table_of(
                {0: options.class_id_or_ignored(background)} | {number: resolve(name) for number, name in words.items()}
            ),
            lambda number: f"class '{words[number]}'",
            lambda number: nearest(words[number], known),
            notes=tuple(f"{count} {what}" for what, count in self._skipped.items()),
        )

"""COCO instances: one JSON with polygons or run lengths for every object of every image.

Source: the COCO data format, "1. Object Detection": `images[]` with size and file name, `annotations[].segmentation` as
polygons in pixels, or as run lengths (a list, or maskApi's string). What is not annotated is background. Objects are
drawn crowds first and then the largest first, so that small things stay on top; crowds are of their class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mseg_studio.errors import DatasetError
from mseg_studio.labels.import_categories import Categories
from mseg_studio.labels.import_json import ByFile, scan_json, value_of
from mseg_studio.labels.import_polygon import (
    BadShapeError,
    Points,
    Region,
    points_of,
    polygon_area,
    polygon_region,
)
from mseg_studio.labels.import_rle import (
    BadRunsError,
    area_of,
    counts_of_list,
    counts_of_string,
    mask_of,
)
from mseg_studio.labels.import_shapes import Canvas
from mseg_studio.labels.importer import Importer, ImportOptions, Painted
from mseg_studio.media.file_kinds import IMAGE_SUFFIXES

Runs = str | npt.NDArray[np.int64]
"""COCO's string, or the counts."""


@dataclass(frozen=True, eq=False, slots=True)
class _Object:
    """An annotation as it is kept: a few hundred bytes each."""

    number: int
    category: int
    crowd: bool
    shape: tuple[Points, ...] | Runs
    size: object = None
    """Height and width as the run lengths name them; None where they do not."""


@dataclass(frozen=True, slots=True)
class _Image:
    number: int
    height: int
    width: int


class _Index:
    """Objects by image."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.images: ByFile[_Image] = ByFile()
        self.objects: dict[int, list[_Object]] = {}
        self.numbers: set[int] = set()
        self._annotations, self._images = 0, 0

    def take_image(self, item: Any) -> None:
        where = f"images[{self._images}]"
        self._images += 1
        number, height, width = (value_of(item, key, int, where, self.path) for key in ("id", "height", "width"))
        if number in self.numbers:
            raise DatasetError(f"{where}: image {number} is listed twice", path=self.path)
        self.numbers.add(number)
        self.images.put(value_of(item, "file_name", str, where, self.path), _Image(number, height, width), self.path)

    def take_annotation(self, item: Any) -> None:
        where = f"annotations[{self._annotations}]"
        image, category = (value_of(item, key, int, where, self.path) for key in ("image_id", "category_id"))
        segmentation = item.get("segmentation")
        shape: tuple[Points, ...] | Runs
        if isinstance(segmentation, list):
            shape = tuple(self._polygon(points, where) for points in segmentation)
        elif isinstance(segmentation, dict):
            shape = self._runs(segmentation, where)
        else:
            raise DatasetError(f"{where}: 'segmentation' is neither polygons nor run lengths", path=self.path)
        size = segmentation.get("size") if isinstance(segmentation, dict) else None
        kept = _Object(self._annotations, category, item.get("iscrowd") in (1, True), shape, size)
        self._annotations += 1
        self.objects.setdefault(image, []).append(kept)

    def _polygon(self, points: Any, where: str) -> Points:
        try:
            return points_of(points).astype(np.float32)
        except BadShapeError as error:
            raise DatasetError(f"{where}: {error}", path=self.path) from error

    def _runs(self, segmentation: dict[str, Any], where: str) -> Runs:
        counts = segmentation.get("counts")
        try:
            if isinstance(counts, str):
                return counts
            if not isinstance(counts, list):
                raise BadRunsError("'counts' is neither text nor a list")
            return counts_of_list(counts)
        except BadRunsError as error:
            raise DatasetError(f"{where}: {error}", path=self.path) from error


def _make(options: ImportOptions) -> Callable[[Path], Painted]:
    path = options.annotations
    if path is None:
        raise ValueError("opened without the annotations it needs")
    index = _Index(path)
    rest = scan_json(path, {"images": index.take_image, "annotations": index.take_annotation})
    for number, objects in index.objects.items():
        if number not in index.numbers:
            raise DatasetError(f"annotations[{objects[0].number}]: no image {number} is listed", path=path)
    categories = Categories.of(rest, path, options)
    return lambda image: _paint(image, index, categories, options)


def _paint(image: Path, index: _Index, categories: Categories, options: ImportOptions) -> Painted:
    found = index.images.of(image, index.path)
    canvas = Canvas(image, found.height, found.width)
    drawn = []
    for one in index.objects.get(found.number, ()):
        try:
            if one.size is not None and one.size != [found.height, found.width]:
                raise BadRunsError(f"its size is {one.size!r:.40}, that of the image [{found.height}, {found.width}]")
            shape = counts_of_string(one.shape) if isinstance(one.shape, str) else one.shape
            area = sum(polygon_area(points) for points in shape) if isinstance(shape, tuple) else float(area_of(shape))
        except BadRunsError as error:
            raise _wrong(one, error, index.path) from error
        drawn.append((not one.crowd, -area, one.number, one, shape))
    drawn.sort(key=lambda entry: entry[:3])
    class_ids: dict[str, int] = {}
    for *_, one, shape in drawn:
        name = categories.name(one.category)
        class_ids[name] = categories.class_id(one.category)
        try:
            for region in _regions(shape, *canvas.size):
                canvas.draw(name, region)
        except (BadShapeError, BadRunsError) as error:
            raise _wrong(one, error, index.path) from error
    return canvas.painted(options, lambda name: class_ids[name])


def _regions(shape: tuple[Points, ...] | npt.NDArray[np.int64], height: int, width: int) -> Iterator[Region]:
    if isinstance(shape, tuple):
        yield from (polygon_region(points, height, width) for points in shape)
    else:
        yield Region(0, 0, mask_of(shape, height, width))


def _wrong(one: _Object, error: ValueError, path: Path) -> DatasetError:
    return DatasetError(f"annotations[{one.number}]: {error}", path=path)


IMPORTER = Importer(
    "coco-instances",
    "COCO instances (one JSON; give the images)",
    tuple(sorted(IMAGE_SUFFIXES)),
    _make,
    annotations="its JSON, as instances_val2017.json",
    needs_annotations=True,
    by_image=True,
)

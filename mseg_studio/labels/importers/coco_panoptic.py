"""COCO panoptic: a PNG an image, a pixel's segment is R + 256 G + 256 * 256 B, and one JSON with the segments' classes.

Source: the COCO data format, "4. Panoptic Segmentation" (Kirillov et al. 2018): `annotations[].file_name`,
`segments_info[].id` and `category_id`, `categories[].id` and `name`; segment 0 is void. COCO's own category names are
the class names of coco-panoptic-133 and -201, its category ids the class ids of the latter.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mseg_studio.errors import DatasetError, nearest
from mseg_studio.labels.import_categories import Categories
from mseg_studio.labels.import_colours import read_codes
from mseg_studio.labels.import_json import ByFile, scan_json, value_of
from mseg_studio.labels.importer import UNDECLARED, Importer, ImportOptions, Painted, listed

_LARGEST = (1 << 24) - 1
_MOST_SEGMENTS = 65000


class _Segments:
    """Segment ids and category ids of every file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.by_file: ByFile[npt.NDArray[np.int64]] = ByFile()
        self._count = 0

    def take(self, item: Any) -> None:
        where = f"annotations[{self._count}]"
        self._count += 1
        name = value_of(item, "file_name", str, where, self.path)
        infos = value_of(item, "segments_info", list, where, self.path)
        if len(infos) > _MOST_SEGMENTS:
            raise DatasetError(f"{where}: {len(infos)} segments, expected at most {_MOST_SEGMENTS}", path=self.path)
        pairs: dict[int, int] = {}
        for place, info in enumerate(infos):
            at = f"{where}.segments_info[{place}]"
            number = value_of(info, "id", int, at, self.path)
            category = value_of(info, "category_id", int, at, self.path)
            if not 0 < number <= _LARGEST:
                raise DatasetError(f"{at}: segment {number}, expected 1 to {_LARGEST}", path=self.path)
            if not 0 <= category < 1 << 31:
                raise DatasetError(f"{at}: category {category} is no number of one", path=self.path)
            if number in pairs:
                raise DatasetError(f"{at}: segment {number} is listed twice", path=self.path)
            pairs[number] = category
        self.by_file.put(name, np.array(sorted(pairs.items()), np.int64).reshape(-1, 2), self.path)


def _make(options: ImportOptions) -> Callable[[Path], Painted]:
    path = options.annotations
    if path is None:
        raise ValueError("opened without the annotations it needs")
    segments = _Segments(path)
    rest = scan_json(path, {"annotations": segments.take})
    categories = Categories.of(rest, path, options)

    def paint(label: Path) -> Painted:
        return _paint(label, segments.by_file.of(label, path), categories, options)

    return paint


def _paint(label: Path, listed_N2: npt.NDArray[np.int64], categories: Categories, options: ImportOptions) -> Painted:
    """Numbers: 0 void, 1 a segment that is not listed, from 2 on the listed ones in order of their id."""
    codes = read_codes(label)
    codes = (codes & 255) << 16 | (codes & 0xFF00) | codes >> 16  # the PNG's red is the lowest byte
    known = listed_N2[:, 0]
    at = np.searchsorted(known, codes)
    numbers = np.where(codes == 0, 0, 1).astype(np.uint16)
    if len(known):
        found = known[at.clip(max=len(known) - 1)] == codes
        numbers[found] = at[found] + 2
    ids = [options.taxonomy.ignore_id, UNDECLARED, *(categories.class_id(int(c)) for c in listed_N2[:, 1])]
    missing = numbers == 1
    strangers = None
    if missing.any():
        segments, pixels = np.unique(codes[missing], return_counts=True)
        ordered = sorted(zip(segments.tolist(), pixels.tolist(), strict=True), key=lambda item: -item[1])
        strangers = {f"segment {segment} without an entry in its JSON": count for segment, count in ordered}
        strangers |= _undeclared(numbers, np.array(ids), listed_N2, categories)
    present = np.bincount(numbers.ravel(), minlength=len(ids))
    absent = sum(int(present[number] == 0) for number in range(2, len(ids)))
    return Painted(
        numbers,
        np.array(ids, np.int32),
        lambda number: categories.word(int(listed_N2[number - 2, 1])) if number > 1 else "a segment",
        lambda number: (
            nearest(categories.name(int(listed_N2[number - 2, 1])), options.taxonomy.names) if number > 1 else ""
        ),
        listed(strangers) if strangers is not None else None,
        notes=(f"{absent} listed segments without a pixel",) if absent else (),
    )


def _undeclared(
    numbers: npt.NDArray[np.uint16], ids: npt.NDArray[np.int64], listed_N2: npt.NDArray[np.int64], names: Categories
) -> dict[str, int]:
    pixels = np.bincount(numbers.ravel(), minlength=len(ids))
    found: dict[str, int] = {}
    for number in np.flatnonzero(ids == UNDECLARED):
        if number > 1 and pixels[number]:
            word = names.word(int(listed_N2[number - 2, 1]))
            found[word] = found.get(word, 0) + int(pixels[number])
    return found


IMPORTER = Importer(
    "coco-panoptic",
    "COCO panoptic (PNG and one JSON)",
    (".png",),
    _make,
    annotations="its JSON, as panoptic_val2017.json",
    needs_annotations=True,
)

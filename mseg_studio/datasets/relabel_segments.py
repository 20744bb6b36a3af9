"""The pixels that a relabeling record is about.

Datasets say segments in their own ways: COCO panoptic in RGB (R + 256 G + 65536 B), Mapillary in grey of 16 bits,
ADE20K in the blue channel of `_seg.png`, at another size than the labels, Cityscapes and IDD as polygons in JSON, and
BDD and SUN RGB-D not at all: there a segment is all pixels of one number in the label file (mseg-api 2bd00ae).
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mseg_studio.datasets.pairing import Pair
from mseg_studio.datasets.records import Record
from mseg_studio.errors import DatasetError
from mseg_studio.media.image import read_image, read_label_ids
from mseg_studio.media.image_header import PNG_SIGNATURE

Mask = npt.NDArray[np.bool_]

_IMAGE_END = "_leftImg8bit"
_SEGMENT_ENDS = ("_seg", "_gtFine_polygons", "_gtFine_instanceIds", "_instanceIds", "_panoptic", "_instance")
_ADE_END = "_seg"
_MAX_JSON = 1 << 26
_KEPT = 4
"""Files of segments kept open: records of one image come one after the other."""


@dataclass
class SegmentSource:
    """Finds and reads segments. Not to be shared by threads that read different images at once: see `fork`."""

    masks: Path | None = None
    """Folder of masks: what records name, or `<image>_<segment>.png` for those that name a number."""
    segments: Path | None = None
    """Folder of the dataset's own pictures or polygons of segments."""
    in_labels: bool = False
    """A segment's number is the number of its pixels in the label file."""
    _index: Mapping[str, tuple[Path, ...]] | None = field(default=None, repr=False)
    _read: dict[Path, Any] = field(default_factory=dict, repr=False)

    def file_of(self, record: Record, pair: Pair) -> Path | None:
        """The file that says the segment; None where the record itself does. Raises DatasetError: there is none."""
        return self._located(record, pair)[0]

    def _located(self, record: Record, pair: Pair) -> tuple[Path | None, bool]:
        """The file of a record's segment, and whether it is a mask."""
        segment = record.segment
        if segment.mask is not None:
            if self.masks is None:
                raise DatasetError(f"mask {segment.mask} needs a folder of masks (--masks)", path=pair.image)
            return self.masks / segment.mask, True
        if segment.segment_id is None:
            return None, False
        if self.masks is not None:
            for name in _mask_names(record, pair):
                if (self.masks / name).is_file():
                    return self.masks / name, True
        if self.segments is not None:
            return self._segment_file(pair), False
        if self.in_labels:
            return pair.label, False
        where = f"in {self.masks}" if self.masks is not None else "without --masks or --segments"
        raise DatasetError(f"no mask of segment {segment.segment_id} {where}", path=pair.image)

    def mask(self, record: Record, pair: Pair, shape: tuple[int, int]) -> Mask:
        """Pixels (H, W) of a record in labels of `shape`.

        Raises DatasetError: no such segment, another size; ImageReadError for a picture that cannot be read.
        """
        segment, (file, is_mask) = record.segment, self._located(record, pair)
        if segment.polygon is not None:
            return _filled(segment.polygon, shape)
        if segment.box is not None:
            left, top, width, height = segment.box
            found = np.zeros(shape, np.bool_)
            found[top : top + height, left : left + width] = True
            return found
        if file is None or not file.is_file():
            raise DatasetError("no such mask", path=file)
        if is_mask:
            found = np.asarray(read_label_ids(file) != 0)
        elif file.suffix.lower() == ".json":
            return _filled(self._polygon(file, segment.segment_id), shape)
        else:
            found = np.asarray(self._numbers(file, shape) == segment.segment_id)
        if found.shape != shape:
            sizes = f"{found.shape[1]} x {found.shape[0]}, the labels are {shape[1]} x {shape[0]}"
            raise DatasetError(f"segments are {sizes}", path=file)
        return found

    def fork(self) -> SegmentSource:
        """The same for another thread, with the index shared."""
        if self.segments is not None and self._index is None:
            self._index = _stems(self.segments)
        return SegmentSource(self.masks, self.segments, self.in_labels, self._index)

    def _segment_file(self, pair: Pair) -> Path:
        if self._index is None:
            self._index = _stems(self.segments or Path())
        stem = pair.image.stem
        names = [stem, *(stem.removesuffix(_IMAGE_END) + end for end in _SEGMENT_ENDS)]
        found = [path for name in names for path in self._index.get(name, ())]
        if len(found) > 1:  # the same name in several folders, as in IDD: the image's own folder decides
            found = [path for path in found if path.parent.name == pair.image.parent.name]
        if len(found) != 1:
            what = "no file" if not found else "several files"
            raise DatasetError(f"{what} of its segments in {self.segments}", path=pair.image)
        return found[0]

    def _numbers(self, file: Path, shape: tuple[int, int]) -> npt.NDArray[np.integer]:
        """Number of the segment of every pixel."""
        if file not in self._read:
            self._keep(file, _read_numbers(file))
        numbers: npt.NDArray[np.integer] = self._read[file]
        if numbers.shape != shape and file.stem.endswith(_ADE_END):
            # Published so: the nearest pixel of the picture at the labels' size.
            return np.asarray(cv2.resize(numbers, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST))
        return numbers

    def _polygon(self, file: Path, segment_id: int | None) -> tuple[tuple[float, float], ...]:
        """Corners of an object by its `id`, else by its place in the file."""
        if file not in self._read:
            self._keep(file, _read_objects(file))
        objects = self._read[file]
        if segment_id not in objects:
            raise DatasetError(f"has no object {segment_id}", path=file)
        corners: tuple[tuple[float, float], ...] = objects[segment_id]
        return corners

    def _keep(self, file: Path, value: Any) -> None:
        while len(self._read) >= _KEPT:
            self._read.pop(next(iter(self._read)))
        self._read[file] = value


def _mask_names(record: Record, pair: Pair) -> tuple[str, ...]:
    """Names that MSeg's own pictures of segments have."""
    stem, number = pair.image.stem, record.segment.segment_id
    plain = f"{stem}_{number}.png"
    return (plain, f"seq{pair.image.parent.name}_{plain}", f"mapillary_{plain}")


def _stems(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Pictures and polygon files below `folder` by name without ending. Raises DatasetError without the folder."""
    if not folder.is_dir():
        raise DatasetError("no such folder", path=folder)
    found: dict[str, list[Path]] = defaultdict(list)
    for place, _folders, names in os.walk(folder, followlinks=True):
        for name in names:
            path = Path(place) / name
            if path.suffix.lower() in (".png", ".json"):
                found[path.stem].append(path)
    return {stem: tuple(sorted(paths)) for stem, paths in found.items()}


def _read_numbers(file: Path) -> npt.NDArray[np.integer]:
    if not _is_colour_png(file):
        return read_label_ids(file)
    pixels = read_image(file).pixels_HW3
    if file.stem.endswith(_ADE_END):
        return np.ascontiguousarray(pixels[..., 2])
    return np.asarray(pixels.astype(np.uint32) @ np.array([1, 256, 65536], np.uint32))


def _is_colour_png(file: Path) -> bool:
    """By the colour type in the header: grey and palettes hold numbers themselves."""
    try:
        with file.open("rb") as stream:
            head = stream.read(26)
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror}", path=file) from error
    return head.startswith(PNG_SIGNATURE) and len(head) == 26 and head[25] in (2, 6)


def _read_objects(file: Path) -> dict[int, tuple[tuple[float, float], ...]]:
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_JSON + 1)
        value = json.loads(data) if len(data) <= _MAX_JSON else None
        found = {}
        for place, one in enumerate(value["objects"]):  # type: ignore[index]
            corners = tuple((float(x), float(y)) for x, y in one["polygon"])
            found[int(one.get("id", place))] = corners
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror}", path=file) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DatasetError("no polygons as Cityscapes and IDD have them", path=file) from error
    return found


def _filled(corners: tuple[tuple[float, float], ...], shape: tuple[int, int]) -> Mask:
    points = np.array(corners, np.float64)
    if not len(points) or not np.isfinite(points).all() or np.abs(points).max() >= 1 << 20:
        return np.zeros(shape, np.bool_)
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [np.rint(points).astype(np.int32)], 1)
    return canvas.astype(np.bool_)

"""CVAT's XML for images, version 1.1: polygons, boxes and masks of every image in one file.

Source: docs.cvat.ai, "XML annotation format": `image` with name, width and height holds `polygon` (points `x,y;x,y`),
`box` (xtl, ytl, xbr, ybr) and `mask` (rle row by row, zeros first, within left, top, width, height); `rotation` turns a
box about its centre, in degrees, clockwise; `z_order` says what lies on top. Lines and points have no area and are left
out; ellipses, cuboids and skeletons are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

import numpy as np

from mseg_studio.errors import DatasetError
from mseg_studio.labels.import_json import ByFile
from mseg_studio.labels.import_polygon import BadShapeError, Points, Region, points_of, polygon_region
from mseg_studio.labels.import_rle import BadRunsError, counts_of_list, mask_of
from mseg_studio.labels.import_shapes import Canvas
from mseg_studio.labels.importer import Importer, ImportOptions, Painted
from mseg_studio.media.file_kinds import IMAGE_SUFFIXES
from mseg_studio.media.image import MAX_PIXELS
from mseg_studio.media.regular_file import read_regular

_AREAS = frozenset({"polygon", "box", "mask"})
_NO_AREAS = frozenset({"polyline", "points"})
_REFUSED = frozenset({"cuboid", "ellipse", "skeleton"})
_DEEPEST = 16


@dataclass(frozen=True, eq=False, slots=True)
class _Image:
    height: int
    width: int
    shapes: list[tuple[str, dict[str, str]]] = field(default_factory=list)


class _Reader:
    """Collects the images of a file, one pass, without a tree."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.images: ByFile[_Image] = ByFile()
        self._open: _Image | None = None
        self._depth = 0

    def read(self) -> ByFile[_Image]:
        parser = expat.ParserCreate()
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.StartDoctypeDeclHandler = self._refuse
        try:
            parser.Parse(read_regular(self.path, DatasetError), True)
        except expat.ExpatError as error:
            raise DatasetError(f"not XML: {error}", path=self.path) from error
        if not self.images:
            raise DatasetError("no <image> in it, expected CVAT for images 1.1", path=self.path)
        return self.images

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise DatasetError("it is nested too deep", path=self.path)
        if tag == "track":
            raise DatasetError("it is CVAT for video, expected CVAT for images 1.1", path=self.path)
        if tag == "image":
            name = attributes.get("name", "")
            self._open = _Image(self._whole(attributes, "height"), self._whole(attributes, "width"))
            self.images.put(name, self._open, self.path)
        elif self._open is not None and tag in _AREAS | _NO_AREAS | _REFUSED:
            self._open.shapes.append((tag, attributes))

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if tag == "image":
            self._open = None

    def _whole(self, attributes: dict[str, str], key: str) -> int:
        value = attributes.get(key, "")
        if not (value.isdecimal() and len(value) < 10):
            raise DatasetError(f"<image> {key}: {value!r:.40} is no whole number", path=self.path)
        return int(value)

    def _refuse(self, *_: object) -> None:
        raise DatasetError("it has a document type, which no export of CVAT has", path=self.path)


def _make(options: ImportOptions) -> Callable[[Path], Painted]:
    path = options.annotations
    if path is None:
        raise ValueError("opened without the annotations it needs")
    images = _Reader(path).read()
    return lambda image: _draw(image, images.of(image, path), path).painted(options)


def _draw(image: Path, found: _Image, path: Path) -> Canvas:
    canvas = Canvas(image, found.height, found.width)
    ordered = []
    for place, (tag, attributes) in enumerate(found.shapes):
        try:
            ordered.append((int(attributes.get("z_order", "0")), place, tag, attributes))
        except ValueError as error:
            raise DatasetError(f"{tag} {place} of '{image.name}': z_order is no whole number", path=path) from error
    for _, place, tag, attributes in sorted(ordered, key=lambda item: item[:2]):
        if tag in _NO_AREAS:
            canvas.skip(f"{tag} shapes left out")
            continue
        try:
            if tag in _REFUSED:
                raise BadShapeError(f"the kind {tag} is not read; export polygons or masks")
            canvas.draw(_attribute(attributes, "label"), _region(tag, attributes, *canvas.size))
        except (BadShapeError, BadRunsError) as error:
            raise DatasetError(f"{tag} {place} of '{image.name}': {error}", path=path) from error
    return canvas


def _region(tag: str, attributes: dict[str, str], height: int, width: int) -> Region:
    if tag == "polygon":
        pairs = [pair.split(",") for pair in _attribute(attributes, "points").split(";") if pair]
        return polygon_region(points_of(pairs), height, width)
    if tag == "box":
        corners = [_attribute(attributes, key) for key in ("xtl", "ytl", "xbr", "ybr")]
        return polygon_region(_turned(points_of(corners), attributes.get("rotation", "0")), height, width)
    left, top, box_width, box_height = (_number(attributes, key) for key in ("left", "top", "width", "height"))
    if left + box_width > width or top + box_height > height or box_width * box_height > MAX_PIXELS:
        raise BadShapeError(f"it lies outside the image of {width} x {height} pixels")
    words = [word.strip() for word in _attribute(attributes, "rle").split(",")]
    if not all(word.isdecimal() and len(word) < 10 for word in words):
        raise BadRunsError("'rle' is no list of whole numbers")
    mask = mask_of(counts_of_list([int(word) for word in words]), box_height, box_width, by_column=False)
    return Region(top, left, np.ascontiguousarray(mask))


def _turned(corners_22: Points, degrees: str) -> Points:
    """The four corners of a box turned clockwise about its centre."""
    try:
        angle = np.deg2rad(float(degrees))
    except ValueError:
        angle = np.nan
    if not np.isfinite(angle):
        raise BadShapeError(f"'rotation' is {degrees!r:.40}, expected degrees")
    (x1, y1), (x2, y2) = corners_22
    points = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
    if angle == 0:
        return points
    centre = points.mean(axis=0)
    cosine, sine = np.cos(angle), np.sin(angle)
    turned: Points = (points - centre) @ np.array([[cosine, sine], [-sine, cosine]]) + centre
    return turned


def _attribute(attributes: dict[str, str], key: str) -> str:
    if not attributes.get(key):
        raise BadShapeError(f"'{key}' is missing")
    return attributes[key]


def _number(attributes: dict[str, str], key: str) -> int:
    value = _attribute(attributes, key)
    if not (value.isdecimal() and len(value) < 10):
        raise BadShapeError(f"'{key}' is {value!r:.40}, expected a whole number")
    return int(value)


IMPORTER = Importer(
    "cvat-xml",
    "CVAT for images 1.1 (one XML; give the images)",
    tuple(sorted(IMAGE_SUFFIXES)),
    _make,
    annotations="its annotations.xml",
    needs_annotations=True,
    by_image=True,
)

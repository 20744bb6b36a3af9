"""labelme: a JSON an image with polygons, rectangles, circles and masks, the later ones over the earlier.

Source: labelme (github.com/wkentaro/labelme), its examples/semantic_segmentation and `label_file`: `imageHeight`,
`imageWidth`, `shapes[]` with `label`, `points`, `shape_type` and, for masks, a base64 PNG of the box between the two
points, both included. `__ignore__` and `_background_` are its words for no class and for what nobody labelled. Groups
join shapes of one object, which makes no difference to classes. Lines and points have no area and are left out.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mseg_studio.errors import DatasetError, ImageReadError
from mseg_studio.labels.import_json import read_json, value_of
from mseg_studio.labels.import_polygon import (
    BadShapeError,
    Points,
    Region,
    circle_region,
    points_of,
    polygon_region,
    rectangle_region,
)
from mseg_studio.labels.import_shapes import Canvas
from mseg_studio.labels.importer import BACKGROUND, UNDECLARED, Importer, ImportOptions, Painted
from mseg_studio.media.image import decode_image

_REGIONS = {
    "polygon": polygon_region,
    "rectangle": rectangle_region,
    "circle": circle_region,
    "oriented_rectangle": polygon_region,
}
_WITHOUT_AREA = ("linestrip", "line", "point", "points")
_IGNORE_LABEL, _BACKGROUND_LABEL = "__ignore__", "_background_"


def _make(options: ImportOptions) -> Callable[[Path], Painted]:
    def class_id(name: str) -> int:
        found = options.class_id(name)
        if found == UNDECLARED and name == _IGNORE_LABEL:
            return options.taxonomy.ignore_id
        if found == UNDECLARED and name == _BACKGROUND_LABEL:
            return options.class_id_or_ignored(BACKGROUND)
        return found

    return lambda label: _draw(label).painted(options, class_id)


def _draw(path: Path) -> Canvas:
    file = read_json(path)
    height, width = (value_of(file, key, int, "the file", path) for key in ("imageHeight", "imageWidth"))
    canvas = Canvas(path, height, width)
    for place, shape in enumerate(value_of(file, "shapes", list, "the file", path)):
        where = f"shapes[{place}]"
        name = value_of(shape, "label", str, where, path)
        kind = shape.get("shape_type") or "polygon"  # files before version 3 have no type
        kind = kind if isinstance(kind, str) else repr(kind)
        try:
            if kind in _WITHOUT_AREA:
                canvas.skip(f"{kind} shapes left out: they have no area")
                continue
            points = points_of(value_of(shape, "points", list, where, path))
            if kind == "mask":
                canvas.draw(name, _mask(shape, points, *canvas.size))
            elif kind in _REGIONS:
                canvas.draw(name, _REGIONS[kind](points, *canvas.size))
            else:
                raise BadShapeError(f"shape_type {kind!r:.40} is none of {', '.join((*_REGIONS, 'mask'))}")
        except BadShapeError as error:
            raise DatasetError(f"{where} '{name}': {error}", path=path) from error
    return canvas


def _mask(shape: Any, points: Points, height: int, width: int) -> Region:
    """The part of a mask shape that lies in the image."""
    if len(points) != 2 or (points != np.rint(points)).any():
        raise BadShapeError("a mask lies between two points in whole pixels")
    (left, top), (right, bottom) = points.astype(np.int64)
    text = shape.get("mask")
    if not isinstance(text, str):
        raise BadShapeError("'mask' is no text, expected a PNG in base64")
    try:
        pixels = decode_image(base64.b64decode(text, validate=True), "mask")[..., 0]
    except (binascii.Error, ValueError) as error:
        raise BadShapeError("its mask is not base64") from error
    except ImageReadError as error:
        raise BadShapeError(f"its mask: {error.reason}") from error
    if pixels.shape != (bottom - top + 1, right - left + 1):
        expected = f"{right - left + 1} x {bottom - top + 1}"
        raise BadShapeError(f"its mask is {pixels.shape[1]} x {pixels.shape[0]} pixels, its points say {expected}")
    if left < 0 or top < 0 or right >= width or bottom >= height:
        raise BadShapeError(f"its mask lies outside the image of {width} x {height} pixels")
    return Region(int(top), int(left), pixels != 0)


IMPORTER = Importer("labelme", "labelme (one JSON an image)", (".json",), _make)

"""Cityscapes: labelIds, labelTrainIds and instanceIds PNGs, or gtFine polygons, told apart by the ends of their names.

Source: labels.py and json2labelImg.py of cityscapesScripts (Cordts et al. 2016): the ids are those of cityscapes-34; a
train id is the place among the 19 classes of the benchmark, 255 no class; an instance id is 1000 * id + number;
polygons are in order of depth, the nearest last, `deleted` ones do not count and `...group` is a group of the class
before it; what no polygon covers is unlabeled.
What the benchmark ignores is ignored where the taxonomy has no such class.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mseg_studio.errors import DatasetError
from mseg_studio.labels.import_json import read_json, value_of
from mseg_studio.labels.import_polygon import BadShapeError, points_of, polygon_region
from mseg_studio.labels.import_shapes import Canvas
from mseg_studio.labels.importer import Importer, ImportOptions, Painted, table_of
from mseg_studio.media.image import read_label_ids
from mseg_studio.taxonomy.catalog import default_catalog

_LABEL_IDS, _TRAIN_IDS, _INSTANCE_IDS, _POLYGONS = (
    "_labelIds.png",
    "_labelTrainIds.png",
    "_instanceIds.png",
    "_polygons.json",
)
_UNLABELED = "unlabeled"
_IGNORED = frozenset(
    {"ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "parking", "rail track"}
    | {"guard rail", "bridge", "tunnel", "polegroup", "caravan", "trailer", _UNLABELED}
)
"""Classes that labels.py marks as ignored in evaluation."""
_WITHOUT_ID = "license plate"
"""Has the id -1: what lies under it shows."""


def _make(options: ImportOptions) -> Callable[[Path], Painted]:
    catalog = default_catalog()
    names = {info.id: info.name for info in catalog.taxonomy("cityscapes-34").classes}
    trained = {info.id: info.name for info in catalog.taxonomy("cityscapes-19").classes}
    label_table = table_of({number: _class_id(name, options) for number, name in names.items()})
    train_table = table_of(
        {number: options.class_id(name) for number, name in trained.items()} | {255: options.taxonomy.ignore_id}
    )

    def paint(label: Path) -> Painted:
        if label.name.endswith(_POLYGONS):
            return _polygons(label, options)
        if label.name.endswith(_TRAIN_IDS):
            return Painted(read_label_ids(label), train_table, _words(trained))
        if label.name.endswith((_LABEL_IDS, _INSTANCE_IDS)):
            stored = read_label_ids(label)
            if label.name.endswith(_INSTANCE_IDS):
                stored = np.where(stored >= 1000, stored // 1000, stored).astype(np.uint16)
            return Painted(stored, label_table, _words(names))
        raise DatasetError(
            f"expected a name ending in {_LABEL_IDS}, {_TRAIN_IDS}, {_INSTANCE_IDS} or {_POLYGONS}; "
            "read files of other names by the format ids",
            path=label,
        )

    return paint


def _class_id(name: str, options: ImportOptions) -> int:
    return options.class_id_or_ignored(name) if name in _IGNORED else options.class_id(name)


def _words(names: dict[int, str]) -> Callable[[int], str]:
    return lambda number: f"class '{names[number]}'" if number in names else f"id {number}"


def _polygons(path: Path, options: ImportOptions) -> Painted:
    file = read_json(path)
    height, width = (value_of(file, key, int, "the file", path) for key in ("imgHeight", "imgWidth"))
    canvas = Canvas(path, height, width)
    for place, item in enumerate(value_of(file, "objects", list, "the file", path)):
        where = f"objects[{place}]"
        name = value_of(item, "label", str, where, path)
        if item.get("deleted"):
            canvas.skip("deleted polygons left out")
        elif name == _WITHOUT_ID:
            canvas.skip("license plates left out: they have no id")
        else:
            try:
                points = points_of(value_of(item, "polygon", list, where, path))
                canvas.draw(_without_group(name), polygon_region(points, *canvas.size))
            except BadShapeError as error:
                raise DatasetError(f"{where} '{name}': {error}", path=path) from error
    return canvas.painted(options, lambda name: _class_id(name, options), background=_UNLABELED)


def _without_group(name: str) -> str:
    return name if name == "polegroup" else name.removesuffix("group")


IMPORTER = Importer(
    "cityscapes",
    "Cityscapes labelIds, labelTrainIds, instanceIds (PNG) or gtFine polygons (JSON)",
    (_LABEL_IDS, _TRAIN_IDS, _INSTANCE_IDS, _POLYGONS),
    _make,
)

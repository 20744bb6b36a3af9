"""Mapillary Vistas: labels (8-bit palette PNG) or instances (16-bit PNG, class * 256 + instance).

Source: the dataset's README and demo.py (Neuhold et al. 2017): a class's number is its place in the `labels` of
config.json, its name there `readable`; without that file it is v1.2's order. The panoptic files are in the COCO format:
read those as coco-panoptic.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mseg_studio.errors import DatasetError
from mseg_studio.labels.import_json import read_json, value_of
from mseg_studio.labels.importer import Importer, ImportOptions, Painted, table_of
from mseg_studio.media.image import read_label_ids
from mseg_studio.taxonomy.catalog import default_catalog

VOID = "Unlabeled"


def _make(options: ImportOptions) -> Callable[[Path], Painted]:
    names = _names(options)
    table = table_of(
        {
            number: options.class_id_or_ignored(name) if name == VOID else options.class_id(name)
            for number, name in enumerate(names)
        }
    )

    def word(number: int) -> str:
        return f"class '{names[number]}'" if number < len(names) else f"id {number}"

    def paint(label: Path) -> Painted:
        stored = read_label_ids(label)
        return Painted(stored if stored.dtype == np.uint8 else (stored >> 8).astype(np.uint8), table, word)

    return paint


def _names(options: ImportOptions) -> list[str]:
    path = options.annotations
    if path is None:
        return list(default_catalog().taxonomy("mapillary-public66").names)
    labels = value_of(read_json(path), "labels", list, "the configuration", path)
    if len(labels) > 256:
        raise DatasetError(f"{len(labels)} labels, expected at most 256", path=path)
    return [value_of(label, "readable", str, f"labels[{place}]", path) for place, label in enumerate(labels)]


IMPORTER = Importer(
    "mapillary",
    "Mapillary Vistas labels or instances (PNG of 8 or 16 bits)",
    (".png",),
    _make,
    annotations="its config.json (v1.2's order without it)",
)

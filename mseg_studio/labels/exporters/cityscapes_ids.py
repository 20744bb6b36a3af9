"""Cityscapes `labelIds` PNG: what the Cityscapes benchmark reads, for taxonomies of its 19 classes.

Ids as published with the dataset (Cordts et al. 2016, labels.py of cityscapesScripts); pixels without a class are
0, "unlabeled". Grey without a palette, as in the dataset.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mseg_studio.errors import ExportError, ImageReadError
from mseg_studio.labels.export import Exporter, ExportRequest
from mseg_studio.labels.label_map import LabelMap, as_ids
from mseg_studio.media.image import read_label_ids, write_ids_png
from mseg_studio.taxonomy.model import Taxonomy

LABEL_IDS = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
UNLABELED_ID = 0


def _accepts(taxonomy: Taxonomy) -> str:
    foreign = [name for name in taxonomy.names if name not in LABEL_IDS]
    if not foreign:
        return ""
    return f"Cityscapes labelIds have no class '{foreign[0]}' of {taxonomy.name}; choose the output cityscapes-19"


def _write(path: Path, request: ExportRequest) -> None:
    taxonomy = request.labels.taxonomy
    if problem := _accepts(taxonomy):
        raise ExportError(problem, path=path)
    table = np.full(65536, UNLABELED_ID, np.uint8)
    for info in taxonomy.classes:
        table[info.id] = LABEL_IDS[info.name]
    write_ids_png(path, table[request.labels.ids_HW], None)


def _read(path: Path, taxonomy: Taxonomy) -> LabelMap:
    if problem := _accepts(taxonomy):
        raise ImageReadError(problem, path=path)
    stored = read_label_ids(path)
    table = np.full(65536, -1, np.int32)
    table[UNLABELED_ID] = taxonomy.ignore_id
    for info in taxonomy.classes:
        table[LABEL_IDS[info.name]] = info.id
    ids = table[stored]
    if ids.min() < 0:
        raise ImageReadError(f"id {int(stored[ids < 0][0])} is no Cityscapes id of {taxonomy.name}", path=path)
    return LabelMap(as_ids(ids, taxonomy), taxonomy)


EXPORTER = Exporter("cityscapes-ids", "Cityscapes labelIds (PNG)", "_labelIds.png", _write, _read, accepts=_accepts)

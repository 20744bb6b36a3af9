"""Class ids as a PNG: 8 bits with a palette of the class colours, 16 bits where the taxonomy needs them."""

from __future__ import annotations

from pathlib import Path

from mseg_studio.errors import ImageReadError
from mseg_studio.labels.export import Exporter, ExportRequest
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.media.image import read_label_ids, write_ids_png
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.palette import palette_rgb


def _write(path: Path, request: ExportRequest) -> None:
    labels = request.labels
    palette = palette_rgb(labels.taxonomy) if labels.taxonomy.ignore_id == 255 else None
    write_ids_png(path, labels.ids_HW, palette)


def _read(path: Path, taxonomy: Taxonomy) -> LabelMap:
    ids = read_label_ids(path)
    if ids.dtype != taxonomy.id_dtype:
        raise ImageReadError(f"ids are {ids.dtype}, {taxonomy.name} has {taxonomy.id_dtype}", path=path)
    try:
        return LabelMap(ids, taxonomy)
    except ValueError as error:
        raise ImageReadError(str(error), path=path) from error


EXPORTER = Exporter("ids", "Class ids (PNG with palette)", ".png", _write, _read)

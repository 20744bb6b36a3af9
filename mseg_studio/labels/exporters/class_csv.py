"""The classes of a label map as a table: id, name, colour, pixels and share, largest first."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from mseg_studio.labels.export import Exporter, ExportRequest
from mseg_studio.storage import write_atomic

COLUMNS = ("id", "name", "red", "green", "blue", "pixels", "share")


def _write(path: Path, request: ExportRequest) -> None:
    labels = request.labels
    counts = labels.counts()
    total = labels.ids_HW.size
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for info, pixels in counts:
        table.writerow((info.id, info.name, *info.rgb, pixels, f"{pixels / total:.6f}"))
    ignored = total - sum(pixels for _, pixels in counts)
    if ignored:
        table.writerow((labels.taxonomy.ignore_id, "", "", "", "", ignored, f"{ignored / total:.6f}"))
    write_atomic(path, text.getvalue().encode())


EXPORTER = Exporter("classes", "Table of classes (CSV)", "_classes.csv", _write)

"""A measure of every pixel as a 16-bit grey PNG: value / 65535 is the measure, from 0 to 1."""

from __future__ import annotations

from pathlib import Path

from mseg_studio.errors import ExportError
from mseg_studio.labels.export import Exporter, ExportRequest
from mseg_studio.labels.readout import Measure
from mseg_studio.media.image import write_ids_png


def measure_exporter(measure: Measure, label: str) -> Exporter:
    """The exporter of `measure`: `<stem>_<measure>.png`. `label` says in the menu what is written."""

    def write(path: Path, request: ExportRequest) -> None:
        if measure not in request.measures:
            raise ExportError(f"the {measure} of these labels was not measured", path=path)
        write_ids_png(path, request.measures[measure])  # 16 bits a pixel, as the ids of a large taxonomy

    return Exporter(measure, label, f"_{measure}.png", write, needs_measure=measure)

"""Class colours as an RGB PNG: to look at, not to read back."""

from __future__ import annotations

from pathlib import Path

from mseg_studio.labels.export import Exporter, ExportRequest
from mseg_studio.labels.overlay import colourise
from mseg_studio.media.image import write_rgb_png


def _write(path: Path, request: ExportRequest) -> None:
    write_rgb_png(path, colourise(request.labels))


EXPORTER = Exporter("colour", "Class colours (PNG)", "_colour.png", _write)

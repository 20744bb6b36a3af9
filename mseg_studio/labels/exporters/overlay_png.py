"""Class colours over the image as an RGB PNG."""

from __future__ import annotations

from pathlib import Path

from mseg_studio.errors import ExportError
from mseg_studio.labels.export import Exporter, ExportRequest
from mseg_studio.labels.overlay import blend
from mseg_studio.media.image import write_rgb_png


def _write(path: Path, request: ExportRequest) -> None:
    if request.frame is None:
        raise ExportError("an overlay needs the image", path=path)
    write_rgb_png(path, blend(request.frame.pixels_HW3, request.labels, request.style))


EXPORTER = Exporter("overlay", "Overlay on the image (PNG)", "_overlay.png", _write, needs_frame=True)

"""What an exporter is, and one call that writes all the files of one image in the order that survives a crash."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mseg_studio.discovery import discover
from mseg_studio.errors import ExportError, nearest
from mseg_studio.labels import sidecar as sidecars
from mseg_studio.labels.export_errors import export_errors
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.output_layout import OutputPaths
from mseg_studio.labels.overlay import OverlayStyle
from mseg_studio.labels.sidecar import Sidecar
from mseg_studio.media.frame import Frame
from mseg_studio.taxonomy.model import Taxonomy


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What an exporter writes from: labels, the image under them where there is one, and how an overlay looks."""

    labels: LabelMap
    frame: Frame | None = None
    style: OverlayStyle = dataclasses.field(default_factory=OverlayStyle)


@dataclass(frozen=True, slots=True)
class Exporter:
    """One file format. A module in `labels/exporters/` that defines EXPORTER adds one."""

    name: str
    """Word for `--save` and for the window's menu."""
    label: str
    """A few words that say what is written."""
    suffix: str
    """Added to the stem of the output."""
    write: Callable[[Path, ExportRequest], None]
    """Writes atomically. Raises ExportError."""
    read: Callable[[Path, Taxonomy], LabelMap] | None = None
    """For formats of ids: what `write` wrote, in the same taxonomy; equal to the labels written."""
    needs_frame: bool = False
    """Whether the image is part of the picture."""


@cache
def exporters() -> dict[str, Exporter]:
    """All exporters by name, those of other installed packages included."""
    return discover("mseg_studio.labels.exporters", "EXPORTER", group="mseg_studio.exporters")


def exporter(name: str) -> Exporter:
    """The exporter called `name`. Raises ExportError with the nearest names."""
    found = exporters()
    if name not in found:
        raise ExportError(f"unknown output '{name}'{nearest(name, found)}")
    return found[name]


def write_outputs(paths: OutputPaths, names: Sequence[str], request: ExportRequest, sidecar: Sidecar) -> list[Path]:
    """Write the outputs `names` of one image and its sidecar; gives the files written, the sidecar last.

    The old sidecar goes first and the new one comes last: whenever the process ends, no output looks done that is not.
    Outputs that an earlier run wrote under the same recipe stay in the sidecar. Raises ExportError.
    """
    chosen = [exporter(name) for name in names]
    earlier = sidecars.finished(
        paths.sidecar,
        source=sidecar.source,
        taxonomy=sidecar.taxonomy,
        recipe_hash=sidecar.recipe_hash,
        model_sha256=sidecar.model.sha256,
    )
    with export_errors(paths.base.parent):
        paths.base.parent.mkdir(parents=True, exist_ok=True)
    sidecars.withdraw(paths.sidecar)
    written = []
    for one in chosen:
        path = paths.file(one.suffix)
        with export_errors(path):
            one.write(path, request)
        written.append(path)
    kept = tuple(name for name in (earlier.outputs if earlier else ()) if name not in names)
    outputs = tuple(dict.fromkeys((*sidecar.outputs, *names, *kept)))
    sidecars.write_sidecar(paths.sidecar, dataclasses.replace(sidecar, outputs=outputs))
    return [*written, paths.sidecar]

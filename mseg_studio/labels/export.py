"""What an exporter is, and one call that writes all the files of one image in the order that survives a crash."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mseg_studio.discovery import discover
from mseg_studio.errors import ExportError, nearest
from mseg_studio.labels import sidecar as sidecars
from mseg_studio.labels.export_errors import export_errors
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.output_layout import OutputPaths
from mseg_studio.labels.overlay import OverlayStyle
from mseg_studio.labels.readout import Measure
from mseg_studio.labels.score_map import ScoreMap
from mseg_studio.labels.score_store import ScoreStoreWriter
from mseg_studio.labels.sidecar import Sidecar
from mseg_studio.media.frame import Frame
from mseg_studio.taxonomy.model import Taxonomy

SCORES = "scores"
"""Name of the output that is a score store: it is written from scores, not from labels."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What an exporter writes from: labels, the image under them where there is one, how an overlay looks, measures."""

    labels: LabelMap
    frame: Frame | None = None
    style: OverlayStyle = dataclasses.field(default_factory=OverlayStyle)
    measures: Mapping[Measure, npt.NDArray[np.uint16]] = dataclasses.field(default_factory=dict)
    """How sure the labels are, (H, W) as in `Reading`: what the exporters asked for with `needs_measure`."""


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
    needs_measure: Measure | None = None
    """What must be in the request's `measures`."""
    accepts: Callable[[Taxonomy], str] = lambda taxonomy: ""
    """Why labels in a taxonomy cannot be written in this format; empty when they can."""

    def problem(self, request: ExportRequest) -> str:
        """Why `request` cannot be written in this format; empty when it can."""
        if self.needs_frame and request.frame is None:
            return "an overlay needs the image"
        if self.needs_measure is not None and self.needs_measure not in request.measures:
            return f"the {self.needs_measure} of these labels was not measured"
        return self.accepts(request.labels.taxonomy)


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


def measures_of(names: Sequence[str]) -> tuple[Measure, ...]:
    """What the exporters among the outputs `names` need to have measured."""
    known = exporters()
    found = (known[name].needs_measure for name in names if name in known)
    return tuple(dict.fromkeys(measure for measure in found if measure is not None))


def write_outputs(
    paths: OutputPaths,
    names: Sequence[str],
    request: ExportRequest,
    sidecar: Sidecar,
    *,
    scores: ScoreMap | None = None,
) -> list[Path]:
    """Write the outputs `names` of one image, its score store when `scores` are given, and its sidecar.

    Gives the files written, the sidecar last. The old sidecar goes first and the new one comes last: whenever the
    process ends, no output looks done that is not. Outputs that an earlier run wrote under the same recipe stay in the
    sidecar. Raises ExportError.
    """
    chosen = [exporter(name) for name in names if name != SCORES]
    if (scores is None) == (SCORES in names):
        raise ValueError(f"the output '{SCORES}' and a score map come together")
    for one in chosen:
        # Before anything is touched.
        if problem := one.problem(request):
            raise ExportError(problem, path=paths.file(one.suffix))
        if _is_source(paths.file(one.suffix), request, sidecar):
            raise ExportError("would replace the image; choose another folder", path=paths.file(one.suffix))
    earlier = sidecars.finished(
        paths.sidecar,
        source=sidecar.source,
        taxonomy=sidecar.taxonomy,
        recipe_hash=sidecar.recipe_hash,
        model_sha256=sidecar.model.sha256,
        readout=sidecar.readout,
        calibration=sidecar.calibration,
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
    if scores is not None:
        with ScoreStoreWriter(paths.scores, sidecar.as_dict()) as store:
            store.append(scores)
        written.append(paths.scores)
    kept = tuple(name for name in (earlier.outputs if earlier else ()) if name not in names)
    outputs = tuple(dict.fromkeys((*sidecar.outputs, *names, *kept)))
    sidecars.write_sidecar(paths.sidecar, dataclasses.replace(sidecar, outputs=outputs))
    return [*written, paths.sidecar]


def _is_source(path: Path, request: ExportRequest, sidecar: Sidecar) -> bool:
    """Whether `path` is the file that the labels were made from."""
    sources = [Path(sidecar.source.path)] if sidecar.source.path else []
    if request.frame is not None and request.frame.ref is not None:
        sources.append(request.frame.ref.path)
    for source in sources:
        with contextlib.suppress(OSError):
            if path.samefile(source):
                return True
    return False

"""`mseg-studio project`: score stores to label files in any taxonomy, without the network."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mseg_studio.cli.command import CANCELLED, FAILED, OK, Command, UsageError
from mseg_studio.cli.readout_options import add_readout_arguments, readout_of
from mseg_studio.cli.segment import folder_name, names_of_outputs
from mseg_studio.cli.terminal import ProgressLine, cancel_on_signals, print_json

if TYPE_CHECKING:
    import numpy as np

    from mseg_studio.labels.readout import Readout
    from mseg_studio.labels.score_map import ScoreMap
    from mseg_studio.labels.score_store import ScoreStore
    from mseg_studio.labels.sidecar import Sidecar, SourceStamp
    from mseg_studio.progress import CancelToken, Progress
    from mseg_studio.taxonomy.projection import Projection


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scores", nargs="+", type=Path, metavar="SCORES.h5", help="score store of `segment`")
    parser.add_argument("--taxonomy", required=True, metavar="T", help="output taxonomy")
    parser.add_argument(
        "--output",
        type=folder_name,
        metavar="DIR",
        help="folder for the results (default: T in the score store's folder)",
    )
    parser.add_argument(
        "--save", type=names_of_outputs, default=("ids",), metavar="NAME,...", help="ids, colour and other exporters"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    add_readout_arguments(parser)


@dataclass(frozen=True, slots=True)
class _Task:
    """What is made of every store."""

    projection: Projection
    readout: Readout
    smoothing: float
    names: tuple[str, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """The key `readout` of the sidecar; empty for plain labels."""
        return self.readout.facts(self.projection.target, smoothing=self.smoothing)


def _run(arguments: argparse.Namespace) -> int:
    from mseg_studio.errors import MSegStudioError
    from mseg_studio.labels.score_store import ScoreStore
    from mseg_studio.progress import Progress

    needs = [name for name in arguments.save if name in ("overlay", "video", "scores")]
    if needs:
        raise UsageError(f"'{needs[0]}' needs more than scores; choose ids, colour or another exporter")
    missing = [path for path in arguments.scores if not path.exists()]
    if missing:
        raise UsageError(f"{missing[0]}: no such file")
    folders = _folders(arguments.scores, arguments.output, arguments.taxonomy)
    line, done, failed = ProgressLine(), 0, 0
    with cancel_on_signals() as cancel:
        for path, folder in folders.items():
            try:
                with ScoreStore(path) as store:
                    task = _task(arguments, store, path)
                    for event in _project(store, path, task, folder, cancel):
                        if isinstance(event, Progress):
                            line.show(event)
                        else:
                            line.done()
                            _tell(event, as_json=arguments.json)
                done += 1
            except UsageError:
                raise
            except MSegStudioError as error:
                failed += 1
                if arguments.json:
                    print_json({"input": str(path), "status": "failed", "error": str(error)})
                line.message(f"mseg-studio: error: {error}")
    if arguments.json:
        print_json({"summary": {"done": done, "skipped": 0, "failed": failed}})
    return CANCELLED if cancel.cancelled else FAILED if failed else OK


def _folders(stores: Sequence[Path], output: Path | None, taxonomy: str) -> dict[Path, Path]:
    """The folder for the results of every store. Raises UsageError when two would write the same files."""
    folders = {path: output or path.parent / taxonomy for path in stores}
    owner: dict[str, Path] = {}
    for path, folder in folders.items():
        key = os.path.normcase(os.path.realpath(folder / path.stem))
        if key in owner:
            raise UsageError(f"{folder / path.stem}: {owner[key]} and {path} would both be written here")
        owner[key] = path
    return folders


def _task(arguments: argparse.Namespace, store: ScoreStore, path: Path) -> _Task:
    """Raises UsageError for what cannot be made of the store, ImageReadError for one that is not known here."""
    if arguments.smooth and "frames" not in store.attributes:
        raise UsageError(f"--smooth is for videos; {path} holds the scores of an image")
    projection = _projection(store, path, arguments.taxonomy)
    return _Task(projection, readout_of(arguments, projection.target), arguments.smooth, arguments.save)


def _projection(store: ScoreStore, path: Path, taxonomy: str) -> Projection:
    """From the store's own taxonomy, whether or not this installation knows it, to `taxonomy`.

    Raises UsageError for a `taxonomy` that cannot be had, ImageReadError for a store in one that is not known here.
    """
    from mseg_studio.errors import ImageReadError, TaxonomyError
    from mseg_studio.taxonomy.catalog import default_catalog
    from mseg_studio.taxonomy.projection import identity

    source, catalog = store.taxonomy.name, default_catalog()
    if source == taxonomy:
        return identity(store.taxonomy)
    try:
        catalog.taxonomy(taxonomy)
        if source not in catalog.names():
            raise ImageReadError(f"scores of the taxonomy '{source}', which is not known here", path=path)
        return catalog.projection(source, taxonomy)
    except TaxonomyError as error:
        raise UsageError(str(error)) from error


def _project(
    store: ScoreStore, path: Path, task: _Task, folder: Path, cancel: CancelToken
) -> Iterator[Progress | dict[str, Any]]:
    """Write the outputs of every frame and the sidecar; gives progress and, last, what is told of the store."""
    import numpy as np

    from mseg_studio.labels import sidecar as sidecars
    from mseg_studio.labels.export import ExportRequest, exporter, measures_of
    from mseg_studio.labels.export_errors import export_errors
    from mseg_studio.labels.output_layout import OutputPaths
    from mseg_studio.labels.readout import read_measures
    from mseg_studio.progress import ProgressClock

    is_video = "frames" in store.attributes
    paths = OutputPaths(folder / path.stem, is_video)
    pixels: np.ndarray[Any, np.dtype[np.int64]] = np.zeros(task.projection.target.num_channels, np.int64)
    _sidecar(store, path, task, size=(0, 0), pixels=pixels, share=0.0)  # what it lacks, before any work
    with export_errors(folder):
        (paths.base if is_video else folder).mkdir(parents=True, exist_ok=True)
    sidecars.withdraw(paths.sidecar)
    shares, size, clock = [], (0, 0), ProgressClock(len(store), "frames")
    for number, (index, scores) in enumerate(_frames(store, task.smoothing)):
        cancel.raise_if_cancelled()
        reading, measures = read_measures(scores, task.projection, task.readout, measures_of(task.names))
        place = OutputPaths(paths.frame(index).with_suffix("")) if is_video else paths
        for name in task.names:
            target = place.file(exporter(name).suffix)
            with export_errors(target):
                exporter(name).write(target, ExportRequest(reading.labels, measures=measures))
        for info, count in reading.labels.counts():
            pixels[info.id] += count
        shares.append(reading.certified_share)
        size = reading.labels.ids_HW.shape
        yield clock.at(number + 1)
    share = float(np.mean(shares)) if shares else 0.0
    sidecars.write_sidecar(paths.sidecar, _sidecar(store, path, task, size=size, pixels=pixels, share=share))
    written = [paths.base] if is_video else [paths.file(exporter(name).suffix) for name in task.names]
    yield {
        "input": str(path),
        "status": "done",
        "outputs": [str(path) for path in (*written, paths.sidecar)],
        "frames": len(store),
        "certified_share": round(share, 6),
        **task.facts,
    }


def _frames(store: ScoreStore, smoothing: float) -> Iterator[tuple[int, ScoreMap]]:
    """Place in the source and scores of every frame, in order of time."""
    if not smoothing:
        yield from ((index, store.frame(index)) for index in store.indices)
        return
    from mseg_studio.labels.smoothing import Smoother

    smoother = Smoother(smoothing)
    yield from ((index, smoother.next(store.frame(index))) for index in store.indices)


def _sidecar(
    store: ScoreStore,
    path: Path,
    task: _Task,
    *,
    size: tuple[int, int],
    pixels: np.ndarray[Any, np.dtype[np.int64]],
    share: float,
) -> Sidecar:
    """The sidecar of the projected labels. Raises ImageReadError when the store does not tell how it was made."""
    from mseg_studio.errors import ImageReadError
    from mseg_studio.labels import sidecar as sidecars

    try:
        return sidecars.build(
            task.projection.target,
            {**store.attributes, "certified_share": share, "mapping": "projected", "readout": {}, **task.facts},
            source=_stamp(store.attributes, path),
            size=size,
            pixels={class_id: int(count) for class_id, count in enumerate(pixels) if count},
            outputs=task.names,
            timestamps_s=store.timestamps_s if "frames" in store.attributes else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ImageReadError(f"the score store does not tell rightly how it was made: {error}", path=path) from error


def _stamp(attributes: Mapping[str, Any], path: Path) -> SourceStamp:
    """The image or video that the scores were made from, as the store remembers it."""
    from mseg_studio.labels.sidecar import SourceStamp

    return SourceStamp(
        str(attributes.get("source", path)),
        int(attributes.get("source_bytes", -1)),
        float(attributes.get("source_mtime_s", 0.0)),
    )


def _tell(done: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(done)
    else:
        print("\n".join(done["outputs"][:-1]), flush=True)


COMMAND = Command(
    name="project",
    help="make label files in another taxonomy from score stores, without the network",
    add_arguments=_add_arguments,
    run=_run,
    example="mseg-studio project labels/photo.h5 --taxonomy camvid-11",
)

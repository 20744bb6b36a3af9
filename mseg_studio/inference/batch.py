"""Segment many images and videos into files: what is done is left alone, what fails does not stop the rest.

Torch-free. Outputs and their names: contracts.md, "Outputs of segment".
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from mseg_studio.errors import ExportError, ImageReadError, MSegStudioError, VideoReadError
from mseg_studio.inference.jobs import ItemFailed, Job, SegmentedFrame
from mseg_studio.inference.pipeline import ReadAhead, Segment, WriteBehind, read_ahead, segment_here, size_of
from mseg_studio.inference.video_files import SCORES as SCORES
from mseg_studio.inference.video_files import VIDEO as VIDEO
from mseg_studio.inference.video_files import VideoFiles
from mseg_studio.labels import sidecar as sidecars
from mseg_studio.labels.export import ExportRequest, exporter, write_outputs
from mseg_studio.labels.export_errors import export_errors
from mseg_studio.labels.output_layout import InputItem, OutputPaths
from mseg_studio.labels.sidecar import SourceStamp
from mseg_studio.media.frame import Frame, FrameRef
from mseg_studio.media.image import read_image
from mseg_studio.media.source import Source, SourceItem, open_source
from mseg_studio.progress import CancelToken, Progress, ProgressClock

_T = TypeVar("_T")

IDS, OVERLAY = "ids", "overlay"


@dataclass(frozen=True, slots=True)
class ItemDone:
    """An input whose outputs are written."""

    path: Path
    outputs: tuple[Path, ...]
    """The sidecar is the last; of a video the folder of its frames stands for them."""
    frames: int
    seconds: float
    notes: tuple[str, ...] = ()
    """What a person should know about the input: it is damaged, frames are missing."""


@dataclass(frozen=True, slots=True)
class ItemSkipped:
    """An input whose outputs are there already, from the same source, recipe, model and taxonomy."""

    path: Path
    outputs: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class ItemBroken:
    """An input without, or without all of, its outputs."""

    path: Path
    error: MSegStudioError


BatchEvent = Progress | ItemDone | ItemSkipped | ItemBroken


def outputs_of(names: Sequence[str], *, is_video: bool) -> tuple[str, ...]:
    """The outputs that an input gets of those asked for: `video` is for videos only, where it is also the overlay."""
    if not is_video:
        return tuple(dict.fromkeys(name for name in names if name != VIDEO))
    return tuple(dict.fromkeys(VIDEO if name == OVERLAY else name for name in names))


def segment_to_files(
    job: Job,
    plan: Sequence[tuple[InputItem, OutputPaths]],
    names: Sequence[str],
    *,
    redo: bool = False,
    cancel: CancelToken | None = None,
    segment: Segment = segment_here,
) -> Iterator[BatchEvent]:
    """Write the outputs `names` of every input. Progress counts inputs, or the tiles or frames of a single one.

    Reading, segmenting (`segment` says where) and writing go on at the same time; events come in the order of the
    plan. `redo` makes again what is done. Raises Cancelled; everything else that goes wrong with one input becomes
    ItemBroken.
    """
    run = _Run(job, names, redo, cancel, segment, len(plan), ProgressClock(len(plan)))
    numbered = list(enumerate(plan))
    for is_video, group in itertools.groupby(numbered, lambda entry: entry[1][0].is_video):
        if not is_video:
            yield from _images(run, list(group))
            continue
        for number, (item, paths) in group:
            if cancel is not None:
                cancel.raise_if_cancelled()
            yield from _video(run, number, item, paths)


@dataclass(slots=True)
class _Run:
    """What all inputs share."""

    job: Job
    names: Sequence[str]
    redo: bool
    cancel: CancelToken | None
    segment: Segment
    total: int
    clock: ProgressClock
    worked: int = 0
    """Inputs that were not skipped, so far."""

    def shown(self, event: Progress, number: int, item: InputItem) -> Progress:
        """Progress of input `number`, as it is when it is the only one, else as one of all."""
        if self.total == 1:
            return event
        part = f" {event.done}/{event.total} {event.what}" if event.total > 1 else ""
        left = self.clock.at(self.worked).seconds_left if self.worked else None
        if left is not None:
            left *= (self.total - number) / max(1, self.total - self.worked)
        return Progress(number, self.total, f"{item.path.name}{part}", left)


@dataclass(frozen=True, eq=False, slots=True)
class _Ready:
    """An input whose outputs are to be made."""

    number: int
    item: InputItem
    paths: OutputPaths
    outputs: tuple[str, ...]
    stamp: SourceStamp
    frame: Frame | None
    """Of an image."""


def _ready(run: _Run, number: int, item: InputItem, paths: OutputPaths) -> _Ready | ItemSkipped | ItemBroken:
    """Look at one input, and read it when it is an image that is not done. For any thread."""
    try:
        outputs = outputs_of(run.names, is_video=item.is_video)
        if not outputs:
            raise ExportError(f"none of {', '.join(run.names)} can be written for an image", path=item.path)
        stamp = _stamp(item.path)
        if not run.redo and _is_done(run.job, paths, outputs, stamp):
            return ItemSkipped(item.path, _files(paths, outputs))
        return _Ready(number, item, paths, outputs, stamp, None if item.is_video else read_image(item.path))
    except (MSegStudioError, OSError, MemoryError) as error:
        return _broken(item.path, error)


def _images(run: _Run, plan: Sequence[tuple[int, tuple[InputItem, OutputPaths]]]) -> Iterator[BatchEvent]:
    """Images one after the other: the next are read and the last are written while one is segmented."""
    seen = (_ready(run, number, item, paths) for number, (item, paths) in plan)
    pieces = ((one, one.frame.pixels_HW3.nbytes if isinstance(one, _Ready) and one.frame else 0) for one in seen)
    asked: deque[_Ready] = deque()
    ends: deque[Future[BatchEvent]] = deque()
    with ReadAhead(pieces, cancel=run.cancel) as ahead, WriteBehind(cancel=run.cancel) as writer:
        for event in run.segment(run.job, _asked(ahead, asked), cancel=run.cancel):
            if isinstance(event, Progress):
                yield run.shown(event, asked[0].number, asked[0].item)
            elif isinstance(event, SegmentedFrame):
                work = partial(_write_image, run.job, asked.popleft(), event)
                ends.append(writer.submit(work, size_bytes=size_of(event)))
                run.worked += 1
            elif isinstance(event, ItemFailed):
                ends.append(writer.submit(partial(_broken, asked.popleft().item.path, event.error)))
                run.worked += 1
            elif isinstance(event, ItemSkipped | ItemBroken):
                ends.append(writer.submit(partial(_same, event)))  # it waits for its turn
                run.worked += isinstance(event, ItemBroken)
            del event
            while ends and ends[0].done():
                yield ends.popleft().result()
        while ends:
            yield writer.result(ends.popleft())


def _asked(
    ahead: Iterable[_Ready | ItemSkipped | ItemBroken], asked: deque[_Ready]
) -> Iterator[SourceItem | ItemSkipped | ItemBroken]:
    """Images that are to be segmented, noted in `asked`; the others as they are."""
    for one in ahead:
        if isinstance(one, _Ready) and one.frame is not None:
            asked.append(dataclasses.replace(one, frame=None))
            yield SourceItem(FrameRef(one.item.path), partial(_same, one.frame))
        elif not isinstance(one, _Ready):
            yield one


def _same(what: _T) -> _T:
    return what


def _write_image(job: Job, ready: _Ready, done: SegmentedFrame) -> BatchEvent:
    try:
        sidecar = sidecars.build(done.labels, job.facts, source=ready.stamp)
        request = ExportRequest(done.labels, done.frame, measures=done.measures)
        scores = done.scores if SCORES in ready.outputs else None
        written = write_outputs(ready.paths, ready.outputs, request, sidecar, scores=scores)
    except (MSegStudioError, OSError, MemoryError) as error:
        return _broken(ready.item.path, error)
    return ItemDone(ready.item.path, tuple(written), 1, done.seconds)


def _video(run: _Run, number: int, item: InputItem, paths: OutputPaths) -> Iterator[BatchEvent]:
    """One video, from its first frame to its outputs."""
    ready = _ready(run, number, item, paths)
    if not isinstance(ready, _Ready):
        run.worked += not isinstance(ready, ItemSkipped)
        yield ready
        return
    try:
        steps = _segment_video(run, ready)
        while True:
            try:
                event = next(steps)
            except StopIteration as end:
                done: ItemDone = end.value
                break
            yield run.shown(event, number, item)
    except (MSegStudioError, OSError, MemoryError) as error:
        yield _broken(item.path, error)
    else:
        yield done
    run.worked += 1


def _segment_video(run: _Run, ready: _Ready) -> Generator[Progress, None, ItemDone]:
    """Frames stream through three threads; the sidecar comes last and says how many there are."""
    started_s = time.monotonic()
    job, path, paths, names = run.job, ready.item.path, ready.paths, ready.outputs
    with open_source(path) as source:
        first = source.frame(_first_readable(source))
        own_folder = any(name not in (VIDEO, SCORES) for name in names)
        with export_errors(paths.base):
            (paths.base if own_folder else paths.base.parent).mkdir(parents=True, exist_ok=True)
        sidecars.withdraw(paths.sidecar)
        with contextlib.ExitStack() as stack:
            files = VideoFiles(job, paths, names, stack, fps=source.info.fps, size=(first.width, first.height))
            clock, seen = ProgressClock(source.info.count, "frames"), 0
            # The decoder is the reading thread's until the block ends, the files are the writing thread's.
            with read_ahead(source.items(), cancel=run.cancel) as ahead, WriteBehind(cancel=run.cancel) as writer:
                for event in run.segment(job, ahead, cancel=run.cancel):
                    writer.check()
                    if isinstance(event, Progress):
                        continue
                    seen += 1
                    yield clock.at(seen)
                    if isinstance(event, SegmentedFrame):
                        writer.put(partial(files.write, event), size_bytes=size_of(event))
                    else:
                        files.miss(event)
                    del event
            notes = source.info.notes  # now that all frames were asked for
            sidecar = files.sidecar(ready.stamp, (first.height, first.width), notes)
            if files.store is not None:
                files.store.update(sidecar.as_dict())
    sidecars.write_sidecar(paths.sidecar, sidecar)
    if files.missed:
        error = files.missed[0].error
        noted = f" ({'; '.join(notes)})" if notes else ""
        raise VideoReadError(f"{len(files.missed)} of {seen} frames are missing: {error.reason}{noted}", path=path)
    return ItemDone(path, (*_files(paths, names), paths.sidecar), seen, time.monotonic() - started_s, notes)


def _first_readable(source: Source) -> int:
    """Number of the first frame that can be decoded."""
    problem: MSegStudioError | None = None
    for index in range(source.info.count):
        try:
            source.frame(index)
        except MSegStudioError as error:
            problem = problem or error
        else:
            return index
    raise problem or VideoReadError("holds no frames", path=source.info.path)


def _broken(path: Path, error: MSegStudioError | OSError | MemoryError) -> ItemBroken:
    """With an error that names a file: in a batch, "this image" says too little."""
    if not isinstance(error, MSegStudioError):
        reason = getattr(error, "strerror", None) or str(error) or "ran out of memory"
        return ItemBroken(path, MSegStudioError(reason, path=path))
    return ItemBroken(path, error if error.path is not None else type(error)(error.reason, path=path))


def _stamp(path: Path) -> SourceStamp:
    try:
        return SourceStamp.of(path)
    except OSError as error:
        raise ImageReadError(error.strerror or str(error), path=path) from error


def _is_done(job: Job, paths: OutputPaths, names: Sequence[str], stamp: SourceStamp) -> bool:
    return sidecars.is_done(
        paths.sidecar,
        _places(paths, names),
        source=stamp,
        taxonomy=job.projection.target.name,
        recipe_hash=str(job.facts["recipe_hash"]),
        model_sha256=str(job.facts["model"]["sha256"]),
        readout=job.facts.get("readout"),
        calibration=str(job.facts.get("calibration", "")),
        wanted=names,
    )


def _places(paths: OutputPaths, names: Sequence[str]) -> dict[str, Path]:
    """The file of each output; for the ids of a video the folder, for other files a frame the first one."""
    shared = {SCORES: paths.scores} | ({IDS: paths.ids, VIDEO: paths.overlay} if paths.is_video else {})
    frame = OutputPaths(paths.frame(0).with_suffix("")) if paths.is_video else paths
    return {name: shared[name] if name in shared else frame.file(exporter(name).suffix) for name in names}


def _files(paths: OutputPaths, names: Sequence[str]) -> tuple[Path, ...]:
    """What a person is told was written."""
    places = _places(paths, names)
    if not paths.is_video:
        return tuple(places.values())
    folder = [paths.base] if any(name not in (VIDEO, SCORES) for name in names) else []
    return (*folder, *(places[name] for name in (VIDEO, SCORES) if name in names))

"""Segment many images and videos into files: what is done is left alone, what fails does not stop the rest.

Torch-free. Outputs and their names: contracts.md, "Outputs of segment".
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from mseg_studio.errors import ExportError, ImageReadError, MSegStudioError, VideoReadError
from mseg_studio.inference.jobs import ItemFailed, Job, SegmentedFrame, segment_frame, segment_source
from mseg_studio.labels import sidecar as sidecars
from mseg_studio.labels.export import ExportRequest, exporter, write_outputs
from mseg_studio.labels.export_errors import export_errors
from mseg_studio.labels.output_layout import InputItem, OutputPaths
from mseg_studio.labels.overlay import blend
from mseg_studio.labels.score_store import ScoreStoreWriter
from mseg_studio.labels.sidecar import Sidecar, SourceStamp
from mseg_studio.media.image import read_image
from mseg_studio.media.source import Source, open_source
from mseg_studio.media.video_writer import VideoWriter
from mseg_studio.progress import CancelToken, Progress, ProgressClock

IDS, OVERLAY, SCORES, VIDEO = "ids", "overlay", "scores", "video"
"""Names of outputs with a place of their own for videos; all other names are exporters, one file a frame."""

_FALLBACK_FPS = 25.0


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
) -> Iterator[BatchEvent]:
    """Write the outputs `names` of every input. Progress counts inputs, or the tiles or frames of a single one.

    `redo` makes again what is done. Raises Cancelled; everything else that goes wrong with one input becomes
    ItemBroken.
    """
    clock, worked = ProgressClock(len(plan)), 0
    for number, (item, paths) in enumerate(plan):
        if cancel is not None:
            cancel.raise_if_cancelled()
        chosen = outputs_of(names, is_video=item.is_video)
        try:
            if not chosen:
                raise ExportError(f"none of {', '.join(names)} can be written for an image", path=item.path)
            stamp = _stamp(item.path)
            if not redo and _is_done(job, paths, chosen, stamp):
                yield ItemSkipped(item.path, _files(paths, chosen))
                continue
            make = _segment_video if item.is_video else _segment_image
            steps = make(job, item.path, paths, chosen, stamp, cancel)
            done = yield from _shown(steps, item, number if len(plan) > 1 else None, len(plan), clock, worked)
        except MSegStudioError as error:
            yield ItemBroken(item.path, _named(error, item.path))
        except (OSError, MemoryError) as error:
            reason = getattr(error, "strerror", None) or str(error) or "ran out of memory"
            yield ItemBroken(item.path, MSegStudioError(reason, path=item.path))
        else:
            yield done
        worked += 1


def _shown(
    steps: Generator[BatchEvent, None, ItemDone],
    item: InputItem,
    number: int | None,
    total: int,
    clock: ProgressClock,
    worked: int,
) -> Generator[BatchEvent, None, ItemDone]:
    """Progress of one input, as it is when it is the only one (`number` None), else as one of all."""
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            done: ItemDone = end.value
            return done
        if isinstance(event, Progress) and number is not None:
            part = f" {event.done}/{event.total} {event.what}" if event.total > 1 else ""
            left = clock.at(worked).seconds_left if worked else None
            if left is not None:
                left *= (total - number) / max(1, total - worked)
            yield Progress(number, total, f"{item.path.name}{part}", left)
        else:
            yield event


def _segment_image(
    job: Job, path: Path, paths: OutputPaths, names: Sequence[str], stamp: SourceStamp, cancel: CancelToken | None
) -> Generator[BatchEvent, None, ItemDone]:
    done = yield from segment_frame(job, read_image(path), cancel=cancel)
    sidecar = sidecars.build(done.labels, job.facts, source=stamp)
    request = ExportRequest(done.labels, done.frame)
    written = write_outputs(paths, names, request, sidecar, scores=done.scores if SCORES in names else None)
    return ItemDone(path, tuple(written), 1, done.seconds)


def _segment_video(
    job: Job, path: Path, paths: OutputPaths, names: Sequence[str], stamp: SourceStamp, cancel: CancelToken | None
) -> Generator[BatchEvent, None, ItemDone]:
    """Frames stream through; the sidecar comes last and says how many there are."""
    started_s = time.monotonic()
    with open_source(path) as source:
        first = source.frame(_first_readable(source))
        own_folder = any(name not in (VIDEO, SCORES) for name in names)
        with export_errors(paths.base):
            (paths.base if own_folder else paths.base.parent).mkdir(parents=True, exist_ok=True)
        sidecars.withdraw(paths.sidecar)
        with contextlib.ExitStack() as stack:
            files = _VideoFiles(job, paths, names, stack, fps=source.info.fps, size=(first.width, first.height))
            clock, seen = ProgressClock(source.info.count, "frames"), 0
            for event in segment_source(job, source.items(), cancel=cancel):
                if isinstance(event, Progress):
                    continue
                seen += 1
                yield clock.at(seen)
                if isinstance(event, SegmentedFrame):
                    files.write(event)
                else:
                    files.miss(event)
            notes = source.info.notes  # now that all frames were asked for
            sidecar = files.sidecar(stamp, (first.height, first.width), notes)
            if files.store is not None:
                files.store.update(sidecar.as_dict())
    sidecars.write_sidecar(paths.sidecar, sidecar)
    if files.missed:
        error = files.missed[0].error
        noted = f" ({'; '.join(notes)})" if notes else ""
        raise VideoReadError(f"{len(files.missed)} of {seen} frames are missing: {error.reason}{noted}", path=path)
    return ItemDone(path, (*_files(paths, names), paths.sidecar), seen, time.monotonic() - started_s, notes)


class _VideoFiles:
    """The outputs of one video while its frames come."""

    def __init__(
        self,
        job: Job,
        paths: OutputPaths,
        names: Sequence[str],
        stack: contextlib.ExitStack,
        *,
        fps: float,
        size: tuple[int, int],
    ) -> None:
        """`stack` closes the files: complete when it ends well, away when it does not. `size` is (width, height)."""
        self._job, self._paths, self._names = job, paths, names
        self._frame_exporters = [exporter(name) for name in names if name not in (VIDEO, SCORES)]
        rate = Fraction(fps or _FALLBACK_FPS).limit_denominator(100_000)
        self._video = stack.enter_context(VideoWriter(paths.overlay, fps=rate, size=size)) if VIDEO in names else None
        self.store = stack.enter_context(ScoreStoreWriter(paths.scores, job.facts)) if SCORES in names else None
        self.missed: list[ItemFailed] = []
        self._times_s: list[float] = []
        self._pixels = np.zeros(job.projection.target.num_channels, np.int64)

    def write(self, done: SegmentedFrame) -> None:
        """Write all outputs of one frame."""
        ref = done.frame.ref
        if ref is None:
            raise ValueError("a frame of a video knows its place")
        place = OutputPaths(self._paths.frame(ref.index).with_suffix(""))
        request = ExportRequest(done.labels, done.frame)
        for one in self._frame_exporters:
            target = place.file(one.suffix)
            with export_errors(target):
                one.write(target, request)
        if self._video is not None:
            self._video.write(blend(done.frame.pixels_HW3, done.labels), timestamp_s=ref.timestamp_s)
        if self.store is not None and done.scores is not None:
            self.store.append(done.scores, ref.timestamp_s, index=ref.index)
        self._times_s.append(ref.timestamp_s)
        for info, count in done.labels.counts():
            self._pixels[info.id] += count

    def miss(self, failed: ItemFailed) -> None:
        """Note a frame that could not be read or segmented."""
        self.missed.append(failed)

    def sidecar(self, stamp: SourceStamp, size: tuple[int, int], notes: Sequence[str]) -> Sidecar:
        """What to write at the end; `size` is (height, width)."""
        if not self._times_s and self.missed:
            raise self.missed[0].error
        return sidecars.build(
            self._job.projection.target,
            self._job.facts,
            source=stamp,
            size=size,
            pixels={int(class_id): int(self._pixels[class_id]) for class_id in np.flatnonzero(self._pixels)},
            outputs=tuple(self._names),
            timestamps_s=self._times_s,
            notes=notes,
        )


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


def _named(error: MSegStudioError, path: Path) -> MSegStudioError:
    """`error` as it is when it names a file, else as one about `path`: in a batch, "this image" says too little."""
    return error if error.path is not None else type(error)(error.reason, path=path)


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

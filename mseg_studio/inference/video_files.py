"""The files that one video is segmented into. Torch-free."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from mseg_studio.inference.jobs import ItemFailed, Job, SegmentedFrame
from mseg_studio.labels import sidecar as sidecars
from mseg_studio.labels.export import SCORES as SCORES
from mseg_studio.labels.export import ExportRequest, exporter
from mseg_studio.labels.export_errors import export_errors
from mseg_studio.labels.output_layout import OutputPaths
from mseg_studio.labels.overlay import blend
from mseg_studio.labels.score_store import ScoreStoreWriter
from mseg_studio.labels.sidecar import Sidecar, SourceStamp
from mseg_studio.labels.smoothing import Smoother
from mseg_studio.media.video_writer import VideoWriter

VIDEO = "video"
"""Like `SCORES` an output that is one file a video; all other names are exporters, one file a frame."""

_FALLBACK_FPS = 25.0


class VideoFiles:
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
        self._smoother = Smoother(job.smoothing) if job.smoothing else None
        self._certified_shares: list[float] = []
        self.missed: list[ItemFailed] = []
        self._times_s: list[float] = []
        self._pixels = np.zeros(job.projection.target.num_channels, np.int64)

    def write(self, done: SegmentedFrame) -> None:
        """Write all outputs of one frame, the next in time. The scores stored are the network's, not smoothed."""
        done = self._smoothed(done)
        ref = done.frame.ref
        if ref is None:
            raise ValueError("a frame of a video knows its place")
        place = OutputPaths(self._paths.frame(ref.index).with_suffix(""))
        request = ExportRequest(done.labels, done.frame, measures=done.measures)
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

    def _smoothed(self, done: SegmentedFrame) -> SegmentedFrame:
        if self._smoother is None or done.scores is None:
            return done
        reading, measures = self._job.read(self._smoother.next(done.scores))
        self._certified_shares.append(reading.certified_share)
        return dataclasses.replace(done, labels=reading.labels, measures=measures)

    def miss(self, failed: ItemFailed) -> None:
        """Note a frame that could not be read or segmented."""
        self.missed.append(failed)

    def sidecar(self, stamp: SourceStamp, size: tuple[int, int], notes: Sequence[str]) -> Sidecar:
        """What to write at the end; `size` is (height, width)."""
        if not self._times_s and self.missed:
            raise self.missed[0].error
        shares = self._certified_shares
        return sidecars.build(
            self._job.projection.target,
            self._job.facts | ({"certified_share": float(np.mean(shares))} if shares else {}),
            source=stamp,
            size=size,
            pixels={int(class_id): int(self._pixels[class_id]) for class_id in np.flatnonzero(self._pixels)},
            outputs=tuple(self._names),
            timestamps_s=self._times_s,
            notes=notes,
        )

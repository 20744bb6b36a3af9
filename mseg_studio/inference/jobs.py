"""Segment one frame, or everything in a source, step by step. Torch-free: the predictor is handed in."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mseg_studio.errors import MSegStudioError
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.readout import PLAIN, Measure, Measures, Reading, Readout, read_measures
from mseg_studio.labels.score_map import ScoreMap
from mseg_studio.media.frame import Frame, FrameRef
from mseg_studio.media.source import SourceItem
from mseg_studio.progress import CancelToken, Progress
from mseg_studio.taxonomy.projection import Projection

if TYPE_CHECKING:
    from mseg_studio.inference.dense import DenseScores
    from mseg_studio.inference.predictor import Predictor


@dataclass(frozen=True, eq=False, slots=True)
class Job:
    """What is done to every frame."""

    predictor: Predictor | None
    """None where another process segments."""
    projection: Projection
    """From the model's taxonomy to the output's."""
    facts: dict[str, Any]
    """Keys of the sidecar that inference knows; see `LoadedModel.facts`."""
    top_k: int = 0
    """Classes a pixel to keep as a ScoreMap; 0 keeps none."""
    readout: Readout = PLAIN
    """Which classes of the output take part and how sure a label must be; its own `measure` is not looked at."""
    measures: tuple[Measure, ...] = ()
    """What is measured of every frame."""
    smoothing: float = 0.0
    """Weight of the past in a video, see `labels/smoothing.py`; 0 leaves every frame as it is. Needs `top_k`."""

    def __post_init__(self) -> None:
        if self.smoothing and not self.top_k:
            raise ValueError("smoothing works on kept scores: top_k must not be 0")

    def read(self, scores: DenseScores | ScoreMap) -> tuple[Reading, Measures]:
        """The labels that the job wants of scores, and all of its measures."""
        return read_measures(scores, self.projection, self.readout, self.measures)

    @property
    def here(self) -> Predictor:
        """The predictor. Raises ValueError when there is none."""
        if self.predictor is None:
            raise ValueError("the frames of this job are segmented in another process")
        return self.predictor


@dataclass(frozen=True, eq=False, slots=True)
class SegmentedFrame:
    """A frame with its labels, and its scores when the job keeps them; not smoothed, its turn may not have come."""

    frame: Frame
    labels: LabelMap
    scores: ScoreMap | None
    seconds: float
    measures: Measures = field(default_factory=dict)
    """What the job measures, (H, W) as in `Reading`."""


@dataclass(frozen=True, slots=True)
class ItemFailed:
    """A frame that could not be read or segmented; the job goes on with the next."""

    ref: FrameRef
    error: MSegStudioError


def segment_frame(
    job: Job, frame: Frame, *, cancel: CancelToken | None = None
) -> Generator[Progress, None, SegmentedFrame]:
    """Progress after every tile; the return value is the segmented frame. Raises Cancelled, DeviceMemoryError."""
    started_s = time.monotonic()
    dense = yield from job.here.steps(frame.pixels_HW3, cancel=cancel)
    return finish_frame(job, frame, dense, started_s=started_s, cancel=cancel)


def finish_frame(
    job: Job, frame: Frame, dense: DenseScores, *, started_s: float, cancel: CancelToken | None = None
) -> SegmentedFrame:
    """What the job wants of a frame's scores; `started_s` is when work on it began (monotonic). Raises Cancelled."""
    # A frame of a smoothed video is read from its smoothed scores, when those before it are there.
    reading, measures = (Reading(dense.labels(job.projection)), {}) if job.smoothing else job.read(dense)
    scores = None
    if job.top_k:
        if cancel is not None:
            cancel.raise_if_cancelled()
        scores = dense.top_k(
            job.projection.source,
            k=job.top_k,
            recipe_hash=str(job.facts["recipe_hash"]),
            model_sha256=str(job.facts["model"]["sha256"]),
        )
    return SegmentedFrame(frame, reading.labels, scores, time.monotonic() - started_s, measures)


def segment_source(
    job: Job, items: Iterable[SourceItem], *, cancel: CancelToken | None = None
) -> Iterator[Progress | SegmentedFrame | ItemFailed]:
    """Tile progress of each frame, then the frame, in order; one at a time, so memory does not grow with the source.

    A frame that fails is told and left out. Raises Cancelled.
    """
    for item in items:
        if cancel is not None:
            cancel.raise_if_cancelled()
        try:
            done = yield from segment_frame(job, item.load(), cancel=cancel)
        except MSegStudioError as error:
            yield ItemFailed(item.ref, error)
        else:
            yield done
            del done  # the consumer has it: do not hold two frames while the next one is made

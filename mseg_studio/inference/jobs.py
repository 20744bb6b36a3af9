"""Segment one frame, or everything in a source, step by step. Torch-free: the predictor is handed in."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mseg_studio.errors import MSegStudioError
from mseg_studio.labels.label_map import LabelMap
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

    @property
    def here(self) -> Predictor:
        """The predictor. Raises ValueError when there is none."""
        if self.predictor is None:
            raise ValueError("the frames of this job are segmented in another process")
        return self.predictor


@dataclass(frozen=True, eq=False, slots=True)
class SegmentedFrame:
    """A frame with its labels, and its scores when the job keeps them."""

    frame: Frame
    labels: LabelMap
    scores: ScoreMap | None
    seconds: float


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
    labels = dense.labels(job.projection)
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
    return SegmentedFrame(frame, labels, scores, time.monotonic() - started_s)


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

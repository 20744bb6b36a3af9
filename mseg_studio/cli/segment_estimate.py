"""What `segment` will cost, told by `--estimate` before anything runs and learned from what did run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mseg_studio.cli.terminal import print_json

if TYPE_CHECKING:
    from mseg_studio.inference.jobs import ItemFailed, Job, SegmentedFrame
    from mseg_studio.inference.pipeline import Segment
    from mseg_studio.inference.recipe import Recipe
    from mseg_studio.labels.output_layout import InputItem
    from mseg_studio.media.source import SourceItem
    from mseg_studio.networks.card import ModelCard
    from mseg_studio.progress import CancelToken, Progress

_TORCH_DECIDES = 0
"""Threads of the command line."""
T = TypeVar("T")


def tell_estimates(
    items: Sequence[InputItem],
    recipe: Recipe,
    card: ModelCard,
    *,
    as_json: bool,
    broken: Callable[[Path, Exception], None],
) -> None:
    """Print what every input will cost, and the sum. `broken` is told of those that cannot be read."""
    from mseg_studio.errors import MSegStudioError
    from mseg_studio.inference.estimate import estimate
    from mseg_studio.inference.pace import Pace
    from mseg_studio.progress import duration

    pace = Pace()
    total: dict[str, Any] = {"inputs": 0, "frames": 0, "crops": 0, "passes": 0, "seconds": 0.0, "memory_bytes": 0}
    for item in items:
        try:
            height, width, frames = _size_of(item)
        except (MSegStudioError, OSError) as error:
            broken(item.path, error)
            continue
        one = estimate(recipe, (height, width), card=card, pace=pace, threads=_TORCH_DECIDES)
        total["inputs"] += 1
        for key, value in (("frames", 1), ("crops", one.cost.crops), ("passes", one.cost.passes)):
            total[key] += frames * value
        total["seconds"] += frames * one.seconds
        total["memory_bytes"] = max(total["memory_bytes"], one.memory_bytes)
        if as_json:
            print_json({"input": str(item.path), "width": width, "height": height, "frames": frames, **one.as_dict()})
        else:
            each = f"{frames} frames, each " if frames > 1 else ""
            work = f"{one.cost.crops} crops, {one.cost.passes} passes, {one.seconds:.2g} s"
            print(f"{item.path}: {width} x {height}, {each}{work}, {one.memory_bytes / 1e9:.1f} GB")
    total["seconds"] = round(total["seconds"], 3)
    if as_json:
        print_json({"summary": total})
    else:
        passes = f"{total['frames']} frames, {total['crops']} crops, {total['passes']} passes"
        print(f"total: {passes}, {duration(total['seconds'])}, {total['memory_bytes'] / 1e9:.1f} GB")


def learning(segment: Segment) -> Segment:
    """The same, while it is remembered how long frames take; those that are also measured or kept take longer."""
    from mseg_studio.inference.estimate import learn
    from mseg_studio.inference.jobs import SegmentedFrame
    from mseg_studio.inference.pace import Pace

    def timed(
        job: Job, items: Iterable[SourceItem | T], *, cancel: CancelToken | None = None
    ) -> Iterator[Progress | SegmentedFrame | ItemFailed | T]:
        pace, first = Pace(), True
        for event in segment(job, items, cancel=cancel):
            if isinstance(event, SegmentedFrame) and not job.top_k and not job.measures:
                size = event.frame.pixels_HW3.shape[:2]
                learn(pace, job.facts, size, event.seconds, threads=_TORCH_DECIDES, first=first)
                first = False
            yield event

    return timed


def _size_of(item: InputItem) -> tuple[int, int, int]:
    """(height, width, frames). Raises MSegStudioError, OSError."""
    from mseg_studio.media.image import read_image
    from mseg_studio.media.image_header import BrokenImage, read_header
    from mseg_studio.media.source import open_source

    if item.is_video:
        with open_source(item.path) as source:
            frame = source.frame(0)
            return frame.height, frame.width, source.info.count
    try:
        header = read_header(item.path.read_bytes())
    except BrokenImage:
        header = None
    if header is None:  # an unusual format, or one that says in words what is wrong with it
        frame = read_image(item.path)
        return frame.height, frame.width, 1
    return header.height, header.width, 1

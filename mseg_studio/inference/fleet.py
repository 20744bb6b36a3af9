"""Several devices share the frames of a folder or a video: one child process each, answers in order. Torch-free."""

from __future__ import annotations

import dataclasses
import queue
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from mseg_studio import errors
from mseg_studio.errors import ConfigError, MSegStudioError, WorkerDied
from mseg_studio.inference.jobs import ItemFailed, Job, SegmentedFrame
from mseg_studio.inference.pipeline import BUDGET_BYTES, size_of
from mseg_studio.inference.recipe import Recipe
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.score_map import ScoreMap
from mseg_studio.media.frame import Frame
from mseg_studio.media.source import SourceItem
from mseg_studio.progress import CancelToken, Progress
from mseg_studio.settings import check_device
from mseg_studio.workers.client import WorkerClient
from mseg_studio.workers.outcome import Death, Failure, Reply

_AT_ONCE = 2
"""Frames a process is given: one it works on, one that waits, so that it never waits itself."""
_WAITING = 4
"""Answers a process that may wait for an earlier frame."""
_TRIES = 2
"""A frame that ended a process is tried once more, by the next."""
_POLL_S = 0.05

T = TypeVar("T")


def parse_devices(text: str) -> tuple[str, ...]:
    """`0,1` or `cuda:0,cpu` as device names; `cpu` may come several times. Raises ConfigError."""
    devices = []
    for part in (part.strip() for part in text.split(",")):
        name = {"cuda": "cuda:0"}.get(part, f"cuda:{part}" if part.isdecimal() else part)
        if name == "auto":
            raise ConfigError("devices: auto is no list; name each, such as 0,1 or cpu,cpu")
        check_device(name)
        if name != "cpu" and name in devices:
            raise ConfigError(f"devices: {name} is named twice; one process a device is the fastest")
        devices.append(name)
    return tuple(devices)


@dataclass(eq=False)
class _Member:
    """One process."""

    device: str
    client: WorkerClient
    ready: bool = False
    hopeless: bool = False
    """It ended so often before it was ready that it is not tried again."""
    asked: dict[int, _Place[Any]] = field(default_factory=dict)
    """Frames it was given, by request."""


@dataclass(eq=False)
class _Place(Generic[T]):
    """One item's place among the answers."""

    item: SourceItem | None = None
    frame: Frame | None = None
    tries: int = 0
    answer: SegmentedFrame | ItemFailed | T | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes it holds."""
        if isinstance(self.answer, SegmentedFrame):
            return size_of(self.answer)
        return 0 if self.frame is None else self.frame.pixels_HW3.nbytes


_Event = Reply | Failure | Death | dict[str, Any]


class Fleet:
    """A process for every device; a context manager. Its `segment` is a `Segment` for jobs without a predictor.

    A process that ends is started again; the frame it worked on is given to the next, and is told as ItemFailed when it
    ends that one too.
    """

    def __init__(self, devices: Sequence[str], *, model: str, recipe: Recipe, cores: int) -> None:
        """`devices` as `parse_devices` gives them; `cores` are shared among the processes."""
        self._events: queue.SimpleQueue[tuple[int, _Event]] = queue.SimpleQueue()
        threads = max(1, cores // len(devices))
        self.members = [
            _Member(device, self._client(number, model, dataclasses.replace(recipe, device=device), threads))
            for number, device in enumerate(devices)
        ]

    def _client(self, number: int, model: str, recipe: Recipe, threads: int) -> WorkerClient:
        def tell(event: _Event) -> None:
            self._events.put((number, event))

        return WorkerClient(
            "mseg_studio.inference.fleet_worker",
            on_reply=tell,
            on_failed=tell,
            on_died=tell,
            on_ready=tell,
            name=f"{recipe.device} worker",
            arguments={"threads": threads, "model": model, "recipe": recipe.as_dict()},
            environment={"OMP_NUM_THREADS": str(threads)},
        )

    def __enter__(self) -> Self:
        for member in self.members:
            member.client.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self.members:
            member.client.close(timeout_s=0.0)  # it has nothing to save, and torch takes seconds to end by itself

    def prepare(self, cancel: CancelToken | None = None) -> dict[str, Any]:
        """Load the model in every process; gives the facts of the sidecar, which all must agree on but for the device.

        Raises ConfigError for a device that is not there, and for devices that would compute differently;
        CheckpointError; WorkerDied; Cancelled.
        """
        waiting = {id(member): member.client.submit("prepare") for member in self.members}
        told: dict[int, dict[str, Any]] = {}
        while waiting:
            member, event = self.next_event(cancel)
            if isinstance(event, Failure) and waiting.get(id(member)) == event.request_id:
                raise error_of(event)
            if isinstance(event, Reply) and event.final and waiting.get(id(member)) == event.request_id:
                told[id(member)] = dict(event.fields["facts"])
                del waiting[id(member)]
        facts = [told[id(member)] for member in self.members]
        first = facts[0]
        for other in facts:
            if any(other[key] != first[key] for key in ("recipe_hash", "precision", "engine")):
                ways = [f"{one['device']} computes by {one['engine']} in {one['precision']}" for one in (first, other)]
                raise ConfigError(f"devices: {', '.join(ways)}: labels would differ; choose precision and engine")
        return {**first, "device": ",".join(dict.fromkeys(str(one["device"]) for one in facts))}

    def segment(
        self, job: Job, items: Iterable[SourceItem | T], *, cancel: CancelToken | None = None
    ) -> Iterator[Progress | SegmentedFrame | ItemFailed | T]:
        """See `Segment`. Frames and answers that wait are bounded by their number and by their bytes."""
        sharing = _Sharing(self, job, iter(items), cancel)
        try:
            yield from sharing.answers()
        finally:
            for member in self.members:
                for request_id in list(member.asked):
                    member.client.cancel(request_id)
                member.asked.clear()

    def next_event(self, cancel: CancelToken | None) -> tuple[_Member, _Event]:
        """Wait for what a process says next. Raises Cancelled."""
        while True:
            if cancel is not None:
                cancel.raise_if_cancelled()
            try:
                number, event = self._events.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            member = self.members[number]
            if isinstance(event, Death):
                member.ready, member.hopeless = False, event.restart_in_s is None
            elif isinstance(event, dict):
                member.ready, member.hopeless = True, False
            elif isinstance(event, Failure) and event.code == "WorkerDied":
                member.ready = False  # its Death is the next event
            return member, event


class _Sharing(Generic[T]):
    """The frames of one source, on their way through a fleet."""

    def __init__(self, fleet: Fleet, job: Job, feed: Iterator[SourceItem | T], cancel: CancelToken | None) -> None:
        self._fleet, self._job, self._feed, self._cancel = fleet, job, feed, cancel
        self._more = True
        """Whether the feed has not ended."""
        self._places: deque[_Place[T]] = deque()
        """All items that have no answer, or one that waits for an earlier item's, in order."""
        self._again: deque[_Place[T]] = deque()
        """Frames whose process ended."""

    def answers(self) -> Iterator[Progress | SegmentedFrame | ItemFailed | T]:
        """See `Fleet.segment`."""
        while True:
            self._hand_out()
            answer = self._places[0].answer if self._places else None
            if answer is not None:
                self._places.popleft()
                yield answer
            elif self._places or self._more:
                progress = self._hear()
                if progress is not None:
                    yield progress
            else:
                return

    def _hand_out(self) -> None:
        """Give every process that has room a frame; when none will come back, all frames fail."""
        while self._again and (self._is_lost or self._free() is not None):
            self._ask(self._again.popleft())
        while self._more and not self._again and self._has_room and (self._is_lost or self._free() is not None):
            item = next(self._feed, None)
            if item is None:
                self._more = False
                return
            place = _Place[T](item) if isinstance(item, SourceItem) else _Place[T](answer=item)
            self._places.append(place)
            if isinstance(item, SourceItem):
                try:
                    place.frame = item.load()
                except MSegStudioError as error:
                    place.answer = ItemFailed(item.ref, error)
                else:
                    self._ask(place)
            if self._places[0].answer is not None:
                return  # it can be given on at once

    @property
    def _is_lost(self) -> bool:
        return all(member.hopeless for member in self._fleet.members)

    def _free(self) -> _Member | None:
        """The process with the least to do that has room for a frame."""
        free = [member for member in self._fleet.members if member.ready and len(member.asked) < _AT_ONCE]
        return min(free, key=lambda member: len(member.asked), default=None)

    @property
    def _has_room(self) -> bool:
        processes = len(self._fleet.members)
        waiting = sum(place.size_bytes for place in self._places)
        return len(self._places) < (_AT_ONCE + _WAITING) * processes and waiting < BUDGET_BYTES * processes

    def _ask(self, place: _Place[T]) -> None:
        if place.frame is None:
            raise ValueError("only a frame can be asked for")
        member = self._free()
        if member is None:
            place.answer = _failed(place, WorkerDied("no process of the fleet can be started any more"))
            return
        job = self._job
        fields = {
            "target": job.projection.target.name,
            "top_k": job.top_k,
            "readout": job.readout.as_dict(),
            "measures": list(job.measures),
            "smoothing": job.smoothing,
        }
        request_id = member.client.submit("segment", fields, arrays={"pixels": place.frame.pixels_HW3})
        member.asked[request_id] = place

    def _hear(self) -> Progress | None:
        """Wait for one event; gives the progress of the first frame that has no answer."""
        member, event = self._fleet.next_event(self._cancel)
        if isinstance(event, Death):
            # What it had not begun goes to the others at once, not when it is back.
            for request_id, left in member.asked.items():
                member.client.cancel(request_id)
                self._again.append(left)
            member.asked.clear()
            return None
        place = member.asked.get(event.request_id) if isinstance(event, Failure | Reply) else None
        if place is None:  # of a request that nobody waits for any more
            return None
        if isinstance(event, Failure):
            del member.asked[event.request_id]
            self._failed(place, event)
        elif isinstance(event, Reply) and event.final:
            del member.asked[event.request_id]
            place.answer = _answer(self._job, place, event)
        elif isinstance(event, Reply) and event.type == "progress" and place is self._places[0]:
            fields = event.fields
            return Progress(int(fields["done"]), int(fields["total"]), str(fields["what"]), fields["seconds_left"])
        return None

    def _failed(self, place: _Place[T], failure: Failure) -> None:
        place.tries += 1
        if failure.code == "WorkerDied" and place.tries < _TRIES:
            self._again.append(place)
        else:
            place.answer = _failed(place, error_of(failure))


def _failed(place: _Place[Any], error: MSegStudioError) -> ItemFailed:
    if place.item is None:
        raise ValueError("only a frame can fail")
    return ItemFailed(place.item.ref, error)


def _answer(job: Job, place: _Place[Any], reply: Reply) -> SegmentedFrame:
    if place.frame is None:
        raise ValueError("only a frame can be answered")
    arrays, scores = reply.arrays, None
    if job.top_k:
        scores = ScoreMap(
            arrays["class_ids"],
            arrays["probabilities"],
            arrays["residual"],
            job.projection.source,
            recipe_hash=str(job.facts["recipe_hash"]),
            model_sha256=str(job.facts["model"]["sha256"]),
        )
    labels = LabelMap(arrays["ids"], job.projection.target)
    measures = {measure: arrays[measure] for measure in job.measures if measure in arrays}
    return SegmentedFrame(place.frame, labels, scores, float(reply.fields["seconds"]), measures)


def error_of(failure: Failure) -> MSegStudioError:
    """The error that a process told of."""
    kind = getattr(errors, failure.code, None)
    if not isinstance(kind, type) or not issubclass(kind, MSegStudioError):
        kind = MSegStudioError
    found: MSegStudioError = kind(failure.message)
    return found

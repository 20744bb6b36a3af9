"""Read, run and write at the same time: a thread that reads ahead, and a thread that writes behind. Torch-free.

The network stays in the caller's thread. What a thread works on is its own until it is joined: no decoder, encoder or
score store is ever used by two threads at once. Both are context managers and leave no thread behind.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from mseg_studio.errors import MSegStudioError
from mseg_studio.inference.cost import count
from mseg_studio.inference.jobs import ItemFailed, Job, SegmentedFrame, finish_frame, segment_source
from mseg_studio.media.frame import Frame
from mseg_studio.media.source import SourceItem
from mseg_studio.progress import CancelToken, Progress

if TYPE_CHECKING:
    from mseg_studio.inference.dense import DenseScores

DEPTH = 3
"""Pieces that wait in front of a thread or behind it, at most."""
BUDGET_BYTES = 256 << 20
"""Their pixels, at most: beyond it, or beyond one larger piece, nothing more is read ahead or left to write."""

_GPU_PASSES = 8
"""Crops, mirror images counted, that a GPU should be given together."""
_POLL_S = 0.05
"""How often a wait looks at its cancel token."""

T = TypeVar("T")


class _Thread:
    """A thread that is told to stop and joined at the end of a `with` block; one condition guards what is shared."""

    def __init__(self, name: str, cancel: CancelToken | None) -> None:
        self._cancel = cancel
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait in the caller's thread, which holds the lock. Raises Cancelled."""
        while not self._changed.wait_for(condition, _POLL_S):
            if self._cancel is not None:
                self._cancel.raise_if_cancelled()

    def _run(self) -> None:
        raise NotImplementedError


class ReadAhead(_Thread, Generic[T]):
    """What an iterator gives, in order, made by a thread some pieces ahead. Iterate once, inside the `with` block."""

    def __init__(self, pieces: Iterable[tuple[T, int]], *, cancel: CancelToken | None = None) -> None:
        """`pieces` gives each piece with its size in bytes; only the thread touches it."""
        super().__init__("read-ahead", cancel)
        self._pieces = pieces
        self._ready: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._ended = False
        self._error: BaseException | None = None

    def __iter__(self) -> Iterator[T]:
        """Raises Cancelled while it waits, and at its place what the iterator raised."""
        while True:
            with self._changed:
                self._wait_for(lambda: bool(self._ready) or self._ended)
                if not self._ready:
                    break
                piece, size = self._ready.popleft()
                self._bytes -= size
                self._changed.notify_all()
            yield piece
            del piece  # the consumer has it: do not hold it while waiting for the next
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            for piece, size in self._pieces:
                with self._changed:
                    self._ready.append((piece, size))
                    self._bytes += size
                    del piece
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._stopped or self._has_room)
                    if self._stopped:
                        return
        except BaseException as error:  # noqa: BLE001 - a thread's boundary: raised again where it is iterated
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    @property
    def _has_room(self) -> bool:
        return len(self._ready) < DEPTH and self._bytes < BUDGET_BYTES


class WriteBehind(_Thread):
    """Does pieces of work in order in a thread while the caller goes on.

    When the block ends well all of them are done; when it raises, those not begun are dropped.
    """

    def __init__(self, *, cancel: CancelToken | None = None) -> None:
        super().__init__("write-behind", cancel)
        self._waiting: deque[tuple[Callable[[], None], int]] = deque()
        self._unfinished = self._bytes = 0
        self._error: BaseException | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.drain()
        finally:
            super().__exit__(kind, error, trace)

    def put(self, work: Callable[[], object], *, size_bytes: int = 0) -> None:
        """Have `work` done after what was put before; when it raises, nothing more is done and `check` raises it.

        Waits while too much waits. A piece larger than the budget is waited for, so that no second one is made
        meanwhile. Raises Cancelled and what `check` raises.
        """
        self.check()
        self._add(partial(self._do, work), size_bytes)
        self.check()

    def submit(self, work: Callable[[], T], *, size_bytes: int = 0) -> Future[T]:
        """Like `put`, but what `work` raises is the future's and stops nothing. Raises Cancelled."""
        future: Future[T] = Future()
        self._add(partial(_fulfil, future, work), size_bytes)
        return future

    def result(self, future: Future[T]) -> T:
        """Wait for what was submitted. Raises what it raised, and Cancelled."""
        with self._changed:
            self._wait_for(future.done)
        return future.result()

    def check(self) -> None:
        """Raise what a piece that was `put` raised."""
        if self._error is not None:
            raise self._error

    def drain(self) -> None:
        """Wait until all is done. Raises Cancelled and what `check` raises."""
        with self._changed:
            self._wait_for(lambda: self._unfinished == 0)
        self.check()

    def _add(self, work: Callable[[], None], size_bytes: int) -> None:
        with self._changed:
            self._wait_for(lambda: self._has_room_for(size_bytes))
            self._waiting.append((work, size_bytes))
            self._unfinished += 1
            self._bytes += size_bytes
            self._changed.notify_all()
            if size_bytes > BUDGET_BYTES:
                self._wait_for(lambda: self._unfinished == 0)

    def _has_room_for(self, size_bytes: int) -> bool:
        fits = self._unfinished < DEPTH and self._bytes + size_bytes <= BUDGET_BYTES
        return fits or self._unfinished == 0

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or bool(self._waiting))
                if self._stopped:
                    return
                work, size = self._waiting.popleft()
            work()
            del work  # with the pixels it holds
            with self._changed:
                self._unfinished -= 1
                self._bytes -= size
                self._changed.notify_all()

    def _do(self, work: Callable[[], object]) -> None:
        if self._error is None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - a thread's boundary: raised again by `check`
                self._error = error


def _fulfil(future: Future[T], work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 - a thread's boundary: raised again by the future
        future.set_exception(error)


def read_ahead(items: Iterable[SourceItem], *, cancel: CancelToken | None = None) -> ReadAhead[SourceItem]:
    """The items with their frames read already: `load` gives the frame, or raises what reading it raised."""
    return ReadAhead(map(_loaded, items), cancel=cancel)


def _loaded(item: SourceItem) -> tuple[SourceItem, int]:
    try:
        frame = item.load()
    except Exception as error:  # noqa: BLE001 - raised again by `load`
        return SourceItem(item.ref, partial(_raise, error)), 0
    return SourceItem(item.ref, lambda: frame), frame.pixels_HW3.nbytes


def _raise(error: Exception) -> Frame:
    raise error


class Segment(Protocol):
    """Where the frames of items that are read already are segmented: here (`segment_here`), or in other processes."""

    def __call__(
        self, job: Job, items: Iterable[SourceItem | T], *, cancel: CancelToken | None = None
    ) -> Iterator[Progress | SegmentedFrame | ItemFailed | T]:
        """One answer for every item, in order; what is no SourceItem keeps its place among them.

        A frame that fails is told and left out. Progress comes in between. Raises Cancelled.
        """
        ...


def segment_here(
    job: Job,
    items: Iterable[SourceItem | T],
    *,
    cancel: CancelToken | None = None,
    frames_a_pass: int | None = None,
) -> Iterator[Progress | SegmentedFrame | ItemFailed | T]:
    """`Segment` by the job's predictor. Up to `frames_a_pass` frames of one size share passes of the network.

    Unless given it is as many as the device gains by; the answers are the same.
    """
    group: list[SourceItem] = []
    shape: tuple[int, ...] = ()
    for item in items:
        shape_now = _shape(item) if isinstance(item, SourceItem) else ()
        if group and shape_now != shape:
            yield from _segment_group(job, group, cancel)
            group = []
        if isinstance(item, SourceItem):
            group.append(item)
            shape = shape_now
        else:
            yield item
        if group and len(group) >= (frames_a_pass or _frames_a_pass(job, shape)):
            yield from _segment_group(job, group, cancel)
            group = []
        del item  # with its frame, while the next one is waited for
    yield from _segment_group(job, group, cancel)


def size_of(done: SegmentedFrame) -> int:
    """Bytes that a segmented frame holds."""
    scores = done.scores
    kept = [] if scores is None else [scores.class_ids_HWk, scores.probabilities_HWk, scores.residual_HW]
    return sum(array.nbytes for array in (done.frame.pixels_HW3, done.labels.ids_HW, *kept, *done.measures.values()))


def _frames_a_pass(job: Job, shape: tuple[int, ...]) -> int:
    """A GPU is not filled by the few crops of a small frame; a CPU gains nothing by more than a frame's own."""
    if not shape or not job.here.device.startswith("cuda"):
        return 1
    return max(1, _GPU_PASSES // count(job.here.recipe, *shape[:2]).passes)


def _shape(item: SourceItem) -> tuple[int, ...]:
    """Shape of the item's pixels; empty when they cannot be read."""
    try:
        return item.load().pixels_HW3.shape
    except MSegStudioError:
        return ()


def _segment_group(
    job: Job, group: list[SourceItem], cancel: CancelToken | None
) -> Iterator[Progress | SegmentedFrame | ItemFailed]:
    """Segment the frames together, or one by one when they do not fit in memory together."""
    started_s = time.monotonic()
    scores = _scores_of_all(job, group, cancel) if len(group) > 1 else deque()
    if not scores:
        yield from segment_source(job, group, cancel=cancel)
        return
    share_s = (time.monotonic() - started_s) / len(group)
    for item in group:
        begun_s = time.monotonic() - share_s
        try:
            done = finish_frame(job, item.load(), scores.popleft(), started_s=begun_s, cancel=cancel)
        except MSegStudioError as error:
            yield ItemFailed(item.ref, error)
        else:
            yield done


def _scores_of_all(job: Job, group: list[SourceItem], cancel: CancelToken | None) -> deque[DenseScores]:
    """Scores of every frame; empty when one cannot be read or memory is short: then each is tried by itself."""
    if cancel is not None:
        cancel.raise_if_cancelled()
    try:
        return deque(job.here.predict_many([item.load().pixels_HW3 for item in group], cancel=cancel))
    except MSegStudioError:
        return deque()

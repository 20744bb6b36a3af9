"""From worker threads to the window: events become queued Qt signals. The only place in the window that knows threads.

What is heavy about an event (halving a picture, counting pixels) is done here, in the thread that brings it.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from PySide6.QtCore import QObject, QRunnable, QThreadPool, Signal, Slot

from mseg_studio.errors import MSegStudioError
from mseg_studio.inference.events import InferenceEvent, LabelsReady
from mseg_studio.inference.recipe import Recipe
from mseg_studio.labels.readout import Readout
from mseg_studio.media.events import FrameReady, MediaEvent
from mseg_studio.media.frame import Frame
from mseg_studio.taxonomy.model import ClassInfo
from mseg_studio.ui.canvas.layers import Picture
from mseg_studio.ui.pyside_guard import keep_singletons_alive

keep_singletons_alive()  # before the first signal is emitted anywhere in the window


class MediaLike(Protocol):
    """What the window asks of the media process (media/client.py). Every call returns at once."""

    def start(self) -> None:
        """Start the process."""

    def open(self, path: str) -> int:
        """Open a source; answered by Opened or MediaFailed with the request id given here."""

    def frame(self, index: int, *, path: str | None = None) -> int:
        """One frame of the source, or the image at `path`; answered by FrameReady or MediaFailed."""

    def thumbnail(self, path: str, size_px: int) -> int:
        """A small picture; answered by ThumbnailReady or MediaFailed."""

    def cancel(self, request_id: int | None = None) -> None:
        """Drop one request, or all; no event follows for them."""

    def close(self) -> None:
        """End the process and the thread that listens to it."""


class InferenceLike(Protocol):
    """What the window asks of the inference process (inference/client.py). Every call returns at once."""

    def start(self) -> None:
        """Start the process."""

    def segment(self, frame: Frame, *, model: str, recipe: Recipe, target: str, readout: Readout) -> int:
        """Segment a frame; the generation given here comes back with the answer."""

    def project(self, target: str, *, readout: Readout) -> int:
        """The last frame's labels in another taxonomy or readout, without a run of the network."""

    def probe(self, x: int, y: int, *, target: str | None = None) -> object:
        """Probabilities at one pixel of the last frame."""

    def compare(self, target: str, *, only: tuple[int, ...]) -> int:
        """The last frame's labels in another taxonomy, projected and mapped; never a run of the network."""

    def cancel(self) -> None:
        """Stop what runs and forget what waits."""

    def release_device(self) -> None:
        """Give the device's memory back: the scores of the last frame are made anew when they are asked for."""

    def close(self) -> None:
        """End the process and the thread that listens to it."""


@dataclass(frozen=True, eq=False, slots=True)
class ShownFrame:
    """A frame ready to be drawn."""

    request_id: int
    index: int
    frame: Frame
    picture: Picture


@dataclass(frozen=True, eq=False, slots=True)
class Prediction:
    """A label map ready to be drawn, with the pixels of its classes, largest first."""

    event: LabelsReady
    counts: tuple[tuple[ClassInfo, int], ...]
    packed: bytes
    """The ids, compressed by zlib: what is kept for frames that are not on screen."""
    packed_measure: bytes = b""
    """The measure, compressed alike; empty when nothing was measured."""


class MediaBridge(QObject):
    """The media client with its events as one signal in the window's thread."""

    happened = Signal(object)
    """ShownFrame, Opened, ThumbnailReady, MediaFailed or MediaDied."""

    def __init__(self, make_client: Callable[[Callable[[MediaEvent], None]], MediaLike]) -> None:
        super().__init__()
        self.client = make_client(self._on_event)

    def _on_event(self, event: MediaEvent) -> None:
        if isinstance(event, FrameReady):
            picture = Picture(event.frame.pixels_HW3)
            self.happened.emit(ShownFrame(event.request_id, event.index, event.frame, picture))
        else:
            self.happened.emit(event)


@dataclass(frozen=True, slots=True)
class DeviceFreed:
    """The inference process was asked to give its device back: the scores of the last frame are gone."""


class InferenceBridge(QObject):
    """The inference client with its events as one signal in the window's thread."""

    happened = Signal(object)
    """An InferenceEvent, LabelsReady as a Prediction, or DeviceFreed."""

    def __init__(self, make_client: Callable[[Callable[[InferenceEvent], None]], InferenceLike]) -> None:
        super().__init__()
        self.client = make_client(self._on_event)

    def free_device(self) -> None:
        """Make room for a training run: labels on screen stay, their scores are computed anew when they are needed."""
        self.client.release_device()
        self.happened.emit(DeviceFreed())

    def _on_event(self, event: InferenceEvent) -> None:
        if isinstance(event, LabelsReady):
            packed = zlib.compress(event.labels.ids_HW.tobytes(), 1)
            measured = b"" if event.measure_HW is None else zlib.compress(event.measure_HW.tobytes(), 1)
            self.happened.emit(Prediction(event, tuple(event.labels.counts()), packed, measured))
        else:
            self.happened.emit(event)


class _Relay(QObject):
    """Brings the outcome of one background task to the thread of its owner."""

    finished = Signal(object, object)

    def __init__(
        self, owner: QObject, done: Callable[[Any], None], failed: Callable[[MSegStudioError], None] | None
    ) -> None:
        super().__init__(owner)
        self._done, self._failed = done, failed
        self.finished.connect(self._deliver)

    @Slot(object, object)
    def _deliver(self, result: object, error: object) -> None:
        self.deleteLater()
        if error is None:
            self._done(result)
        elif self._failed is not None and isinstance(error, MSegStudioError):
            self._failed(error)
        elif isinstance(error, Exception):
            raise error


class _Task(QRunnable):
    def __init__(self, work: Callable[[], Any], relay: _Relay) -> None:
        super().__init__()
        self._work, self._relay = work, relay

    def run(self) -> None:
        """Do the work in a thread of the pool."""
        result: object = None
        error: Exception | None = None
        try:
            result = self._work()
        except OSError as problem:
            error = MSegStudioError(problem.strerror or str(problem), path=problem.filename)
        except Exception as problem:  # noqa: BLE001 - a thread's boundary: raised again in the window's thread
            error = problem
        with contextlib.suppress(RuntimeError):  # the owner was closed meanwhile: nobody waits for the result
            self._relay.finished.emit(result, error)


def in_background(
    owner: QObject,
    work: Callable[[], Any],
    done: Callable[[Any], None],
    *,
    failed: Callable[[MSegStudioError], None] | None = None,
) -> None:
    """Call `work` in a thread, then `done(result)` or `failed(error)` in the owner's thread while the owner lives."""
    QThreadPool.globalInstance().start(_Task(work, _Relay(owner, done, failed)))


def wait_for_background(timeout_ms: int = 5000) -> None:
    """Wait until no background task runs: called once, when the window has closed."""
    QThreadPool.globalInstance().waitForDone(timeout_ms)

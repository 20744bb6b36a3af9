"""Crops made ahead of the network by threads, in order, with bounded memory.

Threads, not processes: OpenCV computes and decodes without the interpreter's lock, the decoded samples are shared, and
nothing is sent anywhere.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from mseg_studio.labels.label_map import Ids
from mseg_studio.settings import available_cores
from mseg_studio.training.config import TrainConfig
from mseg_studio.training.data import TrainData
from mseg_studio.training.sampler import Draw, check_batch, draws_of

_MOST_WORKERS = 8
_PATIENCE_S = 10.0
"""How long an end waits for a crop that is being made."""


@dataclass(frozen=True, slots=True)
class Part:
    """What goes through the network at once."""

    pixels_NHW3: npt.NDArray[np.uint8]
    """RGB."""
    labels_NHW: Ids
    """Rows of the head, 255 for what does not count; uint8, or uint16 for heads of more than 255 rows."""
    draws: tuple[Draw, ...]
    names: tuple[str, ...]
    """Dataset and image file of every sample."""


@dataclass(frozen=True, slots=True)
class StepBatch:
    """This process's samples of one step."""

    step: int
    parts: tuple[Part, ...]
    """`config.accumulate` of them, in order of slots."""
    wait_s: float
    """Seconds that the caller waited for it."""

    @property
    def names(self) -> tuple[str, ...]:
        """Dataset and image file of every sample."""
        return tuple(name for part in self.parts for name in part.names)


class _Coming:
    """One step while its crops are made."""

    def __init__(self, step: int, parts: tuple[tuple[Draw, ...], ...], crop_px: int, label_type: np.dtype) -> None:
        self.step, self.parts = step, parts
        shapes = [(len(part), crop_px, crop_px) for part in parts]
        self.pixels = [np.empty((*shape, 3), np.uint8) for shape in shapes]
        self.labels = [np.empty(shape, label_type) for shape in shapes]
        self.names = [[""] * len(part) for part in parts]
        self.todo = deque((part, row, draw) for part, draws in enumerate(parts) for row, draw in enumerate(draws))
        self.left = len(self.todo)
        self.error: Exception | None = None

    def batch(self, wait_s: float) -> StepBatch:
        made = zip(self.pixels, self.labels, self.parts, self.names, strict=True)
        parts = tuple(Part(pixels, labels, draws, tuple(names)) for pixels, labels, draws, names in made)
        return StepBatch(self.step, parts, wait_s)


class CropLoader:
    """The batches of one process from `first_step` on: `with CropLoader(...) as loader: loader.next()`.

    The crops of a step do not depend on the number of threads. An error in a crop (a file that is gone or broken) is
    raised by the `next` of its step.
    """

    def __init__(
        self,
        data: TrainData,
        config: TrainConfig,
        *,
        rank: int = 0,
        world: int = 1,
        first_step: int = 0,
        processes: int | None = None,
    ) -> None:
        """`processes`: how many of the run share this machine's cores; by default as torchrun says, else `world`.

        Raises ConfigError when the batch is too small for `world` processes.
        """
        check_batch(config, world=world)
        self._data, self._config, self._rank, self._world = data, config, rank, world
        self._workers = config.workers or _workers(processes or int(os.environ.get("LOCAL_WORLD_SIZE", world)))
        share = max(1, config.batch // world)
        self._ahead = 1 + max(1, -(-2 * self._workers // share))
        self._coming: deque[_Coming] = deque()
        self._next_step, self._made_step = first_step, first_step
        self._changed = threading.Condition()
        self._closed = False
        self._failure: Exception | None = None
        self._threads: list[threading.Thread] = []
        self._cv_threads = cv2.getNumThreads()

    def __enter__(self) -> Self:
        cv2.setNumThreads(1)  # its own threads would fight with these
        for number in range(self._workers):
            thread = threading.Thread(target=self._work, name=f"crops-{self._rank}-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the threads, each after the crop it is at. One that hangs in a dead disk is left behind."""
        with self._changed:
            self._closed = True
            self._coming.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(_PATIENCE_S)
        if self._threads:
            cv2.setNumThreads(self._cv_threads)
        self._threads.clear()

    def next(self) -> StepBatch:
        """The next step's samples.

        Raises DatasetError and ImageReadError for a file that is gone or broken, ValueError behind the last step.
        """
        if not self._threads:
            raise ValueError("the loader is not open: use it as a context manager")
        if self._next_step >= self._config.steps:
            raise ValueError(f"the run has {self._config.steps} steps, step {self._next_step} was asked for")
        start = time.monotonic()
        with self._changed:
            while not (self._coming and (self._coming[0].left == 0 or self._coming[0].error)):
                if self._failure is not None:
                    raise self._failure
                self._changed.wait()
            first = self._coming[0]
            if first.error is not None:
                raise first.error
            self._coming.popleft()
            self._next_step += 1
            self._changed.notify_all()
        return first.batch(time.monotonic() - start)

    def __iter__(self) -> Iterator[StepBatch]:
        while self._next_step < self._config.steps:
            yield self.next()

    def _work(self) -> None:
        try:
            while (task := self._take()) is not None:
                self._make(*task)
        except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _make(self, coming: _Coming, part: int, row: int, draw: Draw) -> None:
        """One crop, or the reason why there is none, which comes up with its step."""
        try:
            crop = self._data.crop(draw)
            coming.pixels[part][row] = crop.pixels_HW3
            coming.labels[part][row] = crop.labels_HW
            coming.names[part][row] = crop.name
        except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
            with self._changed:
                coming.error = coming.error or error
                self._changed.notify_all()
            return
        with self._changed:
            coming.left -= 1
            if coming.left == 0:
                self._changed.notify_all()

    def _take(self) -> tuple[_Coming, int, int, Draw] | None:
        """The next crop to make, as soon as there is room for one; None at the end."""
        with self._changed:
            while not self._closed:
                for coming in self._coming:
                    if coming.todo and coming.error is None:
                        return (coming, *coming.todo.popleft())
                if self._made_step < self._config.steps and len(self._coming) < self._ahead:
                    parts = draws_of(self._config, self._made_step, rank=self._rank, world=self._world)
                    label_type = self._data.label_type
                    self._coming.append(_Coming(self._made_step, parts, self._config.augment.crop_px, label_type))
                    self._made_step += 1
                    continue
                self._changed.wait()
            return None


def _workers(processes: int) -> int:
    return max(1, min(_MOST_WORKERS, available_cores() // max(1, processes)))

"""Progress of long work, and the way to stop it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass


class Cancelled(Exception):  # noqa: N818 - it is no error: somebody asked for it
    """Work stopped because its `CancelToken` was set."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a piece of work is: `done` of `total` steps (`total` 0 when it is not known)."""

    done: int
    total: int
    what: str = ""
    seconds_left: float | None = None

    def __post_init__(self) -> None:
        if self.done < 0 or self.total < 0:
            raise ValueError(f"progress must not be negative, got {self.done} of {self.total}")


class CancelToken:
    """A flag that is set once, from any thread, and polled by the work."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the work to stop at its next step."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._event.is_set()

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` when `cancel` was called."""
        if self._event.is_set():
            raise Cancelled


class ProgressClock:
    """Makes `Progress` with the time left, from the pace since the clock was started."""

    def __init__(self, total: int, what: str = "") -> None:
        self._total, self._what, self._start_s = total, what, time.monotonic()

    def at(self, done: int) -> Progress:
        """Progress after `done` steps."""
        left = None
        if 0 < done <= self._total:
            left = (time.monotonic() - self._start_s) / done * (self._total - done)
        return Progress(done, self._total, self._what, left)


def duration(seconds: float) -> str:
    """`8 s`, `3:05 min` or `2:10 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"

"""A run over every item of a source, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from mseg_studio.progress import Progress
from mseg_studio.ui.workspaces.segment.estimate import counted, short_duration


class BatchRun:
    """Which item comes next, and how far the run is. The item on screen comes first, the rest in order."""

    def __init__(self, total: int, *, done: Sequence[int] = ()) -> None:
        self.total = total
        self._before = len(done)
        self._done = set(done)
        self._pointer = 0
        self._start_s = time.monotonic()

    def next(self, *, prefer: int, is_done: Callable[[int], bool]) -> int | None:
        """Index of the next item without a result, None when all have one."""
        self._note(prefer, is_done)
        if prefer not in self._done:
            self._done.add(prefer)
            return prefer
        while self._pointer < self.total:
            self._note(self._pointer, is_done)
            if self._pointer not in self._done:
                self._done.add(self._pointer)
                return self._pointer
            self._pointer += 1
        return None

    def give_back(self, index: int) -> None:
        """An item that was handed out could not be worked on: it comes again."""
        self._done.discard(index)
        self._pointer = min(self._pointer, index)

    def progress(self) -> Progress:
        """Items finished (the one just handed out is not), with the time left at this run's pace."""
        finished = max(0, len(self._done) - 1) if len(self._done) < self.total else self.total
        new = finished - self._before
        seconds = time.monotonic() - self._start_s
        left = seconds / new * (self.total - finished) if new > 0 else None
        pace = f" · {new / seconds:.1f} a second" if new > 1 and seconds > 0 else ""
        return Progress(max(finished, 0), self.total, f"Segmenting all{pace}", left)

    def summary(self, failed: int) -> str:
        """What to say at the end."""
        words = (
            f"{counted(self.total - failed, 'item')} segmented in {short_duration(time.monotonic() - self._start_s)}"
        )
        return f"{words}, {failed} failed." if failed else f"{words}."

    def _note(self, index: int, is_done: Callable[[int], bool]) -> None:
        if is_done(index):
            self._done.add(index)

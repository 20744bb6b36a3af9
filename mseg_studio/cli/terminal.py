"""What a person at a terminal sees while something long runs: one line on stderr, redrawn in place."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from mseg_studio.progress import CancelToken, Progress, duration

_REDRAW_S = 0.1


class ProgressLine:
    """A progress line on stderr; silent when stderr is no terminal."""

    def __init__(self) -> None:
        self._shown = False
        self._last_s = 0.0
        self._on = sys.stderr.isatty()

    def show(self, progress: Progress) -> None:
        """Draw `progress`, at most ten times a second and always when it is complete."""
        now_s = time.monotonic()
        complete = progress.total and progress.done >= progress.total
        if not self._on or (now_s - self._last_s < _REDRAW_S and not complete):
            return
        self._last_s, self._shown = now_s, True
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write("\r" + describe(progress)[:width].ljust(width))
        sys.stderr.flush()

    def done(self) -> None:
        """Clear the line, so that what is printed next starts on an empty one."""
        if self._shown:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write("\r" + " " * width + "\r")
            sys.stderr.flush()
            self._shown = False

    def message(self, text: str) -> None:
        """Print one line of words above the progress line, on a terminal or not."""
        self.done()
        print(text, file=sys.stderr, flush=True)


def describe(progress: Progress) -> str:
    """One line for a progress: bar, count, what, time left."""
    parts = []
    if progress.total:
        filled = round(24 * min(1.0, progress.done / progress.total))
        parts.append(f"[{'#' * filled}{'.' * (24 - filled)}] {progress.done}/{progress.total}")
    elif progress.done:
        parts.append(str(progress.done))
    if progress.what:
        parts.append(progress.what)
    if progress.seconds_left is not None:
        parts.append(f"{duration(progress.seconds_left)} left")
    return "  ".join(parts)


def count_classes(number: int) -> str:
    """`1 class`, `2 classes`."""
    return f"{number} class{'' if number == 1 else 'es'}"


def print_json(value: Any) -> None:
    """One JSON value on a line of stdout; in ASCII where stdout cannot show it, as with file names of stray bytes."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value)
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Nobody reads any more (`| head -1`); the files that are being written are the product, so the work goes on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def cancel_on_signals() -> Iterator[CancelToken]:
    """A token that Ctrl-C and SIGTERM set; a second Ctrl-C interrupts at once."""
    token = CancelToken()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if token.cancelled and number == signal.SIGINT:
            raise KeyboardInterrupt
        token.cancel()

    kept = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield token
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)

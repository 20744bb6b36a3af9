"""A question that a child process answers in JSON, with progress on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PySide6.QtCore import QObject, Signal

from mseg_studio.ui.child_command import ChildCommand


class AskingChild(QObject):
    """Runs one command of `mseg-studio` at a time, until it is answered, cancelled or failed."""

    progressed = Signal(str, int, int, float)
    """What is being done, how much of it, of how much (0 where nobody knows), seconds left (-1 likewise)."""
    answered = Signal(object)
    """The answer, a JSON object."""
    ended = Signal(str)
    """It ended; the words are empty after an answer and after a cancel."""

    def __init__(self, answer_of: Callable[[dict[str, Any]], Any], parent: QObject) -> None:
        """`answer_of` finds the answer in an object that the child tells, or gives None."""
        super().__init__(parent)
        self._answer_of = answer_of
        self._child: ChildCommand | None = None
        self._answered = False

    @property
    def running(self) -> bool:
        """Whether a child is under way."""
        return self._child is not None

    def ask(self, arguments: Sequence[str]) -> None:
        """Start the command; while another is under way nothing happens."""
        if self._child is not None:
            return
        self._answered = False
        self._child = ChildCommand([*arguments, "--json", "--progress-json"], self)
        self._child.told.connect(self._on_told)
        self._child.finished.connect(self._on_finished)
        self._child.start()

    def cancel(self) -> None:
        """Stop what runs."""
        if self._child is not None:
            self._child.stop()

    def close(self, *, grace_ms: int = 0) -> None:
        """End the child and wait for it; it may end orderly within `grace_ms`."""
        if self._child is not None:
            self._child.end(grace_ms=grace_ms)
            self._child.deleteLater()
            self._child = None

    def _on_told(self, value: dict[str, Any]) -> None:
        if "progress" in value:
            at = value["progress"]
            left = at.get("seconds_left")
            done, total = int(at.get("done", 0)), int(at.get("total", 0))
            self.progressed.emit(str(at.get("what", "")), done, total, -1.0 if left is None else float(left))
            return
        answer = self._answer_of(value)
        if isinstance(answer, dict):
            self._answered = True
            self.answered.emit(answer)

    def _on_finished(self, _good: bool, message: str) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        cancelled = child.stopping
        child.deleteLater()
        # An exit code that is not 0 may come with an answer: the doctor found errors, which is what it is for.
        self.ended.emit("" if self._answered or cancelled else message)

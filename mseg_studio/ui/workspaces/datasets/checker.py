"""The dataset doctor for the window: a child process reads the files, so the window never waits for a disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QObject, Signal

from mseg_studio.ui.child_command import ChildCommand


class Checker(QObject):
    """Runs `mseg-studio dataset check` once at a time."""

    progressed = Signal(int, int, float)
    """Pairs done, all pairs, seconds left (-1 where that is not known)."""
    reported = Signal(object)
    """The report as `Report.as_json` gives it."""
    ended = Signal(str)
    """It ended; the words are empty after a report and after a cancel."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._child: ChildCommand | None = None
        self._has_report = False

    @property
    def running(self) -> bool:
        """Whether a check is under way."""
        return self._child is not None

    def start(self, description: str, root: str, splits: Sequence[str]) -> None:
        """Check the description (a path or a ready name) below `root` (empty: the description's own)."""
        if self._child is not None:
            return
        arguments = ["dataset", "check", description, "--json", "--progress-json"]
        if root:
            arguments += ["--root", root]
        for split in splits:
            arguments += ["--split", split]
        self._has_report = False
        self._child = ChildCommand(arguments, self)
        self._child.told.connect(self._on_told)
        self._child.finished.connect(self._on_finished)
        self._child.start()

    def cancel(self) -> None:
        """Stop what runs."""
        if self._child is not None:
            self._child.stop()

    def close(self) -> None:
        """End the child and wait for it: the window closes."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _on_told(self, value: dict[str, Any]) -> None:
        if "progress" in value:
            at = value["progress"]
            left = at.get("seconds_left")
            self.progressed.emit(int(at["done"]), int(at["total"]), -1.0 if left is None else float(left))
        elif "findings" in value:
            self._has_report = True
            self.reported.emit(value)

    def _on_finished(self, _good: bool, message: str) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        cancelled = child.stopping
        child.deleteLater()
        # Exit code 1 with a report means that it found errors, which is what it is for.
        self.ended.emit("" if self._has_report or cancelled else message)

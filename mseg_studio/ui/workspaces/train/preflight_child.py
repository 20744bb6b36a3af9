"""Questions about a configuration that a child process answers: a dry run, the pixels of every class."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from mseg_studio.training.config import TrainConfig
from mseg_studio.training.config_file import save_config
from mseg_studio.ui.child_command import ChildCommand

_GRACE_MS = 5000
"""A dry run has processes of its own, which go on unless it ends them."""


class ConfigChild(QObject):
    """Runs `mseg-studio train CONFIG ... --json` once at a time; the configuration lies in a folder of its own."""

    progressed = Signal(str, int, int, float)
    """What is being done, how much of it, of how much (0 where nobody knows), seconds left (-1 likewise)."""
    answered = Signal(object)
    """The answer, a JSON object."""
    ended = Signal(str)
    """It ended; the words are empty after an answer and after a cancel."""

    def __init__(self, answer: str, parent: QObject) -> None:
        """`answer` is the key that tells the answer from progress."""
        super().__init__(parent)
        self._answer = answer
        self._child: ChildCommand | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._answered = False

    @property
    def running(self) -> bool:
        """Whether a child is under way."""
        return self._child is not None

    def start(self, config: TrainConfig, options: Sequence[str]) -> None:
        """Ask about `config`. Raises OSError when it cannot be written."""
        if self._child is not None:
            return
        self._answered = False
        folder = tempfile.TemporaryDirectory(prefix="mseg-studio-train-")
        try:
            path = Path(folder.name) / "config.yaml"
            save_config(path, config)
        except OSError:
            folder.cleanup()
            raise
        self._folder = folder
        self._child = ChildCommand(["train", str(path), *options, "--json", "--progress-json"], self)
        self._child.told.connect(self._on_told)
        self._child.finished.connect(self._on_finished)
        self._child.start()

    def cancel(self) -> None:
        """Stop what runs."""
        if self._child is not None:
            self._child.stop()

    def close(self) -> None:
        """End the child and wait for it: the window closes, or the form was filled anew."""
        if self._child is not None:
            self._child.end(grace_ms=_GRACE_MS)
            self._child.deleteLater()
            self._child = None
        self._forget()

    def _on_told(self, value: dict[str, Any]) -> None:
        if "progress" in value:
            at = value["progress"]
            left = at.get("seconds_left")
            words = str(at.get("what", ""))
            done, total = int(at.get("done", 0)), int(at.get("total", 0))
            self.progressed.emit(words, done, total, -1.0 if left is None else float(left))
        elif isinstance(value.get(self._answer), dict):
            self._answered = True
            self.answered.emit(value[self._answer])

    def _on_finished(self, _good: bool, message: str) -> None:
        child, self._child = self._child, None
        self._forget()
        if child is None:
            return
        cancelled = child.stopping
        child.deleteLater()
        self.ended.emit("" if self._answered or cancelled else message)

    def _forget(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

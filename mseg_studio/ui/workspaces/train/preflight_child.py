"""Questions about a configuration that a child process answers: a dry run, the pixels of every class."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject

from mseg_studio.training.config import TrainConfig
from mseg_studio.training.config_file import save_config
from mseg_studio.ui.asking_child import AskingChild

_GRACE_MS = 5000
"""A dry run has processes of its own, which go on unless it ends them."""


class ConfigChild(AskingChild):
    """Runs `mseg-studio train CONFIG ... --json`; the configuration lies in a folder of its own."""

    def __init__(self, answer: str, parent: QObject) -> None:
        """`answer` is the key that tells the answer from progress."""
        super().__init__(lambda value: value.get(answer), parent)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.ended.connect(self._forget)

    def start(self, config: TrainConfig, options: Sequence[str]) -> None:
        """Ask about `config`. Raises OSError when it cannot be written."""
        if self.running:
            return
        folder = tempfile.TemporaryDirectory(prefix="mseg-studio-train-")
        try:
            path = Path(folder.name) / "config.yaml"
            save_config(path, config)
        except OSError:
            folder.cleanup()
            raise
        self._folder = folder
        self.ask(["train", str(path), *options])

    def close(self, *, grace_ms: int = _GRACE_MS) -> None:
        """End the child and wait for it: the window closes, or the form was filled anew."""
        super().close(grace_ms=grace_ms)
        self._forget()

    def _forget(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

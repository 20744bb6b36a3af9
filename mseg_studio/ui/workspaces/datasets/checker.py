"""The dataset doctor for the window: a child process reads the files, so the window never waits for a disk."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QObject

from mseg_studio.ui.asking_child import AskingChild


class Checker(AskingChild):
    """Runs `mseg-studio dataset check`; the answer is the report as `Report.as_json` gives it."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(lambda value: value if "findings" in value else None, parent)

    def start(self, description: str, root: str, splits: Sequence[str]) -> None:
        """Check the description (a path or a ready name) below `root` (empty: the description's own)."""
        arguments = ["dataset", "check", description]
        if root:
            arguments += ["--root", root]
        for split in splits:
            arguments += ["--split", split]
        self.ask(arguments)

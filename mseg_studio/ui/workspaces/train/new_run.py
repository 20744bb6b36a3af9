"""The page that starts a run: recipe, data, start weights and every setting, checked before anything begins."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from mseg_studio.ui.services import Services
from mseg_studio.ui.theme import Theme


class NewRunPage(QWidget):
    """Composes the form of a new run."""

    started = Signal(object)
    """A run has begun in this folder (a Path)."""
    closed = Signal()
    """The person went back without a run."""

    def __init__(self, services: Services, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("panel")
        self._services, self._theme = services, theme
        self.title = QLabel("New run")
        self.title.setObjectName("title")
        self.back = QPushButton("Back")
        self.back.clicked.connect(self.closed)
        column = QVBoxLayout(self)
        column.addWidget(self.title)
        column.addWidget(self.back)
        column.addStretch(1)

    def begin(self, recipe: str | None = None, clone_of: Path | None = None, dataset: str | None = None) -> None:
        """Fill the form: from a recipe, from another run, with a dataset (a ready name or a description's path)."""

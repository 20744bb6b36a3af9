"""The Train workspace: the list of runs at the left, the chosen run or the form of a new one beside it."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QLabel, QStackedWidget

from mseg_studio.ui.services import Services
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.page import WorkspacePage


class TrainWorkspace(WorkspacePage):
    """Composes the list of runs, the charts of the chosen one and the page that starts another."""

    def __init__(self, services: Services, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("panel")
        self.services, self.theme = services, theme
        self.pages = QStackedWidget()
        self.empty = QLabel("No runs yet.")
        self.empty.setObjectName("dim")
        self.pages.addWidget(self.empty)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.pages, 1)

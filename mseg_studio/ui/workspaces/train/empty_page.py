"""What the Train workspace says before there is a run: what to do first."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

_ABOUT = (
    "A run learns on this machine, or on a cluster, in processes of its own:\n"
    "it goes on when this window closes, and is found again here. Nothing is uploaded."
)


class EmptyPage(QWidget):
    """Two ways to begin."""

    new_asked = Signal()
    smoke_asked = Signal()
    open_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        title = QLabel("No runs yet")
        title.setObjectName("title")
        about = QLabel(_ABOUT)
        about.setObjectName("dim")
        about.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.new = QPushButton("New run")
        self.new.setObjectName("primary")
        self.new.setToolTip("Choose a recipe and a dataset, look at what it costs, start")
        self.new.clicked.connect(self.new_asked)
        self.smoke = QPushButton("Try a smoke run")
        self.smoke.setToolTip("Twenty steps of a small network on a dataset of yours: does everything work here?")
        self.smoke.clicked.connect(self.smoke_asked)
        self.open = QPushButton("Open run folder…")
        self.open.setToolTip("Show a run that lies elsewhere")
        self.open.clicked.connect(self.open_asked)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addStretch(1)
        for button in (self.new, self.smoke, self.open):
            row.addWidget(button)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setSpacing(14)
        column.addStretch(2)
        column.addWidget(title, 0, Qt.AlignmentFlag.AlignCenter)
        column.addWidget(about, 0, Qt.AlignmentFlag.AlignCenter)
        column.addLayout(row)
        column.addStretch(3)

"""The status bar: facts at the left; progress with time left and Cancel, and a link of the workspace, at the right."""

from __future__ import annotations

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QStatusBar, QWidget

from mseg_studio.progress import Progress
from mseg_studio.ui.widgets import ElidedLabel
from mseg_studio.ui.workspaces.segment.estimate import short_duration

_SOON_MS = 250
"""Work that is done sooner is not announced: it would only flicker."""


class StatusLine(QStatusBar):
    """Facts and progress."""

    cancel_clicked = Signal()
    aside_clicked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeGripEnabled(False)
        self.facts = ElidedLabel()
        self.what = QLabel()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedWidth(140)
        self.bar.setAccessibleName("Progress")
        self.stop = QPushButton("Cancel")
        self.stop.setObjectName("link")
        self.stop.setAccessibleName("Cancel what is running")
        self.stop.clicked.connect(self.cancel_clicked)
        self.aside = QPushButton()
        self.aside.setObjectName("link")
        self.aside.clicked.connect(self.aside_clicked)
        self._busy = QWidget()
        row = QHBoxLayout(self._busy)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        for widget in (self.what, self.bar, self.stop):
            row.addWidget(widget)
        line = QWidget()
        whole = QHBoxLayout(line)
        whole.setContentsMargins(12, 0, 12, 0)
        whole.setSpacing(16)
        whole.addWidget(self.facts, 1)
        whole.addWidget(self._busy)
        whole.addWidget(self.aside)
        self.addWidget(line, 1)
        self.setFixedHeight(28)
        self._soon = QTimer(self, interval=_SOON_MS, singleShot=True)
        self._soon.timeout.connect(self._busy.show)
        self.show_progress(None)
        self.show_aside("")

    def show_facts(self, facts: list[str]) -> None:
        """Say what is on screen."""
        self.facts.setText("      ".join(facts))

    def show_aside(self, text: str) -> None:
        """Put a link at the right; empty takes it away."""
        self.aside.setText(text)
        self.aside.setVisible(bool(text))

    def show_progress(self, progress: Progress | None) -> None:
        """Say how far the work is; None takes the bar away."""
        if progress is None:
            self._soon.stop()
            self._busy.hide()
            return
        if self._busy.isHidden() and not self._soon.isActive():
            self._soon.start()
        words = [progress.what]
        if progress.total:
            words.append(f"{progress.done} / {progress.total}")
        if progress.seconds_left is not None and progress.seconds_left >= 0.5:
            words.append(f"{short_duration(progress.seconds_left)} left")
        self.what.setText(" · ".join(filter(None, words)))
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)

"""Over the charts: what the run does and how far it is; of one that failed, which rank, why and what to do."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from mseg_studio.errors import printable
from mseg_studio.training.run_state import RunState
from mseg_studio.ui.theme import Theme, sized
from mseg_studio.ui.widgets import ElidedLabel, FlatBadge
from mseg_studio.ui.workspaces.train.words import ago, left_of, phase_of, steps_of

_BADGES = {"running": "good", "finished": "good", "failed": "bad", "lost": "bad"}


class RunHead(QWidget):
    """One line, and a red box under it where there is need."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.name = ElidedLabel()
        self.name.setFont(sized(self.font(), 16, bold=True))
        self.badge = FlatBadge()
        self.words = ElidedLabel()
        self.words.setObjectName("dim")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedWidth(150)
        self.bar.setAccessibleName("How far the run is")
        self.problem = _Problem(theme)
        row = QHBoxLayout()
        row.setSpacing(10)
        row.addWidget(self.name)
        row.addWidget(self.badge)
        row.addWidget(self.words, 1)
        row.addWidget(self.bar)
        column = QVBoxLayout(self)
        column.setContentsMargins(2, 0, 2, 0)
        column.setSpacing(8)
        column.addLayout(row)
        column.addWidget(self.problem)

    def show_run(self, name: str, state: RunState) -> None:
        """Say what a run does."""
        self.name.setText(printable(name))
        self.badge.show_state(state.state, _BADGES.get(state.state, "wait"), f"The run is {state.state}")
        steps = steps_of(state)
        ended = ago(state.updated) if not state.is_going else ""
        parts = [f"step {steps}" if steps else "", phase_of(state), left_of(state), ended]
        self.words.setText(" · ".join(part for part in parts if part))
        self.bar.setVisible(state.is_going)
        busy = state.state == "running" and state.phase in ("loading", "") and not state.step
        self.bar.setRange(0, 0 if busy or not state.steps else state.steps)
        self.bar.setValue(state.step)
        self.problem.show_state(state)


class _Problem(QFrame):
    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.setObjectName("message")
        self._icon = QLabel()
        self.what = QLabel()
        self.advice = QLabel()
        for label in (self.what, self.advice):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.what.setFont(sized(self.font(), 13, bold=True))
        words = QVBoxLayout()
        words.setSpacing(3)
        words.addWidget(self.what)
        words.addWidget(self.advice)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 9, 12, 9)
        row.setSpacing(10)
        row.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(words, 1)
        theme.changed.connect(self._restyle)
        self._restyle()

    def show_state(self, state: RunState) -> None:
        """Which rank, why, what to do; hidden for a run that is well."""
        bad = state.state in ("failed", "lost")
        waits = state.state in ("queued", "waiting", "stopping") and bool(state.reason or state.advice)
        self.setVisible(bad or waits)
        rank = f"Rank {state.rank}: " if state.rank is not None else ""
        reason = printable(state.reason) or ("It ended without a word." if bad else "")
        self.what.setText(rank + reason)
        self.what.setVisible(bool(rank + reason))
        self.advice.setText(printable(state.advice))
        self.advice.setVisible(bool(state.advice))
        self.setAccessibleName(f"{self.what.text()} {self.advice.text()}")
        kind = "error" if bad else "warning"
        if self.property("kind") != kind:
            self.setProperty("kind", kind)
            self.style().unpolish(self)
            self.style().polish(self)

    def _restyle(self) -> None:
        self.setStyleSheet("QFrame#message { border-radius: 8px; }")
        self._icon.setPixmap(self._theme.icon("warning").pixmap(16, 16))

"""What a run will take, measured: memory, time of a step, time of the whole, disk. Four numbers and what to mind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from mseg_studio.progress import duration
from mseg_studio.training.config import TrainConfig
from mseg_studio.ui.widgets import ElidedLabel, Heading

_TITLES = {"memory": "Memory", "step": "One step", "run": "Whole run", "disk": "Disk"}
_UNKNOWN = "–"
_DAY_S = 86_400.0


class PreflightStrip(QWidget):
    """Shows what a dry run measured, and how far one is."""

    try_asked = Signal()
    cancel_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("strip")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._said = ""
        self.numbers: dict[str, QLabel] = {}
        self.notes: dict[str, ElidedLabel] = {}
        self.go = QPushButton("Try one step")
        self.go.setToolTip("Compute the first steps for real and say what the whole run takes; nothing is kept")
        self.go.clicked.connect(self.try_asked)
        self.stop = QPushButton("Cancel")
        self.stop.setObjectName("stop")
        self.stop.setAccessibleName("Cancel the dry run")
        self.stop.clicked.connect(self.cancel_asked)
        self._buttons = QStackedWidget()
        self._buttons.addWidget(self.go)
        self._buttons.addWidget(self.stop)
        self._buttons.setFixedHeight(30)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress of the dry run")
        self.words = ElidedLabel()
        self.words.setObjectName("small")
        self.warnings = QLabel()
        self.warnings.setObjectName("changed")
        self.warnings.setWordWrap(True)
        self.warnings.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._lay_out()
        self.show_nothing()

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(10)
        for key, title in _TITLES.items():
            row.addWidget(self._card(key, title), 1)
        last = QVBoxLayout()
        last.setSpacing(6)
        last.addStretch(1)
        last.addWidget(self._buttons)
        last.addWidget(self.bar)
        last.addWidget(self.words)
        last.addStretch(1)
        side = QWidget()
        side.setLayout(last)
        side.setFixedWidth(150)
        row.addWidget(side)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 10, 12, 8)
        column.setSpacing(6)
        column.addLayout(row)
        column.addWidget(self.warnings)

    def show_nothing(self, words: str = "") -> None:
        """Nothing was measured for the run as it is now."""
        self._said = ""
        for key in _TITLES:
            self.numbers[key].setText(_UNKNOWN)
            self.notes[key].setText("")
        self.show_idle(words)
        self._warn([])

    def show_idle(self, words: str = "") -> None:
        """No dry run is under way."""
        self._buttons.setCurrentWidget(self.go)
        self.bar.hide()
        self.words.setText(words or self._said)

    def show_progress(self, what: str, done: int, total: int, seconds_left: float) -> None:
        """A dry run is under way."""
        self._buttons.setCurrentWidget(self.stop)
        self.bar.show()
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        left = f", {duration(seconds_left)} left" if seconds_left >= 0 else ""
        self.words.setText(f"{what or 'Starting…'}{left}")

    def show_problem(self, problem: str) -> None:
        """The dry run failed: better now than in the run."""
        self.show_nothing()
        self._warn([problem])

    def show_measured(self, found: Mapping[str, Any], config: TrainConfig) -> None:
        """Show what came out."""
        self.show_idle()
        memory, whole = _number(found, "memory_bytes"), _number(found, "memory_total_bytes")
        disk, free = _number(found, "disk_bytes"), _number(found, "disk_free_bytes")
        step_s, total_s = _number(found, "seconds_per_step"), _number(found, "seconds_total")
        self._say("memory", _bytes(memory), f"of {_bytes(whole)}")
        rate = f"{config.batch / step_s:.3g} crops/s" if step_s else ""
        self._say("step", _seconds(step_s), rate)
        self._say("run", _long(total_s), f"{config.steps:,} steps".replace(",", " "))
        self._say("disk", _bytes(disk), f"{_bytes(free)} free")
        self._warn([str(line) for line in found.get("warnings", ())])
        self._said = f"{found.get('steps_measured', 0)} steps measured on {found.get('device', 'this machine')}"
        self.words.setText(self._said)

    def _card(self, key: str, title: str) -> QFrame:
        card = QFrame()
        card.setObjectName("card")
        number, note = QLabel(_UNKNOWN), ElidedLabel()
        number.setObjectName("number")
        note.setObjectName("small")
        self.numbers[key], self.notes[key] = number, note
        column = QVBoxLayout(card)
        column.setContentsMargins(12, 7, 10, 7)
        column.setSpacing(1)
        for widget in (Heading(title), number, note):
            column.addWidget(widget)
        return card

    def _say(self, key: str, number: str, note: str) -> None:
        self.numbers[key].setText(number)
        self.numbers[key].setAccessibleName(f"{_TITLES[key]}: {number} {note}")
        self.notes[key].setText(note)

    def _warn(self, lines: list[str]) -> None:
        self.warnings.setText("\n".join(lines))
        self.warnings.setVisible(bool(lines))


def _number(found: Mapping[str, Any], key: str) -> float | None:
    value = found.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _bytes(size: float | None) -> str:
    if size is None:
        return _UNKNOWN
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"


def _seconds(value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    return f"{value * 1000:.0f} ms" if value < 0.1 else f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def _long(value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    return f"{value / _DAY_S:.1f} days" if value >= 2 * _DAY_S else duration(value)

"""The bar over the report: folder, split, Check, and how far it is."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from mseg_studio.progress import duration
from mseg_studio.ui.widgets import ElidedLabel

_WORDS_PX = 230
"""Room for `20000 of 20000 pairs · 12:34 min left`."""
ALL = "all splits"


class CheckBar(QWidget):
    """Its fields; the workspace decides what they mean."""

    check_asked = Signal()
    cancel_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("controls")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("Folder that holds the data")
        self.folder.setAccessibleName("Folder that holds the data")
        self.folder.setMinimumWidth(160)
        self.folder.returnPressed.connect(self._on_return)
        self.browse = QPushButton("Choose…")
        self.browse.setToolTip("Choose the folder that holds the data")
        self.browse.clicked.connect(self._browse)
        self.split = QComboBox()
        self.split.setAccessibleName("Split")
        self.split.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.go = QPushButton("Check")
        self.go.setObjectName("primary")
        self.go.setToolTip("Read every file and say what is wrong (nothing is changed)")
        self.go.clicked.connect(self.check_asked)
        self.stop = QPushButton("Cancel")
        self.stop.setObjectName("stop")
        self.stop.clicked.connect(self.cancel_asked)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.words = ElidedLabel()
        self.words.setObjectName("small")
        self.words.setMinimumWidth(_WORDS_PX)
        self._buttons = QStackedWidget()
        self._buttons.addWidget(self.go)
        self._buttons.addWidget(self.stop)
        self._buttons.setSizePolicy(self.go.sizePolicy())
        self._progress = QWidget()
        self._lay_out()
        self.show_idle()

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setContentsMargins(12, 8, 12, 8)
        row.setSpacing(8)
        row.addWidget(self.folder, 1)
        row.addWidget(self.browse)
        row.addWidget(self.split)
        row.addWidget(self._buttons)
        line = QHBoxLayout(self._progress)
        line.setContentsMargins(12, 0, 12, 8)
        line.setSpacing(12)
        line.addWidget(self.bar, 1)
        line.addWidget(self.words)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(row)
        column.addWidget(self._progress)

    def offer(self, root: str, splits: Sequence[str]) -> None:
        """Show another description: its own folder and its splits."""
        self.folder.setText(root)
        self.split.clear()
        self.split.addItems([ALL, *splits])

    @property
    def splits(self) -> tuple[str, ...]:
        """What to check; empty for all."""
        return () if self.split.currentIndex() <= 0 else (self.split.currentText(),)

    def show_idle(self) -> None:
        """Nothing runs."""
        self._buttons.setCurrentWidget(self.go)
        self._progress.hide()

    def show_progress(self, done: int, total: int, seconds_left: float) -> None:
        """A check runs; `total` 0 while files are listed, `seconds_left` -1 while it is not known."""
        self._buttons.setCurrentWidget(self.stop)
        self._progress.show()
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        left = f" · {duration(seconds_left)} left" if seconds_left >= 0 and done else ""
        self.words.setText(f"{done} of {total} pairs{left}" if total else "Listing files…")

    def _on_return(self) -> None:
        if self.go.isEnabled() and self._buttons.currentWidget() is self.go:
            self.check_asked.emit()

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder that holds the data", self.folder.text())
        if folder:
            self.folder.setText(folder)

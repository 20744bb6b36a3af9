"""What the linter found, one line a mistake, to read and to copy."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QListWidget, QPushButton, QVBoxLayout, QWidget


class FindingsDialog(QDialog):
    """A heading and the lines; nothing found is said as plainly."""

    def __init__(self, title: str, heading: str, lines: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.resize(720, 420 if lines else 120)
        self.heading = QLabel(heading)
        self.heading.setTextFormat(Qt.TextFormat.PlainText)
        self.heading.setWordWrap(True)
        self.list = _Lines(lines)
        self.list.setVisible(bool(lines))
        self.copy = QPushButton("Copy all")
        self.copy.setVisible(bool(lines))
        self.copy.clicked.connect(lambda: QGuiApplication.clipboard().setText("\n".join(lines)))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.addButton(self.copy, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setContentsMargins(18, 16, 18, 14)
        column.setSpacing(12)
        column.addWidget(self.heading)
        column.addWidget(self.list, 1)
        column.addWidget(buttons)


class _Lines(QListWidget):
    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__()
        self.setAccessibleName("Mistakes, one a line")
        self.setSelectionMode(QListWidget.SelectionMode.ExtendedSelection)
        self.setWordWrap(True)
        self.addItems(list(lines))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Ctrl+C copies the selected lines."""
        if event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText("\n".join(item.text() for item in self.selectedItems()))
        else:
            super().keyPressEvent(event)

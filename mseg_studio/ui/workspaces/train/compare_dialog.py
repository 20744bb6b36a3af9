"""Where the configurations of several runs differ, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from mseg_studio.errors import printable
from mseg_studio.ui.workspaces.train.preset import differences, text_of


class CompareDialog(QDialog):
    """A row for every setting that is not the same in all runs."""

    def __init__(self, runs: Mapping[str, Mapping[str, Any]], parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Compare configurations")
        self.resize(min(1000, 320 + 190 * len(runs)), 460)
        self._rows = [(key, [text_of(value) for value in values]) for key, values in differences(runs)]
        self._names = list(runs)
        count = len(self._rows)
        differ = "1 setting differs." if count == 1 else f"{count} settings differ."
        words = QLabel(differ if count else "The configurations are the same but for their names.")
        words.setObjectName("dim")
        self.table = QTableWidget(len(self._rows), 1 + len(runs))
        self.table.setAccessibleName("Settings that differ")
        self.table.setHorizontalHeaderLabels(["Setting", *map(printable, runs)])
        self.table.verticalHeader().hide()
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setShowGrid(False)
        self.table.setStyleSheet("QTableWidget::item { padding: 0 6px; }")
        for row, (key, values) in enumerate(self._rows):
            for column, text in enumerate([key, *values]):
                self.table.setItem(row, column, QTableWidgetItem(printable(text)))
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
        copy = QPushButton("Copy")
        copy.setToolTip("Put the table into the clipboard, columns set apart by tabs")
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.as_text()))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.addButton(copy, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        whole = QVBoxLayout(self)
        whole.addWidget(words)
        whole.addWidget(self.table, 1)
        whole.addWidget(buttons)

    def as_text(self) -> str:
        """The table, columns set apart by tabs."""
        return "\n".join("\t".join(line) for line in [["setting", *self._names], *([k, *v] for k, v in self._rows)])

"""The F1 sheet: every action that has a key, from the one table."""

from __future__ import annotations

from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from mseg_studio.ui.actions import ACTIONS, MENUS
from mseg_studio.ui.widgets import Heading

HELD = (
    ("hold `", "The bare image"),
    ("hold Space, drag", "Pan (also the middle button)"),
    ("Wheel", "Zoom at the cursor"),
    ("Click", "Pin the pixel; click it again to let go"),
)
"""What is no action: keys that are held, and the mouse."""


class KeysDialog(QDialog):
    """Keys by menu, in two columns."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        columns = QHBoxLayout()
        columns.setSpacing(40)
        for titles in ((*MENUS[:2], "Help"), MENUS[2:4]):
            column = QVBoxLayout()
            column.setSpacing(14)
            for title in titles:
                rows = [
                    (_keys(spec.keys), spec.text.rstrip("…")) for spec in ACTIONS if spec.menu == title and spec.keys
                ]
                column.addLayout(_table(title, rows))
            if "View" in titles:
                column.addLayout(_table("Canvas", list(HELD)))
            column.addStretch(1)
            columns.addLayout(column)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(22, 18, 22, 16)
        whole.setSpacing(16)
        whole.addLayout(columns)
        whole.addWidget(buttons)


def _table(title: str, rows: list[tuple[str, str]]) -> QGridLayout:
    grid = QGridLayout()
    grid.setHorizontalSpacing(18)
    grid.setVerticalSpacing(4)
    grid.setColumnMinimumWidth(0, 120)
    grid.addWidget(Heading(title), 0, 0, 1, 2)
    for number, (keys, text) in enumerate(rows, start=1):
        shown = QLabel(keys)
        shown.setObjectName("dim")
        grid.addWidget(shown, number, 0)
        grid.addWidget(QLabel(text), number, 1)
    grid.setColumnStretch(1, 1)
    return grid


def _keys(keys: tuple[str, ...]) -> str:
    native = QKeySequence.SequenceFormat.NativeText
    names = {".": ". (full stop)", ",": ", (comma)"}
    return " or ".join(dict.fromkeys(names.get(key) or QKeySequence(key).toString(native) for key in keys[:2]))

"""Settings in lines: name, field, what the preset says and a button back to it, what is wrong; and groups of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QEnterEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from mseg_studio.training.config_fields import ConfigField
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.widgets import ElidedLabel
from mseg_studio.ui.workspaces.train.form_editors import SettingEditor
from mseg_studio.ui.workspaces.train.form_values import shown

_NAME_PX = 118
_PRESET_PX = 96


class SettingRow(QWidget):
    """One setting."""

    edited = Signal(str, object)
    reset = Signal(str)
    pointed = Signal(str)
    """The person looks at it: its help is wanted."""

    def __init__(self, one: ConfigField, theme: Theme, suggestions: Sequence[str] = ()) -> None:
        super().__init__()
        self.one = one
        self.changed = False
        self.problem = ""
        self.name = ElidedLabel(one.name.replace("_", " "))
        self.name.setFixedWidth(_NAME_PX)
        self.editor = SettingEditor(one, suggestions)
        self.editor.field.setToolTip(f"{one.path}\n{_wrapped(one.help)}")
        self.editor.field.setMinimumWidth(120)
        self.editor.edited.connect(lambda value: self.edited.emit(one.path, value))
        self.editor.field.installEventFilter(self)
        self.preset = ElidedLabel()
        self.preset.setObjectName("changed")
        self.preset.setFixedWidth(_PRESET_PX)
        self.back = QToolButton()
        self.back.setObjectName("flat")
        self.back.setAccessibleName(f"{one.path.replace('_', ' ')}: back to the preset")
        self.back.clicked.connect(lambda: self.reset.emit(one.path))
        size = self.back.sizePolicy()
        size.setRetainSizeWhenHidden(True)
        self.back.setSizePolicy(size)
        self.wrong = QLabel()
        self.wrong.setObjectName("wrong")
        self.wrong.setWordWrap(True)
        self.wrong.setContentsMargins(_NAME_PX + 8, 0, 0, 2)
        self.wrong.hide()
        self._theme = theme
        theme.changed.connect(self._retint)
        self._retint()
        self._lay_out()

    def _lay_out(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(self.name)
        line.addWidget(self.editor, 1)
        line.addWidget(self.preset)
        line.addWidget(self.back)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(line)
        column.addWidget(self.wrong)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Maximum)

    def show_setting(self, value: Any, preset: Any, *, changed: bool, problem: str) -> None:
        """Show what it is, what the preset says and what is wrong."""
        self.changed, self.problem = changed, problem
        self.editor.show_value(value)
        self.editor.show_state("wrong" if problem else "changed" if changed else "")
        self.preset.setText(f"preset {shown(preset) or 'none'}" if changed else "")
        self.back.setVisible(changed)
        self.back.setToolTip(f"Back to {shown(preset) or 'none'}, as the preset says")
        self.wrong.setText(problem)
        self.wrong.setVisible(bool(problem))

    def matches(self, query: str) -> bool:
        """Whether all words of a search occur in its name or its help."""
        text = f"{self.one.path} {self.one.path.replace('_', ' ')} {self.one.help}".lower()
        return all(word in text for word in query.lower().split())

    def enterEvent(self, event: QEnterEvent) -> None:
        """The mouse is over it."""
        self.pointed.emit(self.one.path)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The keys went into its field."""
        if event.type() == QEvent.Type.FocusIn:
            self.pointed.emit(self.one.path)
        return False

    def _retint(self) -> None:
        self.back.setIcon(self._theme.icon("undo"))


class SettingGroup(QWidget):
    """Rows under a heading that folds them away."""

    def __init__(self, title: str, rows: Sequence[SettingRow], *, folded: bool) -> None:
        super().__init__()
        self.rows = tuple(rows)
        self._title = title
        self._columns = 0
        self._placed: tuple[SettingRow, ...] = ()
        self.head = QToolButton()
        self.head.setObjectName("group")
        self.head.setCheckable(True)
        self.head.setChecked(not folded)
        self.head.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.head.toggled.connect(lambda _open: self._fold())
        self.head.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.body = QWidget()
        self.grid = QGridLayout(self.body)
        self.grid.setContentsMargins(6, 0, 0, 4)
        self.grid.setHorizontalSpacing(24)
        self.grid.setVerticalSpacing(6)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.head)
        column.addWidget(self.body)
        for row in self.rows:
            row.setParent(self.body)  # before it is shown: without a parent it would be a window for a moment
        self._searched = False
        self._fold()

    @property
    def folded(self) -> bool:
        """Whether its rows are away."""
        return not self.head.isChecked()

    def arrange(self, columns: int, shown_rows: Sequence[SettingRow], *, searched: bool) -> None:
        """Place these rows in so many columns; a search opens the group while it lasts."""
        rows = tuple(shown_rows)
        self._searched = searched
        if rows != self._placed or columns != self._columns:
            for row in self.rows:
                self.grid.removeWidget(row)
                row.setVisible(row in rows)
            lines = -(-len(rows) // columns) if rows else 0
            for number, row in enumerate(rows):  # down first: related settings stay together
                self.grid.addWidget(row, number % lines, number // lines, Qt.AlignmentFlag.AlignTop)
            for column in range(columns):
                self.grid.setColumnStretch(column, 1)
            if columns < self._columns:
                self.grid.setColumnStretch(columns, 0)
            self._placed, self._columns = rows, columns
        self.setVisible(bool(rows))
        self._fold()

    def _fold(self) -> None:
        is_open = self.head.isChecked() or self._searched
        self.body.setVisible(is_open)
        self.head.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        changed = sum(row.changed for row in self.rows)
        wrong = sum(bool(row.problem) for row in self.rows)
        counts = [f"{changed} changed" if changed else "", f"{wrong} wrong" if wrong else ""]
        words = ", ".join(filter(None, counts)) or f"{len(self.rows)} settings"
        self.head.setText(f" {self._title}   {words}")
        self.head.setAccessibleName(f"{self._title}, {words}")


def _wrapped(text: str, width: int = 80) -> str:
    """Plain text in lines, for a tooltip."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + len(word) >= width:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    return "\n".join([*lines, line])

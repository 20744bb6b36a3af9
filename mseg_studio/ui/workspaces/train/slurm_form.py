"""What a run asks of a cluster: the options of Slurm as a form, and the batch script they give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtGui import QFontDatabase, QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QScrollArea, QVBoxLayout, QWidget

from mseg_studio.errors import ConfigError
from mseg_studio.training.config_fields import fields_of
from mseg_studio.training.slurm_script import SlurmOptions, script
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.widgets import Heading
from mseg_studio.ui.workspaces.train.form_rows import SettingGroup, SettingRow

_COLUMN_PX = 430
_FIRST = ("partition", "time", "nodes", "gpus_per_node", "processes_per_node", "cpus_per_process", "memory", "account")


class SlurmForm(QWidget):
    """Edits SlurmOptions and shows the script."""

    changed = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._fields = {one.path: one for one in fields_of(SlurmOptions)}
        self._values: dict[str, Any] = {path: one.default for path, one in self._fields.items()}
        self.problem = ""
        self.options = SlurmOptions()
        """The newest that make sense."""
        self.rows: dict[str, SettingRow] = {}
        self.groups: tuple[SettingGroup, ...] = ()
        self._theme = theme
        self.note = QLabel()
        self.note.setObjectName("wrong")
        self.note.setWordWrap(True)
        self.note.hide()
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.text.setAccessibleName("Batch script")
        self.text.setTabChangesFocus(True)
        self.copy = QPushButton("Copy script")
        self.copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.text.toPlainText()))
        self._lay_out()
        self._show()

    def _lay_out(self) -> None:
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(8)
        column.addWidget(self.note)
        column.addStretch(1)
        self._column = column
        area = QScrollArea()
        area.setObjectName("form")
        area.setWidgetResizable(True)
        area.setWidget(inside)
        head = QHBoxLayout()
        head.setContentsMargins(14, 6, 14, 0)
        head.addWidget(Heading("Batch script"), 1)
        head.addWidget(self.copy)
        below = QVBoxLayout()
        below.setContentsMargins(14, 4, 14, 10)
        below.addWidget(self.text)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(area, 3)
        whole.addLayout(head)
        whole.addLayout(below, 2)

    def fill(self) -> None:
        """Make the rows: once, when a person first wants to see them."""
        if self.rows:
            return
        self.rows = {path: SettingRow(one, self._theme) for path, one in self._fields.items()}
        for row in self.rows.values():
            row.edited.connect(self._on_edit)
            row.reset.connect(lambda path: self._on_edit(path, self._fields[path].default))
        first = [self.rows[path] for path in _FIRST]
        others = [row for path, row in self.rows.items() if path not in _FIRST]
        self.groups = (
            SettingGroup("What it asks for", first, folded=False),
            SettingGroup("More", others, folded=True),
        )
        for group in self.groups:
            self._column.insertWidget(self._column.count() - 1, group)
        self._show()

    def show_options(self, words: tuple[str, ...]) -> None:
        """Show the options that `key=value` words mean; words that mean nothing are left out."""
        try:
            options = SlurmOptions.parse(words)
        except ConfigError:
            options = SlurmOptions()
        self._values = {path: _plain(getattr(options, path)) for path in self._fields}
        self._show()

    def show_script(self, folder: Path, name: str) -> None:
        """The script for a run in `folder`."""
        text = script(folder, self.options, name=name)
        if text != self.text.toPlainText():
            self.text.setPlainText(text)

    def arrange(self) -> None:
        """As many columns as there is room for."""
        columns = max(1, min(3, self.width() // _COLUMN_PX))
        for group in self.groups:
            group.arrange(columns, group.rows, searched=False)

    def resizeEvent(self, event: Any) -> None:
        """More or fewer columns."""
        super().resizeEvent(event)
        self.arrange()

    def _on_edit(self, path: str, value: Any) -> None:
        self._values[path] = value
        self._show()
        self.changed.emit()

    def _show(self) -> None:
        problems = {path: _refusal(path, self._values[path]) for path in self._fields}
        self.problem = next(filter(None, problems.values()), "")
        if not self.problem:
            self.options = SlurmOptions(**{path: _typed(value) for path, value in self._values.items()})
        for path, row in self.rows.items():
            default, value = self._fields[path].default, self._values[path]
            row.show_setting(value, default, changed=value != default, problem=problems[path])
            row.preset.hide()  # there is no preset, only what the cluster does by itself
        self.arrange()


def _refusal(path: str, value: Any) -> str:
    """Why Slurm's options refuse one value."""
    default = SlurmOptions.__dataclass_fields__[path].default
    if type(default) is not type(_typed(value)):
        return f"{path} is '{value}', expected a whole number" if isinstance(default, int) else f"{path} is '{value}'"
    try:
        SlurmOptions(**{path: _typed(value)})
    except ConfigError as error:
        return error.reason.removeprefix("Slurm option ")
    return ""


def _typed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value

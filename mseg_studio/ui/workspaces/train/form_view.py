"""All settings of a run as a form: what matters first, the rest folded, with search and the changes alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QLineEdit, QPushButton, QScrollArea, QVBoxLayout, QWidget

from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.train.form_rows import SettingGroup, SettingRow
from mseg_studio.ui.workspaces.train.form_values import Draft, form_fields

ESSENTIAL = (
    *("steps", "batch", "accumulate", "optim.lr", "network", "taxonomy"),
    *("augment.crop_px", "augment.short_side", "precision", "validate_every", "save_every", "seed"),
)
"""Settings that stand before all others."""
_TITLES = {"main": "Run and files", "augment": "Augmentation", "loss": "Loss", "optim": "Optimiser"}
_COLUMN_PX = 430
_HELP = "Point at a setting to read what it does."


class SettingsForm(QWidget):
    """Shows a draft and tells what a person changes."""

    edited = Signal(str, object)
    """Path and plain value of a setting."""
    reset = Signal(str)
    """Back to the preset; an empty path means all settings."""

    def __init__(self, theme: Theme, suggestions: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.rows: dict[str, SettingRow] = {}
        self.groups: dict[str, SettingGroup] = {}
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search all settings…")
        self.search.setAccessibleName("Search all settings")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(lambda _text: self._arrange())
        self.only_changes = QCheckBox("Only changes")
        self.only_changes.toggled.connect(lambda _on: self._arrange())
        self.reset_all = QPushButton("Reset all")
        self.reset_all.setToolTip("All settings back to the preset")
        self.reset_all.clicked.connect(lambda: self.reset.emit(""))
        self.count = QLabel()
        self.count.setObjectName("changed")
        self.nothing = QLabel()
        self.nothing.setObjectName("dim")
        self.nothing.setWordWrap(True)
        self.general = QLabel()
        self.general.setObjectName("wrong")
        self.general.setWordWrap(True)
        self.help = QLabel(_HELP)
        self.help.setObjectName("small")
        self.help.setWordWrap(True)
        self.help.setMinimumHeight(36)
        self._lay_out()
        # Rows are placed anew after the width has settled, not at every pixel of a drag.
        self._soon = QTimer(self, interval=0, singleShot=True)
        self._soon.timeout.connect(self._arrange)
        self._theme, self._suggestions = theme, suggestions

    def fill(self) -> None:
        """Make the rows: once, when the form is in its place.

        Every step up of a widget with many children gives all of them their style anew: the whole page would take a
        second to make.
        """
        if not self.rows:
            self._make_rows(self._theme, self._suggestions)
            for group in self.groups.values():
                self._column.insertWidget(self._column.count() - 1, group)
            self._arrange()

    def _make_rows(self, theme: Theme, suggestions: Mapping[str, Sequence[str]]) -> None:
        fields = {one.path: one for one in form_fields()}
        ordered = [
            *(fields[path] for path in ESSENTIAL),
            *(one for one in fields.values() if one.path not in ESSENTIAL),
        ]
        for one in ordered:
            row = SettingRow(one, theme, suggestions.get(one.path, ()))
            row.edited.connect(self.edited)
            row.reset.connect(self.reset)
            row.pointed.connect(self._show_help)
            self.rows[one.path] = row
        self.groups["essential"] = SettingGroup("Main settings", [self.rows[path] for path in ESSENTIAL], folded=False)
        others = [row for path, row in self.rows.items() if path not in ESSENTIAL]
        for group in dict.fromkeys(row.one.group for row in others):
            rows = [row for row in others if row.one.group == group]
            self.groups[group] = SettingGroup(_TITLES.get(group, group.capitalize()), rows, folded=True)

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.setContentsMargins(14, 8, 14, 6)
        top.setSpacing(10)
        top.addWidget(self.search, 1)
        top.addWidget(self.count)
        top.addWidget(self.only_changes)
        top.addWidget(self.reset_all)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(10, 0, 10, 8)
        column.setSpacing(8)
        column.addWidget(self.general)
        column.addWidget(self.nothing)
        column.addStretch(1)
        self._column = column
        self.area = QScrollArea()
        self.area.setObjectName("form")
        self.area.setWidgetResizable(True)
        self.area.setWidget(inside)
        self.area.setMinimumHeight(120)
        below = QHBoxLayout()
        below.setContentsMargins(14, 2, 14, 4)
        below.addWidget(self.help, 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addLayout(top)
        whole.addWidget(self.area, 1)
        whole.addLayout(below)

    def show_draft(self, draft: Draft, problems: Mapping[str, str]) -> None:
        """Show all values, which differ from the preset and which are wrong."""
        for path, row in self.rows.items():
            row.show_setting(
                draft.value(path),
                draft.preset_value(path),
                changed=path in draft.changes,
                problem=problems.get(path, ""),
            )
        self.general.setText(problems.get("", ""))
        self.general.setVisible("" in problems)
        count = len(draft.changes)
        self.count.setText(f"{count} {'change' if count == 1 else 'changes'}" if count else "")
        self.reset_all.setEnabled(count > 0)
        self._arrange()

    def focus_search(self) -> None:
        """The keys into the search field."""
        self.search.setFocus()

    def show_setting(self, path: str) -> None:
        """Put the keys into a setting's field, wherever it is."""
        if path not in self.rows:
            return
        self.search.clear()
        row = self.rows[path]
        for group in self.groups.values():
            if row in group.rows:
                group.head.setChecked(True)
        row.editor.setFocus()
        self.area.ensureWidgetVisible(row)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """More or fewer columns."""
        super().resizeEvent(event)
        if self.rows:
            self._soon.start()

    def _arrange(self) -> None:
        query, only = self.search.text().strip(), self.only_changes.isChecked()
        columns = max(1, min(3, self.width() // _COLUMN_PX))
        found = 0
        for group in self.groups.values():
            rows = [row for row in group.rows if row.matches(query) and (row.changed or row.problem or not only)]
            found += len(rows)
            group.arrange(columns, rows, searched=bool(query) or only)
        self.nothing.setVisible(found == 0)
        if not found:
            what = f"No setting has '{query}' in its name or its help." if query else "Nothing differs from the preset."
            self.nothing.setText(what)

    def _show_help(self, path: str) -> None:
        self.help.setText(f"{path}: {self.rows[path].one.help}")

"""The button that says how many taxonomies stand in the table, and its list to choose them from."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
    QWidgetAction,
)

from mseg_studio.taxonomy.master import KINDS, Column

FIRST_CHOICE = (
    "cityscapes-19",
    "mapillary-public65",
    "coco-panoptic-133",
    "ade20k-150",
    "wilddash-19",
    "camvid-11",
    "voc2012",
)
"""Columns before anybody chose: the largest training sets and three test sets."""
_TITLES = {"training": "Training", "relabeled": "Relabeled", "test": "Test", "links only": "Links", "yours": "Yours"}


class ColumnsButton(QPushButton):
    """Emits the names of the chosen columns, in the order of the table, on every change by a person."""

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.list = QListWidget()
        self.list.setAccessibleName("Taxonomies shown as columns")
        self.list.setMinimumSize(300, 420)
        self.list.itemChanged.connect(lambda _item: self._on_changed())
        self.presets: dict[str, QPushButton] = {}
        whole = QWidget()
        column = QVBoxLayout(whole)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(6)
        row = QHBoxLayout()
        row.setSpacing(12)
        for key, title in {**_TITLES, "all": "All", "first": "Default"}.items():
            button = QPushButton(title)
            button.setObjectName("link")
            button.setAccessibleName(f"Show the columns: {title}")
            button.clicked.connect(lambda _checked=False, key=key: self._preset(key))
            self.presets[key] = button
            row.addWidget(button)
        row.addStretch(1)
        column.addLayout(row)
        column.addWidget(self.list)
        action = QWidgetAction(self)
        action.setDefaultWidget(whole)
        menu = QMenu(self)
        menu.addAction(action)
        menu.aboutToShow.connect(lambda: self.list.setFocus())
        self.setMenu(menu)
        self._quiet = False

    def names(self) -> tuple[str, ...]:
        """The chosen columns."""
        return tuple(item.text() for item in self._items() if item.checkState() == Qt.CheckState.Checked)

    def offer(self, columns: Sequence[Column], chosen: Sequence[str]) -> None:
        """List the columns; nothing is emitted."""
        self._quiet = True
        self.list.clear()
        for column in columns:
            item = QListWidgetItem(column.name, self.list)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if column.name in chosen else Qt.CheckState.Unchecked)
            item.setData(Qt.ItemDataRole.UserRole, column.kind)
            item.setToolTip(f"{column.kind}. {column.note}".strip(". "))
        for kind in KINDS:
            self.presets[kind].setVisible(any(column.kind == kind for column in columns))
        self._quiet = False
        self._show_count()

    def _items(self) -> list[QListWidgetItem]:
        return [self.list.item(row) for row in range(self.list.count())]

    def _preset(self, key: str) -> None:
        self._quiet = True
        for item in self._items():
            kind = item.data(Qt.ItemDataRole.UserRole)
            wanted = key == "all" or (item.text() in FIRST_CHOICE if key == "first" else kind == key)
            item.setCheckState(Qt.CheckState.Checked if wanted else Qt.CheckState.Unchecked)
        self._quiet = False
        self._on_changed()

    def _on_changed(self) -> None:
        if not self._quiet:
            self._show_count()
            self.chosen.emit(self.names())

    def _show_count(self) -> None:
        self.setText(f"Columns {len(self.names())} of {self.list.count()}")
        self.setAccessibleName(self.text())

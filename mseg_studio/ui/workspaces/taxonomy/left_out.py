"""Universal classes that a draft leaves out: how many, which ones, and one class for all of them."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QMimeData, QPoint, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QPixmap
from PySide6.QtWidgets import QAbstractItemView, QHBoxLayout, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.ui.workspaces.taxonomy.class_facts import link_button
from mseg_studio.ui.workspaces.taxonomy.drag import CLASSES_MIME, to_mime

_LIST_PX = 104


class LeftOut(QWidget):
    """A line with two links; the first unfolds a list to drag from."""

    rest_clicked = Signal()
    """Put all of them into one class."""
    menu_asked = Signal(list, QPoint)
    """Names, and where on the screen: offer what they can be added to."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.toggle = link_button("", "Show or hide the universal classes that have no target")
        self.toggle.setCheckable(True)
        self.rest = link_button("put the rest into one class", "Make one class of everything that is left out")
        self.list = _Names()
        self.list.setAccessibleName("Universal classes that are left out")
        self.list.setMinimumHeight(_LIST_PX // 4)
        self.list.setMaximumHeight(_LIST_PX)
        self.list.hide()
        row = QHBoxLayout()
        row.setContentsMargins(12, 0, 12, 0)
        row.setSpacing(14)
        row.addWidget(self.toggle)
        row.addWidget(self.rest)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 2, 0, 2)
        column.setSpacing(4)
        column.addLayout(row)
        column.addWidget(self.list)
        self.toggle.toggled.connect(self.list.setVisible)
        self.toggle.toggled.connect(lambda _on: self._say())
        self.rest.clicked.connect(self.rest_clicked)
        self.list.customContextMenuRequested.connect(lambda _at: self._ask_menu())
        self.list.itemActivated.connect(lambda _item: self._ask_menu())

    def show_names(self, names: Sequence[str], universal: Taxonomy) -> None:
        """Show what is left out, in order of id."""
        if names != self.list.names:
            self.list.show_names(names, universal)
        self.rest.setVisible(bool(names))
        self._say()

    def _ask_menu(self) -> None:
        names, item = self.list.chosen, self.list.currentItem()
        if names and item is not None:
            below = self.list.visualItemRect(item).bottomLeft()
            self.menu_asked.emit(names, self.list.viewport().mapToGlobal(below))

    def _say(self) -> None:
        number = len(self.list.names)
        which = "" if not number else " ▾" if self.toggle.isChecked() else " ▸"
        words = "nothing is left out" if not number else f"{number} class{'' if number == 1 else 'es'} left out"
        self.toggle.setText(words + which)
        self.toggle.setAccessibleName(f"{words}. Show or hide them")
        self.toggle.setEnabled(bool(number))
        self.list.setVisible(self.toggle.isChecked() and bool(number))


class _Names(QListWidget):
    """Names with their colours, to drag."""

    def __init__(self) -> None:
        super().__init__()
        self.names: tuple[str, ...] = ()
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DragOnly)
        self.setDefaultDropAction(Qt.DropAction.CopyAction)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setViewportMargins(12, 0, 0, 0)

    @property
    def chosen(self) -> list[str]:
        """Names that are selected, in order of id."""
        chosen = {item.text() for item in self.selectedItems()}
        return [name for name in self.names if name in chosen]

    def show_names(self, names: Sequence[str], universal: Taxonomy) -> None:
        """Show other names."""
        self.names = tuple(names)
        rgb = {info.name: info.rgb for info in universal.classes}
        self.clear()
        for name in names:
            pixmap = QPixmap(9, 9)
            pixmap.fill(QColor(*rgb[name]))
            icon = QIcon(pixmap)
            icon.addPixmap(pixmap, QIcon.Mode.Selected)  # else the style tints it, and it is another colour
            self.addItem(QListWidgetItem(icon, name))

    def mimeTypes(self) -> list[str]:
        """Universal classes."""
        return [CLASSES_MIME]

    def mimeData(self, items: Sequence[QListWidgetItem]) -> QMimeData:
        """What is dragged."""
        return to_mime([item.text() for item in items])

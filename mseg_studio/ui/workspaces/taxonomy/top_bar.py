"""The bar over the Taxonomy workspace: search, what is shown, and what can be made of it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QWidget

from mseg_studio.ui.widgets import SegmentedButtons
from mseg_studio.ui.workspaces.taxonomy.columns_menu import ColumnsButton

_HEIGHT_PX = 46


class TopBar(QWidget):
    """Its buttons and its field; the workspace connects them."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("controls")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedHeight(_HEIGHT_PX)
        self.search = SearchField()
        self.views = SegmentedButtons(
            [("table", "Table", "Every class in every taxonomy"), ("pair", "Pair", "Two taxonomies side by side")]
        )
        self.views.set_current("table")
        self.columns = ColumnsButton()
        self.lint = _button("Lint…", "Look for mistakes in a taxonomy or a table of links")
        self.import_table = _button("Import…", "Add a table of your own: a taxonomy, a master table or two columns")
        self.export = _button("Export…", "Save the table with the columns that are shown as CSV or YAML")
        self.new = _button("New taxonomy", "Make a taxonomy of universal classes")
        self.new.setObjectName("primary")
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 8, 12, 8)
        row.setSpacing(12)
        row.addWidget(self.search, 1)
        row.addWidget(self.views)
        row.addWidget(self.columns)
        row.addStretch(1)
        for button in (self.lint, self.import_table, self.export, self.new):
            row.addWidget(button)
            row.setSpacing(8)

    def show_view(self, view: str) -> None:
        """Table or pair: a pair has no columns to choose."""
        self.views.set_current(view)
        self.columns.setEnabled(view == "table")


class SearchField(QLineEdit):
    """Finds while somebody types; Enter or Down goes to the table, Escape empties."""

    left = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setPlaceholderText("Search names, ids, aliases, WordNet…")
        self.setAccessibleName("Search names, ids, aliases, WordNet ids and class names of the taxonomies")
        self.setClearButtonEnabled(True)
        self.setMaximumWidth(330)
        self.setMinimumWidth(110)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The keys that lead out of the field."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Down):
            self.left.emit()
        elif event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
        else:
            super().keyPressEvent(event)


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setAccessibleName(f"{text.rstrip('…')}: {tip}")
    return button

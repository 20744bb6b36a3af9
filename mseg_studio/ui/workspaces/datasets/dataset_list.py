"""The left side: ready descriptions and opened files, and what the chosen one needs."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QLabel, QListWidget, QListWidgetItem, QPushButton, QScrollArea, QVBoxLayout, QWidget

from mseg_studio.ui.widgets import Heading
from mseg_studio.ui.workspaces.datasets.described import Described

WIDTH_PX = 300
_KEY = Qt.ItemDataRole.UserRole


class DatasetList(QWidget):
    """Chooses a description; tells its taxonomy, what it needs, where people get it, on what terms."""

    chosen = Signal(object)
    """A Described."""
    open_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setMinimumWidth(240)
        self._known: dict[str, Described] = {}
        self.list = QListWidget()
        self.list.setObjectName("datasets")
        self.list.setAccessibleName("Dataset descriptions")
        self.list.currentItemChanged.connect(lambda item, _before: self._on_current(item))
        self.open = QPushButton("Open a description…")
        self.open.setToolTip("A YAML file that says where images and labels are and what the numbers mean")
        self.open.clicked.connect(self.open_asked)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.words.setContentsMargins(12, 0, 12, 12)
        self.site = QPushButton("Where people get it")
        self.site.setObjectName("link")
        self.site.clicked.connect(self._open_site)
        self._lay_out()

    def _lay_out(self) -> None:
        heading = Heading("Datasets")
        heading.setContentsMargins(12, 10, 12, 4)
        about = Heading("What it needs")
        about.setContentsMargins(12, 10, 12, 6)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.words)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inside)
        buttons = QVBoxLayout()
        buttons.setContentsMargins(12, 6, 12, 12)
        buttons.setSpacing(10)
        buttons.addWidget(self.site)
        buttons.addWidget(self.open)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(heading)
        whole.addWidget(self.list, 3)
        whole.addWidget(about)
        whole.addWidget(scroll, 2)
        whole.addLayout(buttons)

    @property
    def current(self) -> Described | None:
        """The chosen description."""
        item = self.list.currentItem()
        return None if item is None else self._known.get(str(item.data(_KEY)))

    def offer(self, described: Sequence[Described]) -> None:
        """Add these, in place of those with the same key."""
        for one in described:
            known = one.key in self._known
            self._known[one.key] = one
            if not known:
                item = QListWidgetItem(one.name)
                item.setData(_KEY, one.key)
                item.setToolTip(one.problem or one.title or one.key)
                self.list.addItem(item)
        if self.list.currentItem() is None and self.list.count():
            self.list.setCurrentRow(0)

    def set_busy(self, busy: bool) -> None:
        """While a check runs another dataset cannot be chosen."""
        self.list.setEnabled(not busy)
        self.open.setEnabled(not busy)

    def select(self, key: str) -> None:
        """Choose the description with this key."""
        for row in range(self.list.count()):
            item = self.list.item(row)
            if item is not None and item.data(_KEY) == key:
                self.list.setCurrentItem(item)
                self._on_current(item)

    def _on_current(self, item: QListWidgetItem | None) -> None:
        one = None if item is None else self._known.get(str(item.data(_KEY)))
        if one is None:
            return
        parts = [one.problem] if one.problem else [one.title, one.needs, f"Taxonomy: {one.taxonomy}"]
        if one.where:
            parts.append(f"Where: {one.where}")
        if one.licence:
            parts.append(f"Terms: {one.licence}")
        self.words.setText("\n\n".join(part for part in parts if part))
        self.site.setVisible(self._site() != "")
        self.chosen.emit(one)

    def _site(self) -> str:
        one = self.current
        words = one.where.split() if one is not None else []
        return next((word.rstrip(",.;") for word in words if word.startswith(("http://", "https://"))), "")

    def _open_site(self) -> None:
        """Show the page in a browser; nothing is downloaded here."""
        if self._site():
            QDesktopServices.openUrl(self._site())

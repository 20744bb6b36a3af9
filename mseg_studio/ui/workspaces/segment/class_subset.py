"""Which classes take part in the labels: ticks over the output taxonomy, and the words and buttons with them."""

from __future__ import annotations

from collections.abc import Collection

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from mseg_studio.taxonomy.model import Taxonomy


class Subset:
    """Ticked classes. All ticked is no restriction; none ticked means nothing yet, so it is never asked for."""

    def __init__(self) -> None:
        self._taxonomy: Taxonomy | None = None
        self._only: tuple[int, ...] = ()
        self.ticked: frozenset[int] = frozenset()

    def follow(self, taxonomy: Taxonomy | None, only: tuple[int, ...]) -> None:
        """Show what is in force; ticks that are not in force yet stay while it does not change."""
        if self._taxonomy != taxonomy or only != self._only:
            self._taxonomy, self._only = taxonomy, only
            self.ticked = frozenset(only) or self.every

    @property
    def every(self) -> frozenset[int]:
        """Ids of all classes."""
        return frozenset(info.id for info in self._taxonomy.classes) if self._taxonomy is not None else frozenset()

    @property
    def only(self) -> tuple[int, ...] | None:
        """What the ticks ask for: ids in order, empty for all; None while nothing is ticked."""
        if not self.ticked:
            return None
        return () if self.ticked == self.every else tuple(sorted(self.ticked))

    def toggle(self, class_id: int) -> None:
        """Tick a class, or leave it out."""
        self.ticked ^= {class_id}

    def tick(self, class_ids: Collection[int]) -> None:
        """Tick exactly these."""
        self.ticked = frozenset(class_ids) & self.every

    def words(self) -> str:
        """How many take part, in two lines."""
        count, of = len(self.ticked), len(self.every)
        if not count:
            return "No class is ticked: the labels stay as they are\nuntil there is one"
        who = f"{count} of {of} classes take part" if count > 1 else f"1 of {of} classes takes part: all pixels get it"
        return f"{who} —\nthe network is not faster for it"


class SubsetBar(QWidget):
    """All, None, Only what a search found; how many take part, and a way back."""

    all_clicked = Signal()
    none_clicked = Signal()
    found_clicked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.all_button = _link("All", "Let all classes take part")
        self.none_button = _link("None", "Untick all classes")
        self.found_button = _link("Only found", "Let only the classes take part that the search found")
        self.reset = _link("Reset", "Let all classes take part again")
        self._text = QLabel()
        self._text.setObjectName("small")
        self._buttons = QWidget()
        quick = QHBoxLayout(self._buttons)
        quick.setContentsMargins(0, 0, 0, 0)
        quick.setSpacing(16)
        for button in (self.all_button, self.none_button, self.found_button):
            quick.addWidget(button)
        quick.addStretch(1)
        line = QHBoxLayout()
        line.setSpacing(12)
        line.addWidget(self._text, 1)
        line.addWidget(self.reset, 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self._buttons)
        column.addLayout(line)
        self.all_button.clicked.connect(self.all_clicked)
        self.reset.clicked.connect(self.all_clicked)
        self.none_button.clicked.connect(self.none_clicked)
        self.found_button.clicked.connect(self.found_clicked)

    def show_subset(self, subset: Subset, *, choosing: bool, found: int | None) -> None:
        """Say how many take part; `found` is what a search found, None without one."""
        restricted = subset.ticked != subset.every
        self.setVisible(choosing or restricted)
        self._buttons.setVisible(choosing)
        self.reset.setVisible(restricted)
        self.found_button.setEnabled(bool(found))
        self.found_button.setText("Only found" if found is None else f"Only the {found} found")
        self._text.setText(subset.words())

    @property
    def words(self) -> str:
        """What it says."""
        return self._text.text()


def _link(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName("link")
    button.setToolTip(tip)
    button.setAccessibleName(f"{text}: {tip}")
    button.setCursor(Qt.CursorShape.PointingHandCursor)
    return button

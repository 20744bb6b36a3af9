"""What is known about one class, in a heading and three lines."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from mseg_studio.taxonomy.model import ClassInfo
from mseg_studio.ui.widgets import ElidedLabel, Heading
from mseg_studio.ui.workspaces.taxonomy.image_facts import percent

if TYPE_CHECKING:
    from mseg_studio.taxonomy.class_links import ClassLinks, Link

_LINE_PX = 20


class ClassFacts(QWidget):
    """Name, taxonomy and id; parent, WordNet id and aliases; its share of the open image; how many links it has.

    All lines keep their place when one has nothing to say.
    """

    pixels_clicked = Signal()
    back_clicked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.heading = Heading("Class")
        self.back = QToolButton()
        self.back.setObjectName("flat")
        self.back.setToolTip("Back to the class before (Alt+Left)")
        self.about = ElidedLabel()
        self.image = QLabel()
        self.image.setTextFormat(Qt.TextFormat.RichText)
        self.pixels = link_button("show pixels", "Show the pixels of this class on the open image")
        self.counts = ElidedLabel()
        for line in (self.about, self.image, self.counts):
            line.setFixedHeight(_LINE_PX)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 4, 12, 4)
        column.setSpacing(2)
        column.addLayout(_row(self.heading, self.back, stretch=self.heading, height=26))
        column.addWidget(self.about)
        column.addLayout(_row(self.image, self.pixels, stretch=None, height=_LINE_PX))
        column.addWidget(self.counts)
        self.pixels.clicked.connect(self.pixels_clicked)
        self.back.clicked.connect(self.back_clicked)
        self.show_back(None)
        self.show_nothing()

    def show_nothing(self, reason: str = "Choose a class to see its links.") -> None:
        """No class; one line says why."""
        self.heading.setText("Class")
        self.about.setText(reason)
        self.counts.setText("")
        self.show_share(None, can_show=False)

    def show_class(self, taxonomy: str, name: str, info: ClassInfo | None, links: ClassLinks) -> None:
        """Show a class; `info` is None for a taxonomy whose classes have no published order."""
        number = f" {info.id}" if info is not None else ""
        self.heading.setText(f"{name} · {taxonomy}{number}")
        self.about.setText(about(info))
        self.counts.setText(count_words(links))

    def show_share(self, share: float | None, *, can_show: bool) -> None:
        """Its share of the pixels, None where nothing is known of it; `can_show` offers to show them."""
        self.image.setVisible(share is not None)
        if share is None:
            self.image.setText("")
        elif share:
            self.image.setText(f"on this image <b>{escape(percent(share))}</b>")
        else:
            self.image.setText("not on this image")
        self.pixels.setVisible(can_show and share != 0)

    def show_back(self, name: str | None) -> None:
        """Offer the way back to the class called `name`."""
        self.back.setVisible(name is not None)
        text = name or ""
        self.back.setText("← " + (text if len(text) <= 18 else text[:17] + "…"))
        self.back.setAccessibleName(f"Back to {text}")


def about(info: ClassInfo | None) -> str:
    """Parent, WordNet id and aliases, as far as there are."""
    if info is None:
        return "Only its links are published, no order of classes."
    parts = (
        f"parent {info.parent.removesuffix('-parent')}" if info.parent else "",
        f"WordNet {info.wordnet}" if info.wordnet else "",
        f"also {', '.join(info.aliases)}" if info.aliases else "",
    )
    return " · ".join(part for part in parts if part) or "no parent, WordNet id or alias"


def count_words(links: ClassLinks) -> str:
    """How many links there are, such as `5 sources, 4 split · 4 targets`."""
    sources = [link for link in links.incoming if link.class_name is not None]
    targets = [link for link in links.outgoing if link.class_name is not None]
    return f"{_counted(sources, 'source')} · {_counted(targets, 'target')}"


def _counted(links: Sequence[Link], noun: str) -> str:
    words = f"{len(links) or 'no'} {noun}{'' if len(links) == 1 else 's'}"
    for kind in ("split", "merge"):
        number = sum(link.kind == kind for link in links)
        if number:
            words += f", {'' if len(links) == 1 else f'{number} '}{kind if kind == 'split' else 'merged'}"
    return words


def link_button(text: str, tip: str) -> QPushButton:
    """A word in a line that can be clicked."""
    button = QPushButton(text)
    button.setObjectName("link")
    button.setToolTip(tip)
    button.setAccessibleName(f"{text}: {tip}")
    button.setCursor(Qt.CursorShape.PointingHandCursor)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button


def _row(*widgets: QWidget, stretch: QWidget | None, height: int) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(10)
    for widget in widgets:
        widget.setMaximumHeight(height)
        row.addWidget(widget, 1 if widget is stretch else 0, Qt.AlignmentFlag.AlignVCenter)
    if stretch is None:
        row.addStretch(1)
    strut = QWidget()
    strut.setFixedSize(0, height)
    row.addWidget(strut)
    return row

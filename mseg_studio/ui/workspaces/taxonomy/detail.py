"""The right side of the Taxonomy workspace: one class and its links, a pair of taxonomies, a taxonomy being made."""

from __future__ import annotations

import time
from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QMenu, QSplitter, QVBoxLayout, QWidget

from mseg_studio.errors import TaxonomyError
from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog
from mseg_studio.taxonomy.class_links import class_links
from mseg_studio.taxonomy.compare import compare
from mseg_studio.taxonomy.model import ClassInfo
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.taxonomy.class_facts import ClassFacts
from mseg_studio.ui.workspaces.taxonomy.draft_editor import DraftEditor
from mseg_studio.ui.workspaces.taxonomy.image_facts import ImageFacts
from mseg_studio.ui.workspaces.taxonomy.link_graph import LinkGraph
from mseg_studio.ui.workspaces.taxonomy.pair_summary import PairSummary

_FIRST_TARGET = "wilddash-19"
"""Shown before anything is chosen: merges, splits nothing, and reaches every class."""
_MOST_STEPS = 200
_LOOKED_S = 1.0
"""A class shown for less than this is no step: somebody types a search or holds an arrow key."""


class DetailPanel(QWidget):
    """Three parts one below the other; their heights are the person's and never change by themselves."""

    walked = Signal(str, str)
    """Somebody went to another class here: its taxonomy and name. The panel shows it already."""
    pixels_asked = Signal(str)
    """Show the pixels of this class on the open image; `shown` has its taxonomy."""
    difference_asked = Signal()
    """Paint where projecting and mapping disagree."""
    pair_chosen = Signal(str, str)
    """Somebody chose another pair here: source and target."""
    taxonomy_saved = Signal(str)
    output_chosen = Signal(str)

    def __init__(self, catalog: Catalog, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._catalog = catalog
        self._facts: ImageFacts | None = None
        self._path: list[tuple[str, str]] = []
        """Classes shown so far, the one on screen last."""
        self.clock = time.monotonic
        self._browsed: float | None = None
        """Since when the class on screen is shown, if it was chosen elsewhere."""
        self._first_pair = (UNIVERSAL, _FIRST_TARGET if _FIRST_TARGET in catalog.names() else UNIVERSAL)
        self._pair = self._first_pair
        self._followed: tuple[str, str] | None = None
        """The pair of the image that was shown last: only another one takes the place of what was chosen."""
        self.facts = ClassFacts()
        self.graph = LinkGraph(theme)
        self.pair = PairSummary(theme)
        self.editor = DraftEditor(catalog, theme)
        self._lay_out()
        self.facts.back_clicked.connect(self.back)
        self.facts.pixels_clicked.connect(self._ask_pixels)
        self.graph.walked.connect(self._walk)
        self.graph.missing_chosen.connect(self._show_missing)
        self.pair.walked.connect(self._walk)
        self.pair.target_chosen.connect(lambda target: self._choose_pair(self._pair[0], target))
        self.pair.difference_clicked.connect(self.difference_asked)
        self.editor.tree.member_chosen.connect(lambda name: self._walk(UNIVERSAL, name))
        self.editor.saved.connect(self._on_saved)
        self.editor.output_chosen.connect(self.output_chosen)
        back = QShortcut(QKeySequence("Alt+Left"), self)
        back.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        back.activated.connect(self.back)
        self.reload()

    def _lay_out(self) -> None:
        upper = QWidget()
        column = QVBoxLayout(upper)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.facts)
        column.addWidget(self.graph, 1)
        self.splitter = QSplitter(Qt.Orientation.Vertical)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setHandleWidth(1)
        for part in (upper, self.pair, self.editor):
            self.splitter.addWidget(part)
        self.splitter.setSizes([280, 190, 290])
        for number, stretch in enumerate((3, 2, 3)):
            self.splitter.setStretchFactor(number, stretch)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.splitter)

    def sizeHint(self) -> QSize:
        """As wide as three boxes of the graph can be read."""
        return QSize(390, 740)

    @property
    def shown(self) -> tuple[str, str] | None:
        """Taxonomy and name of the class on screen."""
        return self._path[-1] if self._path else None

    @property
    def unsaved(self) -> bool:
        """Whether a taxonomy is being made that is not saved."""
        return self.editor.unsaved

    def show_class(self, taxonomy: str, class_name: str) -> None:
        """Show a class and its links; the one before stays one step back, if anybody had the time to look at it."""
        if self.shown != (taxonomy, class_name):
            now = self.clock()
            glanced = self._browsed is not None and now - self._browsed < _LOOKED_S
            self._browsed = now
            self._step(self._path[:-1] if glanced else self._path, taxonomy, class_name)

    def back(self) -> None:
        """Show the class before."""
        if len(self._path) > 1:
            self._path.pop()
            self._browsed = None
            self._show_shown()
            self.walked.emit(*self._path[-1])

    def show_pair(self, source: str, target: str) -> None:
        """Show what is linked from one taxonomy to another."""
        self._pair = (source, target)
        try:
            self.pair.show_report(compare(self._catalog, source, target))
        except TaxonomyError as error:
            self.pair.show_problem(source, target, str(error))
        self._show_image()

    def set_image(self, facts: ImageFacts | None) -> None:
        """What the open image says; the pair follows its output taxonomy when that changes."""
        self._facts = facts
        if facts is not None and self._followed != (facts.source, facts.target):
            self._followed = (facts.source, facts.target)
            if facts.source != facts.target:
                self.show_pair(*self._followed)
            elif facts.source == UNIVERSAL:  # to itself there is nothing to read
                self.show_pair(*self._first_pair)
        self._show_image()

    def reload(self) -> None:
        """The catalog changed: read everything shown anew."""
        self.pair.offer(self._catalog.names())
        if self._path:
            self._show_shown()
        self.show_pair(*self._pair)
        self.editor.reload()

    def add_classes(self, names: Sequence[str], index: int | None = None) -> None:
        """Add universal classes to a class of the draft, or as one new class of it."""
        self.editor.add_classes(names, index)

    def add_menu(self, names: Sequence[str]) -> QMenu:
        """A menu of what these universal classes can be added to: a new class, or one of the draft."""
        return self.editor.add_menu(names)

    def start_draft(self, button: QWidget | None = None) -> None:
        """Begin a taxonomy of one's own: a menu below `button`; asks about an unsaved one first."""
        self.editor.start(button)

    def _show_shown(self) -> None:
        taxonomy, name = self._path[-1]
        try:
            links = class_links(self._catalog, taxonomy, name)
        except TaxonomyError as error:
            self.facts.show_nothing(str(error))
            self.graph.show_links(None)
        else:
            info = self._info(taxonomy, name)
            self.facts.show_class(taxonomy, name, info, links)
            under = f"{taxonomy} {info.id}" if info is not None else taxonomy
            self.graph.show_links(links, under=under, rgb=info.rgb if info is not None else None)
        self.facts.show_back(self._path[-2][1] if len(self._path) > 1 else None)
        self._show_image()

    def _info(self, taxonomy: str, name: str) -> ClassInfo | None:
        """The class, None where a taxonomy has links only."""
        try:
            found = self._catalog.taxonomy(taxonomy)
            return found.get(found.id_of(name))
        except TaxonomyError:
            return None

    def _show_image(self) -> None:
        facts = self._facts
        self.pair.show_image(facts if facts is not None and self._pair == (facts.source, facts.target) else None)
        if facts is None or not self._path:
            self.facts.show_share(None, can_show=False)
            return
        taxonomy, name = self._path[-1]
        share = facts.shares.get(name, 0.0) if taxonomy == facts.source else None
        self.facts.show_share(share, can_show=self._info(taxonomy, name) is not None)

    def _walk(self, taxonomy: str, class_name: str) -> None:
        if self.shown != (taxonomy, class_name):
            self._browsed = None
            self._step(self._path, taxonomy, class_name)
        self.walked.emit(taxonomy, class_name)

    def _step(self, path: list[tuple[str, str]], taxonomy: str, class_name: str) -> None:
        """Go on from `path`."""
        if path[-1:] != [(taxonomy, class_name)]:
            path = [*path, (taxonomy, class_name)]
        self._path = path[-_MOST_STEPS:]
        self._show_shown()

    def _show_missing(self, target: str) -> None:
        """A class has no target there: say what else has none."""
        if self.shown is not None:
            self._choose_pair(self.shown[0], target)

    def _choose_pair(self, source: str, target: str) -> None:
        self.show_pair(source, target)
        self.pair_chosen.emit(source, target)

    def _ask_pixels(self) -> None:
        if self.shown is not None:
            self.pixels_asked.emit(self.shown[1])

    def _on_saved(self, name: str) -> None:
        self.reload()
        self.taxonomy_saved.emit(name)

"""The Pair view: choose two taxonomies and read every link between them."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from mseg_studio.errors import TaxonomyError
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.compare import PairReport, compare
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.widgets import ElidedLabel, FlatBadge, SegmentedButtons
from mseg_studio.ui.workspaces.taxonomy.browser_view import Cells
from mseg_studio.ui.workspaces.taxonomy.pair_model import KINDS, REMARK, VIA, PairFilter, PairModel

_QUALITY = {
    "exact": ("good", "The links are published, or undo published ones that are one to one."),
    "approximate": ("wait", "Some link picks one class to stand for several, or was made from two."),
}
_ROW_PX = 26


class PairPage(QWidget):
    """Emits the pair, and the class of the current line."""

    pair_chosen = Signal(str, str)
    class_chosen = Signal(str, str)

    def __init__(self, catalog: Catalog, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._catalog = catalog
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.report: PairReport | None = None
        self.source, self.target = _box("Source taxonomy"), _box("Target taxonomy")
        self.swap = QToolButton()
        self.swap.setText("⇄")
        self.swap.setToolTip("Swap source and target")
        self.swap.setAccessibleName("Swap source and target")
        self.badge, self.through = FlatBadge(), FlatBadge()
        self.words = ElidedLabel()
        self.kinds = SegmentedButtons([(key, title, f"Show lines: {title.lower()}") for key, title in KINDS.items()])
        self.model = PairModel(theme, self)
        self.shown = PairFilter(self.model, self)
        self.table = _PairTable(self.shown)
        self._lay_out()
        self.source.activated.connect(lambda _index: self._on_chosen())
        self.target.activated.connect(lambda _index: self._on_chosen())
        self.swap.clicked.connect(lambda: self.choose(self.target.currentText(), self.source.currentText()))
        self.kinds.chosen.connect(self.shown.show_kind)
        self.kinds.set_current("all")
        self.table.selectionModel().currentChanged.connect(lambda _now, _before: self._on_current())

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(12, 10, 12, 4)
        head.setSpacing(8)
        for widget in (self.source, self.swap, self.target, self.badge, self.through):
            head.addWidget(widget)
        head.addStretch(1)
        second = QHBoxLayout()
        second.setContentsMargins(12, 4, 12, 10)
        second.setSpacing(12)
        second.addWidget(self.kinds)
        second.addWidget(self.words, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(head)
        column.addLayout(second)
        column.addWidget(self.table, 1)

    @property
    def pair(self) -> tuple[str, str]:
        """Source and target."""
        return self.source.currentText(), self.target.currentText()

    def offer(self, names: Sequence[str]) -> None:
        """Taxonomies to choose from; the pair stays where it can. Nothing is emitted."""
        for box in (self.source, self.target):
            kept = box.currentText()
            box.clear()
            box.addItems(list(names))
            box.setCurrentText(kept)

    def show_pair(self, source: str, target: str) -> None:
        """Show a pair; nothing is emitted."""
        for box, name in ((self.source, source), (self.target, target)):
            box.setCurrentText(name)
        try:
            self.report = compare(self._catalog, source, target)
        except TaxonomyError as error:
            self.report = None
            self.words.setText(str(error))
        self._show_report()

    def choose(self, source: str, target: str) -> None:
        """Show a pair and tell everybody."""
        self.show_pair(source, target)
        self.pair_chosen.emit(source, target)

    def _on_chosen(self) -> None:
        self.choose(*self.pair)

    def _show_report(self) -> None:
        report = self.report
        self.model.set_report(report)
        self.badge.setVisible(report is not None)
        self.through.setVisible(report is not None and report.through is not None)
        for key, title in KINDS.items():
            number = sum(key == "all" or key in line.kinds for line in self.model.lines)
            button = self.kinds.button(key)
            button.setText(f"{title} {number}")
            button.setAccessibleName(f"{title}: {number} lines")
        self.table.setColumnHidden(VIA, report is None or report.through is None)
        if report is not None:
            state, tip = _QUALITY[report.quality]
            self.badge.show_state(report.quality, state, tip)
            tip = "No link between these two is published: both steps go through the universal taxonomy."
            self.through.show_state(f"through {report.through}", "wait", tip)
            linked = len({source for source, _target in report.links})
            total = linked + len(report.unmapped)
            self.words.setText(f"{linked} of {total} classes have a target · {100 * report.coverage:.0f} % covered")

    def _on_current(self) -> None:
        line, report = self.shown.line(self.table.currentIndex()), self.report
        if line is not None and report is not None:
            taxonomy, name = (report.source, line.source) if line.source else (report.target, line.target)
            self.class_chosen.emit(taxonomy, name)


class _PairTable(QTableView):
    def __init__(self, model: PairFilter) -> None:
        super().__init__()
        self.setObjectName("browser")
        self.setAccessibleName("Links from source to target")
        self.setModel(model)
        self.setItemDelegate(Cells(self))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setSortingEnabled(True)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW_PX)
        header = self.horizontalHeader()
        header.setAccessibleName("Columns: press one to sort by it")
        self.verticalHeader().setAccessibleName("Numbers of lines, hidden")
        header.setHighlightSections(False)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        for column, width in enumerate((200, 200, 160)):
            header.resizeSection(column, width)
        header.setSectionResizeMode(REMARK, QHeaderView.ResizeMode.Stretch)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Ctrl+C copies the cell."""
        if event.matches(QKeySequence.StandardKey.Copy) and self.currentIndex().isValid():
            QGuiApplication.clipboard().setText(str(self.currentIndex().data()))
        else:
            super().keyPressEvent(event)


def _box(name: str) -> QComboBox:
    box = QComboBox()
    box.setAccessibleName(name)
    box.setToolTip(name)
    box.setMinimumWidth(190)
    box.setMaxVisibleItems(24)
    return box

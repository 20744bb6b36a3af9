"""A report on screen: findings to sort and filter, splits in numbers, classes as bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QModelIndex, Qt, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSplitter,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from mseg_studio.ui.theme import Theme
from mseg_studio.ui.widgets import ElidedLabel, Heading
from mseg_studio.ui.workspaces.datasets.class_bars import ClassBars
from mseg_studio.ui.workspaces.datasets.findings_model import FindingsFilter, FindingsModel, rows_of

_WIDTHS_PX = (76, 140, 64, 200)


class ReportView(QWidget):
    """Shows the JSON report of `dataset check`."""

    open_asked = Signal(str)
    """Show this image in the Segment workspace."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.model = FindingsModel(theme, self)
        self.filtered = FindingsFilter(self)
        self.filtered.setSourceModel(self.model)
        self.table = _table(self.filtered)
        self.table.doubleClicked.connect(self._on_double_click)
        self.code = QComboBox()
        self.code.setAccessibleName("Findings of one kind")
        self.code.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.code.setMinimumWidth(100)
        self.code.currentIndexChanged.connect(lambda _index: self._choose())
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search files and words…")
        self.search.setAccessibleName("Search the findings")
        self.search.setClearButtonEnabled(True)
        self.search.setMinimumWidth(90)
        self.search.textChanged.connect(lambda _text: self._choose())
        self.verdict = ElidedLabel()
        self.verdict.setMinimumWidth(60)
        self.copy = QPushButton("Copy report")
        self.save = QPushButton("Save report…")
        self.splits = QLabel()
        self.splits.setTextFormat(Qt.TextFormat.PlainText)
        self.splits.setWordWrap(True)
        self.splits.setContentsMargins(12, 0, 12, 12)
        self.splits.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.splits.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.bars = ClassBars(theme)
        self._lay_out()

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.setContentsMargins(12, 8, 12, 8)
        top.setSpacing(8)
        top.addWidget(self.verdict, 1)
        for widget in (self.code, self.search, self.copy, self.save):
            top.addWidget(widget)
        upper = QWidget()
        column = QVBoxLayout(upper)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(top)
        column.addWidget(self.table, 1)
        lower = QSplitter(Qt.Orientation.Horizontal)
        lower.setHandleWidth(1)
        lower.setChildrenCollapsible(False)
        lower.addWidget(_titled("Pixels of every class", self.bars))
        lower.addWidget(_titled("Splits", self.splits))
        lower.setStretchFactor(0, 3)
        lower.setStretchFactor(1, 2)
        lower.setSizes([600, 400])
        whole = QSplitter(Qt.Orientation.Vertical)
        whole.setHandleWidth(1)
        whole.setChildrenCollapsible(False)
        whole.addWidget(upper)
        whole.addWidget(lower)
        whole.setSizes([400, 300])
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(whole)

    def show_report(self, report: dict[str, Any]) -> None:
        """Show a report."""
        self.model.set_rows(rows_of(report))
        self.code.blockSignals(True)
        self.code.clear()
        total = sum(report["codes"].values())
        self.code.addItem(f"all findings ({total})", "")
        for code, count in report["codes"].items():
            self.code.addItem(f"{code} ({count})", code)
        self.code.blockSignals(False)
        self.search.clear()
        self._choose()
        self.verdict.setText(verdict_of(report))
        self.splits.setText("\n\n".join(split_words(split) for split in report["splits"]))
        self.bars.set_classes(report["classes"])

    def _choose(self) -> None:
        self.filtered.choose(str(self.code.currentData() or ""), self.search.text().strip())

    def _on_double_click(self, index: QModelIndex) -> None:
        row = self.model.row(self.filtered.mapToSource(index).row())
        path = row.image or row.file
        if Path(path).is_file():  # what is missing cannot be shown
            self.open_asked.emit(path)


def verdict_of(report: dict[str, Any]) -> str:
    """The report in one line."""
    pairs = f"{report['pairs']} pair" + ("" if report["pairs"] == 1 else "s")
    if not report["errors"] and not report["warnings"]:
        return f"{pairs}, nothing wrong"
    words = [f"{report[key]} {key if report[key] != 1 else key[:-1]}" for key in ("errors", "warnings") if report[key]]
    return f"{pairs}: {', '.join(words)}"


def split_words(split: dict[str, Any]) -> str:
    """A split in a few lines."""
    lines = [f"{split['name']}: {split['pairs']} pairs"]
    if split["missing"]:
        lines.append(f"{split['missing']} files without the other")
    for title, counts in (("sizes", split["sizes"]), ("images", split["images"]), ("labels", split["labels"])):
        if counts:
            words = [f"{name} ({number})" for name, number in list(counts.items())[:4]]
            more = f" and {len(counts) - 4} more" if len(counts) > 4 else ""
            lines.append(f"{title}: {'; '.join(words)}{more}")
    return "\n".join(lines)


def _table(model: FindingsFilter) -> QTableView:
    table = QTableView()
    table.setObjectName("browser")
    table.setModel(model)
    table.setSortingEnabled(True)
    table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setShowGrid(False)
    table.setWordWrap(False)
    table.setTabKeyNavigation(False)
    table.setAccessibleName("Findings; double-click opens the image")
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(26)
    header = table.horizontalHeader()
    header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    header.setHighlightSections(False)
    for column, width in enumerate(_WIDTHS_PX):
        table.setColumnWidth(column, width)
    header.setSectionResizeMode(len(_WIDTHS_PX), QHeaderView.ResizeMode.Stretch)
    return table


def _titled(title: str, widget: QWidget) -> QWidget:
    heading = Heading(title)
    heading.setContentsMargins(12, 10, 12, 6)
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setWidget(widget)
    whole = QWidget()
    whole.setObjectName("panel")
    whole.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
    column = QVBoxLayout(whole)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(0)
    column.addWidget(heading)
    column.addWidget(scroll, 1)
    return whole

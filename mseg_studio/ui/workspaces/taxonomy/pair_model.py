"""The links from one taxonomy to another as a table: a line a link, then classes without one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
)
from PySide6.QtGui import QBrush, QColor

from mseg_studio.taxonomy.compare import PairReport
from mseg_studio.ui.theme import Theme

SOURCE, TARGET, VIA, REMARK = range(4)
KINDS = {"all": "All", "merge": "Merges", "split": "Splits", "no target": "No target", "no source": "No source"}
"""What lines can be about, with the words of the buttons."""

Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()
_NONE = "·"


@dataclass(frozen=True, slots=True)
class PairLine:
    """One line; a side without a class is empty."""

    source: str
    target: str
    via: str
    kinds: tuple[str, ...]
    remark: str


def lines_of(report: PairReport) -> tuple[PairLine, ...]:
    """All lines of a report."""
    lines = [_link(report, source, target) for source, target in report.links]
    for source in report.unmapped:
        via = report.via.get(source, "")
        remark = f"no target: {via} has none in {report.target}" if via else "no target"
        lines.append(PairLine(source, "", via, ("no target",), remark))
    lines += [PairLine("", target, "", ("no source",), "nothing leads here") for target in report.unreached]
    return tuple(lines)


def _link(report: PairReport, source: str, target: str) -> PairLine:
    kinds, remarks = [], []
    if target in report.merges:
        kinds.append("merge")
        remarks.append(f"merges with {_others(report.merges[target], source)}")
    if source in report.splits:
        kinds.append("split")
        remarks.append(f"also stands for {_others(report.splits[source], target)}")
    return PairLine(source, target, report.via.get(source, ""), tuple(kinds), "; ".join(remarks))


def _others(names: tuple[str, ...], name: str) -> str:
    return ", ".join(other for other in names if other != name)


class PairModel(QAbstractTableModel):
    """Source, target, the universal class between them, and what there is to say."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._titles = ("source", "target")
        self._has_via = False
        self.lines: tuple[PairLine, ...] = ()
        self._dress()
        theme.changed.connect(self._dress)

    def set_report(self, report: PairReport | None) -> None:
        """Show a report; None shows nothing."""
        self.beginResetModel()
        self.lines = () if report is None else lines_of(report)
        self._titles = ("source", "target") if report is None else (report.source, report.target)
        self.endResetModel()

    def rowCount(self, parent: Index = _ROOT) -> int:
        """Number of lines."""
        return 0 if parent.isValid() else len(self.lines)

    def columnCount(self, parent: Index = _ROOT) -> int:
        """Always four."""
        return 0 if parent.isValid() else 4

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The names of the two taxonomies."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return (*self._titles, "through universal", "")[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Names, dots where there is none, merges and splits in amber."""
        line, column = self.lines[index.row()], index.column()
        text = (line.source, line.target, line.via, line.remark)[column]
        if role == Qt.ItemDataRole.DisplayRole:
            return text or (_NONE if column < VIA else "")
        if role == Qt.ItemDataRole.ToolTipRole:
            return text or None
        if role == Qt.ItemDataRole.ForegroundRole:
            if column in (SOURCE, TARGET):
                return None if text else self._dim
            return self._amber if column == REMARK and {"merge", "split"} & {*line.kinds} else self._dim
        return None

    def _dress(self) -> None:
        tones = self._theme.tones
        self._dim, self._amber = QBrush(QColor(tones.dim)), QBrush(QColor(tones.warn))


class PairFilter(QSortFilterProxyModel):
    """Lines of one kind, with some text in them."""

    def __init__(self, model: PairModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._model, self._kind, self._text = model, "all", ""
        self.setSourceModel(model)
        self.setSortCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)

    def show_kind(self, kind: str) -> None:
        """Only lines about this; `all` for every line."""
        self._kind = kind
        self.invalidate()

    def show_text(self, text: str) -> None:
        """Only lines with this in a class name."""
        self._text = text.strip().casefold()
        self.invalidate()

    def line(self, index: QModelIndex) -> PairLine | None:
        """The line at an index of this model."""
        return self._model.lines[self.mapToSource(index).row()] if index.isValid() else None

    def filterAcceptsRow(self, row: int, parent: Index) -> bool:
        """Whether a line is shown."""
        line = self._model.lines[row]
        kind = self._kind == "all" or self._kind in line.kinds
        return kind and (not self._text or any(self._text in name.casefold() for name in line_names(line)))


def line_names(line: PairLine) -> tuple[str, str, str]:
    """The class names of a line."""
    return line.source, line.target, line.via

"""IoU of every class before and after a fine-tuning, as a table."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QColor

from mseg_studio.errors import printable
from mseg_studio.training.fine_tune_scores import ClassScore, Scores
from mseg_studio.ui.theme import Theme

COLUMNS = ("Class", "Before", "After", "Change")
"""IoU in percent, and the points between."""
SORT_ROLE = Qt.ItemDataRole.UserRole
_CLEAR = 0.005
_Index = QModelIndex | QPersistentModelIndex


class ScoresModel(QAbstractTableModel):
    """The mean first, then the classes, the most improved first; numbers in percent."""

    def __init__(self, theme: Theme, parent: QObject) -> None:
        super().__init__(parent)
        self._theme = theme
        self._rows: tuple[ClassScore, ...] = ()

    def set_scores(self, scores: Scores | None) -> None:
        """Show these; None shows nothing."""
        self.beginResetModel()
        self._rows = () if scores is None else (ClassScore("mean", *scores.miou), *scores.classes())
        self.endResetModel()

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """The mean and the classes."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008
        """Columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Names of the columns."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if section else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, what to sort by, alignment, and the tone of a clear change."""
        row, column = self._rows[index.row()], index.column()
        values = (None, row.before, row.after, row.change)
        if role == Qt.ItemDataRole.DisplayRole:
            return printable(row.name) if column == 0 else _percent(values[column], signed=column == 3)
        if role == SORT_ROLE:
            value = values[column]
            return row.name if column == 0 else -9.0 if value is None else value
        if role == Qt.ItemDataRole.ToolTipRole and column == 0:
            return printable(row.name)
        if role == Qt.ItemDataRole.TextAlignmentRole and column:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ForegroundRole and column == 3 and row.change is not None:
            tones = self._theme.tones
            tone = tones.good if row.change >= _CLEAR else tones.bad if row.change <= -_CLEAR else tones.dim
            return QColor(tone)
        return None


def _percent(value: float | None, *, signed: bool) -> str:
    if value is None:
        return "–"
    return f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"

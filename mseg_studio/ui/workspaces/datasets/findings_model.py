"""Findings of a report as a table that can be sorted and filtered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, QSortFilterProxyModel, Qt
from PySide6.QtGui import QColor

from mseg_studio.errors import printable
from mseg_studio.ui.theme import Theme

COLUMNS = ("Kind", "Finding", "Split", "File", "What was expected and what came")
_RANK = {"error": 0, "warning": 1, "note": 2}
_SORT_ROLE = Qt.ItemDataRole.UserRole
_Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One line of the table."""

    severity: str
    code: str
    split: str
    file: str
    shown_file: str
    """The file below the root, where it lies there."""
    message: str
    image: str
    """The image of the pair, empty where there is none."""


def rows_of(report: dict[str, Any]) -> list[FindingRow]:
    """The findings of a report."""
    roots = [root.rstrip("/") + "/" for root in report["roots"]]
    rows = []
    for found in report["findings"]:
        file = str(found["file"])
        shown = next((file.removeprefix(root) for root in roots if file.startswith(root)), file)
        rows.append(
            FindingRow(
                severity=str(found["severity"]),
                code=str(found["code"]),
                split=str(found["split"]),
                file=file,
                shown_file=printable(shown),
                message=printable(str(found["message"])),
                image=str(found.get("image") or ""),
            )
        )
    return rows


class FindingsModel(QAbstractTableModel):
    """The rows as they came: errors first."""

    def __init__(self, theme: Theme, parent: QObject) -> None:
        super().__init__(parent)
        self._theme = theme
        self._rows: Sequence[FindingRow] = ()

    def set_rows(self, rows: Sequence[FindingRow]) -> None:
        """Show these."""
        self.beginResetModel()
        self._rows = tuple(rows)
        self.endResetModel()

    def row(self, number: int) -> FindingRow:
        """One row."""
        return self._rows[number]

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Findings."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008
        """Columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Names of the columns."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        return None

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, colour of the kind, and what to sort by."""
        row = self._rows[index.row()]
        texts = (row.severity, row.code, row.split, row.shown_file, row.message)
        if role == Qt.ItemDataRole.DisplayRole:
            return texts[index.column()]
        if role == _SORT_ROLE:
            return f"{_RANK.get(row.severity, 9)}" if index.column() == 0 else texts[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole and index.column() in (3, 4):
            return row.file if index.column() == 3 else row.message
        if role == Qt.ItemDataRole.ForegroundRole and index.column() == 0:
            tones = self._theme.tones
            return QColor({"error": tones.bad, "warning": tones.warn}.get(row.severity, tones.dim))
        return None


class FindingsFilter(QSortFilterProxyModel):
    """Rows of one code, or all, that hold a text."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.setSortRole(_SORT_ROLE)
        self._code, self._text = "", ""

    def choose(self, code: str, text: str) -> None:
        """Keep the rows of `code` (empty: all) in which `text` stands."""
        self._code, self._text = code, text.casefold()
        self.invalidate()

    def filterAcceptsRow(self, row: int, parent: _Index) -> bool:
        """Whether a row is shown."""
        model = self.sourceModel()
        if not isinstance(model, FindingsModel):
            return False
        found = model.row(row)
        if self._code and found.code != self._code:
            return False
        return not self._text or self._text in f"{found.code}\n{found.file}\n{found.message}".casefold()

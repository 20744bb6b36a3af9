"""The master table as a tree of parents and universal classes, with a column for every taxonomy that is chosen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractItemModel, QMimeData, QModelIndex, QObject, QPersistentModelIndex, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QIcon, QPainter, QPixmap
from PySide6.QtWidgets import QApplication

from mseg_studio.taxonomy.master import Column, MasterTable, Row
from mseg_studio.taxonomy.model import UNLABELED
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.widgets import draw_swatch
from mseg_studio.ui.workspaces.taxonomy.drag import CLASSES_MIME, to_mime

CLASS, ID, FIRST = 0, 1, 2
"""Columns of the model; from FIRST on the chosen taxonomies."""
NAMES = Qt.ItemDataRole.UserRole
"""Class names of a cell as a tuple; empty for a blank one."""
BLANK = "·"

# A repaint asks for thousands of roles: plain numbers compare fast, and most of what is asked for is not there.
_TEXT, _ICON, _TIP, _FONT, _SIDE, _INK, _WORDS = (
    int(role)
    for role in (
        Qt.ItemDataRole.DisplayRole,
        Qt.ItemDataRole.DecorationRole,
        Qt.ItemDataRole.ToolTipRole,
        Qt.ItemDataRole.FontRole,
        Qt.ItemDataRole.TextAlignmentRole,
        Qt.ItemDataRole.ForegroundRole,
        Qt.ItemDataRole.AccessibleTextRole,
    )
)
_NAMES = int(NAMES)
_OF_CELLS = frozenset({_TEXT, _TIP, _INK, _WORDS, _NAMES})
_OF_FIRST = _OF_CELLS | {_ICON, _FONT, _SIDE}
_SWATCH_PX = 12
Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()
_FIXED = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
_DRAGGED = _FIXED | Qt.ItemFlag.ItemIsDragEnabled
_CENTRE = Qt.AlignmentFlag.AlignVCenter
_RIGHT = int(Qt.AlignmentFlag.AlignRight | _CENTRE)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: a universal class, or what MSeg calls unlabeled."""

    row: Row | None

    @property
    def name(self) -> str:
        """The universal class."""
        return self.row.info.name if self.row is not None else UNLABELED

    @property
    def number(self) -> str:
        """Its id as text."""
        return str(self.row.info.id) if self.row is not None else ""

    def names(self, column: Column) -> tuple[str, ...]:
        """Class names in the cell of a taxonomy."""
        return self.row.cells[column.name] if self.row is not None else column.unlabeled


@dataclass(frozen=True, slots=True)
class Group:
    """A parent with its lines."""

    title: str
    lines: tuple[Line, ...]


class BrowserModel(QAbstractItemModel):
    """Parents -> universal classes; sorted by a taxonomy's column the classes stand without their parents."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._table = MasterTable((), (), ())
        self.columns: tuple[Column, ...] = ()
        self._found: frozenset[str] | None = None
        self._sorted = (ID, Qt.SortOrder.AscendingOrder)
        self._tops: list[Group | Line] = []
        self._icons: dict[str, QIcon] = {}
        self._dress()
        theme.changed.connect(self._dress)

    # -- what is shown -------------------------------------------------------------------------------------------

    def set_table(self, table: MasterTable, columns: Sequence[str]) -> None:
        """Show `table` with these of its columns."""
        self.beginResetModel()
        self._table = table
        self.columns = tuple(column for column in table.columns if column.name in set(columns))
        self._arrange()
        self.endResetModel()

    def set_found(self, rows: Iterable[Row] | None) -> None:
        """Show only these rows; None shows all."""
        found = None if rows is None else frozenset(row.info.name for row in rows)
        if found != self._found:
            self.beginResetModel()
            self._found = found
            self._arrange()
            self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """By name or id within parents; by a taxonomy's classes without them, blank cells last."""
        if (column, order) != self._sorted:
            self.beginResetModel()
            self._sorted = (column, order)
            self._arrange()
            self.endResetModel()

    def _arrange(self) -> None:
        column, order = self._sorted
        down = order == Qt.SortOrder.DescendingOrder
        lines = [Line(row) for row in self._table.rows if self._found is None or row.info.name in self._found]
        loose = [Line(None)] if self._table.rows and self._found is None else []
        if FIRST <= column < FIRST + len(self.columns):
            shown = self.columns[column - FIRST]
            filled = [line for line in lines + loose if line.names(shown)]
            filled.sort(key=lambda line: [name.casefold() for name in line.names(shown)], reverse=down)
            self._tops = [*filled, *(line for line in lines + loose if not line.names(shown))]
            return
        if column == CLASS:
            lines.sort(key=lambda line: line.name.casefold(), reverse=down)
        elif down:
            lines.reverse()
        groups: dict[str, list[Line]] = {}
        for line in lines:
            groups.setdefault(_parent(line), []).append(line)
        titles = sorted(groups, key=str.casefold, reverse=down) if column == CLASS else list(groups)
        self._tops = [Group(title, tuple(groups[title])) for title in titles]
        if loose:
            self._tops.append(Group("no universal class", tuple(loose)))

    @property
    def num_shown(self) -> int:
        """Universal classes on show."""
        lines = [line for top in self._tops for line in (top.lines if isinstance(top, Group) else (top,))]
        return sum(line.row is not None for line in lines)

    # -- where things are ----------------------------------------------------------------------------------------

    def line(self, index: Index) -> Line | None:
        """The line at `index`; None for a parent."""
        top = self._at(index)
        return None if isinstance(top, Group) else top

    def names_at(self, indexes: Iterable[Index]) -> tuple[str, ...]:
        """Universal classes of several places, each once; a parent stands for all of its own."""
        found: dict[str, None] = {}
        for index in indexes:
            top = self._at(index)
            for line in top.lines if isinstance(top, Group) else (top,):
                if line is not None and line.row is not None:
                    found[line.name] = None
        return tuple(found)

    def index_of(self, name: str) -> QModelIndex:
        """Where a universal class is; an invalid index when it is not shown."""
        for number, top in enumerate(self._tops):
            if isinstance(top, Line):
                if top.name == name and top.row is not None:
                    return self.index(number, CLASS)
                continue
            for place, line in enumerate(top.lines):
                if line.name == name and line.row is not None:
                    return self.index(place, CLASS, self.index(number, CLASS))
        return QModelIndex()

    def column_at(self, column: int) -> Column | None:
        """The taxonomy in a column of the model."""
        return self.columns[column - FIRST] if FIRST <= column < FIRST + len(self.columns) else None

    def _at(self, index: Index) -> Group | Line | None:
        if not index.isValid():
            return None
        if not index.internalId():
            return self._tops[index.row()]
        group = self._tops[index.internalId() - 1]
        return group.lines[index.row()] if isinstance(group, Group) else None

    # -- QAbstractItemModel --------------------------------------------------------------------------------------

    def index(self, row: int, column: int, parent: Index = _ROOT) -> QModelIndex:
        """The internal id is 0 at the top, else the number of the parent counted from 1."""
        if not self.hasIndex(row, column, parent):
            return QModelIndex()
        return self.createIndex(row, column, parent.row() + 1 if parent.isValid() else 0)

    def parent(self, index: Index = _ROOT) -> QModelIndex:  # type: ignore[override]
        """The parent of a class."""
        number = index.internalId() if index.isValid() else 0
        return self.createIndex(number - 1, 0, 0) if number else QModelIndex()

    def rowCount(self, parent: Index = _ROOT) -> int:
        """Number of lines below `parent`."""
        if not parent.isValid():
            return len(self._tops)
        top = self._at(parent) if parent.column() == 0 else None
        return len(top.lines) if isinstance(top, Group) else 0

    def columnCount(self, parent: Index = _ROOT) -> int:
        """Class, id and the taxonomies that are chosen."""
        return FIRST + len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Names of the taxonomies."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < self.columnCount():
            return None
        column = self.column_at(section)
        if role == Qt.ItemDataRole.DisplayRole:
            return column.name if column else ("id" if section == ID else f"universal · {len(self._table.rows)}")
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int((Qt.AlignmentFlag.AlignRight if section == ID else Qt.AlignmentFlag.AlignLeft) | _CENTRE)
        if role == Qt.ItemDataRole.ToolTipRole and column is not None:
            classes = (
                "no order of classes is published" if column.num_classes is None else f"{column.num_classes} classes"
            )
            return "\n".join(filter(None, (f"{column.name}: {column.kind}, {classes}", column.note)))
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What is in a cell and how it looks."""
        role, column = int(role), index.column()
        if role not in (_OF_FIRST if column < FIRST else _OF_CELLS):
            return None
        top = self._at(index)
        if top is None:
            return None
        if isinstance(top, Group):
            return self._of_group(top, column, role)
        if column < FIRST:
            return self._of_class(top, column, role)
        return self._of_cell(top, self.columns[column - FIRST], role)

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Everything but the line of unlabeled can be dragged."""
        top = self._at(index)
        if top is None:
            return Qt.ItemFlag.NoItemFlags
        return _FIXED if isinstance(top, Line) and top.row is None else _DRAGGED

    def mimeTypes(self) -> list[str]:
        """Classes can be dragged out."""
        return [CLASSES_MIME]

    def mimeData(self, indexes: Sequence[QModelIndex]) -> QMimeData:
        """The universal classes of what is dragged."""
        return to_mime(self.names_at(indexes))

    def supportedDragActions(self) -> Qt.DropAction:
        """A drag takes nothing away."""
        return Qt.DropAction.CopyAction

    # -- cells ---------------------------------------------------------------------------------------------------

    def _of_group(self, group: Group, column: int, role: int) -> Any:
        if column != CLASS:
            return None
        if role == _TEXT:
            return f"{group.title}   {len(group.lines)}"
        if role == _FONT:
            return self._bold
        if role == _WORDS:
            return f"{group.title}, {len(group.lines)} classes"
        return None

    def _of_class(self, line: Line, column: int, role: int) -> Any:
        info = line.row.info if line.row is not None else None
        if role == _TEXT:
            return line.number if column == ID else line.name
        if role == _NAMES:
            return (line.name,)
        if column == ID:
            if role == _INK:
                return self._dim
            return _RIGHT if role == _SIDE else None
        if info is None:
            return self._dim if role == _INK else None
        if role == _ICON:
            return self._swatch(info.name, info.rgb)
        if role == _TIP:
            facts = [f"{info.name}, id {info.id}", f"parent {info.parent}" if info.parent else ""]
            facts += [f"WordNet {info.wordnet}" if info.wordnet else "", ", ".join(info.aliases)]
            return "\n".join(filter(None, facts))
        return f"{info.name}, id {info.id}" if role == _WORDS else None

    def _of_cell(self, line: Line, column: Column, role: int) -> Any:
        names = line.names(column)
        if role == _TEXT:
            return ", ".join(names) if names else BLANK
        if role == _NAMES:
            return names
        if role == _INK:
            return self._dim if not names else self._amber if len(names) > 1 else None
        if role == _TIP:
            if len(names) > 1:
                return f"{column.name}: {len(names)} classes merge into {line.name}\n" + "\n".join(names)
            return f"{column.name}: {names[0]}" if names else None
        if role == _WORDS:
            return f"{column.name}: {', '.join(names) or 'no class'}"
        return None

    def _swatch(self, name: str, rgb: tuple[int, int, int]) -> QIcon:
        """Made when it is first seen."""
        if name not in self._icons:
            icon = QIcon()
            for scale in (1, 2):
                pixmap = QPixmap(_SWATCH_PX * scale, _SWATCH_PX * scale)
                pixmap.fill(Qt.GlobalColor.transparent)
                pixmap.setDevicePixelRatio(scale)
                painter = QPainter(pixmap)
                draw_swatch(painter, QRectF(0, 0, _SWATCH_PX, _SWATCH_PX), QColor(*rgb), self._theme.tones)
                painter.end()
                for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):  # a style tints what has no mode of its own
                    icon.addPixmap(pixmap, mode)
            self._icons[name] = icon
        return self._icons[name]

    def _dress(self) -> None:
        """Brushes are made once a scheme: a table asks for thousands."""
        tones = self._theme.tones
        self._dim, self._amber = QBrush(QColor(tones.dim)), QBrush(QColor(tones.warn))
        self._bold = QFont(QApplication.font())
        self._bold.setWeight(QFont.Weight.DemiBold)
        self._icons.clear()


def _parent(line: Line) -> str:
    parent = line.row.info.parent if line.row is not None else None
    return parent.removesuffix("-parent") if parent else "without a parent"

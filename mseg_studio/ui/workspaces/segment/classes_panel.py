"""The classes of the picture, largest first: swatch, id, name, share of pixels, eye and solo; and a search over all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter
from PySide6.QtWidgets import (
    QLineEdit,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.ui.theme import Theme, sized
from mseg_studio.ui.widgets import draw_bar, draw_swatch
from mseg_studio.ui.workspaces.segment.results import Result

_ROW = Qt.ItemDataRole.UserRole + 1
_ROW_PX = 25
_LIMIT = 60
"""Rows of a search."""

Search = Callable[[Taxonomy, str, int], list[ClassInfo]]


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One row: a class, its share of the pixels (0 to 1) and whether it is drawn."""

    info: ClassInfo
    share: float
    drawn: bool
    solo: bool

    def words(self) -> str:
        """What a screen reader says."""
        state = "shown alone" if self.solo else "shown" if self.drawn else "hidden"
        present = f"{100 * self.share:.1f} percent" if self.share else "not in this picture"
        return f"{self.info.name}, id {self.info.id}, {present}, {state}"


class Visibility:
    """Which classes are drawn: some hidden, or one alone. By name, so that it outlives a change of the picture."""

    def __init__(self) -> None:
        self.hidden: set[str] = set()
        self.solo: str | None = None

    def draws(self, info: ClassInfo) -> bool:
        """Whether a class is drawn."""
        return info.name == self.solo if self.solo is not None else info.name not in self.hidden

    def hidden_ids(self, taxonomy: Taxonomy) -> frozenset[int]:
        """Ids that are not drawn."""
        return frozenset(info.id for info in taxonomy.classes if not self.draws(info))

    def toggle_hidden(self, name: str) -> None:
        """Hide a class or show it again; ends a solo."""
        self.solo = None
        self.hidden ^= {name}

    def toggle_solo(self, name: str) -> None:
        """Draw only this class, or all again."""
        self.solo = None if self.solo == name else name

    def show_all(self) -> None:
        """Draw every class."""
        self.hidden, self.solo = set(), None


class ClassesModel(QAbstractListModel):
    """The rows in sight: classes present, or what a search found."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[ClassRow] = []

    def set_rows(self, rows: list[ClassRow]) -> None:
        """Show other rows; when only values differ, the selection stays."""
        same = [row.info for row in rows] == [row.info for row in self.rows]
        if same and rows:
            self.rows = rows
            self.dataChanged.emit(self.index(0), self.index(len(rows) - 1))
            return
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:  # noqa: B008 - Qt's own
        """Number of rows."""
        return 0 if parent.isValid() else len(self.rows)

    def data(self, index: QModelIndex | QPersistentModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The row, its name, and its words."""
        row = self.rows[index.row()]
        if role == _ROW:
            return row
        if role == Qt.ItemDataRole.DisplayRole:
            return row.info.name
        return row.words() if role == Qt.ItemDataRole.AccessibleTextRole else None


class ClassesPanel(QWidget):
    """Emits `visibility_changed` when a class is hidden, shown or shown alone."""

    visibility_changed = Signal()
    counted = Signal(str)
    """Heading of the panel: what is listed."""

    def __init__(self, theme: Theme, search: Search, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._search = search
        self._taxonomy: Taxonomy | None = None
        self._result: Result | None = None
        self.visibility = Visibility()
        self.field = QLineEdit()
        self.field.setClearButtonEnabled(True)
        self.field.setAccessibleName("Search classes by name, id or alias")
        self.classes = ClassesModel()
        self.view = QListView()
        self.view.setModel(self.classes)
        self.view.setUniformItemSizes(True)
        self.view.setMouseTracking(True)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.view.setAccessibleName("Classes")
        self.view.setAccessibleDescription("Space hides or shows the class, Enter shows it alone")
        self.delegate = _ClassDelegate(theme, self.view)
        self.view.setItemDelegate(self.delegate)
        self.view.viewport().installEventFilter(self)
        self.view.installEventFilter(self)
        self.field.installEventFilter(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 2, 0, 0)
        column.setSpacing(6)
        box = QVBoxLayout()
        box.setContentsMargins(12, 0, 12, 0)
        box.addWidget(self.field)
        column.addLayout(box)
        column.addWidget(self.view, 1)
        self.field.textChanged.connect(lambda _text: self._refresh())
        theme.changed.connect(self.view.viewport().update)
        self.set_taxonomy(None)

    def set_taxonomy(self, taxonomy: Taxonomy | None) -> None:
        """Search this taxonomy from now on."""
        self._taxonomy = taxonomy
        number = f"{len(taxonomy)} " if taxonomy else ""
        self.field.setPlaceholderText(f"Search {number}names, ids, aliases  ·  Ctrl+K")

    def set_result(self, result: Result | None) -> None:
        """Show the classes of these labels; a solo of a class of another taxonomy ends."""
        self._result = result
        if result is not None:
            self.set_taxonomy(result.labels.taxonomy)
            if self.visibility.solo is not None and self.visibility.solo not in result.labels.taxonomy.names:
                self.visibility.solo = None
        self._refresh()

    def focus_search(self) -> None:
        """Put the cursor into the search field."""
        self.field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.field.selectAll()

    def show_all(self) -> None:
        """Draw every class."""
        self.visibility.show_all()
        self._changed()

    def toggle_hidden(self, row: ClassRow) -> None:
        """Hide the class of a row or show it again."""
        self.visibility.toggle_hidden(row.info.name)
        self._changed()

    def toggle_solo(self, row: ClassRow) -> None:
        """Draw only the class of a row, or all again."""
        self.visibility.toggle_solo(row.info.name)
        self._changed()

    def _changed(self) -> None:
        self._refresh()
        self.visibility_changed.emit()

    def _refresh(self) -> None:
        result, query = self._result, self.field.text().strip()
        shares: dict[int, float] = {}
        if result is not None:
            total = result.labels.ids_HW.size
            shares = {info.id: pixels / total for info, pixels in result.counts}
        infos: list[ClassInfo] = []
        if query and self._taxonomy is not None:
            infos = self._search(self._taxonomy, query, _LIMIT)
        elif result is not None:
            infos = [info for info, _pixels in result.counts]
        seen = self.visibility
        self.classes.set_rows([ClassRow(i, shares.get(i.id, 0.0), seen.draws(i), seen.solo == i.name) for i in infos])
        if query:
            self.counted.emit(f"Search · {len(infos)} found")
        elif result is not None:
            self.counted.emit(f"Classes in this image · {len(infos)} of {len(result.labels.taxonomy)}")
        else:
            self.counted.emit("Classes")

    # -- mouse and keys on the rows ------------------------------------------------------------------------------

    def eventFilter(self, watched: object, event: QEvent) -> bool:
        """Clicks on eye and solo, keys of the list and of the search field."""
        if watched is self.view.viewport() and isinstance(event, QMouseEvent):
            return self._on_mouse(event)
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if watched is self.view:
                return self._on_list_key(event)
            if watched is self.field:
                return self._on_field_key(event)
        return False

    def _on_mouse(self, event: QMouseEvent) -> bool:
        if event.type() != QEvent.Type.MouseButtonRelease or event.button() != Qt.MouseButton.LeftButton:
            return False
        index = self.view.indexAt(event.position().toPoint())
        if index.isValid():
            row: ClassRow = index.data(_ROW)
            spot = self.delegate.spot(self.view.visualRect(index), event.position().toPoint().x())
            if spot == "eye":
                self.toggle_hidden(row)
            elif spot == "solo":
                self.toggle_solo(row)
        return False

    def _on_list_key(self, event: QKeyEvent) -> bool:
        index = self.view.currentIndex()
        if not index.isValid():
            return False
        if event.key() == Qt.Key.Key_Space:
            self.toggle_hidden(index.data(_ROW))
            return True
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.toggle_solo(index.data(_ROW))
            return True
        return False

    def _on_field_key(self, event: QKeyEvent) -> bool:
        if event.key() == Qt.Key.Key_Down and self.classes.rows:
            self.view.setFocus(Qt.FocusReason.TabFocusReason)
            self.view.setCurrentIndex(self.classes.index(0))
            return True
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.classes.rows and self.field.text().strip():
            self.toggle_solo(self.classes.rows[0])
            return True
        if event.key() == Qt.Key.Key_Escape and self.field.text():
            self.field.clear()
            return True
        return False


class _ClassDelegate(QStyledItemDelegate):
    """Columns from the right: eye, solo, share, bar; from the left: swatch, name, id."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        """Rows of one height."""
        return QSize(200, _ROW_PX)

    def spot(self, box: QRect, x: int) -> str:
        """What is at `x` of a row: eye, solo or nothing."""
        from_right = box.right() - x
        return "eye" if from_right <= 34 else "solo" if from_right <= 58 else ""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """One row."""
        row: ClassRow = index.data(_ROW)
        tones = self._theme.tones
        box = QRectF(option.rect)
        painter.save()
        hovered = bool(option.state & QStyle.StateFlag.State_MouseOver)
        if option.state & QStyle.StateFlag.State_Selected and option.state & QStyle.StateFlag.State_HasFocus:
            painter.fillRect(box, QColor(tones.selected))
        elif hovered:
            painter.fillRect(box, QColor(tones.raised))
        if not row.drawn:
            painter.setOpacity(0.45)
        middle, color = box.center().y(), QColor(*row.info.rgb)
        draw_swatch(painter, QRectF(box.left() + 12, middle - 6, 12, 12), color, tones)
        painter.setFont(option.font)
        right = box.right() - 62
        self._text(
            painter, QRectF(right - 52, box.top(), 52, box.height()), _percent(row.share), tones.text, right=True
        )
        bar = QRectF(right - 52 - 48, middle - 2.5, 46, 5)
        draw_bar(painter, bar, row.share, _seen_on(QColor(tones.track), color, tones.dim), QColor(tones.track))
        number = QRectF(bar.left() - 34, box.top(), 26, box.height())
        self._text(painter, number, str(row.info.id), tones.dim, right=True)
        name = QRectF(box.left() + 32, box.top(), number.left() - box.left() - 34, box.height())
        painter.setFont(sized(option.font, 13, bold=row.solo))
        self._text(painter, name, row.info.name, tones.text if row.share else tones.dim)
        painter.setOpacity(1.0)
        solo, eye = ("solo", row.solo or hovered), ("eye" if row.drawn else "eye-off", hovered or not row.drawn)
        for (icon, strong), left in ((solo, box.right() - 54), (eye, box.right() - 29)):
            painter.setOpacity(1.0 if strong else 0.38)
            pixmap = self._theme.icon(icon).pixmap(QSize(16, 16), painter.device().devicePixelRatioF())
            painter.drawPixmap(int(left), int(middle - 8), pixmap)
        painter.restore()

    def _text(self, painter: QPainter, box: QRectF, text: str, color: str, *, right: bool = False) -> None:
        painter.setPen(QColor(color))
        side = Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft
        shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, int(box.width()))
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter | side, shown)


def _seen_on(ground: QColor, color: QColor, instead: str) -> QColor:
    """The colour of a class where it shows on `ground`, else a plain tone: the swatch beside it has the true colour."""
    return color if abs(color.lightness() - ground.lightness()) > 24 or color.saturation() > 90 else QColor(instead)


def _percent(share: float) -> str:
    if not share:
        return "–"
    percent = 100 * share
    return f"{percent:.1f} %" if percent >= 0.05 else "<0.1 %"

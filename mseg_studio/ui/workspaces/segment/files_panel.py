"""The list of files: thumbnail, name, state. Thumbnails are asked for only where they are seen."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QRectF,
    QSize,
    QSortFilterProxyModel,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPixmap
from PySide6.QtWidgets import (
    QLineEdit,
    QListView,
    QPushButton,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from mseg_studio.ui.theme import SMALL_PX, Theme, sized
from mseg_studio.ui.workspaces.segment.items import ItemState

THUMBNAIL_PX = 112
_KEPT = 600
"""Thumbnails in memory: a few screens full, however long the list."""
_PATH = Qt.ItemDataRole.UserRole + 1
_STATE = Qt.ItemDataRole.UserRole + 2


class FilesModel(QAbstractListModel):
    """Paths with what is known about them."""

    def __init__(self) -> None:
        super().__init__()
        self._paths: tuple[str, ...] = ()
        self._names: list[str] = []
        self._states: dict[int, tuple[ItemState, str]] = {}

    def set_paths(self, paths: tuple[str, ...]) -> None:
        """Show other files; states are forgotten."""
        self.beginResetModel()
        self._paths, self._states = paths, {}
        self._names = [Path(path).name for path in paths]
        self.endResetModel()

    def set_state(self, row: int, state: tuple[ItemState, str]) -> None:
        """Say how far a file is."""
        if self._states.get(row) != state:
            self._states[row] = state
            index = self.index(row)
            self.dataChanged.emit(index, index)

    def forget_states(self) -> None:
        """Other choices at the top: no file has labels yet."""
        self._states = {}
        if self._paths:
            self.dataChanged.emit(self.index(0), self.index(len(self._paths) - 1))

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:  # noqa: B008 - Qt's own
        """Number of files."""
        return 0 if parent.isValid() else len(self._paths)

    def data(self, index: QModelIndex | QPersistentModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Name, path, state, and what a screen reader says."""
        row = index.row()
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self._names[row]
            case Qt.ItemDataRole.ToolTipRole:
                return "\n".join(filter(None, (self._paths[row], self._states.get(row, (None, ""))[1])))
            case Qt.ItemDataRole.AccessibleTextRole:
                state, why = self._states.get(row, (ItemState.NEW, ""))
                return " ".join(filter(None, (self._names[row], state.value, why)))
        if role == _PATH:
            return self._paths[row]
        return self._states.get(row, (ItemState.NEW, "")) if role == _STATE else None


class FilesPanel(QWidget):
    """Filter and list; emits the row of the source that is chosen."""

    chosen = Signal(int)
    thumbnail_wanted = Signal(str)
    fine_tune_asked = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Filter files…")
        self.filter.setClearButtonEnabled(True)
        self.filter.setAccessibleName("Filter files by name")
        self.files = FilesModel()
        self._proxy = QSortFilterProxyModel(self)
        self._proxy.setSourceModel(self.files)
        self._proxy.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self._pixmaps: OrderedDict[str, QPixmap] = OrderedDict()
        self._asked: set[str] = set()
        self._labelled: set[str] = set()
        self.view = QListView()
        self.view.setModel(self._proxy)
        self.view.setItemDelegate(_FileDelegate(theme, self._pixmaps, self.view))
        self.view.setUniformItemSizes(True)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.view.setAccessibleName("Files")
        self._later = QTimer(self, interval=40, singleShot=True)
        self._later.timeout.connect(self._ask_for_visible)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 2, 0, 0)
        column.setSpacing(8)
        box = QVBoxLayout()
        box.setContentsMargins(10, 0, 10, 0)
        box.addWidget(self.filter)
        column.addLayout(box)
        column.addWidget(self.view, 1)
        self.fine_tune = QPushButton("Fine-tune on these labels…")
        self.fine_tune.setToolTip("Let a model learn from labels of these images that you corrected")
        self.fine_tune.clicked.connect(self.fine_tune_asked)
        foot = QVBoxLayout()
        foot.setContentsMargins(10, 0, 10, 8)
        foot.addWidget(self.fine_tune)
        column.addLayout(foot)
        self.filter.textChanged.connect(self._proxy.setFilterFixedString)
        self.filter.textChanged.connect(lambda _text: self._later.start())
        self.view.verticalScrollBar().valueChanged.connect(lambda _value: self._later.start())
        self.view.selectionModel().currentChanged.connect(self._on_current)
        theme.changed.connect(self.view.viewport().update)

    def set_paths(self, paths: tuple[str, ...]) -> None:
        """Show other files."""
        self.filter.clear()
        self._pixmaps.clear()
        self._asked.clear()
        self._labelled.clear()
        self.files.set_paths(paths)
        self._later.start()

    def select(self, row: int) -> None:
        """Mark a row as the one on screen, in sight; nothing is emitted."""
        index = self._proxy.mapFromSource(self.files.index(row))
        if index.isValid() and index != self.view.currentIndex():
            model = self.view.selectionModel()
            model.blockSignals(True)
            self.view.setCurrentIndex(index)
            model.blockSignals(False)
            self.view.scrollTo(index)
            self.view.viewport().update()

    def set_thumbnail(self, path: str, pixmap: QPixmap, *, labelled: bool) -> None:
        """Keep a thumbnail, forget the one unseen for longest. One with labels is not replaced by a bare one."""
        if not labelled and path in self._labelled:
            return
        if labelled:
            self._labelled.add(path)
        self._pixmaps[path] = pixmap
        self._pixmaps.move_to_end(path)
        while len(self._pixmaps) > _KEPT:
            gone, _pixmap = self._pixmaps.popitem(last=False)
            self._asked.discard(gone)
            self._labelled.discard(gone)
        self.view.viewport().update()

    def resizeEvent(self, event: object) -> None:
        """More rows may be in sight."""
        self._later.start()

    def showEvent(self, event: object) -> None:
        """Rows are in sight."""
        self._later.start()

    def _on_current(self, current: QModelIndex) -> None:
        if current.isValid():
            self.chosen.emit(self._proxy.mapToSource(current).row())

    def _ask_for_visible(self) -> None:
        height = self.view.viewport().height()
        first = self.view.indexAt(self.view.viewport().rect().topLeft())
        if not first.isValid() or not self.isVisible():
            return
        rows = height // _ROW_PX + 2
        for row in range(first.row(), min(first.row() + rows, self._proxy.rowCount())):
            path = self._proxy.index(row, 0).data(_PATH)
            if path not in self._asked:
                self._asked.add(path)
                self.thumbnail_wanted.emit(path)


_ROW_PX = 50
_THUMB = QSize(56, 42)


class _FileDelegate(QStyledItemDelegate):
    def __init__(self, theme: Theme, pixmaps: OrderedDict[str, QPixmap], parent: QWidget) -> None:
        super().__init__(parent)
        self._theme, self._pixmaps = theme, pixmaps

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        """Rows of one height."""
        return QSize(120, _ROW_PX)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """Thumbnail at the left; name over state."""
        tones = self._theme.tones
        box: QRect = option.rect
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(box, QColor(tones.selected))
        elif option.state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(box, QColor(tones.raised))
        thumb = QRectF(box.left() + 10, box.top() + 4, _THUMB.width(), _THUMB.height())
        self._paint_thumbnail(painter, thumb, str(index.data(_PATH)))
        left = int(thumb.right()) + 10
        state, why = index.data(_STATE)
        text = why or state.value
        room = QRect(left, box.top(), box.right() - left - 8, box.height())
        if option.state & QStyle.StateFlag.State_HasFocus:
            painter.fillRect(QRect(box.left(), box.top(), 2, box.height()), QColor(tones.accent))
        self._line(painter, room, str(index.data()), QColor(tones.text), option, small=False, has_second=bool(text))
        if text:
            color = QColor(tones.bad if state is ItemState.FAILED else tones.dim)
            self._line(painter, room, text, color, option, small=True, has_second=True)
        painter.restore()

    def _paint_thumbnail(self, painter: QPainter, box: QRectF, path: str) -> None:
        clip = QPainterPath()
        clip.addRoundedRect(box, 3, 3)
        painter.fillPath(clip, QColor(self._theme.tones.track))
        pixmap = self._pixmaps.get(path)
        if pixmap is not None:
            self._pixmaps.move_to_end(path)
            scale = max(box.width() / pixmap.width(), box.height() / pixmap.height())
            width, height = box.width() / scale, box.height() / scale
            part = QRectF((pixmap.width() - width) / 2, (pixmap.height() - height) / 2, width, height)
            painter.setClipPath(clip)
            painter.drawPixmap(box, pixmap, part)
            painter.setClipping(False)

    def _line(
        self,
        painter: QPainter,
        room: QRect,
        text: str,
        color: QColor,
        option: QStyleOptionViewItem,
        *,
        small: bool,
        has_second: bool,
    ) -> None:
        font = sized(option.font, SMALL_PX) if small else option.font
        painter.setFont(font)
        painter.setPen(color)
        half = room.height() // 2
        if small:
            place = QRect(room.left(), room.top() + half + 1, room.width(), half - 6)
        elif has_second:
            place = QRect(room.left(), room.top() + 6, room.width(), half - 5)
        else:
            place = room
        shown = painter.fontMetrics().elidedText(text.splitlines()[0], Qt.TextElideMode.ElideMiddle, place.width())
        painter.drawText(place, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, shown)

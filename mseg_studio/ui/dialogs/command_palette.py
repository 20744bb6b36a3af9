"""Find an action by a few letters and do it."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QModelIndex, QObject, QPersistentModelIndex, QPoint, QSize, Qt
from PySide6.QtGui import QKeyEvent, QKeySequence, QPainter, QPalette
from PySide6.QtWidgets import (
    QDialog,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)
from rapidfuzz import fuzz, process

from mseg_studio.ui.actions import Actions

_ID = Qt.ItemDataRole.UserRole
_KEYS = Qt.ItemDataRole.UserRole + 1


class CommandPalette(QDialog):
    """A field and the actions that match, best first; Enter does the marked one."""

    def __init__(self, actions: Actions, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Commands")
        self.setWindowFlag(Qt.WindowType.FramelessWindowHint)
        self.setFixedSize(460, 380)
        self._actions = actions
        self._texts = {
            spec.id: f"{spec.menu}: {spec.text.rstrip('…')}" for spec in actions.specs if spec.id != "palette"
        }
        self.field = QLineEdit()
        self.field.setPlaceholderText("What do you want to do?")
        self.field.setAccessibleName("Search commands")
        self.field.installEventFilter(self)
        self.list = QListWidget()
        self.list.setAccessibleName("Commands")
        self.list.setObjectName("commands")
        self.list.setItemDelegate(_CommandDelegate(self.list))
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 10, 10, 10)
        column.setSpacing(8)
        column.addWidget(self.field)
        column.addWidget(self.list, 1)
        self.field.textChanged.connect(self._show)
        self.field.returnPressed.connect(self._do)
        self.list.itemActivated.connect(lambda _item: self._do())
        self._show("")
        self.move(parent.mapToGlobal(QPoint((parent.width() - self.width()) // 2, parent.height() // 8)))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Up and down in the field move the mark in the list."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()))
            if step is not None and self.list.count():
                self.list.setCurrentRow((self.list.currentRow() + step) % self.list.count())
                return True
        return False

    def _show(self, query: str) -> None:
        self.list.clear()
        ids = list(self._texts)
        if query.strip():
            found = process.extract(
                query, self._texts, scorer=fuzz.WRatio, processor=str.lower, limit=12, score_cutoff=45
            )
            ids = [str(action_id) for _text, _score, action_id in found]
        for action_id in ids:
            action = self._actions[action_id]
            if action.isEnabled():
                keys = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
                item = QListWidgetItem(self._texts[action_id])
                item.setData(_ID, action_id)
                item.setData(_KEYS, keys)
                self.list.addItem(item)
        self.list.setCurrentRow(0)

    def _do(self) -> None:
        item = self.list.currentItem()
        self.accept()
        if item is not None:
            self._actions[item.data(_ID)].trigger()


class _CommandDelegate(QStyledItemDelegate):
    """What it does at the left, its key at the right."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        """Rows of 28 pixels."""
        return QSize(100, 28)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """One command."""
        palette = option.palette
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(palette.color(QPalette.ColorRole.Light))
            painter.drawRoundedRect(option.rect, 5, 5)
        box = option.rect.adjusted(10, 0, -10, 0)
        painter.setPen(palette.color(QPalette.ColorRole.Text))
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, str(index.data()))
        painter.setPen(palette.color(QPalette.ColorRole.PlaceholderText))
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, str(index.data(_KEYS)))
        painter.restore()

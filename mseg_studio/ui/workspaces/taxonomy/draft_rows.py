"""How the rows of a draft are painted and renamed in place."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QPainter
from PySide6.QtWidgets import QLineEdit, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from mseg_studio.taxonomy.draft import DraftClass
from mseg_studio.ui.theme import Theme, sized
from mseg_studio.ui.widgets import draw_swatch
from mseg_studio.ui.workspaces.taxonomy.draft_model import ROW

ROW_PX = 25
_SWATCH_PX = 12
_ID_PX = 30

Index = QModelIndex | QPersistentModelIndex


class DraftDelegate(QStyledItemDelegate):
    """Swatch, name, what it is made of (dim) and its id at the right end."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Rows of one height."""
        return QSize(160, ROW_PX)

    def swatch(self, row: QRect) -> QRect:
        """Where the colour is in a row."""
        return QRect(row.left() + 2, row.center().y() - _SWATCH_PX // 2 + 1, _SWATCH_PX, _SWATCH_PX)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """One row."""
        found: DraftClass | tuple[str, tuple[int, int, int]] = index.data(ROW)
        tones, box = self._theme.tones, option.rect
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(box, QColor(tones.selected))
        elif option.state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(box, QColor(tones.raised))
        swatch = self.swatch(box)
        left = swatch.right() + 8
        room = QRect(left, box.top(), box.right() - left - 10, box.height())
        if isinstance(found, DraftClass):
            draw_swatch(painter, QRectF(swatch), QColor(*found.rgb), tones)
            self._class(painter, room, option.font, found, index.row())
        else:
            draw_swatch(painter, QRectF(swatch.adjusted(2, 2, -2, -2)), QColor(*found[1]), tones)
            _text(painter, room, sized(option.font, 12), found[0], tones.dim)
        painter.restore()

    def _class(self, painter: QPainter, box: QRect, font: QFont, item: DraftClass, place: int) -> None:
        """Name, what it is made of, id."""
        tones = self._theme.tones
        number = QRect(box.right() - _ID_PX, box.top(), _ID_PX, box.height())
        _text(painter, number, font, str(place), tones.dim, right=True)
        room = box.width() - _ID_PX - 8
        used = _text(painter, QRect(box.left(), box.top(), room, box.height()), font, item.name, tones.text) + 9
        made = ", ".join(item.members) or "nothing yet"
        if room - used > 20:
            _text(painter, QRect(box.left() + used, box.top(), room - used, box.height()), font, made, tones.dim)

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: Index) -> QWidget:
        """A field over the name."""
        field = QLineEdit(parent)
        field.setFrame(False)
        field.setStyleSheet("border-radius: 0; padding: 0 3px; min-height: 16px;")
        field.setAccessibleName("Name of the class")
        return field

    def updateEditorGeometry(self, editor: QWidget, option: QStyleOptionViewItem, index: Index) -> None:
        """From the name to the id."""
        left = self.swatch(option.rect).right() + 4
        right = option.rect.right() - _ID_PX - 10
        editor.setGeometry(left, option.rect.top() + 1, max(right - left, 60), option.rect.height() - 2)


def _text(painter: QPainter, box: QRect, font: QFont, text: str, color: str, *, right: bool = False) -> int:
    """Draw a line cut to `box`; gives its width."""
    painter.setFont(font)
    painter.setPen(QColor(color))
    side = Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft
    shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, box.width())
    painter.drawText(box, Qt.AlignmentFlag.AlignVCenter | side, shown)
    return painter.fontMetrics().horizontalAdvance(shown)

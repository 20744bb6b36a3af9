"""The rows of the classes panel: what they hold, and how they are painted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QPointF,
    QRect,
    QRectF,
    QSize,
    Qt,
)
from PySide6.QtGui import QColor, QFont, QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from mseg_studio.taxonomy.model import ClassInfo
from mseg_studio.ui.theme import Theme, sized
from mseg_studio.ui.widgets import draw_bar, draw_swatch

ROW = Qt.ItemDataRole.UserRole + 1
_ROW_PX = 25


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One row: a class, its share of the pixels (0 to 1), whether it is drawn and whether it takes part."""

    info: ClassInfo
    share: float
    drawn: bool
    solo: bool
    part: bool | None = None
    """Whether it takes part, where classes are chosen; None where they are shown and hidden."""

    def words(self) -> str:
        """What a screen reader says."""
        state = "shown alone" if self.solo else "shown" if self.drawn else "hidden"
        if self.part is not None:
            state = "takes part" if self.part else "left out"
        present = f"{100 * self.share:.1f} percent" if self.share else "not in this picture"
        return f"{self.info.name}, id {self.info.id}, {present}, {state}"


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
        if role == ROW:
            return row
        if role == Qt.ItemDataRole.DisplayRole:
            return row.info.name
        return row.words() if role == Qt.ItemDataRole.AccessibleTextRole else None


class ClassDelegate(QStyledItemDelegate):
    """From the left tick box (where classes are chosen), swatch, name, id; from the right eye, solo, share, bar."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        """Rows of one height."""
        return QSize(200, _ROW_PX)

    def spot(self, box: QRect, x: int) -> str:
        """What is at `x` of a row where classes are shown and hidden: eye, solo or nothing."""
        from_right = box.right() - x
        return "eye" if from_right <= 34 else "solo" if from_right <= 58 else ""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """One row."""
        row: ClassRow = index.data(ROW)
        tones = self._theme.tones
        box = QRectF(option.rect)
        painter.save()
        hovered = bool(option.state & QStyle.StateFlag.State_MouseOver)
        if option.state & QStyle.StateFlag.State_Selected and option.state & QStyle.StateFlag.State_HasFocus:
            painter.fillRect(box, QColor(tones.selected))
        elif hovered:
            painter.fillRect(box, QColor(tones.raised))
        left = box.left() + 12
        if row.part is not None:
            self._tick(painter, QRectF(left, box.center().y() - 7, 14, 14), row.part)
            left += 24
        if not row.drawn or row.part is False:
            painter.setOpacity(0.45)
        right = box.right() - (62 if row.part is None else 14)
        self._describe(painter, QRectF(left, box.top(), right - left, box.height()), option.font, row)
        painter.setOpacity(1.0)
        if row.part is None:
            self._icons(painter, box, row, hovered=hovered)
        painter.restore()

    def _describe(self, painter: QPainter, box: QRectF, font: QFont, row: ClassRow) -> None:
        """Swatch, name, id, bar and share."""
        tones, middle, color = self._theme.tones, box.center().y(), QColor(*row.info.rgb)
        draw_swatch(painter, QRectF(box.left(), middle - 6, 12, 12), color, tones)
        painter.setFont(font)
        share = QRectF(box.right() - 52, box.top(), 52, box.height())
        self._text(painter, share, _percent(row.share), tones.text, right=True)
        bar = QRectF(share.left() - 48, middle - 2.5, 46, 5)
        draw_bar(painter, bar, row.share, _seen_on(QColor(tones.track), color, tones.dim), QColor(tones.track))
        number = QRectF(bar.left() - 34, box.top(), 26, box.height())
        self._text(painter, number, str(row.info.id), tones.dim, right=True)
        name = QRectF(box.left() + 20, box.top(), number.left() - box.left() - 22, box.height())
        painter.setFont(sized(font, 13, bold=row.solo))
        self._text(painter, name, row.info.name, tones.text if row.share else tones.dim)

    def _icons(self, painter: QPainter, box: QRectF, row: ClassRow, *, hovered: bool) -> None:
        """Solo and eye, strong where they say something."""
        solo, eye = ("solo", row.solo or hovered), ("eye" if row.drawn else "eye-off", hovered or not row.drawn)
        for (icon, strong), left in ((solo, box.right() - 54), (eye, box.right() - 29)):
            painter.setOpacity(1.0 if strong else 0.38)
            pixmap = self._theme.icon(icon).pixmap(QSize(16, 16), painter.device().devicePixelRatioF())
            painter.drawPixmap(int(left), int(box.center().y() - 8), pixmap)

    def _tick(self, painter: QPainter, box: QRectF, ticked: bool) -> None:
        """A tick box like those of dialogs."""
        tones = self._theme.tones
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QColor(tones.accent if ticked else tones.dim))
        painter.setBrush(QColor(tones.accent if ticked else tones.raised))
        painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
        if ticked:
            pen = QPen(QColor(tones.on_accent), 1.8)
            painter.setPen(pen)
            x, y = box.left(), box.top()
            painter.drawPolyline([QPointF(x + 3.5, y + 7.2), QPointF(x + 6, y + 9.8), QPointF(x + 10.5, y + 4.6)])

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

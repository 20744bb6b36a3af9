"""IoU of every class at the newest validation, as bars in the classes' own colours; one of them can be chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QScrollArea, QSizePolicy, QToolTip, QWidget

from mseg_studio.ui.theme import Theme, sized
from mseg_studio.ui.workspaces.train.words import compact

ROW_PX = 19
_NAME_PX = 128


@dataclass(frozen=True, slots=True)
class ClassBar:
    """One class."""

    name: str
    number: int
    """Id in the taxonomy; -1 where it has none."""
    rgb: tuple[int, int, int]
    iou: float
    """0 to 1, NaN where the class was not there."""
    before: float = math.nan
    """At the validation before."""


class IouBars(QWidget):
    """Draws the bars; a click or Enter chooses a class."""

    chosen = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._bars: tuple[ClassBar, ...] = ()
        self._order = "iou"
        self._at = 0
        self.setAccessibleName("IoU of every class; Enter shows the history of one")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def show_bars(self, bars: tuple[ClassBar, ...]) -> None:
        """Take new values, in the order that was chosen."""
        self._bars = tuple(sorted(bars, key=self._key))
        self._at = min(self._at, max(0, len(self._bars) - 1))
        self._refresh()

    def sort_by(self, order: str) -> None:
        """Order by `name`, `iou` (best first) or `id`."""
        self._order = order
        self.show_bars(self._bars)

    @property
    def bars(self) -> tuple[ClassBar, ...]:
        """What is drawn, from the top."""
        return self._bars

    def row_box(self, row: int) -> QRect:
        """Where a row is."""
        return QRect(0, row * ROW_PX, self.width(), ROW_PX)

    def _key(self, bar: ClassBar) -> tuple[float, str]:
        if self._order == "iou":
            return (math.inf if bar.iou != bar.iou else -bar.iou, bar.name)
        return (bar.number, bar.name) if self._order == "id" else (0, bar.name)

    def _refresh(self) -> None:
        self.setFixedHeight(max(1, len(self._bars)) * ROW_PX + 4)
        self.setAccessibleDescription(", ".join(f"{bar.name} {compact(bar.iou)}" for bar in self._bars[:40]))
        self.update()

    def sizeHint(self) -> QSize:
        """A row for every class."""
        return QSize(260, max(1, len(self._bars)) * ROW_PX + 4)

    # -- mouse and keys ------------------------------------------------------------------------------------------

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Choose the class under the mouse."""
        row = int(event.position().y()) // ROW_PX
        if event.button() == Qt.MouseButton.LeftButton and 0 <= row < len(self._bars):
            self._at = row
            self.chosen.emit(self._bars[row].name)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Up and Down go along the classes, Enter chooses."""
        moves = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1, Qt.Key.Key_PageUp: -8, Qt.Key.Key_PageDown: 8}
        if event.key() in moves and self._bars:
            self._at = max(0, min(len(self._bars) - 1, self._at + moves[Qt.Key(event.key())]))
            area = self._area()
            if area is not None:
                area.ensureVisible(0, self._at * ROW_PX + ROW_PX // 2, 0, ROW_PX)
            self.update()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._bars:
            self.chosen.emit(self._bars[self._at].name)
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        """The tooltip says what changed since the validation before."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            row = event.pos().y() // ROW_PX
            if 0 <= row < len(self._bars):
                QToolTip.showText(event.globalPos(), self.line(self._bars[row]), self)
            return True
        return super().event(event)

    def line(self, bar: ClassBar) -> str:
        """One class in words."""
        number = f", id {bar.number}" if bar.number >= 0 else ""
        if bar.iou != bar.iou:
            return f"{bar.name}{number}: no pixel of it in the validation"
        change = f" ({bar.iou - bar.before:+.3f})" if bar.before == bar.before else ""
        return f"{bar.name}{number}: IoU {bar.iou:.3f}{change}"

    def _area(self) -> QScrollArea | None:
        parent = self.parentWidget()
        area = parent.parentWidget() if parent is not None else None
        return area if isinstance(area, QScrollArea) else None

    # -- drawing -------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the rows in sight."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(sized(self.font(), 11))
        first, last = event.rect().top() // ROW_PX, event.rect().bottom() // ROW_PX
        for row in range(max(0, first), min(len(self._bars), last + 1)):
            self._draw(painter, row, self._bars[row])
        painter.end()

    def _draw(self, painter: QPainter, row: int, bar: ClassBar) -> None:
        tones, metrics = self._theme.tones, painter.fontMetrics()
        top, middle = row * ROW_PX, Qt.AlignmentFlag.AlignVCenter
        name_px = min(_NAME_PX, self.width() // 3)
        if row == self._at and self.hasFocus():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(tones.hover))
            painter.drawRoundedRect(QRectF(0, top, self.width(), ROW_PX), 3, 3)
        there = bar.iou == bar.iou
        painter.setPen(QColor(tones.text if there else tones.dim))
        name = metrics.elidedText(bar.name, Qt.TextElideMode.ElideRight, name_px - 6)
        painter.drawText(QRect(0, top, name_px - 6, ROW_PX), middle | Qt.AlignmentFlag.AlignRight, name)
        left, room = name_px + 2, self.width() - name_px - 44
        width = max(1.5, room * min(1.0, bar.iou)) if there else 0.0
        if there:
            edge = QColor("white" if tones.dark else "black")
            edge.setAlphaF(0.16)
            painter.setPen(edge)
            painter.setBrush(QColor(*bar.rgb))
            painter.drawRoundedRect(QRectF(left + 0.5, top + 3.5, width, ROW_PX - 7), 2, 2)
        painter.setPen(QColor(tones.dim))
        text = f"{bar.iou:.2f}" if there else "–"
        painter.drawText(QRect(round(left + width) + 6, top, 40, ROW_PX), middle, text)


def bars_of(
    iou: Mapping[str, float], before: Mapping[str, float], colours: Mapping[str, tuple[int, tuple[int, int, int]]]
) -> tuple[ClassBar, ...]:
    """Bars of a validation; `colours` are (id, rgb) by class of the taxonomy."""
    grey = (-1, (128, 128, 128))
    return tuple(
        ClassBar(name, *colours.get(name, grey), value, before.get(name, math.nan)) for name, value in iou.items()
    )

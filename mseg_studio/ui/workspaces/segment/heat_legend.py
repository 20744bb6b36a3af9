"""What the colours of a measure mean: a bar with values, over the canvas."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from mseg_studio.ui.canvas.layers import heat_rgb
from mseg_studio.ui.theme import SMALL_PX, Theme, sized

_WORDS: dict[str, tuple[str, str]] = {
    "confidence": ("unsure", "sure"),
    "margin": ("unsure", "sure"),
    "entropy": ("sure", "uncertain"),
    "no target": ("covered", "not covered"),
}
"""What the lowest and the highest value mean."""
_SIZE = QSize(216, 58)
_NOTE_PX = 18
"""More height for a line under the values."""


class HeatLegend(QWidget):
    """Painted as a whole; the mouse passes through to the canvas."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._measure: str | None = None
        self._note = ""
        ramp_1W3 = heat_rgb()[None]
        self._ramp = QImage(ramp_1W3.data, ramp_1W3.shape[1], 1, QImage.Format.Format_RGB888).copy()
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFixedSize(_SIZE)
        self.hide()
        theme.changed.connect(self.update)

    def show_measure(self, measure: str | None, *, note: str = "") -> None:
        """Explain this measure or "no target", None: hide. `note` is said under it."""
        self._measure, self._note = measure, note
        if measure is not None:
            low, high = _WORDS[measure]
            self.setAccessibleName(f"{measure} from 0, {low}, to 1, {high}")
            self.setAccessibleDescription(note)
            self.setFixedSize(_SIZE + QSize(0, _NOTE_PX if note else 0))
            self.update()
        self.setVisible(measure is not None)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Name and meaning, bar, values."""
        if self._measure is None:
            return
        painter, tones = QPainter(self), self._theme.tones
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QColor(tones.line))
        painter.setBrush(QColor(tones.panel))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 8, 8)
        low, high = _WORDS[self._measure]
        room = QRectF(12, 6, self.width() - 24, 16)
        painter.setFont(sized(self.font(), 12))
        painter.setPen(QColor(tones.text))
        painter.drawText(room, Qt.AlignmentFlag.AlignHCenter, self._measure.capitalize())
        painter.setFont(sized(self.font(), SMALL_PX))
        painter.setPen(QColor(tones.dim))
        painter.drawText(room, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, low)
        painter.drawText(room, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, high)
        bar = QRectF(12, 25, self.width() - 24, 8)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(bar, self._ramp)
        for number in range(5):
            x = bar.left() + bar.width() * number / 4
            painter.drawLine(round(x), round(bar.bottom()), round(x), round(bar.bottom()) + 3)
            side = (Qt.AlignmentFlag.AlignLeft, *[Qt.AlignmentFlag.AlignHCenter] * 3, Qt.AlignmentFlag.AlignRight)
            left = (x, x - 20, x - 20, x - 20, x - 40)[number]
            painter.drawText(QRectF(left, bar.bottom() + 4, 40, 14), side[number], f"{number / 4:g}")
        if self._note:
            below = QRectF(8, bar.bottom() + 20, self.width() - 16, 16)
            painter.setPen(QColor(tones.text))
            painter.drawText(below, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignVCenter, self._note)

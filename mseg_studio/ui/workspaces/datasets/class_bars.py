"""Pixels of every class as bars: what a dataset is made of, and what it never shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from mseg_studio.ui.theme import Theme
from mseg_studio.ui.widgets import draw_bar, draw_swatch

_ROW_PX = 24
_PAD_PX = 12


class ClassBars(QWidget):
    """One line a class, largest first: colour, id and name, bar, share of the scored pixels, images."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._classes: list[dict[str, Any]] = []
        self._total = 0
        theme.changed.connect(self.update)
        self.setAccessibleName("Pixels of every class")

    def set_classes(self, classes: Sequence[dict[str, Any]]) -> None:
        """Show the `classes` of a report."""
        self._classes = sorted(classes, key=lambda count: (-count["pixels"], count["id"]))
        self._total = sum(count["pixels"] for count in classes)
        self.setAccessibleDescription(", ".join(self.line(count) for count in self._classes[:20]))
        self.setMinimumHeight(self.sizeHint().height())
        self.updateGeometry()
        self.update()

    def lines(self) -> list[str]:
        """What is drawn, in words."""
        return [self.line(count) for count in self._classes]

    def line(self, count: dict[str, Any]) -> str:
        """One class in words."""
        return f"{count['name']} {self._share(count['pixels'])} in {count['images']} images"

    def images_of(self, count: dict[str, Any]) -> str:
        """In how many images a class was seen."""
        return f"{count['images']} images" if count["pixels"] else "never seen"

    def sizeHint(self) -> QSize:
        """A line for every class."""
        return QSize(360, _ROW_PX * len(self._classes) + 8)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the lines in sight."""
        painter = QPainter(self)
        first = max(0, event.rect().top() // _ROW_PX)
        last = min(len(self._classes), event.rect().bottom() // _ROW_PX + 1)
        largest = max((count["pixels"] for count in self._classes), default=0)
        for place in range(first, last):
            self._draw(painter, place, self._classes[place], largest)
        painter.end()

    def _draw(self, painter: QPainter, place: int, count: dict[str, Any], largest: int) -> None:
        tones, metrics = self._theme.tones, QFontMetrics(self.font())
        top, width = place * _ROW_PX, self.width()
        share_px, images_px = metrics.horizontalAdvance("100.00 %"), metrics.horizontalAdvance("00000 images")
        name_px = min(190, max(96, (width - share_px - images_px - 5 * _PAD_PX) // 2))
        draw_swatch(painter, QRectF(_PAD_PX, top + 6, 12, 12), QColor(*count["rgb"]), tones)
        seen = count["pixels"] > 0
        painter.setPen(QColor(tones.text if seen else tones.dim))
        name = metrics.elidedText(f"{count['id']}  {count['name']}", Qt.TextElideMode.ElideRight, name_px)
        left = _PAD_PX + 20
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRectF(left, top, name_px, _ROW_PX), middle | Qt.AlignmentFlag.AlignLeft, name)
        right = width - _PAD_PX
        painter.setPen(QColor(tones.dim))
        images = self.images_of(count)
        painter.drawText(
            QRectF(right - images_px, top, images_px, _ROW_PX), middle | Qt.AlignmentFlag.AlignRight, images
        )
        right -= images_px + _PAD_PX
        if seen:
            text = self._share(count["pixels"])
            painter.drawText(
                QRectF(right - share_px, top, share_px, _ROW_PX), middle | Qt.AlignmentFlag.AlignRight, text
            )
        right -= share_px + _PAD_PX
        start = left + name_px + _PAD_PX
        if right - start > 20:
            fraction = count["pixels"] / largest if largest else 0.0
            bar = QRectF(start, top + _ROW_PX / 2 - 3, right - start, 6)
            draw_bar(painter, bar, fraction, QColor(tones.accent), QColor(tones.track))

    def _share(self, pixels: int) -> str:
        return f"{100 * pixels / self._total:.2f} %" if self._total else "0 %"

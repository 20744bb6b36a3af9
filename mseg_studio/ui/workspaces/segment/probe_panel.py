"""The pixel under the cursor: its class and id in both taxonomies, the five most probable with bars."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from mseg_studio.inference.events import ProbeReady
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.ui.theme import Theme, sized, small_caps_font
from mseg_studio.ui.widgets import draw_bar, draw_swatch

_LINE = 19


class ProbePanel(QWidget):
    """Painted as a whole: it changes with every move of the mouse."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._pixel: tuple[int, int] | None = None
        self._info: ClassInfo | None = None
        self._taxonomy: Taxonomy | None = None
        self._model_taxonomy = ""
        self._answer: ProbeReady | None = None
        self._hint = self._measured = ""
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self.setAccessibleName("Pixel under the cursor")
        theme.changed.connect(self.update)
        self.clear()

    def clear(self) -> None:
        """No pixel."""
        self._pixel = self._info = self._answer = None
        self.setAccessibleDescription("none")
        self.update()

    def show_pixel(
        self,
        pixel: tuple[int, int],
        info: ClassInfo | None,
        taxonomy: Taxonomy,
        model_taxonomy: str,
        *,
        hint: str = "",
        measured: str = "",
    ) -> None:
        """A pixel, its class and the measure on screen; probabilities follow with `show_answer`, old ones stay."""
        self._pixel, self._info, self._taxonomy, self._model_taxonomy = pixel, info, taxonomy, model_taxonomy
        self._hint, self._measured = hint, measured
        if hint:
            self._answer = None
        self._describe()
        self.update()

    def show_answer(self, answer: ProbeReady) -> None:
        """Probabilities at the pixel; an answer for another pixel is late and dropped."""
        if self._pixel == (answer.x, answer.y):
            self._answer = answer
            self._describe()
            self.update()

    @property
    def words(self) -> str:
        """What the panel says, in one line."""
        return self.accessibleDescription()

    def sizeHint(self) -> QSize:
        """Both lists of five."""
        return QSize(280, 350)

    def minimumSizeHint(self) -> QSize:
        """One list of two."""
        return QSize(200, 110)

    def _describe(self) -> None:
        if self._pixel is None or self._taxonomy is None:
            return
        words = f"pixel {self._pixel[0]}, {self._pixel[1]}: {self._ids_line()}"
        words += f", {self._measured}" if self._measured else ""
        self.setAccessibleDescription(f"{self._info.name if self._info else 'unlabeled'}, {words}")

    def _ids_line(self) -> str:
        if self._taxonomy is None:
            return ""
        number = str(self._info.id) if self._info else str(self._taxonomy.ignore_id)
        line = f"{self._taxonomy.name} {number}"
        if self._answer is not None and self._answer.model_top and self._model_taxonomy != self._taxonomy.name:
            class_id, name, _probability = self._answer.model_top[0]
            line += f"  ·  {self._model_taxonomy} {class_id} {name}"
        return line

    def paintEvent(self, event: QPaintEvent) -> None:
        """Heading, class, ids, lists."""
        painter = QPainter(self)
        tones = self._theme.tones
        painter.fillRect(self.rect(), QColor(tones.panel))
        left, right, y = 12.0, self.width() - 12.0, 6.0
        if self._pixel is None or self._taxonomy is None:
            painter.setPen(QColor(tones.dim))
            box = QRectF(left, y, right - left, 3 * _LINE)
            painter.drawText(box, Qt.TextFlag.TextWordWrap, "Point at the picture to see classes and probabilities.")
            return
        name = self._info.name if self._info else "unlabeled"
        color = QColor(*self._info.rgb) if self._info else QColor(0, 0, 0, 0)
        draw_swatch(painter, QRectF(left, y + 4, 12, 12), color, tones)
        painter.setFont(sized(self.font(), 13, bold=True))
        self._text(painter, left + 20, right - 76, y, name, tones.text)
        painter.setFont(sized(self.font(), 12))
        self._text(painter, right - 90, right, y, f"{self._pixel[0]}, {self._pixel[1]}", tones.dim, to_right=True)
        y += _LINE
        room = painter.fontMetrics().horizontalAdvance(self._measured) + 10 if self._measured else 0
        if room > (right - left) / 2:  # words, not a number: they have a line of their own
            self._text(painter, left, right, y, self._ids_line(), tones.dim)
            y += _LINE
            self._text(painter, left, right, y, self._measured, tones.text)
        else:
            self._text(painter, left, right - room, y, self._ids_line(), tones.dim)
            self._text(painter, right - room, right, y, self._measured, tones.text, to_right=True)
        y += _LINE + 4
        if self._answer is None:
            self._text(painter, left, right, y, self._hint, tones.dim)
            return
        y = self._paint_top(painter, left, right, y, self._taxonomy.name, self._answer.target_top)
        uncovered = self._answer.uncovered
        if uncovered >= 0.0005:
            y = self._paint_row(painter, left, right, y, "no class here", uncovered, tones.warn)
        if self._model_taxonomy != self._taxonomy.name:
            self._paint_top(painter, left, right, y + 6, self._model_taxonomy, self._answer.model_top)

    def _paint_top(
        self,
        painter: QPainter,
        left: float,
        right: float,
        y: float,
        title: str,
        top: tuple[tuple[int, str, float], ...],
    ) -> float:
        tones = self._theme.tones
        if y + 2 * _LINE > self.height():
            return y
        painter.setFont(small_caps_font(self.font()))
        self._text(painter, left, right, y, title, tones.dim)
        y += _LINE
        for _class_id, name, probability in top:
            y = self._paint_row(painter, left, right, y, name, probability, tones.accent)
        return y

    def _paint_row(
        self, painter: QPainter, left: float, right: float, y: float, name: str, share: float, color: str
    ) -> float:
        tones = self._theme.tones
        if y + _LINE > self.height():
            return y
        painter.setFont(sized(self.font(), 12))
        bar_left = left + (right - left) * 0.48
        self._text(painter, left, bar_left - 8, y, name, tones.text)
        bar = QRectF(bar_left, y + _LINE / 2 - 2.5, right - 48 - bar_left, 5)
        draw_bar(painter, bar, share if share >= 0.0005 else 0.0, QColor(color), QColor(tones.track))
        painter.setFont(sized(self.font(), 12))
        self._text(painter, right - 44, right, y, f"{share:.3f}", tones.text, to_right=True)
        return y + _LINE

    def _text(
        self, painter: QPainter, left: float, right: float, y: float, text: str, color: str, *, to_right: bool = False
    ) -> None:
        painter.setPen(QColor(color))
        side = Qt.AlignmentFlag.AlignRight if to_right else Qt.AlignmentFlag.AlignLeft
        box = QRectF(left, y, right - left, _LINE)
        shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, int(box.width()))
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter | side, shown)

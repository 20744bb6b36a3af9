"""Small parts that several panels share: headings, segmented buttons, elided text, tags."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from mseg_studio.ui.theme import Tones, small_caps_font


class ElidedLabel(QLabel):
    """One line of text that is cut with `…` when there is no room; the tooltip then has all of it."""

    def __init__(
        self, text: str = "", *, mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._full, self._mode = "", mode
        self._shorter: tuple[str, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setText(text)

    def setText(self, text: str, *shorter: str) -> None:
        """Show `text`, or the first of `shorter` that there is room for."""
        self._full, self._shorter = text, shorter
        self.setAccessibleName(text)
        self._cut()
        self.updateGeometry()

    def text(self) -> str:
        """The whole text, cut or not."""
        return self._full

    def sizeHint(self) -> QSize:
        """Room for the whole text."""
        hint = super().sizeHint()
        return QSize(QFontMetrics(self.font()).horizontalAdvance(self._full) + 4, hint.height())

    def minimumSizeHint(self) -> QSize:
        """Any width will do."""
        return QSize(0, super().minimumSizeHint().height())

    def resizeEvent(self, event: object) -> None:
        """Cut anew."""
        self._cut()

    def _cut(self) -> None:
        metrics, width = QFontMetrics(self.font()), max(0, self.width())
        texts = (self._full, *self._shorter)
        fitting = next((text for text in texts if metrics.horizontalAdvance(text) <= width), texts[-1])
        shown = metrics.elidedText(fitting, self._mode, width)
        super().setText(shown)
        self.setToolTip(self._full if shown != self._full else "")


class Heading(ElidedLabel):
    """The small capitals over a panel."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__("", parent=parent)
        self.setObjectName("heading")
        self.setFont(small_caps_font(self.font()))
        self.setText(text)


class SegmentedButtons(QWidget):
    """A few exclusive choices side by side."""

    chosen = Signal(str)

    def __init__(self, choices: Sequence[tuple[str, str, str]], parent: QWidget | None = None) -> None:
        """`choices` are (key, text, tooltip)."""
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        self._buttons: dict[str, QPushButton] = {}
        self._group = QButtonGroup(self)
        for number, (key, text, tip) in enumerate(choices):
            button = QPushButton(text)
            button.setObjectName("segment")
            button.setProperty("place", "first" if number == 0 else "last" if number == len(choices) - 1 else "")
            button.setCheckable(True)
            button.setToolTip(tip)
            button.setAccessibleName(f"{text}: {tip}")
            button.clicked.connect(lambda _checked, key=key: self.chosen.emit(key))
            self._group.addButton(button)
            self._buttons[key] = button
            row.addWidget(button)

    def set_current(self, key: str) -> None:
        """Show `key` as chosen; nothing is emitted."""
        self._buttons[key].setChecked(True)

    def button(self, key: str) -> QPushButton:
        """The button of a choice."""
        return self._buttons[key]


class FlatBadge(QLabel):
    """A pill with a word or two; `state` is good, wait or bad."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("badge")
        self.setFixedHeight(20)

    def show_state(self, text: str, state: str, tip: str) -> None:
        """Say `text` in the tone of `state`."""
        self.setText(text)
        self.setToolTip(tip)
        self.setAccessibleName(f"{text}. {tip}")
        self.setProperty("state", state)
        self.style().unpolish(self)
        self.style().polish(self)


def draw_bar(painter: QPainter, box: QRectF, fraction: float, color: QColor, track: QColor) -> None:
    """A rounded bar in `box`, filled from the left; something above zero always shows."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    radius = box.height() / 2
    painter.setBrush(track)
    painter.drawRoundedRect(box, radius, radius)
    if fraction > 0:
        width = max(box.width() * min(1.0, fraction), 2.0)
        painter.setBrush(color)
        painter.drawRoundedRect(QRectF(box.left(), box.top(), width, box.height()), min(radius, width / 2), radius)


def draw_swatch(painter: QPainter, box: QRectF, color: QColor, tones: Tones) -> None:
    """The colour of a class, with an edge so that it shows on any panel."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(color)
    edge = QColor("white" if tones.dark else "black")
    edge.setAlphaF(0.22)
    painter.setPen(edge)
    painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), 3, 3)


def draw_tag(
    painter: QPainter, right: float, middle: float, text: str, font: QFont, back: QColor, ink: QColor
) -> float:
    """A pill with `text`, its right end at `right`; gives its left end."""
    painter.setFont(font)
    metrics = QFontMetrics(font)
    width, height = metrics.horizontalAdvance(text) + 12, metrics.height() + 2
    box = QRectF(right - width, middle - height / 2, width, height)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(back)
    painter.drawRoundedRect(box, height / 2, height / 2)
    painter.setPen(ink)
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
    return box.left()

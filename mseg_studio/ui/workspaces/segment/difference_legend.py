"""What the difference view paints: how much differs, and in which classes; over the canvas."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QEnterEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QVBoxLayout, QWidget

from mseg_studio.labels.comparison import ClassDifference, Comparison
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.ui.canvas.layers import MARK_RGB
from mseg_studio.ui.theme import SMALL_PX, Theme, sized
from mseg_studio.ui.widgets import draw_bar, draw_swatch

_WIDTH, _HEAD_PX, _LINE_PX, _EDGE_PX = 272, 44, 22, 8
_MOST = 6
"""Classes listed; the others are counted."""
_PAIRS_TOLD = 3


class DifferenceLegend(QWidget):
    """A heading and one line a class, most differing pixels first; a click on a line asks to see that class alone."""

    class_clicked = Signal(str)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._comparison: Comparison | None = None
        self._left_out = 0
        self.lines = [ClassLine(theme, self) for _ in range(_MOST)]
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(1, _HEAD_PX, 1, _EDGE_PX)
        self._column.setSpacing(0)
        for line in self.lines:
            line.clicked.connect(lambda _checked=False, line=line: self.class_clicked.emit(line.name))
            self._column.addWidget(line)
        self._column.addStretch(1)
        self.hide()
        theme.changed.connect(self.update)

    def show_comparison(self, comparison: Comparison | None, *, solo: str | None = None) -> None:
        """Explain this comparison, None: hide. `solo` is the class that is drawn alone."""
        self._comparison = comparison
        self.setVisible(comparison is not None)
        if comparison is None:
            return
        found = comparison.by_class()
        for number, line in enumerate(self.lines):
            shown = found[number] if number < len(found) else None
            line.setVisible(shown is not None)
            if shown is not None:
                line.show_class(shown, _pairs_words(comparison, shown), solo=shown.info.name == solo)
        self._left_out = max(0, len(found) - _MOST)
        more = _LINE_PX if self._left_out else 0
        self._column.setContentsMargins(1, _HEAD_PX, 1, _EDGE_PX + more)
        listed = min(len(found), _MOST)
        self.setFixedSize(_WIDTH, _HEAD_PX + listed * _LINE_PX + more + (_EDGE_PX if listed else 0))
        self.setAccessibleName(self.words)
        self.update()

    @property
    def words(self) -> str:
        """The heading in one line."""
        return "" if self._comparison is None else ": ".join(_heading(self._comparison))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Frame, mark, heading; the lines paint themselves."""
        if self._comparison is None:
            return
        painter, tones = QPainter(self), self._theme.tones
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QColor(tones.line))
        painter.setBrush(QColor(tones.panel))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 8, 8)
        draw_swatch(painter, QRectF(12, 8, 12, 12), QColor(MARK_RGB), tones)
        title, note = _heading(self._comparison)
        painter.setFont(sized(self.font(), 12, bold=True))
        painter.setPen(QColor(tones.text))
        painter.drawText(QRectF(32, 5, self.width() - 44, 18), Qt.AlignmentFlag.AlignVCenter, title)
        painter.setFont(sized(self.font(), SMALL_PX))
        painter.setPen(QColor(tones.dim))
        painter.drawText(QRectF(12, 24, self.width() - 24, 16), Qt.AlignmentFlag.AlignVCenter, note)
        if self._left_out:
            box = QRectF(12, self.height() - _EDGE_PX - _LINE_PX, self.width() - 24, _LINE_PX)
            words = f"and {self._left_out} more class" + ("es" if self._left_out > 1 else "")
            painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, words)


class ClassLine(QAbstractButton):
    """Swatch, name, how much of the class differs as bar and share."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme
        self._shown: ClassDifference | None = None
        self._solo = False
        self.setFixedHeight(_LINE_PX)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    @property
    def name(self) -> str:
        """Name of the class."""
        return "" if self._shown is None else self._shown.info.name

    def show_class(self, shown: ClassDifference, pairs: str, *, solo: bool) -> None:
        """Show another class; `pairs` says what the mapping calls its pixels."""
        self._shown, self._solo = shown, solo
        words = f"{shown.differing:,} of {shown.pixels:,} pixels of {self.name} differ. Mapped: {pairs}."
        self.setToolTip(f"{words}\nClick to see this class alone.")
        self.setAccessibleName(f"{self.name}, {_percent(shown.share)} differ")
        self.setAccessibleDescription(words)
        self.update()

    def enterEvent(self, event: QEnterEvent) -> None:
        """Show that it can be clicked."""
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        """Calm again."""
        self.update()

    def sizeHint(self) -> QSize:
        """One line."""
        return QSize(_WIDTH, _LINE_PX)

    def paintEvent(self, event: QPaintEvent) -> None:
        """One line."""
        if self._shown is None:
            return
        painter, tones, box = QPainter(self), self._theme.tones, QRectF(self.rect())
        if self.underMouse() or self.hasFocus() or self._solo:
            painter.fillRect(box, QColor(tones.selected if self._solo else tones.raised))
        middle = box.center().y()
        draw_swatch(painter, QRectF(11, middle - 6, 12, 12), QColor(*self._shown.info.rgb), tones)
        painter.setFont(sized(self.font(), 12, bold=self._solo))
        painter.setPen(QColor(tones.text))
        name = QRectF(31, 0, 118, box.height())
        text = painter.fontMetrics().elidedText(self.name, Qt.TextElideMode.ElideRight, int(name.width()))
        painter.drawText(name, Qt.AlignmentFlag.AlignVCenter, text)
        bar = QRectF(155, middle - 2.5, box.right() - 66 - 155, 5)
        draw_bar(painter, bar, self._shown.share, QColor(MARK_RGB), QColor(tones.track))
        share = QRectF(box.right() - 64, 0, 53, box.height())
        painter.setPen(QColor(tones.text))
        painter.drawText(
            share, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, _percent(self._shown.share)
        )


def class_name(taxonomy: Taxonomy, class_id: int) -> str:
    """Name of a class; of the ignore id that there is none."""
    info = taxonomy.get(class_id)
    return "no target" if info is None else info.name


def _heading(comparison: Comparison) -> tuple[str, str]:
    if not comparison.pairs:
        return "No pixel differs", "Mapping the labels gives the same picture"
    lost = comparison.lost_share
    note = f"{_percent(lost)} have a winner without a target" if lost else "Every winner has a target"
    return f"{_percent(comparison.differing_share)} of the pixels differ", note


def _pairs_words(comparison: Comparison, of: ClassDifference) -> str:
    pairs = [pair for pair in comparison.pairs if pair.projected == of.info.id]
    target = comparison.mapped.taxonomy
    told = [f"{class_name(target, pair.mapped)} {pair.pixels:,}" for pair in pairs[:_PAIRS_TOLD]]
    return ", ".join(told) + (", …" if len(pairs) > _PAIRS_TOLD else "")


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.1f} %" if percent >= 0.05 or not share else "<0.1 %"

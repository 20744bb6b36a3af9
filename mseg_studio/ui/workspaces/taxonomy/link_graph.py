"""One class between the classes it comes from (left) and those it becomes (right), as boxes and curves to walk along.

The boxes are buttons, so Tab, Enter and screen readers work as everywhere; arrow keys go from box to box. The class in
the middle stays in the middle of what is in sight when there are more links than room.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFontMetrics,
    QKeyEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractButton, QFrame, QScrollArea, QWidget

from mseg_studio.ui.theme import Theme, Tones, sized
from mseg_studio.ui.widgets import draw_swatch

if TYPE_CHECKING:
    from mseg_studio.taxonomy.class_links import ClassLinks, Link

BOX_PX = 32
_STEP_PX = BOX_PX + 5
_MARGIN_PX = 10
_EDGE_PX = 4
_ARROWS = {
    Qt.Key.Key_Left: (-1, 0),
    Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (0, -1),
    Qt.Key.Key_Down: (0, 1),
    Qt.Key.Key_Home: (0, -9999),
    Qt.Key.Key_End: (0, 9999),
}


class LinkBox(QAbstractButton):
    """A class at the end of a link, or the missing one of a taxonomy that has no target."""

    arrow = Signal(int, int)
    lit = Signal()

    def __init__(self, link: Link, side: str, theme: Theme, parent: QWidget) -> None:
        """`side` is incoming or outgoing."""
        super().__init__(parent)
        self.link, self.side, self._theme = link, side, theme
        self.setText(link.class_name or "no target")
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        words = _words(link)
        direction = "comes from" if side == "incoming" else "becomes"
        self.setAccessibleName(f"{direction} {self.text()} of {link.taxonomy}{words}")
        self.setToolTip(f"{self.text()}\n{link.taxonomy}{words}")

    @property
    def ink(self) -> str:
        """The colour of the curve to it, as #rrggbb."""
        tones = self._theme.tones
        return {"merge": tones.warn, "split": tones.warn, "none": tones.bad}.get(self.link.kind, tones.link)

    @property
    def is_lit(self) -> bool:
        """Whether it is pointed at or has the keys."""
        return self.hasFocus() or self.underMouse()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Class over taxonomy; the kind of link where it is not one to one."""
        painter = QPainter(self)
        tones = self._theme.tones
        missing = self.link.class_name is None
        edge = tones.bad if missing else tones.accent_hover if self.hasFocus() else tones.line
        _frame(painter, self.rect(), tones.hover if self.underMouse() else tones.raised, edge)
        kind = self.link.kind if self.link.kind in ("merge", "split") else ""
        box = self.rect()
        painter.setFont(sized(self.font(), 10))
        taken = painter.fontMetrics().horizontalAdvance(kind) + 5 if kind else 0
        if kind:
            painter.setPen(QColor(tones.warn))
            end = QRect(box.right() - taken - 1, 2, taken, 14)
            painter.drawText(end, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, kind)
        ink = tones.bad if missing else tones.text
        _two_lines(painter, box, self.text(), self.link.taxonomy, tones, ink=ink, end=taken)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter walks, arrows go to other boxes."""
        key = Qt.Key(event.key())
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.click()
        elif key in _ARROWS and not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier:
            self.arrow.emit(*_ARROWS[key])
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Its curve lights up."""
        super().focusInEvent(event)
        self.lit.emit()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Its curve is one of many again."""
        super().focusOutEvent(event)
        self.lit.emit()

    def enterEvent(self, event: object) -> None:
        """As for focus."""
        self.lit.emit()
        self.update()

    def leaveEvent(self, event: object) -> None:
        """As for focus."""
        self.lit.emit()
        self.update()


class LinkGraph(QScrollArea):
    """Boxes left, the class, boxes right; scrolls when there are many."""

    walked = Signal(str, str)
    """A box was chosen: its taxonomy and class."""
    missing_chosen = Signal(str)
    """The box of a taxonomy without a target was chosen."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.incoming: list[LinkBox] = []
        self.outgoing: list[LinkBox] = []
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidgetResizable(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setMinimumHeight(BOX_PX + 2 * _EDGE_PX)
        self.setAccessibleName("Links of the class")
        self._board = _Board(self)
        self.setWidget(self._board)
        self.verticalScrollBar().valueChanged.connect(lambda _value: self._board.place())
        theme.changed.connect(self._board.update)

    def show_links(self, links: ClassLinks | None, *, under: str = "", rgb: tuple[int, int, int] | None = None) -> None:
        """Show the links of a class; `under` is the dim line under its name, `rgb` its colour."""
        had_focus = any(box.hasFocus() for box in self.boxes)
        for box in self.boxes:
            box.hide()
            box.deleteLater()
        self.incoming = self._make(links.incoming, "incoming") if links is not None else []
        self.outgoing = self._make(links.outgoing, "outgoing") if links is not None else []
        self._board.title = links.class_name if links is not None else ""
        self._board.under, self._board.rgb = under, rgb
        self._board.fit()
        self.verticalScrollBar().setValue(0)
        if had_focus and self.boxes:
            self.boxes[0].setFocus()

    @property
    def boxes(self) -> list[LinkBox]:
        """All boxes, the incoming ones first."""
        return [*self.incoming, *self.outgoing]

    def sizeHint(self) -> QSize:
        """Room for all links, within reason."""
        return QSize(360, min(self._board.minimumHeight(), 8 * _STEP_PX))

    def _make(self, links: tuple[Link, ...], side: str) -> list[LinkBox]:
        made = []
        for link in sorted(links, key=lambda link: link.class_name is None):
            box = LinkBox(link, side, self._theme, self._board)
            box.clicked.connect(lambda _checked=False, link=link: self._choose(link))
            box.arrow.connect(lambda dx, dy, box=box: self._go(box, dx, dy))
            box.lit.connect(lambda box=box: self._light(box))
            box.show()
            made.append(box)
        return made

    def _choose(self, link: Link) -> None:
        if link.class_name is None:
            self.missing_chosen.emit(link.taxonomy)
        else:
            self.walked.emit(link.taxonomy, link.class_name)

    def _go(self, box: LinkBox, dx: int, dy: int) -> None:
        """Move the keys to the neighbour of a box: along its column, or to the nearest of the other one."""
        column, other = (self.incoming, self.outgoing) if box.side == "incoming" else (self.outgoing, self.incoming)
        if dy:
            place = min(max(column.index(box) + dy, 0), len(column) - 1)
            column[place].setFocus(Qt.FocusReason.TabFocusReason)
        elif other and (dx > 0) == (box.side == "incoming"):
            nearest = min(other, key=lambda one: abs(one.y() - box.y()))
            nearest.setFocus(Qt.FocusReason.TabFocusReason)

    def _light(self, box: LinkBox) -> None:
        if box.hasFocus():
            self._board.reveal(box)
        self._board.update()


class _Board(QWidget):
    """What scrolls: places the boxes and paints the curves and the class in the middle."""

    def __init__(self, graph: LinkGraph) -> None:
        super().__init__()
        self._graph = graph
        self._theme = graph._theme
        self.title = self.under = ""
        self.rgb: tuple[int, int, int] | None = None

    def fit(self) -> None:
        """Take the height the boxes need."""
        most = max(len(self._graph.incoming), len(self._graph.outgoing), 1)
        self.setMinimumHeight(_height(most))
        self._graph.updateGeometry()
        self.place()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Place the boxes anew."""
        self.place()

    def _box_width(self) -> int:
        room = self.width() - 2 * _MARGIN_PX
        return max(60, min((room - 2 * 26) // 3, 200))

    def place(self) -> None:
        """Put the boxes where they belong at this size and scroll.

        The longer column scrolls as usual and the shorter one as much slower as it is shorter, so that both begin and
        end together; one that fits stays in the middle.
        """
        width = self._box_width()
        bar, view = self._graph.verticalScrollBar(), self._graph.viewport().height()
        part = bar.value() / bar.maximum() if bar.maximum() else 0.0
        columns = ((self._graph.incoming, _MARGIN_PX), (self._graph.outgoing, self.width() - _MARGIN_PX - width))
        for boxes, left in columns:
            beyond = _beyond(boxes, view)
            top = bar.value() + (-part * beyond if beyond > 0 else -beyond / 2)
            for number, box in enumerate(boxes):
                box.setGeometry(left, round(top) + _EDGE_PX + number * _STEP_PX, width, BOX_PX)
        self.update()

    def reveal(self, box: LinkBox) -> None:
        """Scroll no more than it takes to see a box."""
        boxes = self._graph.incoming if box.side == "incoming" else self._graph.outgoing
        bar, view = self._graph.verticalScrollBar(), self._graph.viewport().height()
        beyond = _beyond(boxes, view)
        if beyond > 0 and bar.maximum():
            top = boxes.index(box) * _STEP_PX
            least, most = (top + _STEP_PX + 2 * _EDGE_PX - view) / beyond, top / beyond
            part = min(max(bar.value() / bar.maximum(), least), most)
            bar.setValue(round(min(max(part, 0.0), 1.0) * bar.maximum()))

    def _centre(self) -> QRect:
        """Where the class is: in the middle of what is in sight."""
        view = self._graph.viewport()
        middle = view.height() // 2 + self._graph.verticalScrollBar().value()
        width = self._box_width()
        return QRect((self.width() - width) // 2, min(middle, self.height()) - BOX_PX // 2, width, BOX_PX)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Curves, then the class."""
        if not self.title:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        centre = self._centre()
        ends: list[tuple[list[LinkBox], QPoint, Callable[[LinkBox], QPoint]]] = [
            (self._graph.incoming, QPoint(centre.left(), centre.center().y()), _right_of),
            (self._graph.outgoing, QPoint(centre.right() + 1, centre.center().y()), _left_of),
        ]
        for boxes, start, end_of in ends:
            for box in sorted(boxes, key=lambda box: box.is_lit):
                # Curves to boxes out of sight would only be a thick bar along the edge.
                if box.link.class_name is not None and self._in_sight(box):
                    self._curve(painter, QPointF(start), QPointF(end_of(box)), box)
        tones = self._theme.tones
        _frame(painter, centre, tones.selected, tones.accent)
        _two_lines(painter, centre, self.title, self.under, tones, ink=tones.text, rgb=self.rgb)

    def _in_sight(self, box: LinkBox) -> bool:
        top = self._graph.verticalScrollBar().value()
        return top - BOX_PX // 2 < box.y() < top + self._graph.viewport().height() - BOX_PX // 2

    def _curve(self, painter: QPainter, start: QPointF, end: QPointF, box: LinkBox) -> None:
        path = QPainterPath(start)
        half = (end.x() - start.x()) / 2
        path.cubicTo(QPointF(start.x() + half, start.y()), QPointF(end.x() - half, end.y()), end)
        pen = QPen(QColor(box.ink), 2.4 if box.is_lit else 1.3)
        if box.link.links == "approximate":
            pen.setDashPattern([3.0, 3.0])
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPath(path)


def _height(number: int) -> int:
    """Height of so many boxes one below the other."""
    return number * _STEP_PX - _STEP_PX + BOX_PX + 2 * _EDGE_PX


def _beyond(boxes: list[LinkBox], view: int) -> int:
    """By how much a column is higher than what is in sight; negative for one that fits."""
    return _height(len(boxes)) - view


def _right_of(box: LinkBox) -> QPoint:
    return QPoint(box.geometry().right() + 1, box.geometry().center().y())


def _left_of(box: LinkBox) -> QPoint:
    return QPoint(box.geometry().left(), box.geometry().center().y())


def _words(link: Link) -> str:
    """What is special about a link, for tooltips and screen readers."""
    kinds = {"merge": "merged with others", "split": "split over several", "none": "", "one": ""}
    parts = [kinds.get(link.kind, ""), "approximate" if link.links == "approximate" else ""]
    said = ", ".join(part for part in parts if part)
    return f", {said}" if said else ""


def _frame(painter: QPainter, box: QRect, ground: str, edge: str) -> None:
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(QColor(ground))
    painter.setPen(QColor(edge))
    painter.drawRoundedRect(QRectF(box).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)


def _two_lines(
    painter: QPainter,
    box: QRect,
    first: str,
    second: str,
    tones: Tones,
    *,
    ink: str,
    rgb: tuple[int, int, int] | None = None,
    end: int = 0,
) -> None:
    """A name over a dim line, each cut to the box; `end` pixels of the first line are taken."""
    left, width = box.left() + 7, box.width() - 12
    base = painter.font()
    for text, top, px, color in ((first, box.top() + 2, 12, ink), (second, box.top() + 16, 10, tones.dim)):
        font = sized(base, px)
        painter.setFont(font)
        painter.setPen(QColor(color))
        indent, room = 0, width - (end if px == 12 else 0)
        if rgb is not None and px == 12:
            draw_swatch(painter, QRectF(left, top + 3, 9, 9), QColor(*rgb), tones)
            painter.setPen(QColor(color))
            indent = 13
        shown = QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideRight, room - indent)
        painter.drawText(QRect(left + indent, top, room - indent, 14), Qt.AlignmentFlag.AlignVCenter, shown)

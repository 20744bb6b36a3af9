"""Two taxonomies side by side: how much of one reaches the other, what is merged, split and lost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QResizeEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from mseg_studio.ui.theme import Theme, small_caps_font
from mseg_studio.ui.widgets import ElidedLabel, FlatBadge
from mseg_studio.ui.workspaces.taxonomy.class_facts import link_button
from mseg_studio.ui.workspaces.taxonomy.image_facts import ImageFacts, percent

if TYPE_CHECKING:
    from mseg_studio.taxonomy.compare import PairReport

_ROW = Qt.ItemDataRole.UserRole + 1
_ROW_PX = 21
_KIND_PX = 66
_TITLE_EDGE_PX = 16
_ROUNDING_PX = 3
"""Widths of letters are rounded, and those of two texts add up to more than the width of both."""
_MORE = " ▾"
_BADGES = {
    "exact": ("good", "The links are published, or invert one to one."),
    "approximate": ("wait", "Links are read backwards or composed: one class stands for all that were merged into it."),
}


@dataclass(frozen=True, slots=True)
class PairRow:
    """One line of the list: what it is about, its text, and the class to walk to."""

    kind: str
    text: str
    taxonomy: str = ""
    class_name: str = ""


class PairSummary(QWidget):
    """The chosen pair; `target_chosen` asks for another target, `walked` for a class of the list."""

    target_chosen = Signal(str)
    difference_clicked = Signal()
    walked = Signal(str, str)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = _Title()
        self.title.setFont(small_caps_font(self.font()))
        self.title.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.menu = QMenu(self.title)
        self.title.setMenu(self.menu)
        self.badge = FlatBadge()
        self.coverage = ElidedLabel()
        self.lost = QLabel()
        self.differing = QLabel()
        self.paint = link_button("paint", "Paint these pixels on the open image")
        self.list = QListWidget()
        self.list.setItemDelegate(_RowDelegate(theme, self.list))
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)
        self.list.setAccessibleName("Merges, splits and what has no link")
        self.list.setMinimumHeight(_ROW_PX)
        self._lay_out()
        self.paint.clicked.connect(self.difference_clicked)
        self.list.itemActivated.connect(self._walk)
        theme.changed.connect(self.list.viewport().update)
        self.show_image(None)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self.title)
        head.addWidget(self.badge)
        head.addStretch(1)
        differing = QHBoxLayout()
        differing.setSpacing(8)
        differing.addWidget(self.differing)
        differing.addWidget(self.paint)
        differing.addStretch(1)
        facts = QVBoxLayout()
        facts.setContentsMargins(12, 0, 12, 0)
        facts.setSpacing(3)
        facts.addWidget(self.coverage)
        facts.addWidget(self.lost)
        facts.addLayout(differing)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 4)
        column.setSpacing(3)
        box = QHBoxLayout()
        box.setContentsMargins(4, 0, 12, 0)  # the title's own padding makes it 12
        box.addLayout(head)
        column.addLayout(box)
        column.addLayout(facts)
        column.addWidget(self.list, 1)

    def offer(self, names: tuple[str, ...]) -> None:
        """The targets to choose from."""
        self.menu.clear()
        for name in names:
            self.menu.addAction(name, partial(self.target_chosen.emit, name))

    def show_report(self, report: PairReport) -> None:
        """Show the links of a pair."""
        self._head(report.source, report.target)
        state, tip = _BADGES[report.quality]
        self.badge.show_state(report.quality, state, tip)
        self.badge.show()
        total = len({source for source, _target in report.links}) + len(report.unmapped)
        through = f", through {report.through}" if report.through else ""
        self.coverage.setText(f"{total - len(report.unmapped)} of {total} classes have a target{through}")
        self.list.clear()
        for row in rows_of(report):
            item = QListWidgetItem(f"{row.kind} {row.text}", self.list)
            item.setData(_ROW, row)
            item.setToolTip(_wrapped(row.text))

    def show_problem(self, source: str, target: str, reason: str) -> None:
        """No report, and why."""
        self._head(source, target)
        self.badge.hide()
        self.coverage.setText(reason)
        self.list.clear()

    def show_image(self, facts: ImageFacts | None) -> None:
        """What the open image says about this pair; None where it is in another one, or there is none."""
        self.lost.setVisible(facts is not None)
        self.differing.setVisible(facts is not None)
        self.paint.setVisible(facts is not None and facts.differing_share > 0)
        if facts is not None:
            lost = escape(percent(facts.no_target_share))
            self.lost.setText(f"on this image <b>{lost}</b> of probability has no target")
            words = f"project and map differ on <b>{escape(percent(facts.differing_share))}</b> of pixels"
            self.differing.setText(words)

    def _head(self, source: str, target: str) -> None:
        self.title.show_words(f"{source} → {target}")
        self.title.setAccessibleName(f"Links from {source} to {target}. Choose another target")

    def _walk(self, item: QListWidgetItem) -> None:
        row: PairRow = item.data(_ROW)
        if row.class_name:
            self.walked.emit(row.taxonomy, row.class_name)


class _Title(QToolButton):
    """The pair, cut where there is no room for it."""

    def __init__(self) -> None:
        super().__init__()
        self.words = ""
        self.setObjectName("flat")
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)

    def show_words(self, words: str) -> None:
        """Say `words`."""
        self.words = words
        self.setToolTip(f"{words}\nChoose another target")
        self.updateGeometry()
        self._cut()

    def sizeHint(self) -> QSize:
        """Room for all of it."""
        width = self.fontMetrics().horizontalAdvance(self.words.upper() + _MORE) + _TITLE_EDGE_PX
        return QSize(width, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """Long names do not widen the panel."""
        return QSize(80, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Cut anew."""
        super().resizeEvent(event)
        self._cut()

    def _cut(self) -> None:
        metrics = self.fontMetrics()
        room = self.width() - _TITLE_EDGE_PX - metrics.horizontalAdvance(_MORE) + _ROUNDING_PX
        self.setText(metrics.elidedText(self.words.upper(), Qt.TextElideMode.ElideMiddle, room) + _MORE)


def rows_of(report: PairReport) -> tuple[PairRow, ...]:
    """The lines of the list: merges, splits, what nothing leads to, what has no target."""
    rows = [
        PairRow("merge", f"{name} ← {', '.join(sources)}", report.target, name)
        for name, sources in report.merges.items()
    ]
    rows += [
        PairRow("split", f"{name} → {', '.join(targets)}", report.source, name)
        for name, targets in report.splits.items()
    ]
    rows += [PairRow("no source", name, report.target, name) for name in report.unreached]
    rows += [PairRow("no target", _stop(name, report), report.source, name) for name in report.unmapped]
    return tuple(rows)


def _stop(name: str, report: PairReport) -> str:
    """A class without a target; where links are composed, how far it gets."""
    middle = report.via.get(name)
    return name if middle is None else f"{name} → {report.through} {middle}, no further"


class _RowDelegate(QStyledItemDelegate):
    """What a line is about in its colour, then the text, cut to the width."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        """Rows of one height."""
        return QSize(160, _ROW_PX)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """One line."""
        row: PairRow = index.data(_ROW)
        tones, box = self._theme.tones, QRectF(option.rect)
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected and option.state & QStyle.StateFlag.State_HasFocus:
            painter.fillRect(box, QColor(tones.selected))
        elif option.state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(box, QColor(tones.raised))
        painter.setFont(option.font)
        inks = {"merge": tones.warn, "split": tones.warn}
        painter.setPen(QColor(inks.get(row.kind, tones.dim)))
        left = box.left() + 12
        painter.drawText(QRectF(left, box.top(), _KIND_PX, box.height()), Qt.AlignmentFlag.AlignVCenter, row.kind)
        painter.setPen(QColor(tones.text))
        rest = QRectF(left + _KIND_PX, box.top(), box.right() - left - _KIND_PX - 12, box.height())
        shown = painter.fontMetrics().elidedText(row.text, Qt.TextElideMode.ElideRight, int(rest.width()))
        painter.drawText(rest, Qt.AlignmentFlag.AlignVCenter, shown)
        painter.restore()


def _wrapped(text: str) -> str:
    """A tooltip of several lines where there are many names."""
    return f"<p>{escape(text)}</p>"

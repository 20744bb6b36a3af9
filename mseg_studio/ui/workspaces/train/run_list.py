"""The list of runs at the left: what each does, which is shown, and which others are drawn over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter
from PySide6.QtWidgets import (
    QLineEdit,
    QListView,
    QPushButton,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from mseg_studio.errors import printable
from mseg_studio.training.run_state import RunState
from mseg_studio.ui.theme import Theme, Tones, sized
from mseg_studio.ui.widgets import Heading
from mseg_studio.ui.workspaces.train.words import second_line

WIDTH_PX = 248
_ROW_PX = 46
_LEFT_PX, _TEXT_PX = 12, 28
_TICK_PX = 14
_FOLDER = Qt.ItemDataRole.UserRole
_Index = QModelIndex | QPersistentModelIndex

STATE_TONE = {
    "running": "accent",
    "starting": "accent",
    "stopping": "warn",
    "queued": "warn",
    "waiting": "warn",
    "failed": "bad",
    "lost": "bad",
}
"""Tone of a run's dot by its state; others are dim."""


class RunsModel(QAbstractListModel):
    """The runs that pass the filter."""

    ticked_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._states: dict[Path, RunState] = {}
        self._shown: list[Path] = []
        self._filter = ""
        self.ticked: set[Path] = set()

    def show_states(self, states: Mapping[Path, RunState]) -> None:
        """Take a new look; rows stay where they are when the same runs are there."""
        self._states = dict(states)
        self.ticked &= set(states)
        self._apply()

    def set_filter(self, text: str) -> None:
        """Show the runs whose name or state has `text`."""
        self._filter = text.strip().lower()
        self._apply()

    def _apply(self) -> None:
        wanted = [path for path, state in self._states.items() if self._filter in f"{path.name} {state.state}".lower()]
        if wanted == self._shown:
            if wanted:
                self.dataChanged.emit(self.index(0), self.index(len(wanted) - 1))
            return
        self.layoutAboutToBeChanged.emit()
        old = self.persistentIndexList()
        before = [self._shown[index.row()] for index in old]
        self._shown = wanted
        places = {path: row for row, path in enumerate(wanted)}
        new = [self.index(places[path]) if path in places else QModelIndex() for path in before]
        self.changePersistentIndexList(old, new)
        self.layoutChanged.emit()

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """Runs shown."""
        return 0 if parent.isValid() else len(self._shown)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Name, folder, tick, and all in words."""
        if not index.isValid() or index.row() >= len(self._shown):
            return None
        path = self._shown[index.row()]
        state = self._states[path]
        if role == Qt.ItemDataRole.DisplayRole:
            return printable(path.name)
        if role == _FOLDER:
            return path
        if role == Qt.ItemDataRole.CheckStateRole:
            return Qt.CheckState.Checked if path in self.ticked else Qt.CheckState.Unchecked
        words = f"{printable(path.name)}, {state.state}, {printable(second_line(state))}"
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return words + (", drawn for comparison" if path in self.ticked else "")
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{words}\n{printable(str(path))}\nSpace draws it in the charts beside the chosen one."
        return None

    def setData(self, index: _Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Tick a run for comparison."""
        if role != Qt.ItemDataRole.CheckStateRole or not index.isValid():
            return False
        path = self._shown[index.row()]
        if Qt.CheckState(value) == Qt.CheckState.Checked:
            self.ticked.add(path)
        else:
            self.ticked.discard(path)
        self.dataChanged.emit(index, index)
        self.ticked_changed.emit()
        return True

    def flags(self, index: _Index) -> Qt.ItemFlag:
        """Runs can be chosen and ticked."""
        return super().flags(index) | Qt.ItemFlag.ItemIsUserCheckable

    def state_at(self, index: _Index) -> RunState:
        """The state of a row's run."""
        return self._states[self._shown[index.row()]]

    def index_of(self, path: Path) -> QModelIndex:
        """The row of a run; no index when it is not shown."""
        return self.index(self._shown.index(path)) if path in self._shown else QModelIndex()

    @property
    def states(self) -> Mapping[Path, RunState]:
        """All runs, shown or not."""
        return self._states


class RunDelegate(QStyledItemDelegate):
    """Dot, name, state; under it what it does; at the right end the tick that draws it for comparison."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        """All rows are alike."""
        return QSize(WIDTH_PX, _ROW_PX)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        """Draw a run."""
        box, tones = QRect(option.rect), self._theme.tones
        flags = option.state
        model = index.model()
        state = model.state_at(index) if isinstance(model, RunsModel) else RunState("new")
        painter.save()
        if flags & QStyle.StateFlag.State_Selected:
            painter.fillRect(box, QColor(tones.selected))
        elif flags & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(box, QColor(tones.hover))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(getattr(tones, STATE_TONE.get(state.state, "dim"))))
        painter.drawEllipse(box.left() + _LEFT_PX, box.top() + 11, 9, 9)
        ticked = index.data(Qt.ItemDataRole.CheckStateRole) == Qt.CheckState.Checked
        offered = ticked or bool(flags & (QStyle.StateFlag.State_MouseOver | QStyle.StateFlag.State_HasFocus))
        if offered:
            self._tick(painter, tick_box(box), ticked, tones)
        self._words(painter, box, index, state, tones, room=_TICK_PX + 6 if offered else 0)
        painter.restore()

    def _words(self, painter: QPainter, box: QRect, index: _Index, state: RunState, tones: Tones, *, room: int) -> None:
        font = sized(painter.font(), 13)
        small = sized(painter.font(), 11)
        right = box.right() - 12
        painter.setFont(small)
        width = painter.fontMetrics().horizontalAdvance(state.state)
        middle = Qt.AlignmentFlag.AlignVCenter
        upper = QRect(box.left(), box.top() + 5, box.width(), 20)
        painter.setPen(QColor(tones.dim))
        painter.drawText(QRect(right - width, upper.top(), width, 20), middle, state.state)
        painter.setFont(font)
        painter.setPen(QColor(tones.text))
        left = box.left() + _TEXT_PX
        wide = right - width - 10 - left
        name = painter.fontMetrics().elidedText(str(index.data()), Qt.TextElideMode.ElideRight, wide)
        painter.drawText(QRect(left, upper.top(), wide, 20), middle, name)
        painter.setFont(small)
        painter.setPen(QColor(tones.bad if state.state in ("failed", "lost") else tones.dim))
        wide = right - left - room
        words = painter.fontMetrics().elidedText(printable(second_line(state)), Qt.TextElideMode.ElideRight, wide)
        painter.drawText(QRect(left, box.top() + 24, wide, 16), middle, words)

    def _tick(self, painter: QPainter, box: QRect, ticked: bool, tones: Tones) -> None:
        painter.setPen(QColor(tones.accent if ticked else tones.dim))
        painter.setBrush(QColor(tones.accent if ticked else tones.raised))
        painter.drawRoundedRect(box, 3, 3)
        if ticked:
            painter.setPen(QColor(tones.on_accent))
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, "✓")


def tick_box(row: QRect) -> QRect:
    """Where the tick of a row is."""
    return QRect(row.right() - 12 - _TICK_PX, row.top() + 25, _TICK_PX, _TICK_PX)


class _View(QListView):
    """A click on the tick of a run ticks it and chooses nothing; so does Space."""

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Tick, or choose."""
        place = event.position().toPoint()
        index = self.indexAt(place)
        if index.isValid() and tick_box(self.visualRect(index)).adjusted(-6, -6, 6, 6).contains(place):
            self._tick(index)
            return
        super().mousePressEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Space ticks the current run."""
        if event.key() == Qt.Key.Key_Space and self.currentIndex().isValid():
            self._tick(self.currentIndex())
            return
        super().keyPressEvent(event)

    def _tick(self, index: QModelIndex) -> None:
        ticked = index.data(Qt.ItemDataRole.CheckStateRole) == Qt.CheckState.Checked
        wanted = Qt.CheckState.Unchecked if ticked else Qt.CheckState.Checked
        self.model().setData(index, wanted, Qt.ItemDataRole.CheckStateRole)


class RunList(QWidget):
    """Chooses a run, ticks others, finds by name or state."""

    chosen = Signal(object)
    """A Path, or None."""
    picked = Signal()
    """A person wants to see the chosen run."""
    ticked = Signal()
    open_asked = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setMinimumWidth(190)
        self.model = RunsModel()
        self.model.setParent(self)
        self._current: Path | None = None
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Filter…")
        self.filter.setAccessibleName("Filter the runs by name or state")
        self.filter.setClearButtonEnabled(True)
        self.filter.textChanged.connect(self._on_filter)
        self.view = _View()
        self.view.setAccessibleName("Runs; Space draws one in the charts for comparison")
        self.view.setModel(self.model)
        self.view.setItemDelegate(RunDelegate(theme, self.view))
        self.view.setMouseTracking(True)
        self.view.setUniformItemSizes(True)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.selectionModel().currentChanged.connect(self._on_current)
        self.view.clicked.connect(lambda _index: self.picked.emit())
        self.model.ticked_changed.connect(self.ticked)
        self.open = QPushButton("Open run folder…")
        self.open.setToolTip("Show a run that lies elsewhere: choose the folder that holds its config.yaml")
        self.open.clicked.connect(self.open_asked)
        theme.changed.connect(self.view.viewport().update)
        self._lay_out()

    def _lay_out(self) -> None:
        heading = Heading("Runs")
        top = QVBoxLayout()
        top.setContentsMargins(12, 10, 12, 6)
        top.setSpacing(7)
        top.addWidget(heading)
        top.addWidget(self.filter)
        bottom = QVBoxLayout()
        bottom.setContentsMargins(12, 8, 12, 12)
        bottom.addWidget(self.open)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(top)
        column.addWidget(self.view, 1)
        column.addLayout(bottom)

    @property
    def current(self) -> Path | None:
        """The chosen run; it stays chosen while the filter hides it."""
        return self._current

    @property
    def ticked_runs(self) -> Sequence[Path]:
        """The runs to draw for comparison, in the order of the list."""
        return [path for path in self.model.states if path in self.model.ticked]

    def untick(self) -> None:
        """Draw the chosen run alone."""
        self.model.ticked.clear()
        self.view.viewport().update()
        self.ticked.emit()

    def show_states(self, states: Mapping[Path, RunState]) -> None:
        """Take a new look; the first run is chosen when none is."""
        self.model.show_states(states)
        if self._current is not None and self._current not in states:
            self.choose(None)
        if self._current is None and states:
            self.choose(next(iter(states)))
        else:
            self._mark()

    def choose(self, path: Path | None) -> None:
        """Choose a run."""
        changed, self._current = path != self._current, path
        self._mark()
        if changed:
            self.chosen.emit(path)

    def _mark(self) -> None:
        index = self.model.index_of(self._current) if self._current is not None else QModelIndex()
        if index != self.view.currentIndex():
            self.view.setCurrentIndex(index)

    def _on_filter(self, text: str) -> None:
        self.model.set_filter(text)
        self._mark()

    def _on_current(self, index: QModelIndex, _before: QModelIndex) -> None:
        path = index.data(_FOLDER)
        if isinstance(path, Path) and path != self._current:
            self._current = path
            self.chosen.emit(path)
            self.picked.emit()

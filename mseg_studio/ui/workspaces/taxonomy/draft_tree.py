"""The list of a draft's classes: drag, drop, rename, recolour, merge and order by mouse or keys."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QItemSelectionModel, QModelIndex, QPersistentModelIndex, QPointF, QRect, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QCursor,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPolygonF,
)
from PySide6.QtWidgets import QAbstractItemView, QColorDialog, QMenu, QStyleOptionViewItem, QTreeView, QWidget

from mseg_studio.taxonomy.draft import Draft
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.taxonomy.draft_model import DraftModel
from mseg_studio.ui.workspaces.taxonomy.draft_rows import ROW_PX, DraftDelegate

_HINT = "drop on a class to merge, here to make one"
_FIRST_HINT = "drop classes here, or start with New"


class DraftTree(QTreeView):
    """Asks for edits; shows what it is given."""

    edit_asked = Signal(object)
    """An Edit: a function from draft to draft."""
    member_chosen = Signal(str)
    """A universal class was activated."""
    undo_asked = Signal()
    redo_asked = Signal()

    def __init__(self, universal: Taxonomy, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.classes = DraftModel(universal)
        self.classes.edit_asked.connect(self.edit_asked)
        self.setModel(self.classes)
        self.rows = DraftDelegate(theme, self)
        self.setItemDelegate(self.rows)
        self.setHeaderHidden(True)
        self.setIndentation(18)
        self.setUniformRowHeights(True)
        self.setMouseTracking(True)
        self.setExpandsOnDoubleClick(False)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed | QAbstractItemView.EditTrigger.DoubleClicked)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DragDrop)
        self.setDefaultDropAction(Qt.DropAction.CopyAction)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setMinimumHeight(ROW_PX)
        self.setAccessibleName("Classes of my taxonomy")
        self.activated.connect(self._on_activated)
        theme.changed.connect(self.viewport().update)

    def show_draft(self, draft: Draft | None) -> None:
        """Show the classes; what is unfolded and where the keys are stays, by name."""
        open_names = {item.name for row, item in enumerate(self.classes.classes) if self.isExpanded(self._top(row))}
        at = self.classes.owner(self.currentIndex())
        current = self.classes.classes[at].name if at >= 0 else None
        scrolled = self.verticalScrollBar().value()
        self.classes.show_draft(draft)
        for row, item in enumerate(self.classes.classes):
            if item.name in open_names and not self.isExpanded(self._top(row)):
                self.expand(self._top(row))
        names = [item.name for item in self.classes.classes]
        if not self.currentIndex().isValid() and names:
            place = names.index(current) if current in names else min(max(at, 0), len(names) - 1)
            self._select(self._top(place))
        self.verticalScrollBar().setValue(scrolled)
        self.viewport().update()

    def choose(self, row: int, *, rename: bool = False) -> None:
        """Put the keys on a class; `rename` opens the field over its name."""
        index = self._top(row)
        self._select(index)
        self.scrollTo(index)
        if rename:
            self.edit(index)

    def _select(self, index: QModelIndex) -> None:
        """This one alone, whatever key is held: `setCurrentIndex` would add to a selection while Ctrl is."""
        self.selectionModel().setCurrentIndex(index, QItemSelectionModel.SelectionFlag.ClearAndSelect)

    @property
    def chosen_rows(self) -> list[int]:
        """Places of the classes that are selected, in order."""
        found = [index for index in self.selectedIndexes() if self.classes.member(index) is None]
        return sorted({index.row() for index in found})

    @property
    def chosen_members(self) -> list[str]:
        """Universal classes that are selected."""
        names = [self.classes.member(index) for index in self.selectedIndexes()]
        return [name for name in names if name is not None]

    # -- what the keys and the menu do ---------------------------------------------------------------------------

    def merge_chosen(self) -> None:
        """Merge the selected classes; the one with the keys keeps its name."""
        rows = self.chosen_rows
        at = self.classes.owner(self.currentIndex())
        if len(rows) > 1:
            first = at if at in rows else rows[0]
            self.edit_asked.emit(lambda draft: draft.merge((first, *(row for row in rows if row != first))))

    def remove_chosen(self) -> None:
        """Remove the selected classes, and take selected universal classes out of theirs."""
        names = [self.classes.classes[row].name for row in self.chosen_rows]
        members = self.chosen_members
        if names or members:
            self.edit_asked.emit(lambda draft: _removed(draft, names, members))

    def split_chosen(self) -> None:
        """Make a class of its own of every selected universal class."""
        members = self.chosen_members
        if members:
            self.edit_asked.emit(lambda draft: _split(draft, members))

    def move_chosen(self, by: int) -> None:
        """Move the class with the keys up or down: its id changes."""
        row = self.classes.owner(self.currentIndex())
        if 0 <= row + by < len(self.classes.classes) and row >= 0:
            self.edit_asked.emit(lambda draft: draft.moved(row, row + by))

    def recolour(self, row: int) -> None:
        """Ask for another colour of a class."""
        item = self.classes.classes[row]
        dialog = QColorDialog(QColor(*item.rgb), self)
        dialog.setOption(QColorDialog.ColorDialogOption.DontUseNativeDialog)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setWindowTitle(f"Colour of {item.name}")
        dialog.colorSelected.connect(lambda color: self._take_colour(item.name, color))
        dialog.open()

    def _on_activated(self, index: QModelIndex) -> None:
        name = self.classes.member(index)
        if name is not None:
            self.member_chosen.emit(name)

    def _take_colour(self, name: str, color: QColor) -> None:
        names = [item.name for item in self.classes.classes]
        if name in names:
            row, rgb = names.index(name), (color.red(), color.green(), color.blue())
            self.edit_asked.emit(lambda draft: draft.recolour(row, rgb))

    def menu(self) -> QMenu:
        """What can be done with what is selected."""
        menu = QMenu(self)
        rows, members, at = self.chosen_rows, self.chosen_members, self.classes.owner(self.currentIndex())
        one, last = rows[0] if len(rows) == 1 else None, len(self.classes.classes) - 1
        entries: list[tuple[str, str, bool, Callable[[], object]]] = [
            ("Rename", "F2", one is not None, lambda: self.choose(at, rename=True)),
            ("Colour…", "", one is not None, lambda: self.recolour(at)),
            ("Merge selected classes", "Ctrl+M", len(rows) > 1, self.merge_chosen),
            ("Make classes of their own", "", bool(members), self.split_chosen),
            ("Move up", "Alt+Up", one is not None and at > 0, lambda: self.move_chosen(-1)),
            ("Move down", "Alt+Down", one is not None and at < last, lambda: self.move_chosen(1)),
            ("Take out" if members and not rows else "Remove", "Del", bool(rows or members), self.remove_chosen),
        ]
        for text, key, possible, action in entries:
            entry = menu.addAction(text, action)
            entry.setEnabled(possible)
            if key:
                entry.setShortcut(QKeySequence(key))
        return menu

    # -- events --------------------------------------------------------------------------------------------------

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """The menu at the pointer, or at the row with the keys."""
        if not self.classes.classes:
            return
        menu = self.menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        at = event.globalPos()
        if event.reason() == QContextMenuEvent.Reason.Keyboard:
            at = self.viewport().mapToGlobal(self.visualRect(self.currentIndex()).bottomLeft())
        menu.popup(at)

    def event(self, event: QEvent) -> bool:
        """Keep the keys of the list from the window's shortcuts."""
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent) and self._action(event):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Undo, redo, remove, merge, move; all else is the view's."""
        action = self._action(event)
        if action is None:
            super().keyPressEvent(event)
        else:
            action()

    def _action(self, event: QKeyEvent) -> Callable[[], object] | None:
        modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if event.matches(QKeySequence.StandardKey.Undo):
            return self.undo_asked.emit
        control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
        return {
            (control | shift, Qt.Key.Key_Z): self.redo_asked.emit,
            (control, Qt.Key.Key_Y): self.redo_asked.emit,
            (control, Qt.Key.Key_M): self.merge_chosen,
            (Qt.KeyboardModifier.NoModifier, Qt.Key.Key_Delete): self.remove_chosen,
            (Qt.KeyboardModifier.AltModifier, Qt.Key.Key_Up): lambda: self.move_chosen(-1),
            (Qt.KeyboardModifier.AltModifier, Qt.Key.Key_Down): lambda: self.move_chosen(1),
        }.get((modifiers, Qt.Key(event.key())))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """A click on a colour changes it."""
        index = self.indexAt(event.position().toPoint())
        super().mouseReleaseEvent(event)
        on_swatch = index.isValid() and self._swatch(index.row()).contains(event.position().toPoint())
        if on_swatch and self.classes.member(index) is None and event.button() == Qt.MouseButton.LeftButton:
            self.recolour(index.row())

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Rename, but not from the colour, whose single click did something already."""
        index = self.indexAt(event.position().toPoint())
        if not (index.isValid() and self._swatch(index.row()).contains(event.position().toPoint())):
            super().mouseDoubleClickEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The rows, and below them what can be done there."""
        super().paintEvent(event)
        bottom = self._bottom()
        if bottom + ROW_PX <= self.viewport().height():
            painter = QPainter(self.viewport())
            painter.setPen(QColor(self._theme.tones.dim))
            words = _HINT if self.classes.classes else _FIRST_HINT
            box = QRect(12, bottom, self.viewport().width() - 24, ROW_PX)
            shown = painter.fontMetrics().elidedText(words, Qt.TextElideMode.ElideRight, box.width())
            painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, shown)

    def drawRow(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """The ground of a row reaches under its arrow."""
        at = self.viewport().mapFromGlobal(QCursor.pos())
        tones = self._theme.tones
        if self.selectionModel().isSelected(index):
            painter.fillRect(option.rect, QColor(tones.selected))
        elif self.viewport().underMouse() and option.rect.contains(at):
            painter.fillRect(option.rect, QColor(tones.raised))
        super().drawRow(painter, option, index)

    def drawBranches(self, painter: QPainter, rect: QRect, index: QModelIndex | QPersistentModelIndex) -> None:
        """An arrow at classes, on whatever ground the row has; the style's own would be in the accent colour."""
        if self.selectionModel().isSelected(index):
            painter.fillRect(rect, QColor(self._theme.tones.selected))
        if self.classes.member(index) is None and self.classes.rowCount(index):
            x, y = rect.right() - 8.0, rect.center().y() + 1.0
            points = ((-2, -3.5), (2, 0), (-2, 3.5)) if not self.isExpanded(index) else ((-3.5, -2), (0, 2), (3.5, -2))
            painter.save()
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(self._theme.tones.dim))
            painter.drawPolygon(QPolygonF([QPointF(x + dx, y + dy) for dx, dy in points]))
            painter.restore()

    def _bottom(self) -> int:
        """Where the rows end."""
        last = self._top(len(self.classes.classes) - 1)
        if not last.isValid():
            return 0
        if self.isExpanded(last) and self.classes.rowCount(last):
            last = self.classes.index(self.classes.rowCount(last) - 1, 0, last)
        return self.visualRect(last).bottom() + 1

    def _swatch(self, row: int) -> QRect:
        return self.rows.swatch(self.visualRect(self._top(row))).adjusted(-3, -4, 3, 4)

    def _top(self, row: int) -> QModelIndex:
        return self.classes.index(row, 0)


def _removed(draft: Draft, names: list[str], members: list[str]) -> Draft:
    for name in names:
        draft = draft.remove([item.name for item in draft.classes].index(name))
    left = [member for member in members if any(member in item.members for item in draft.classes)]
    return draft.without(left)


def _split(draft: Draft, members: list[str]) -> Draft:
    for member in members:
        draft = draft.add([member])
    return draft

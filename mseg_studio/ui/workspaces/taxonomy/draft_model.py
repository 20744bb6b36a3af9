"""A draft as a tree: its classes, and under each the universal classes it is made of; drags within and from outside.

The model changes nothing itself. An edit is a function from draft to draft that it asks its owner to apply, so every
edit is one step to undo.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PySide6.QtCore import QAbstractItemModel, QByteArray, QMimeData, QModelIndex, QPersistentModelIndex, Qt, Signal

from mseg_studio.taxonomy.draft import Draft, DraftClass
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.ui.workspaces.taxonomy.drag import CLASSES_MIME, names_of, to_mime

ROW = Qt.ItemDataRole.UserRole + 1
"""A DraftClass for a class, (name, rgb) for a universal class in it."""
_ROWS_MIME = "application/x-mseg-draft-rows"
_TOP = 0

Index = QModelIndex | QPersistentModelIndex
Edit = Callable[[Draft], Draft]


class DraftModel(QAbstractItemModel):
    """Two levels; internal ids are 0 for classes and the class's row + 1 for what is in it."""

    edit_asked = Signal(object)
    """An Edit."""

    def __init__(self, universal: Taxonomy) -> None:
        super().__init__()
        self.classes: tuple[DraftClass, ...] = ()
        self.set_universal(universal)

    def set_universal(self, universal: Taxonomy) -> None:
        """Colours of universal classes."""
        self._colours = {info.name: info.rgb for info in universal.classes}

    def show_draft(self, draft: Draft | None) -> None:
        """Show other classes; where only names and colours differ, nothing is folded or deselected."""
        classes = draft.classes if draft is not None else ()
        if [item.members for item in classes] == [item.members for item in self.classes]:
            self.classes = classes
            if classes:
                self.dataChanged.emit(self.index(0, 0), self.index(len(classes) - 1, 0))
            return
        self.beginResetModel()
        self.classes = classes
        self.endResetModel()

    # -- structure -----------------------------------------------------------------------------------------------

    def index(self, row: int, column: int, parent: Index = QModelIndex()) -> QModelIndex:  # noqa: B008 - Qt's own
        """The class at `row`, or what is at `row` of the class `parent`."""
        if not self.hasIndex(row, column, parent):
            return QModelIndex()
        return self.createIndex(row, column, parent.row() + 1 if parent.isValid() else _TOP)

    def parent(self, index: Index) -> QModelIndex:  # type: ignore[override]
        """The class that a universal class is in."""
        owner = index.internalId()
        return self.createIndex(owner - 1, 0, _TOP) if index.isValid() and owner != _TOP else QModelIndex()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own
        """Number of classes, or of universal classes in one."""
        if not parent.isValid():
            return len(self.classes)
        if parent.internalId() != _TOP or parent.column() > 0:
            return 0
        return len(self.classes[parent.row()].members)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own
        """One."""
        return 1

    def flags(self, index: Index) -> Qt.ItemFlag:
        """All can be chosen, dragged and dropped on; classes can be renamed."""
        flag = Qt.ItemFlag
        if not index.isValid():
            return flag.ItemIsDropEnabled
        found = flag.ItemIsEnabled | flag.ItemIsSelectable | flag.ItemIsDragEnabled | flag.ItemIsDropEnabled
        return found | flag.ItemIsEditable if index.internalId() == _TOP else found | flag.ItemNeverHasChildren

    def owner(self, index: Index) -> int:
        """Place of the class that `index` is or is in; -1 for neither."""
        if not index.isValid():
            return -1
        return index.row() if index.internalId() == _TOP else int(index.internalId()) - 1

    def member(self, index: Index) -> str | None:
        """The universal class at `index`, None where a class is."""
        if not index.isValid() or index.internalId() == _TOP:
            return None
        return self.classes[self.owner(index)].members[index.row()]

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Names, rows, tooltips and what a screen reader says."""
        item, member = self.classes[self.owner(index)], self.member(index)
        if role == ROW:
            return item if member is None else (member, self._colours[member])
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return item.name if member is None else member
        if role == Qt.ItemDataRole.ToolTipRole:
            return tooltip(item, index.row()) if member is None else member
        if role == Qt.ItemDataRole.AccessibleTextRole:
            words = f"{item.name}, id {index.row()}, made of {', '.join(item.members) or 'nothing'}"
            return words if member is None else f"{member}, in {item.name}"
        return None

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Ask for another name of a class."""
        name, row = str(value).strip(), index.row()
        if role != Qt.ItemDataRole.EditRole or self.member(index) is not None or name == self.classes[row].name:
            return False
        self.edit_asked.emit(lambda draft: draft.rename(row, name))
        return True

    # -- drag and drop -------------------------------------------------------------------------------------------

    def supportedDropActions(self) -> Qt.DropAction:
        """Whatever the source proposes: what a drop does is decided here."""
        return Qt.DropAction.CopyAction | Qt.DropAction.MoveAction | Qt.DropAction.LinkAction

    def supportedDragActions(self) -> Qt.DropAction:
        """Never a move in Qt's sense, which would take rows away behind the history's back."""
        return Qt.DropAction.CopyAction

    def mimeTypes(self) -> list[str]:
        """Universal classes, and rows of this very model."""
        return [CLASSES_MIME, _ROWS_MIME]

    def mimeData(self, indexes: Sequence[QModelIndex]) -> QMimeData:
        """The universal classes of what is dragged, and which classes where only classes are."""
        names: list[str] = []
        for index in indexes:
            member = self.member(index)
            names += self.classes[index.row()].members if member is None else [member]
        mime = to_mime(tuple(dict.fromkeys(names)))
        if all(self.member(index) is None for index in indexes):
            rows = ",".join(str(row) for row in sorted({index.row() for index in indexes}))
            mime.setData(_ROWS_MIME, QByteArray(f"{id(self)}:{rows}".encode()))
        return mime

    def canDropMimeData(self, data: QMimeData, action: Qt.DropAction, row: int, column: int, parent: Index) -> bool:
        """Universal classes are welcome everywhere; classes of this draft too, but not onto themselves."""
        rows = self._rows(data)
        if rows:
            return not (parent.isValid() and self.owner(parent) in rows)
        return bool(names_of(data))

    def dropMimeData(self, data: QMimeData, action: Qt.DropAction, row: int, column: int, parent: Index) -> bool:
        """Ask for the edit that the drop means."""
        if not self.canDropMimeData(data, action, row, column, parent):
            return False
        edit = self._edit(data, row, self.owner(parent))
        if edit is None:
            return False
        self.edit_asked.emit(edit)
        return True

    def _edit(self, data: QMimeData, place: int, target: int) -> Edit | None:
        """Onto a class: merge into it. Between classes, or below: move there, or a new class there."""
        rows, names = self._rows(data), names_of(data)
        if rows and target >= 0:
            return lambda draft: draft.merge((target, *rows))
        if rows:
            return lambda draft: moved_together(draft, rows, place if place >= 0 else len(draft.classes))
        if not names:
            return None
        if target >= 0:
            return lambda draft: draft.into(target, names)
        return lambda draft: added_at(draft, names, place)

    def _rows(self, data: QMimeData) -> tuple[int, ...]:
        """Places of classes in a drag that began here."""
        owner, _colon, rows = bytes(data.data(_ROWS_MIME).data()).decode(errors="replace").partition(":")
        if owner != str(id(self)) or not rows:
            return ()
        found = tuple(int(row) for row in rows.split(","))
        return found if all(row < len(self.classes) for row in found) else ()


def tooltip(item: DraftClass, place: int) -> str:
    """All of a row whose names do not fit."""
    return f"{item.name}, id {place}\n{', '.join(item.members) or 'made of nothing yet'}"


def moved_together(draft: Draft, rows: Sequence[int], place: int) -> Draft:
    """Classes one after another before the class that is at `place` now; the end where there is none."""
    names = [draft.classes[row].name for row in rows]
    before = next((item.name for item in draft.classes[place:] if item.name not in names), None)
    for name in names:
        at = _place(draft, name)
        to = len(draft.classes) - 1 if before is None else _place(draft, before)
        draft = draft.moved(at, to - 1 if before is not None and at < to else to)
    return draft


def added_at(draft: Draft, names: Sequence[str], place: int) -> Draft:
    """A new class of these universal classes before the class that is at `place` now; the end for -1."""
    before = None
    if place >= 0:
        gone = set(names)
        kept = (item.name for item in draft.classes[place:] if not item.members or set(item.members) - gone)
        before = next(kept, None)
    draft = draft.add(names)
    last = len(draft.classes) - 1
    return draft if before is None else draft.moved(last, _place(draft, before))


def _place(draft: Draft, name: str) -> int:
    return next(place for place, item in enumerate(draft.classes) if item.name == name)

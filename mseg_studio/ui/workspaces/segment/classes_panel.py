"""The classes of the picture, largest first, to show and hide or to choose which take part; a search over all."""

from __future__ import annotations

from collections.abc import Callable, Collection

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QLineEdit, QListView, QVBoxLayout, QWidget

from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.widgets import SegmentedButtons
from mseg_studio.ui.workspaces.segment.class_rows import ROW, ClassDelegate, ClassesModel, ClassRow
from mseg_studio.ui.workspaces.segment.class_subset import Subset, SubsetBar
from mseg_studio.ui.workspaces.segment.results import Result
from mseg_studio.ui.workspaces.segment.threshold_bar import ThresholdBar

_LIMIT = 60
"""Rows of a search among classes to show and hide; among classes to choose all that are found are listed."""
_FIRST = 1 << 40
"""More than any count of pixels."""
_MODES = (
    ("show", "Show and hide", "The eye changes what you see, never the labels"),
    ("part", "Only these classes", "Ticks change the labels: every pixel gets the best of the ticked classes"),
)

Search = Callable[[Taxonomy, str, int], list[ClassInfo]]


class Visibility:
    """Which classes are drawn: some hidden, or one alone. By name, so that it outlives a change of the picture."""

    def __init__(self) -> None:
        self.hidden: set[str] = set()
        self.solo: str | None = None

    def draws(self, info: ClassInfo) -> bool:
        """Whether a class is drawn."""
        return info.name == self.solo if self.solo is not None else info.name not in self.hidden

    def hidden_ids(self, taxonomy: Taxonomy) -> frozenset[int]:
        """Ids that are not drawn."""
        return frozenset(info.id for info in taxonomy.classes if not self.draws(info))

    def toggle_hidden(self, name: str) -> None:
        """Hide a class or show it again; ends a solo."""
        self.solo = None
        self.hidden ^= {name}

    def toggle_solo(self, name: str) -> None:
        """Draw only this class, or all again."""
        self.solo = None if self.solo == name else name

    def show_all(self) -> None:
        """Draw every class."""
        self.hidden, self.solo = set(), None


class ClassesPanel(QWidget):
    """Two modes: show and hide (`visibility_changed`), or choose which classes take part (`only_chosen`)."""

    visibility_changed = Signal()
    only_chosen = Signal(tuple)
    """Ids of the classes that take part, empty for all."""
    counted = Signal(str)
    """Heading of the panel: what is listed."""

    def __init__(self, theme: Theme, search: Search, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._search = search
        self._taxonomy: Taxonomy | None = None
        self._result: Result | None = None
        self._order: dict[int, int] = {}
        """Pixels by id that order the classes to choose from: a row does not jump away when it is unticked."""
        self.visibility = Visibility()
        self.subset = Subset()
        self.modes = SegmentedButtons(_MODES)
        self.modes.set_current("show")
        self.subset_bar = SubsetBar()
        self.threshold = ThresholdBar()
        self.field = QLineEdit()
        self.field.setClearButtonEnabled(True)
        self.field.setAccessibleName("Search classes by name, id or alias")
        self.classes = ClassesModel()
        self.view = QListView()
        self.view.setModel(self.classes)
        self.view.setUniformItemSizes(True)
        self.view.setMouseTracking(True)
        self.view.setMinimumHeight(50)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.view.setAccessibleName("Classes")
        self.delegate = ClassDelegate(theme, self.view)
        self.view.setItemDelegate(self.delegate)
        self.view.viewport().installEventFilter(self)
        self.view.installEventFilter(self)
        self.field.installEventFilter(self)
        self._lay_out()
        self.field.textChanged.connect(lambda _text: self._refresh())
        self.modes.chosen.connect(self._on_mode)
        self.subset_bar.all_clicked.connect(lambda: self._tick(self.subset.every))
        self.subset_bar.none_clicked.connect(lambda: self._tick(()))
        self.subset_bar.found_clicked.connect(lambda: self._tick([row.info.id for row in self.classes.rows]))
        theme.changed.connect(self.view.viewport().update)
        self.follow(None, ())

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 2, 0, 0)
        column.setSpacing(6)
        box = QVBoxLayout()
        box.setContentsMargins(12, 0, 12, 0)
        box.setSpacing(8)
        for widget in (self.modes, self.field, self.subset_bar):
            box.addWidget(widget)
        column.addLayout(box)
        column.addWidget(self.view, 1)
        column.addWidget(self.threshold)

    @property
    def choosing(self) -> bool:
        """Whether ticks are shown in place of eyes."""
        return self.modes.button("part").isChecked()

    def follow(self, taxonomy: Taxonomy | None, only: tuple[int, ...]) -> None:
        """Search this output taxonomy from now on, and tick the classes of it that take part."""
        if taxonomy is not self._taxonomy:
            self._order = {}
        self._taxonomy = taxonomy
        self.subset.follow(taxonomy, only)
        number = f"{len(taxonomy)} " if taxonomy else ""
        self.field.setPlaceholderText(f"Search {number}names, ids, aliases  ·  Ctrl+K")
        self._refresh()

    def set_result(self, result: Result | None) -> None:
        """Show the classes of these labels; a solo of a class of another taxonomy ends."""
        self._result = result
        solo = self.visibility.solo
        if result is not None and solo is not None and solo not in result.labels.taxonomy.names:
            self.visibility.solo = None
        if not self.choosing or not self._order:
            self._order_anew()
        self._refresh()

    def new_picture(self) -> None:
        """Another picture is shown: order the classes to choose from by the next labels."""
        self._order = {}

    def focus_search(self) -> None:
        """Put the cursor into the search field."""
        self.field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.field.selectAll()

    def show_all(self) -> None:
        """Draw every class."""
        self.visibility.show_all()
        self._changed()

    def toggle_hidden(self, row: ClassRow) -> None:
        """Hide the class of a row or show it again."""
        self.visibility.toggle_hidden(row.info.name)
        self._changed()

    def show_alone(self, name: str | None) -> None:
        """Draw only this class; None draws what is not hidden."""
        self.visibility.solo = name
        self._changed()

    def toggle_solo(self, row: ClassRow) -> None:
        """Draw only the class of a row, or all again."""
        self.visibility.toggle_solo(row.info.name)
        self._changed()

    def _changed(self) -> None:
        self._refresh()
        self.visibility_changed.emit()

    def _order_anew(self) -> None:
        """The largest first; where some classes are left out, those that take part before them."""
        self._order = {} if self._result is None else {info.id: pixels for info, pixels in self._result.counts}
        if self.subset.ticked != self.subset.every:
            for class_id in self.subset.ticked:
                self._order[class_id] = self._order.get(class_id, 0) + _FIRST

    def _on_mode(self, _mode: str) -> None:
        self._order_anew()
        self._refresh()

    def _tick(self, class_ids: Collection[int]) -> None:
        self.subset.tick(class_ids)
        self._order_anew()
        self._tell_subset()

    def _toggle_part(self, row: ClassRow) -> None:
        self.subset.toggle(row.info.id)
        self._tell_subset()

    def _tell_subset(self) -> None:
        self._refresh()
        if self.subset.only is not None:
            self.only_chosen.emit(self.subset.only)

    def _refresh(self) -> None:
        result, query = self._result, self.field.text().strip()
        shares: dict[int, float] = {}
        if result is not None and (self._taxonomy is None or result.labels.taxonomy == self._taxonomy):
            total = result.labels.ids_HW.size
            shares = {info.id: pixels / total for info, pixels in result.counts}
        infos, seen, ticked = self._listed(query), self.visibility, self.subset.ticked
        self.classes.set_rows(
            [
                ClassRow(
                    info,
                    shares.get(info.id, 0.0),
                    seen.draws(info),
                    seen.solo == info.name,
                    info.id in ticked if self.choosing else None,
                )
                for info in infos
            ]
        )
        self.subset_bar.show_subset(self.subset, choosing=self.choosing, found=len(infos) if query else None)
        keys = "takes part or is left out" if self.choosing else "is hidden or shown, with Enter shown alone"
        self.view.setAccessibleDescription(f"With Space the class {keys}")
        if query:
            self.counted.emit(f"Search · {len(infos)} found")
        elif result is not None:
            bare = result.unlabeled_share
            what = "Classes in this image" if bare < 0.0005 else "Classes"
            words = f"{what} · {len(shares)} of {len(result.labels.taxonomy)}"
            self.counted.emit(words if bare < 0.0005 else f"{words} · {100 * bare:.1f} % unlabeled")
        else:
            self.counted.emit("Classes")

    def _listed(self, query: str) -> list[ClassInfo]:
        """What a search found; else the classes present, or all where they are chosen from."""
        if self._taxonomy is not None and query:
            return self._search(self._taxonomy, query, len(self._taxonomy) if self.choosing else _LIMIT)
        if self._taxonomy is not None and self.choosing:
            return sorted(self._taxonomy.classes, key=lambda info: -self._order.get(info.id, 0))
        return [] if self._result is None else [info for info, _pixels in self._result.counts]

    # -- mouse and keys on the rows ------------------------------------------------------------------------------

    def eventFilter(self, watched: object, event: QEvent) -> bool:
        """Clicks on eye and solo, keys of the list and of the search field."""
        if watched is self.view.viewport() and isinstance(event, QMouseEvent):
            return self._on_mouse(event)
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if watched is self.view:
                return self._on_list_key(event)
            if watched is self.field:
                return self._on_field_key(event)
        return False

    def _on_mouse(self, event: QMouseEvent) -> bool:
        if event.type() != QEvent.Type.MouseButtonRelease or event.button() != Qt.MouseButton.LeftButton:
            return False
        index = self.view.indexAt(event.position().toPoint())
        if index.isValid() and self.choosing:
            self._toggle_part(index.data(ROW))
        elif index.isValid():
            row: ClassRow = index.data(ROW)
            spot = self.delegate.spot(self.view.visualRect(index), event.position().toPoint().x())
            if spot == "eye":
                self.toggle_hidden(row)
            elif spot == "solo":
                self.toggle_solo(row)
        return False

    def _on_list_key(self, event: QKeyEvent) -> bool:
        index = self.view.currentIndex()
        if not index.isValid():
            return False
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if event.key() == Qt.Key.Key_Space or (enter and self.choosing):
            (self._toggle_part if self.choosing else self.toggle_hidden)(index.data(ROW))
            return True
        if enter:
            self.toggle_solo(index.data(ROW))
        return enter

    def _on_field_key(self, event: QKeyEvent) -> bool:
        if event.key() == Qt.Key.Key_Down and self.classes.rows:
            self.view.setFocus(Qt.FocusReason.TabFocusReason)
            self.view.setCurrentIndex(self.classes.index(0))
            return True
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.classes.rows and self.field.text().strip():
            (self._toggle_part if self.choosing else self.toggle_solo)(self.classes.rows[0])
            return True
        if event.key() == Qt.Key.Key_Escape and self.field.text():
            self.field.clear()
            return True
        return False

"""The table on screen: class and id stay where they are while the taxonomies scroll sideways."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QItemSelectionModel, QModelIndex, QObject, QPersistentModelIndex, QSize, Qt, Signal
from PySide6.QtGui import (
    QBrush,
    QColor,
    QContextMenuEvent,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPalette,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeView,
    QWidget,
)

from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.taxonomy.browser_model import CLASS, FIRST, ID, NAMES, BrowserModel

_WIDTHS = {CLASS: 196, ID: 48}
_COLUMN_PX = 114
_SELECTED = QStyle.StateFlag.State_Selected
_ROW_PX = 25


class _Tree(QTreeView):
    """A tree whose parents stand on a band across all columns."""

    band = QBrush()

    def follow(self, value: int) -> None:
        """Scroll as the other view did; lines that are not laid out yet would stop it short."""
        self.executeDelayedItemsLayout()
        self.verticalScrollBar().setValue(value)

    def drawRow(
        self, painter: QPainter, options: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """The band, then the line."""
        if self.model().hasChildren(index):
            painter.fillRect(options.rect, self.band)
        super().drawRow(painter, options, index)


class BrowserView(_Tree):
    """Class, id and taxonomies; over it a second view of the same selection that shows the first two columns only."""

    class_chosen = Signal(str, str)
    """Show this class: taxonomy, name. The universal class of the current line, or one of a cell by its menu."""
    pair_asked = Signal(str, str)
    """Compare these taxonomies."""
    add_asked = Signal(object)
    """Make one class of the draft of these universal classes."""

    def __init__(self, model: BrowserModel, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._table, self._theme = model, theme
        self._collapsed: set[str] = set()
        self._kept: tuple[tuple[str, ...], str, int] = ((), "", CLASS)
        self._frozen = _Tree(self)
        for view in (self, self._frozen):
            _set_up(view, model)
        self.setAccessibleName("Universal classes and the classes of the chosen taxonomies")
        self._frozen.setAccessibleName("Class and id, which stay while the table scrolls sideways")
        self._frozen.setSelectionModel(self.selectionModel())
        self._freeze()
        self.expanded.connect(self._frozen.expand)
        self.collapsed.connect(self._frozen.collapse)
        self._frozen.expanded.connect(self.expand)
        self._frozen.collapsed.connect(self.collapse)
        self.collapsed.connect(lambda index: self._collapsed.add(index.data()))
        self.expanded.connect(lambda index: self._collapsed.discard(index.data()))
        self.verticalScrollBar().valueChanged.connect(lambda value: self._frozen.follow(value))
        self._frozen.verticalScrollBar().valueChanged.connect(lambda value: self.follow(value))
        self._frozen.header().sectionResized.connect(self._on_frozen_resized)
        self._frozen.header().sortIndicatorChanged.connect(self._on_frozen_sort)
        self.header().sortIndicatorChanged.connect(self._on_sort)
        self.selectionModel().currentChanged.connect(self._on_current)
        model.modelAboutToBeReset.connect(self._keep)
        model.modelReset.connect(self._restore)
        theme.changed.connect(self._dress)
        self._dress()
        self._restore()

    # -- what a person does --------------------------------------------------------------------------------------

    def select_class(self, name: str) -> bool:
        """Make a universal class the current line, and bring it into sight; whether it is shown at all."""
        index = self._table.index_of(name)
        if not index.isValid():
            return False
        if self.currentIndex().siblingAtColumn(CLASS) != index:
            self.expand(index.parent())
            flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
            self.selectionModel().setCurrentIndex(index, flags)
        if not self.viewport().rect().contains(self.visualRect(index)):
            self.scrollTo(index, QAbstractItemView.ScrollHint.PositionAtCenter)
        return True

    def selected_classes(self) -> tuple[str, ...]:
        """Universal classes of the selected lines, in the order of the table."""
        rows = self.selectionModel().selectedRows()
        return self._table.names_at(sorted(rows, key=lambda index: (index.parent().row(), index.row())))

    def copy(self, what: str = "cell") -> None:
        """Copy `cell`, `id` or `name`; of several selected lines all, one a line."""
        rows = sorted(self.selectionModel().selectedRows(), key=lambda index: (index.parent().row(), index.row()))
        column = {"id": ID, "name": CLASS}.get(what, self.currentIndex().column())
        texts = []
        for index in rows or [self.currentIndex()]:
            names = index.siblingAtColumn(column).data(NAMES)
            if column == ID:
                names = (index.siblingAtColumn(ID).data(),)
            if names is not None:
                texts.append(", ".join(filter(None, names)))
        if texts:
            QGuiApplication.clipboard().setText("\n".join(texts))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Ctrl+C copies the cell, Insert adds to the draft, Left and Right go from cell to cell of a class."""
        index = self.currentIndex()
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        elif event.key() == Qt.Key.Key_Insert and self.selected_classes():
            self.add_asked.emit(self.selected_classes())
        elif event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right) and self._table.line(index) is not None:
            step = 1 if event.key() == Qt.Key.Key_Right else -1
            if index.column() + step < 0 and index.parent().isValid():
                self.setCurrentIndex(index.parent())
            elif 0 <= index.column() + step < self._table.columnCount():
                self.setCurrentIndex(index.siblingAtColumn(index.column() + step))
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Copy, and look at what is in the cell."""
        index = self.indexAt(event.pos()) if event.reason() == QContextMenuEvent.Reason.Mouse else self.currentIndex()
        self.show_menu(index, event)

    def menu_for(self, index: QModelIndex) -> QMenu:
        """What can be done with a cell."""
        menu = QMenu(self)
        line, column = self._table.line(index), self._table.column_at(index.column())
        if line is not None:
            menu.addAction("Copy cell").triggered.connect(lambda: self.copy())
            menu.addAction("Copy id").triggered.connect(lambda: self.copy("id"))
            menu.addAction("Copy name").triggered.connect(lambda: self.copy("name"))
        if selected := self.selected_classes():
            words = selected[0] if len(selected) == 1 else f"{len(selected)} classes as one"
            action = menu.addAction(f"Add {words} to my taxonomy")
            action.setShortcut(QKeySequence(Qt.Key.Key_Insert))
            action.triggered.connect(lambda: self.add_asked.emit(selected))
        if line is not None and column is not None:
            menu.addSeparator()
            for name in line.names(column):
                action = menu.addAction(f"Show {name} of {column.name}")
                action.triggered.connect(lambda _checked=False, name=name: self.class_chosen.emit(column.name, name))
        if index.isValid():
            menu.addSeparator()
            section = index.column()
            words = "universal class" if section == CLASS else "id" if column is None else column.name
            menu.addAction(f"Sort by {words}").triggered.connect(
                lambda: self.header().setSortIndicator(section, Qt.SortOrder.AscendingOrder)
            )
        if column is not None:
            source, target = ("universal", column.name) if column.is_output else (column.name, "universal")
            action = menu.addAction(f"Compare {source} → {target}")
            action.triggered.connect(lambda: self.pair_asked.emit(source, target))
        return menu

    def show_menu(self, index: QModelIndex, event: QContextMenuEvent) -> None:
        """Open the menu of a cell; the cell becomes the current one."""
        if not index.isValid():
            return
        if not self.selectionModel().isRowSelected(index.row(), index.parent()):
            self.setCurrentIndex(index)
        elif index != self.currentIndex():
            self.selectionModel().setCurrentIndex(index, QItemSelectionModel.SelectionFlag.NoUpdate)
        menu = self.menu_for(index)
        if menu.actions():
            menu.popup(event.globalPos())
        menu.aboutToHide.connect(menu.deleteLater)

    def _on_current(self, current: QModelIndex, _before: QModelIndex) -> None:
        line = self._table.line(current)
        if line is not None and line.row is not None:
            self.class_chosen.emit("universal", line.name)

    def _dress(self) -> None:
        for view in (self, self._frozen):
            view.band = QBrush(QColor(self._theme.tones.panel))
            view.viewport().update()

    def _on_frozen_sort(self, column: int, order: Qt.SortOrder) -> None:
        if column < FIRST:
            self.header().setSortIndicator(column, order)

    def _on_sort(self, column: int, order: Qt.SortOrder) -> None:
        """The arrow stands where it can be seen, and not over the order of ids that the table begins with."""
        frozen = self._frozen.header()
        frozen.setSortIndicator(column, order)
        plain = (column, order) == (ID, Qt.SortOrder.AscendingOrder)
        frozen.setSortIndicatorShown(column < FIRST and not plain)
        self.header().setSortIndicatorShown(column >= FIRST)

    # -- what stays while the model is made anew -----------------------------------------------------------------

    def _keep(self) -> None:
        line = self._table.line(self.currentIndex())
        if line is not None:  # else what was kept before comes back when it is shown again
            self._kept = (self.selected_classes(), line.name, self.currentIndex().column())

    def _restore(self) -> None:
        for number in range(self._table.rowCount()):
            index = self._table.index(number, CLASS)
            if self._table.line(index) is None:
                for view in (self, self._frozen):
                    view.setExpanded(index, index.data() not in self._collapsed)
        for column in range(FIRST, self._table.columnCount()):
            self.header().resizeSection(column, _COLUMN_PX)
            self._frozen.setColumnHidden(column, True)
        selected, name, column = self._kept
        selection, flags = self.selectionModel(), QItemSelectionModel.SelectionFlag
        current = self._table.index_of(name) if name else QModelIndex()
        if current.isValid():
            column = min(column, self._table.columnCount() - 1)
            selection.setCurrentIndex(current.siblingAtColumn(column), flags.NoUpdate)
        for one in selected:
            index = self._table.index_of(one)
            if index.isValid():
                selection.select(index, flags.Select | flags.Rows)
        self._lay()

    # -- the columns that stay -----------------------------------------------------------------------------------

    def _freeze(self) -> None:
        frozen = self._frozen
        frozen.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        frozen.setFocusProxy(self)
        frozen.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        frozen.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        frozen.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        frozen.viewport().installEventFilter(self)
        self.viewport().stackUnder(frozen)
        for view in (self, frozen):
            for column, width in _WIDTHS.items():
                view.header().resizeSection(column, width)

    @property
    def frozen_px(self) -> int:
        """Width of the columns that stay."""
        return self._frozen.header().length()

    def _on_frozen_resized(self, column: int, _old: int, width: int) -> None:
        if column < FIRST:
            self.header().resizeSection(column, width)
            self._lay()

    def _lay(self) -> None:
        top = self.header().height()
        self._frozen.setGeometry(0, 0, self.frozen_px, self.viewport().height() + top)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The first columns keep the height of the table."""
        super().resizeEvent(event)
        self._lay()

    def updateGeometries(self) -> None:
        """As `resizeEvent`: a scroll bar came or went."""
        super().updateGeometries()
        self._lay()

    def scrollTo(
        self,
        index: QModelIndex | QPersistentModelIndex,
        hint: QAbstractItemView.ScrollHint = QAbstractItemView.ScrollHint.EnsureVisible,
    ) -> None:
        """Not beneath the columns that stay, and sideways only for a taxonomy's cell."""
        bar = self.horizontalScrollBar()
        before = bar.value()
        super().scrollTo(index, hint)
        if index.column() < FIRST:
            bar.setValue(before)
            return
        hidden = self.frozen_px - self.visualRect(index).left()
        if hidden > 0:
            bar.setValue(bar.value() - hidden)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The wheel over the columns that stay scrolls the table; their menu is the table's."""
        if watched is self._frozen.viewport():
            if event.type() == QEvent.Type.ContextMenu and isinstance(event, QContextMenuEvent):
                self.show_menu(self._frozen.indexAt(event.pos()), event)
                return True
            if event.type() == QEvent.Type.MouseButtonPress:
                self.setFocus(Qt.FocusReason.MouseFocusReason)
        return super().eventFilter(watched, event)


class Cells(QStyledItemDelegate):
    """Lines of one height, and a merge stays amber on a selected one."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        """Asked once: all lines are alike."""
        return QSize(_COLUMN_PX, _ROW_PX)

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> None:
        """The ink of a cell is its own on a selected line too."""
        super().initStyleOption(option, index)
        if not option.state & _SELECTED:
            return
        palette = option.palette
        palette.setBrush(QPalette.ColorRole.HighlightedText, palette.brush(QPalette.ColorRole.Text))
        option.palette = palette


def _set_up(view: QTreeView, model: BrowserModel) -> None:
    view.setObjectName("browser")
    view.setModel(model)
    view.setItemDelegate(Cells(view))
    view.setUniformRowHeights(True)
    view.setAlternatingRowColors(False)
    view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    view.setDragEnabled(True)
    view.setDragDropMode(QAbstractItemView.DragDropMode.DragOnly)
    view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
    view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
    view.setIndentation(18)
    view.setExpandsOnDoubleClick(True)
    view.setAllColumnsShowFocus(False)
    header = view.header()
    header.setAccessibleName("Columns: press one to sort by it")
    header.setStretchLastSection(False)
    header.setSectionsMovable(False)
    header.setMinimumSectionSize(40)
    header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
    header.setTextElideMode(Qt.TextElideMode.ElideRight)
    header.setSortIndicator(ID, Qt.SortOrder.AscendingOrder)
    view.setSortingEnabled(True)
    header.setSortIndicatorShown(False)

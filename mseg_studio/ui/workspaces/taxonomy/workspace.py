"""The Taxonomy workspace: the table or a pair at the left, one class, the pair and the draft at the right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QSettings, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QHideEvent, QShowEvent
from PySide6.QtWidgets import QLabel, QSplitter, QStackedWidget, QVBoxLayout

from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog
from mseg_studio.taxonomy.master import master_table, search_rows
from mseg_studio.ui.services import Services
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.page import WorkspacePage
from mseg_studio.ui.workspaces.segment.estimate import counted
from mseg_studio.ui.workspaces.taxonomy.browser_model import BrowserModel
from mseg_studio.ui.workspaces.taxonomy.browser_view import BrowserView
from mseg_studio.ui.workspaces.taxonomy.columns_menu import FIRST_CHOICE
from mseg_studio.ui.workspaces.taxonomy.detail import DetailPanel
from mseg_studio.ui.workspaces.taxonomy.pair_page import PairPage
from mseg_studio.ui.workspaces.taxonomy.table_files import (
    add_table,
    ask_table,
    ask_where,
    lint_dialog,
    problems_dialog,
    save_table,
)
from mseg_studio.ui.workspaces.taxonomy.top_bar import TopBar

_DETAIL_PX = 390
_COLUMNS_KEY = "taxonomy/columns"
_TABLE_SUFFIXES = (".yaml", ".yml", ".tsv", ".csv")


class TaxonomyWorkspace(WorkspacePage):
    """Composes the browser and the detail panel; what concerns the open image goes out as signals."""

    pixels_asked = Signal(str, str)
    """Show the pixels of this class (taxonomy, name) on the open image."""
    difference_asked = Signal()
    taxonomies_changed = Signal()
    """One was saved or imported."""
    output_chosen = Signal(str)
    on_screen = Signal(bool)

    def __init__(self, services: Services, theme: Theme, store: QSettings | None = None) -> None:
        """`store` remembers the chosen columns."""
        super().__init__()
        self._catalog: Catalog = services.catalog
        self._store = store
        self._seen: frozenset[str] = frozenset()
        """Columns offered so far: the person's own that are not among them appear at once."""
        self._columns: tuple[str, ...] | None = None
        self.bar = TopBar()
        self.model = BrowserModel(theme, self)
        self.browser = BrowserView(self.model, theme)
        self.pair = PairPage(self._catalog, theme)
        self.detail = DetailPanel(self._catalog, theme)
        self.nothing = QLabel()
        self.nothing.setObjectName("dim")
        self.nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._lay_out()
        self._connect()
        self.reload()
        self.show_pair(UNIVERSAL, "wilddash-19" if "wilddash-19" in self._catalog.names() else UNIVERSAL)
        self.setFocusProxy(self.browser)

    def _lay_out(self) -> None:
        self.setObjectName("panel")
        self.setAcceptDrops(True)
        self._left = QStackedWidget()
        for page in (self.browser, self.pair, self.nothing):
            self._left.addWidget(page)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setHandleWidth(1)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.addWidget(self._left)
        self.splitter.addWidget(self.detail)
        self.splitter.setStretchFactor(0, 1)
        self.splitter.setStretchFactor(1, 0)
        self.splitter.setSizes([900, _DETAIL_PX])
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(1)
        column.addWidget(self.bar)
        column.addWidget(self.splitter, 1)

    def _connect(self) -> None:
        bar = self.bar
        bar.search.textChanged.connect(lambda _text: self._search())
        bar.search.left.connect(self._leave_search)
        bar.views.chosen.connect(self.show_view)
        bar.columns.chosen.connect(self._choose_columns)
        bar.lint.clicked.connect(self._lint)
        bar.import_table.clicked.connect(self._import)
        bar.export.clicked.connect(self._export)
        bar.new.clicked.connect(lambda: self.detail.start_draft(bar.new))
        self.browser.class_chosen.connect(self.detail.show_class)
        self.browser.pair_asked.connect(self.compare)
        self.browser.add_asked.connect(self.detail.add_classes)
        self.pair.class_chosen.connect(self.detail.show_class)
        self.pair.pair_chosen.connect(self.detail.show_pair)
        self.detail.pair_chosen.connect(self.pair.show_pair)
        self.detail.walked.connect(self._on_walked)
        self.detail.pixels_asked.connect(self._on_pixels)
        self.detail.difference_asked.connect(self.difference_asked)
        self.detail.taxonomy_saved.connect(lambda _name: self._on_changed())
        self.detail.output_chosen.connect(self.output_chosen)

    # -- what the window asks ------------------------------------------------------------------------------------

    def facts(self) -> list[str]:
        """What is shown."""
        classes = f"{UNIVERSAL} · {len(self.table.rows)} classes"
        shown = self.model.num_shown
        found = [] if shown == len(self.table.rows) else [f"{shown} found"]
        return [classes, f"{len(self._catalog.names())} taxonomies", *found]

    def aside(self) -> str:
        """What the linter says of all files."""
        if not self._problems:
            return "published table: no faults"
        return f"{counted(self._problems, 'file')} with faults"

    def on_aside(self) -> None:
        """List them."""
        problems_dialog(self._catalog, self).exec()

    def unsaved(self) -> str:
        """A draft."""
        return "The taxonomy that you are making is not saved." if self.detail.unsaved else ""

    def focus_search(self) -> None:
        """Find a class."""
        self.bar.search.setFocus()
        self.bar.search.selectAll()

    # -- what is shown -------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Read all tables anew: one was added or changed."""
        self.table = master_table(self._catalog)
        self._problems = len(self._catalog.problems())
        chosen = self._chosen_columns()
        self.bar.columns.offer(self.table.columns, chosen)
        self.model.set_table(self.table, chosen)
        names = dict.fromkeys([*self._catalog.names(), *(column.name for column in self.table.columns)])
        self.pair.offer(tuple(names))
        self._search()
        self.facts_changed.emit()

    def show_view(self, view: str) -> None:
        """`table` or `pair`."""
        self.bar.show_view(view)
        self._left.setCurrentWidget(self.browser if view == "table" else self.pair)
        self._search()

    def show_class(self, taxonomy: str, class_name: str) -> None:
        """Show a class in the panel, and its line where it has one."""
        self.detail.show_class(taxonomy, class_name)
        self._on_walked(taxonomy, class_name)

    def show_pair(self, source: str, target: str) -> None:
        """Show a pair in the panel and in the Pair view, which does not come forward by itself."""
        self.pair.show_pair(source, target)
        self.detail.show_pair(source, target)

    def compare(self, source: str, target: str) -> None:
        """Show the Pair view of two taxonomies."""
        self.show_pair(source, target)
        self.show_view("pair")

    def _on_walked(self, taxonomy: str, class_name: str) -> None:
        if taxonomy == UNIVERSAL:
            self.browser.select_class(class_name)

    def _on_pixels(self, class_name: str) -> None:
        taxonomy = self.detail.shown[0] if self.detail.shown else UNIVERSAL
        self.pixels_asked.emit(taxonomy, class_name)

    # -- searching and columns -----------------------------------------------------------------------------------

    def _search(self) -> None:
        query, pairs = self.bar.search.text().strip(), self._left.currentWidget() is self.pair
        self.pair.shown.show_text(query)
        found = search_rows(self.table, query) if query and not pairs else None
        self.model.set_found(found)
        if not pairs:
            self.nothing.setText(f"No class, alias or id is like “{query}”.")
            self._left.setCurrentWidget(self.nothing if found == [] else self.browser)
            if found:
                self.browser.select_class(found[0].info.name)
        self.facts_changed.emit()

    def _leave_search(self) -> None:
        page = self._left.currentWidget()
        (self.pair.table if page is self.pair else self.browser).setFocus()

    def _chosen_columns(self) -> tuple[str, ...]:
        """What was chosen last, and a taxonomy of the person's own that was not there before."""
        known = [column.name for column in self.table.columns]
        own = {column.name for column in self.table.columns if column.kind == "yours"}
        if self._columns is None:
            kept = self._store.value(_COLUMNS_KEY) if self._store is not None else None
            wanted = {*FIRST_CHOICE, *own} if kept is None else set(str(kept).split("\n"))
        else:
            wanted = {*self._columns, *(own - self._seen)}
        self._seen = frozenset(known)
        self._columns = tuple(name for name in known if name in wanted)
        return self._columns

    def _choose_columns(self, names: Sequence[str]) -> None:
        self._columns = tuple(names)
        if self._store is not None:
            self._store.setValue(_COLUMNS_KEY, "\n".join(names))
        self.model.set_table(self.table, names)

    # -- files ---------------------------------------------------------------------------------------------------

    def _lint(self) -> None:
        path = ask_table(self, "Lint a table")
        if path is not None:
            lint_dialog(path, self._catalog, self).exec()

    def _import(self) -> None:
        path = ask_table(self, "Import a table")
        if path is not None:
            self.add_table(path)

    def add_table(self, path: Path) -> None:
        """Add a table to the person's own taxonomies; what is wrong with it is said over the page."""
        made, notice = add_table(path, self._catalog)
        self.notice.emit(notice)
        if made:
            self._on_changed()

    def _export(self) -> None:
        path = ask_where(self)
        if path is not None:
            self.notice.emit(save_table(path, self.table, self.bar.columns.names()))

    def _on_changed(self) -> None:
        self.reload()
        self.detail.reload()
        self.taxonomies_changed.emit()

    def showEvent(self, event: QShowEvent) -> None:
        """Somebody looks."""
        super().showEvent(event)
        self.on_screen.emit(True)

    def hideEvent(self, event: QHideEvent) -> None:
        """Nobody looks any more."""
        super().hideEvent(event)
        self.on_screen.emit(False)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """A table can be dropped; pictures are for the window."""
        if _tables(event):
            event.acceptProposedAction()
        else:
            event.ignore()

    def dropEvent(self, event: QDropEvent) -> None:
        """Import what was dropped."""
        for path in _tables(event):
            self.add_table(path)
        event.acceptProposedAction()


def _tables(event: QDropEvent) -> list[Path]:
    paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
    return paths if all(path.suffix.lower() in _TABLE_SUFFIXES for path in paths) else []

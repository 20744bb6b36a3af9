"""Find, choose, copy, compare, make a taxonomy with the mouse and see the open image in it at once."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QDragEnterEvent, QDragMoveEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QColorDialog,
    QFileDialog,
    QHeaderView,
    QLineEdit,
    QMessageBox,
    QWidget,
)

from mseg_studio.settings import resource_folder, user_folder
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.ui.layout_store import layout_store
from mseg_studio.ui.main_window import MainWindow
from mseg_studio.ui.workspaces.segment.message_bar import MessageBar
from mseg_studio.ui.workspaces.taxonomy import browser_model
from mseg_studio.ui.workspaces.taxonomy.browser_model import CLASS, FIRST, ID
from mseg_studio.ui.workspaces.taxonomy.browser_view import BrowserView
from mseg_studio.ui.workspaces.taxonomy.columns_menu import FIRST_CHOICE
from mseg_studio.ui.workspaces.taxonomy.drag import to_mime
from mseg_studio.ui.workspaces.taxonomy.findings_dialog import FindingsDialog
from mseg_studio.ui.workspaces.taxonomy.workspace import TaxonomyWorkspace
from tests.flows.test_segment_journey import color_at
from tests.ui.fakes import Doubles
from tests.ui.test_accessibility import controls

LEFT = Qt.MouseButton.LeftButton
NONE, CTRL, ALT = (
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.AltModifier,
)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, doubles: Doubles) -> Doubles:
    """The doubles with the program's own taxonomies; nothing is segmented with them."""
    catalog = Catalog([resource_folder("taxonomies"), user_folder("taxonomies")])
    object.__setattr__(doubles.services, "catalog", catalog)
    return doubles


def visit(window: MainWindow) -> TaxonomyWorkspace:
    window.activateWindow()
    QTest.qWaitForWindowActive(window)
    QTest.mouseClick(window.workspace_bar.buttons["taxonomy"], LEFT)
    page = window.page("taxonomy")
    assert isinstance(page, TaxonomyWorkspace) and page.isVisible()
    return page


def spot(page: TaxonomyWorkspace, name: str, column: int = CLASS) -> tuple[QWidget, QPoint]:
    """Where a person clicks for a class: the columns that stay lie over the table."""
    index = page.model.index_of(name).siblingAtColumn(column)
    page.browser.scrollTo(index)
    view = page.browser if column >= FIRST else page.browser._frozen
    return view.viewport(), view.visualRect(index).center()


def click(page: TaxonomyWorkspace, name: str, column: int = CLASS, keys: Qt.KeyboardModifier = NONE) -> None:
    widget, place = spot(page, name, column)
    QTest.mouseClick(widget, LEFT, keys, place)


@pytest.fixture
def dragged(monkeypatch: pytest.MonkeyPatch) -> list[QMimeData]:
    """What the browser gave to Qt's drag and drop, which has no platform to go on without a screen."""
    taken: list[QMimeData] = []

    def keep(names: tuple[str, ...]) -> QMimeData:
        taken.append(to_mime(names))
        return to_mime(names)

    monkeypatch.setattr(browser_model, "to_mime", keep)
    return taken


def drag(
    window: MainWindow, dragged: list[QMimeData], start: tuple[QWidget, QPoint], end: tuple[QWidget, QPoint]
) -> None:
    """Press and move in the window until a drag begins; then what Qt sends to where it ends."""
    handle, (widget, place), (target, at) = window.windowHandle(), start, end
    first = widget.mapTo(window, place)
    dragged.clear()
    QTest.mousePress(handle, LEFT, NONE, first)
    QTest.mouseMove(handle, first + QPoint(12, 4))
    QTest.mouseRelease(handle, LEFT, NONE, first + QPoint(12, 4))
    (mime,) = dragged
    copy = Qt.DropAction.CopyAction
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # those that PySide6 6.8 has as well
        moves = [kind(at, copy, mime, LEFT, NONE) for kind in (QDragEnterEvent, QDragMoveEvent)]
    for event in (*moves, QDropEvent(QPointF(at), copy, mime, LEFT, NONE)):
        event.setAccepted(False)
        QApplication.sendEvent(target, event)
        assert event.isAccepted()


def headers(page: TaxonomyWorkspace) -> list[str]:
    return [page.model.headerData(n, Qt.Orientation.Horizontal) for n in range(FIRST, page.model.columnCount())]


def test_a_taxonomy_made_with_the_mouse_segments_the_open_image_at_once(
    open_window: Any, picture: Path, doubles: Doubles, qtbot: Any, dragged: list[QMimeData]
) -> None:
    """Drag classes from the browser, rename, colour, save, use: new labels, and the network did not run again."""
    window = open_window(picture)
    window.workspace.layers.set_opacity(1.0)
    window.workspace.toggle_contours()
    page = visit(window)
    editor = page.detail.editor
    tree = editor.tree.viewport()
    below = (tree, QPoint(tree.width() // 2, tree.height() - 8))
    click(page, "road")
    click(page, "sidewalk_pavement", keys=CTRL)
    assert page.browser.selected_classes() == ("road", "sidewalk_pavement")
    drag(window, dragged, spot(page, "road"), below)
    assert [item.members for item in editor.draft.classes] == [("road", "sidewalk_pavement")]
    drag(window, dragged, spot(page, "sky"), below)
    drag(
        window,
        dragged,
        spot(page, "building"),
        (tree, editor.tree.visualRect(editor.tree.classes.index(1, 0)).center()),
    )
    assert [item.members for item in editor.draft.classes][1] == ("sky", "building")
    rename(editor, 0, "drivable")
    qtbot.waitUntil(lambda: editor.draft.classes[0].name == "drivable")
    recolour(editor, 0, QColor(10, 200, 30))
    runs = doubles.inference.runs
    QTest.mouseClick(editor.use, LEFT)
    field = next(field for field in editor.question.findChildren(QLineEdit) if field.isVisible())
    field.selectAll()
    QTest.keyClicks(field, "my-robot")
    QTest.keyClick(field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: window.current == "segment")
    name = window.session.choice.target
    assert name == "my-robot"
    qtbot.waitUntil(lambda: window.session.result.labels.taxonomy.name == name)
    labels = window.session.result.labels
    assert labels.taxonomy.names == ("drivable", labels.taxonomy.names[1]) and doubles.inference.runs == runs
    assert (user_folder("taxonomies") / f"{name}.yaml").is_file()
    assert window.workspace.controls.target_box.findText(name) >= 0
    assert set(np.unique(labels.ids_HW)) <= {0, 1, 255} and labels.ids_HW[55, 10] == 0 and labels.ids_HW[5, 10] == 1
    assert color_at(window, 10, 55) == (10, 200, 30)
    QTest.keyClick(window, Qt.Key.Key_2, ALT)
    assert (
        name in headers(page)
        and page.model.index_of("road").siblingAtColumn(FIRST + headers(page).index(name)).data() == "drivable"
    )


def rename(editor: Any, row: int, name: str) -> None:
    """Double click on the name, type."""
    tree = editor.tree
    box = tree.visualRect(tree.classes.index(row, 0))
    place = QPoint(box.left() + 60, box.center().y())
    QTest.mouseClick(tree.viewport(), LEFT, NONE, place)
    QTest.mouseDClick(tree.viewport(), LEFT, NONE, place)
    field = next(field for field in tree.findChildren(QLineEdit) if field.isVisible())
    field.selectAll()
    QTest.keyClicks(field, name)
    QTest.keyClick(field, Qt.Key.Key_Return)


def recolour(editor: Any, row: int, color: QColor) -> None:
    """Click on the swatch, choose."""
    tree = editor.tree
    QTest.mouseClick(tree.viewport(), LEFT, NONE, tree._swatch(row).center())
    dialog = next(dialog for dialog in tree.findChildren(QColorDialog) if dialog.isVisible())
    dialog.setCurrentColor(color)
    dialog.accept()


# -- the browser ---------------------------------------------------------------------------------------------------


def test_a_search_finds_shows_and_leads_on(open_window: Any, published: Doubles, qtbot: Any) -> None:
    window = open_window()
    page = visit(window)
    QTest.keyClick(window, Qt.Key.Key_K, CTRL)
    field = page.bar.search
    assert field.hasFocus()
    QTest.keyClicks(field, "rucksack")
    assert page.model.num_shown < 194 and page.detail.shown == ("universal", "backpack")
    assert "found" in window._status.facts.text()
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert page.browser.hasFocus() and page.browser.currentIndex().data() == "backpack"
    QTest.keyClick(window, Qt.Key.Key_K, CTRL)
    QTest.keyClicks(field, "qqqqqqqq")
    assert not page.browser.isVisible() and "qqqqqqqq" in page.nothing.text()
    QTest.keyClick(field, Qt.Key.Key_Escape)
    assert page.model.num_shown == 194 and page.browser.isVisible()
    field.setText("qqqqqqqq")
    field.clear()
    assert page.browser.currentIndex().isValid(), "what was chosen comes back"


def test_columns_are_chosen_by_hand_and_by_kind_and_are_remembered(open_window: Any, published: Doubles) -> None:
    window = open_window()
    page = visit(window)
    assert sorted(headers(page)) == sorted(FIRST_CHOICE) and page.bar.columns.text() == "Columns 7 of 26"
    menu = page.bar.columns
    QTest.mouseClick(menu.presets["test"], LEFT)
    assert headers(page) == ["camvid-11", "kitti-19", "pascal-context-60", "scannet-20", "voc2012", "wilddash-19"]
    row = next(n for n in range(menu.list.count()) if menu.list.item(n).text() == "bdd")
    menu.list.setCurrentRow(row)
    QTest.keyClick(menu.list, Qt.Key.Key_Space)
    assert headers(page)[0] == "bdd" and menu.text() == "Columns 7 of 26"
    window.close()
    assert layout_store().value("workspace") == "taxonomy"
    again = open_window()
    assert again.current == "taxonomy" and headers(again.page("taxonomy")) == headers(page)


def test_sorted_with_the_mouse_on_a_header(open_window: Any, published: Doubles) -> None:
    page = visit(open_window())
    click(page, "bicyclist")
    for view, column in ((page.browser, FIRST + headers(page).index("camvid-11")), (page.browser._frozen, CLASS)):
        header = view.header()
        place = QPoint(header.sectionViewportPosition(column) + 20, header.height() // 2)
        QTest.mouseClick(header.viewport(), LEFT, NONE, place)
        assert page.browser.header().sortIndicatorSection() == column
        assert page.browser.selected_classes() == ("bicyclist",)
    first = page.model.index(0, CLASS)
    assert first.data().startswith("accessory") and page.browser.isExpanded(first)


def test_class_and_id_stay_while_the_table_scrolls_sideways(open_window: Any, published: Doubles) -> None:
    page = visit(open_window())
    QTest.mouseClick(page.bar.columns.presets["all"], LEFT)
    browser = page.browser
    click(page, "road")
    QTest.keyClick(browser, Qt.Key.Key_Right)
    for _ in range(14):
        QTest.keyClick(browser, Qt.Key.Key_Right)
    assert browser.currentIndex().column() == 15 and browser.horizontalScrollBar().value() > 0
    box, frozen = browser.visualRect(browser.currentIndex()), browser._frozen
    assert box.left() >= browser.frozen_px and box.right() <= browser.viewport().width()
    assert frozen.visualRect(page.model.index_of("road")).left() >= 0 and frozen.isVisible()
    assert frozen.horizontalScrollBar().value() == 0
    browser.verticalScrollBar().setValue(300)
    assert frozen.verticalScrollBar().value() == 300
    for column in (CLASS, ID):
        assert frozen.columnWidth(column) == browser.columnWidth(column)


def test_copy_a_cell_an_id_and_several_names(open_window: Any, published: Doubles) -> None:
    page = visit(open_window())
    clipboard = QApplication.clipboard()
    column = FIRST + headers(page).index("mapillary-public65")
    click(page, "terrain", column)
    QTest.keyClick(page.browser, Qt.Key.Key_C, CTRL)
    assert clipboard.text() == "Sand, Terrain"
    click(page, "road", ID)
    QTest.keyClick(page.browser, Qt.Key.Key_C, CTRL)
    assert clipboard.text() == "98"
    click(page, "snow", CLASS, CTRL)
    menu = page.browser.menu_for(page.browser.currentIndex())
    actions = {action.text(): action for action in menu.actions()}
    actions["Copy name"].trigger()
    assert clipboard.text() == "road\nsnow"
    menu = page.browser.menu_for(page.model.index_of("terrain").siblingAtColumn(column))
    actions = {action.text(): action for action in menu.actions()}
    actions["Show Sand of mapillary-public65"].trigger()
    assert page.detail.shown == ("mapillary-public65", "Sand")
    actions["Compare mapillary-public65 → universal"].trigger()
    assert page.pair.isVisible() and page.pair.pair == ("mapillary-public65", "universal")


def test_a_walk_in_the_panel_is_followed_in_the_table(open_window: Any, published: Doubles) -> None:
    page = visit(open_window())
    click(page, "road")
    page.detail.graph.walked.emit("universal", "bicyclist")
    assert page.browser.currentIndex().data() == "bicyclist"
    page.detail.graph.walked.emit("camvid-11", "Bicyclist")
    assert page.detail.shown == ("camvid-11", "Bicyclist") and page.browser.currentIndex().data() == "bicyclist"


def test_a_pair_is_chosen_swapped_and_read(open_window: Any, published: Doubles) -> None:
    page = visit(open_window())
    QTest.mouseClick(page.bar.views.button("pair"), LEFT)
    pair = page.pair
    assert pair.isVisible() and not page.bar.columns.isEnabled() and pair.pair == ("universal", "wilddash-19")
    assert "23 of 194 classes have a target" in pair.words.text() and not pair.through.isVisible()
    for box, name in ((pair.source, "cityscapes-19"), (pair.target, "camvid-11")):
        box.setFocus()
        QTest.keyClicks(box, name)
        box.activated.emit(box.currentIndex())
    assert pair.pair == ("cityscapes-19", "camvid-11") and pair.badge.text() == "approximate"
    assert pair.through.isVisible() and pair.through.text() == "through universal"
    QTest.mouseClick(pair.kinds.button("no target"), LEFT)
    assert pair.shown.rowCount() == len(pair.report.unmapped) == 7
    QTest.mouseClick(pair.table.viewport(), LEFT, NONE, pair.table.visualRect(pair.shown.index(0, 0)).center())
    assert page.detail.shown == ("cityscapes-19", pair.report.unmapped[0])
    QTest.mouseClick(pair.swap, LEFT)
    assert pair.pair == ("camvid-11", "cityscapes-19") and "no links lead" in pair.words.text()
    assert pair.model.rowCount() == 0 and not pair.badge.isVisible()


# -- tables as files -----------------------------------------------------------------------------------------------


def test_tables_are_looked_over_imported_and_exported(
    open_window: Any, published: Doubles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = open_window()
    page = visit(window)
    good, bad = tmp_path / "robot.csv", tmp_path / "broken.csv"
    good.write_text("class,universal\nway,road\nway,runway\nhuman,person\n")
    bad.write_text("class,universal\nway,raod\n")
    shown: list[FindingsDialog] = []
    monkeypatch.setattr(FindingsDialog, "exec", lambda self: shown.append(self))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_a: (str(bad), ""))
    QTest.mouseClick(page.bar.lint, LEFT)
    (line,) = [shown[0].list.item(n).text() for n in range(shown[0].list.count())]
    assert line.startswith(str(bad)) and "row 2" in line and "raod" in line
    QTest.mouseClick(page.bar.import_table, LEFT)
    messages = page.parentWidget().findChild(MessageBar)
    assert any("raod" in text for text in messages.texts) and "robot" not in headers(page)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_a: (str(good), ""))
    QTest.mouseClick(page.bar.import_table, LEFT)
    assert "robot" in headers(page) and window.workspace.controls.target_box.findText("robot") >= 0
    click(page, "runway", FIRST + headers(page).index("robot"))
    assert page.browser.currentIndex().data() == "way"
    out = tmp_path / "table.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_a: (str(out), "CSV (*.csv)"))
    QTest.mouseClick(page.bar.export, LEFT)
    lines = out.read_text().splitlines()
    assert lines[0].endswith(",robot") and len(lines) == 196
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_a: (str(tmp_path / "no" / "t.csv"), ""))
    QTest.mouseClick(page.bar.export, LEFT)
    assert any("t.csv" in text for text in messages.texts)


def test_the_status_bar_counts_files_with_faults_and_lists_them(
    open_window: Any, published: Doubles, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = user_folder("taxonomies")
    folder.mkdir(parents=True)
    (folder / "odd.yaml").write_text("format: 1\nname: odd\nignore_id: 255\nclasses: 3\n")
    window = open_window()
    visit(window)
    assert "universal · 194 classes" in window._status.facts.text()
    assert window._status.aside.text() == "1 file with faults"
    shown: list[FindingsDialog] = []
    monkeypatch.setattr(FindingsDialog, "exec", lambda self: shown.append(self))
    QTest.mouseClick(window._status.aside, LEFT)
    assert "odd.yaml" in shown[0].list.item(0).text()
    (folder / "odd.yaml").unlink()
    window.page("taxonomy").reload()
    assert window._status.aside.text() == "published table: no faults"


# -- with the open image, and for everybody ------------------------------------------------------------------------


def test_pixels_and_differences_lead_to_the_image(
    open_window: Any, picture: Path, doubles: Doubles, qtbot: Any
) -> None:
    window = open_window(picture)
    window.session.choose(target="coarse-3")
    qtbot.waitUntil(lambda: window.session.result.labels.taxonomy.name == "coarse-3")
    page = visit(window)
    qtbot.waitUntil(lambda: window.workspace.comparison.current is not None)
    click(page, "road")
    assert page.detail.pair.differing.isVisible()
    page.detail.pixels_asked.emit("road")
    assert window.current == "segment"
    qtbot.waitUntil(lambda: window.workspace.classes.visibility.solo == "road")
    assert window.workspace.comparison.current is None, "nobody looks"
    window.session.choose(target="coarse-3")
    visit(window).detail.difference_asked.emit()
    assert window.current == "segment" and window.workspace.layers.view == "difference"


def in_its_place(widget: QWidget) -> set[QWidget]:
    """What Tab reaches where it passes a widget by: arrows lead on in a group, the table has the keys of its parts."""
    if isinstance(widget, QAbstractButton) and widget.group() is not None:
        return set(widget.group().buttons())
    over = widget.parentWidget()
    if isinstance(widget, QHeaderView):
        return {over, over.parentWidget()}
    return {over} if isinstance(over, BrowserView) else set()


def test_every_control_has_a_name_and_is_reached_by_tab(open_window: Any, published: Doubles) -> None:
    window = open_window()
    page = visit(window)
    for view in ("table", "pair"):
        page.show_view(view)
        nameless = [
            type(widget).__name__
            for widget in controls(window)
            if not (widget.accessibleName() or getattr(widget, "text", str)().strip())
            and not isinstance(widget.parent(), QLineEdit)
        ]
        assert nameless == []
        reached, widget = set(), page.bar.search
        for _ in range(2000):
            widget = widget.nextInFocusChain()
            if widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
                reached.add(widget)
        missing = [
            f"{type(w).__name__} {w.accessibleName()}"
            for w in controls(window)
            if not ({w, *in_its_place(w)} & reached) and w.isEnabled() and not isinstance(w.parent(), QLineEdit)
        ]
        assert missing == []


def test_without_a_mouse_from_the_table_to_the_draft(open_window: Any, published: Doubles) -> None:
    window = open_window()
    page = visit(window)
    page.browser.setFocus()
    page.browser.select_class("road")
    QTest.keyClick(page.browser, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    QTest.keyClick(page.browser, Qt.Key.Key_Insert)
    assert [item.members for item in page.detail.editor.draft.classes] == [("road", "snow")]
    index = page.browser.currentIndex()
    QTest.keyClick(page.browser, Qt.Key.Key_Right)
    QTest.keyClick(page.browser, Qt.Key.Key_Left)
    QTest.keyClick(page.browser, Qt.Key.Key_Left)
    assert page.browser.currentIndex() == index.parent(), "Left leads to the parent"
    QTest.keyClick(page.browser, Qt.Key.Key_Left)
    assert not page.browser.isExpanded(index.parent()) and not page.browser._frozen.isExpanded(index.parent())


def test_a_draft_is_asked_about_before_it_is_lost(
    open_window: Any, published: Doubles, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = open_window()
    page = visit(window)
    asked: list[str] = []
    answers = [QMessageBox.StandardButton.Cancel, QMessageBox.StandardButton.Discard]
    monkeypatch.setattr(QMessageBox, "question", lambda *args: (asked.append(args[2]), answers.pop(0))[1])
    window.show_workspace("segment")
    page.detail.add_classes(["road"])
    window.actions_table["quit"].trigger()
    assert window.isVisible() and window.current == "taxonomy" and "not saved" in asked[0]
    window.actions_table["quit"].trigger()
    assert not window.isVisible() and len(asked) == 2

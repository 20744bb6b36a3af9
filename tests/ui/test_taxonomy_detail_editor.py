"""A taxonomy made with the mouse: drops, renames, colours, merges, undo, files."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QDragEnterEvent, QDragMoveEvent, QDropEvent, QIcon, QKeyEvent
from PySide6.QtWidgets import QApplication, QColorDialog, QLineEdit, QMenu

from mseg_studio.settings import user_folder
from mseg_studio.taxonomy.catalog import Catalog, default_catalog
from mseg_studio.taxonomy.draft import Draft
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.taxonomy.draft_editor import DraftEditor
from mseg_studio.ui.workspaces.taxonomy.drag import to_mime

COPY, LEFT = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton


@pytest.fixture
def catalog() -> Catalog:
    return default_catalog()


@pytest.fixture
def editor(qtbot: Any, qapp: QApplication, catalog: Catalog) -> Iterator[DraftEditor]:
    theme = Theme(qapp, "dark")
    editor = DraftEditor(catalog, theme)
    editor.resize(390, 420)
    qtbot.addWidget(editor)
    editor.show()
    qtbot.waitExposed(editor)
    yield editor
    theme.close()


def robot(editor: DraftEditor) -> DraftEditor:
    """The draft of the pictures: drivable (3), walkable (2), person (4)."""
    editor.add_classes(["road", "gravel", "runway"])
    editor.add_classes(["sidewalk_pavement", "terrain"])
    editor.add_classes(["person", "bicyclist", "motorcyclist", "rider_other"])
    return editor


def classes(editor: DraftEditor) -> list[tuple[str, tuple[str, ...]]]:
    return [(item.name, item.members) for item in editor.draft.classes] if editor.draft is not None else []


def drop(editor: DraftEditor, mime: QMimeData, at: QPoint) -> bool:
    """What Qt sends when a drag ends at `at`; whether the drop was taken."""
    view, none = editor.tree.viewport(), Qt.KeyboardModifier.NoModifier
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # those that PySide6 6.8 has as well
        moves = [kind(at, COPY, mime, LEFT, none) for kind in (QDragEnterEvent, QDragMoveEvent)]
    for event in (*moves, end := QDropEvent(QPointF(at), COPY, mime, LEFT, none)):
        event.setAccepted(False)
        QApplication.sendEvent(view, event)
    return end.isAccepted()


def row_at(editor: DraftEditor, row: int, part: float = 0.5) -> QPoint:
    box = editor.tree.visualRect(editor.tree.classes.index(row, 0))
    return QPoint(box.center().x(), round(box.top() + part * box.height()))


def below(editor: DraftEditor) -> QPoint:
    view = editor.tree.viewport()
    return QPoint(view.width() // 2, view.height() - 6)


def dragged_rows(editor: DraftEditor, rows: Sequence[int]) -> QMimeData:
    return editor.tree.classes.mimeData([editor.tree.classes.index(row, 0) for row in rows])


def key(editor: DraftEditor, code: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    QApplication.sendEvent(editor.tree, QKeyEvent(QKeyEvent.Type.KeyPress, code, modifier))


def press(qtbot: Any, editor: DraftEditor, text: str) -> None:
    qtbot.mouseClick(editor.question.button(text), LEFT)


def test_classes_dropped_on_nothing_begin_a_taxonomy(editor: DraftEditor) -> None:
    assert drop(editor, to_mime(["road", "gravel"]), below(editor))
    assert classes(editor) == [("ground", ("road", "gravel"))]
    assert editor.unsaved and editor.line.text() == "Not saved yet"
    assert editor.heading.text() == "My taxonomy · my-taxonomy"
    assert drop(editor, to_mime(["sky"]), below(editor))
    assert [name for name, _members in classes(editor)] == ["ground", "sky"]


def test_classes_dropped_on_a_row_are_merged_into_it(editor: DraftEditor) -> None:
    robot(editor)
    assert drop(editor, to_mime(["sky", "terrain"]), row_at(editor, 0))
    assert classes(editor)[0] == ("ground", ("road", "gravel", "runway", "sky", "terrain"))
    assert classes(editor)[1][1] == ("sidewalk_pavement",)


def test_classes_dropped_between_rows_make_a_class_there(editor: DraftEditor) -> None:
    robot(editor)
    assert drop(editor, to_mime(["sky"]), row_at(editor, 1, 0.0))
    assert [name for name, _members in classes(editor)] == ["ground", "sky", "ground 2", "person"]


def test_what_is_no_class_is_not_taken(editor: DraftEditor) -> None:
    robot(editor)
    before = editor.draft
    text = QMimeData()
    text.setText("road")
    assert not drop(editor, text, row_at(editor, 0))
    drop(editor, to_mime(["unicorn"]), row_at(editor, 0))
    assert editor.draft == before and "unicorn" in editor.line.text()


def test_a_row_dragged_onto_another_is_merged(editor: DraftEditor) -> None:
    robot(editor)
    assert drop(editor, dragged_rows(editor, [0]), row_at(editor, 1))
    assert classes(editor)[0] == ("ground 2", ("sidewalk_pavement", "terrain", "road", "gravel", "runway"))
    assert len(classes(editor)) == 2


def test_a_row_is_not_dropped_onto_itself(editor: DraftEditor) -> None:
    robot(editor)
    before = editor.draft
    assert not drop(editor, dragged_rows(editor, [1]), row_at(editor, 1))
    assert editor.draft == before


@pytest.mark.parametrize(
    ("rows", "place", "part", "order"),
    [([2], 0, 0.0, [2, 0, 1]), ([0], 1, 1.0, [1, 0, 2]), ([0, 1], None, 0.0, [2, 0, 1]), ([0], None, 0.0, [1, 2, 0])],
)
def test_rows_are_put_in_order_by_dragging(
    editor: DraftEditor, rows: list[int], place: int | None, part: float, order: list[int]
) -> None:
    before = classes(robot(editor))
    at = below(editor) if place is None else row_at(editor, place, part)
    assert drop(editor, dragged_rows(editor, rows), at)
    assert classes(editor) == [before[index] for index in order]


def test_a_member_is_dragged_out_of_its_class(editor: DraftEditor) -> None:
    robot(editor)
    tree = editor.tree
    person = tree.classes.index(2, 0)
    tree.expand(person)
    mime = tree.classes.mimeData([tree.classes.index(1, 0, person)])
    assert drop(editor, mime, below(editor))
    assert classes(editor)[2:] == [
        ("person", ("person", "motorcyclist", "rider_other")),
        ("bicyclist", ("bicyclist",)),
    ]
    assert tree.isExpanded(tree.classes.index(2, 0))


def test_rows_of_another_editor_are_only_universal_classes(
    editor: DraftEditor, qapp: QApplication, catalog: Catalog, qtbot: Any
) -> None:
    theme = Theme(qapp, "dark")
    other = DraftEditor(catalog, theme)
    qtbot.addWidget(other)
    other.add_classes(["sky"])
    robot(editor)
    assert drop(editor, dragged_rows(other, [0]), row_at(editor, 2))
    assert "sky" in classes(editor)[2][1] and len(classes(editor)) == 3
    theme.close()


def test_a_double_click_renames_in_place(editor: DraftEditor, qtbot: Any) -> None:
    robot(editor)
    view = editor.tree.viewport()
    qtbot.mouseClick(view, LEFT, pos=row_at(editor, 0))
    qtbot.mouseDClick(view, LEFT, pos=row_at(editor, 0))
    field = view.findChild(QLineEdit)
    assert field is not None and field.text() == "ground"
    field.selectAll()
    qtbot.keyClicks(field, "drivable")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: classes(editor)[0][0] == "drivable")
    assert editor.tree.classes.data(editor.tree.classes.index(0, 0)) == "drivable"


def test_a_name_that_is_taken_is_one_line_and_changes_nothing(editor: DraftEditor) -> None:
    robot(editor)
    index = editor.tree.classes.index(0, 0)
    editor.tree.classes.setData(index, "person")
    assert classes(editor)[0][0] == "ground"
    assert editor.line.text().endswith("names class 'person' twice") and "\n" not in editor.line.text()


def test_a_click_on_the_swatch_changes_the_colour(editor: DraftEditor, qtbot: Any) -> None:
    robot(editor)
    tree = editor.tree
    swatch = tree.rows.swatch(tree.visualRect(tree.classes.index(1, 0)))
    qtbot.mouseClick(tree.viewport(), LEFT, pos=swatch.center())
    dialog = tree.findChild(QColorDialog)
    assert dialog is not None and dialog.testOption(QColorDialog.ColorDialogOption.DontUseNativeDialog)
    dialog.setCurrentColor(QColor(244, 120, 200))
    dialog.accept()
    assert editor.draft is not None and editor.draft.classes[1].rgb == (244, 120, 200)


def test_rows_are_merged_removed_and_moved_by_keys(editor: DraftEditor) -> None:
    robot(editor)
    tree = editor.tree
    tree.choose(2)
    key(editor, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    assert [name for name, _members in classes(editor)] == ["ground", "person", "ground 2"]
    tree.selectAll()
    tree.setCurrentIndex(tree.classes.index(1, 0))
    tree.selectAll()
    key(editor, Qt.Key.Key_M, Qt.KeyboardModifier.ControlModifier)
    assert [name for name, _members in classes(editor)] == ["person"]
    assert len(classes(editor)[0][1]) == 9
    key(editor, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert len(classes(editor)) == 3
    tree.choose(0)
    key(editor, Qt.Key.Key_Delete)
    assert [name for name, _members in classes(editor)] == ["person", "ground 2"]


def test_members_are_taken_out_and_made_classes_of_their_own(editor: DraftEditor) -> None:
    robot(editor)
    tree = editor.tree
    parent = tree.classes.index(2, 0)
    tree.expand(parent)
    tree.setCurrentIndex(tree.classes.index(0, 0, parent))
    tree.split_chosen()
    assert classes(editor)[2:] == [("person", ("bicyclist", "motorcyclist", "rider_other")), ("person 2", ("person",))]
    parent = tree.classes.index(2, 0)
    tree.setCurrentIndex(tree.classes.index(0, 0, parent))
    key(editor, Qt.Key.Key_Delete)
    assert classes(editor)[2][1] == ("motorcyclist", "rider_other")


def test_the_menu_offers_what_can_be_done(editor: DraftEditor) -> None:
    robot(editor)
    editor.tree.choose(0)
    possible = {action.text() for action in editor.tree.menu().actions() if action.isEnabled()}
    assert possible == {"Rename", "Colour…", "Move down", "Remove"}
    editor.tree.selectAll()
    possible = {action.text() for action in editor.tree.menu().actions() if action.isEnabled()}
    assert possible == {"Merge selected classes", "Remove"}


def test_undo_and_redo_walk_all_steps(editor: DraftEditor, qtbot: Any) -> None:
    assert not editor.undo.isEnabled()
    robot(editor)
    states = [classes(editor)]
    for _ in range(3):
        qtbot.mouseClick(editor.undo, LEFT)
        states.append(classes(editor))
    assert [len(state) for state in states] == [3, 2, 1, 0]
    assert not editor.undo.isEnabled() and not editor.unsaved
    for _ in range(3):
        key(editor, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert classes(editor) == states[0] and not editor.redo.isEnabled()


def test_keys_of_the_list_are_kept_from_the_window(editor: DraftEditor) -> None:
    event = QKeyEvent(QKeyEvent.Type.ShortcutOverride, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    event.setAccepted(False)
    QApplication.sendEvent(editor.tree, event)
    assert event.isAccepted()


def test_what_is_left_out_is_counted_listed_and_taken_together(editor: DraftEditor, qtbot: Any) -> None:
    assert editor.left_out.isHidden()
    robot(editor)
    left = editor.left_out
    assert left.toggle.text() == "185 classes left out ▸" and left.list.isHidden()
    qtbot.mouseClick(left.toggle, LEFT)
    assert left.list.isVisible() and left.list.count() == 185
    left.list.item(0).setSelected(True)
    mime = left.list.mimeData(left.list.selectedItems())
    assert drop(editor, mime, row_at(editor, 0))
    assert classes(editor)[0][1][-1] == "backpack" and left.list.count() == 184
    qtbot.mouseClick(left.rest, LEFT)
    assert classes(editor)[3][0] == "other" and len(classes(editor)[3][1]) == 184
    field = editor.tree.viewport().findChild(QLineEdit)
    assert field is not None and field.text() == "other"
    assert left.toggle.text() == "nothing is left out" and left.rest.isHidden()


def test_selected_classes_of_the_browser_are_added_by_a_menu(editor: DraftEditor) -> None:
    robot(editor)
    actions = {action.text(): action for action in editor.add_menu(["sky"]).actions() if action.text()}
    assert list(actions) == ["Make a new class", "Add to ground", "Add to ground 2", "Add to person"]
    actions["Add to ground 2"].trigger()
    assert classes(editor)[1][1] == ("sidewalk_pavement", "terrain", "sky")
    assert editor.tree.chosen_rows == [1]


def test_saving_asks_for_a_name_once(editor: DraftEditor, qtbot: Any, catalog: Catalog) -> None:
    robot(editor)
    qtbot.mouseClick(editor.save_button, LEFT)
    field = editor.question.field
    assert field.isVisible() and editor.foot.isHidden()
    field.clear()
    qtbot.keyClicks(field, "delivery-robot")
    with qtbot.waitSignal(editor.saved) as done:
        qtbot.keyClick(field, Qt.Key.Key_Return)
    assert done.args == ["delivery-robot"] and not editor.unsaved
    assert editor.question.isHidden() and editor.foot.isVisible()
    assert editor.line.text() == "Saved as delivery-robot.yaml: 3 classes"
    assert (user_folder("taxonomies") / "delivery-robot.yaml").is_file()
    assert "delivery-robot" in [choice.name for choice in catalog.outputs("universal")]
    editor.add_classes(["sky"])
    assert editor.unsaved
    qtbot.mouseClick(editor.save_button, LEFT)
    assert not editor.unsaved and len(catalog.taxonomy("delivery-robot")) == 4


def test_a_name_that_was_made_up_can_be_kept_and_comes_back_with_undo(editor: DraftEditor, qtbot: Any) -> None:
    robot(editor)
    qtbot.mouseClick(editor.rename_button, LEFT)
    editor.question.field.setText("robot")
    press(qtbot, editor, "Rename")
    assert editor.heading.text() == "My taxonomy · robot" and editor.question.isHidden()
    qtbot.mouseClick(editor.undo, LEFT)
    qtbot.mouseClick(editor.save_button, LEFT)
    assert editor.question.field.text() == "my-taxonomy" and editor.question.isVisible()
    press(qtbot, editor, "Save")
    assert editor.heading.text() == "My taxonomy · my-taxonomy" and not editor.unsaved


def test_what_is_left_out_can_be_added_by_keys(editor: DraftEditor, qtbot: Any) -> None:
    robot(editor)
    editor.left_out.toggle.setChecked(True)
    names = editor.left_out.list
    names.setFocus()
    names.setCurrentRow(1)
    qtbot.keyClick(names, Qt.Key.Key_Return)
    menu = next(menu for menu in editor.findChildren(QMenu) if menu.isVisible())
    next(action for action in menu.actions() if action.text() == "Add to person").trigger()
    menu.close()
    assert classes(editor)[2][1][-1] == "umbrella"


def test_use_as_output_saves_first(editor: DraftEditor, qtbot: Any, catalog: Catalog) -> None:
    robot(editor)
    order: list[str] = []
    editor.saved.connect(lambda name: order.append(f"saved {name}"))
    editor.output_chosen.connect(lambda name: order.append(f"output {name}"))
    qtbot.mouseClick(editor.use, LEFT)
    assert order == []
    editor.question.field.setText("robot")
    press(qtbot, editor, "Save")
    assert order == ["saved robot", "output robot"]
    projection = catalog.projection("universal", "robot")
    person = catalog.taxonomy("universal").id_of("bicyclist")
    assert projection.project_ids(np.array([[person]])).tolist() == [[2]]


@pytest.mark.parametrize("name", ["", "a/b", "camvid-11", "CON"])
def test_a_name_that_cannot_be_is_one_line(editor: DraftEditor, qtbot: Any, name: str) -> None:
    robot(editor)
    qtbot.mouseClick(editor.save_button, LEFT)
    editor.question.field.setText(name)
    qtbot.keyClick(editor.question.field, Qt.Key.Key_Return)
    assert editor.question.isVisible() and editor.line.text() and "\n" not in editor.line.text()
    assert editor.unsaved and not list(Path(user_folder("taxonomies")).glob("*.yaml"))


def test_another_taxonomy_of_mine_is_replaced_only_when_said(editor: DraftEditor, qtbot: Any, catalog: Catalog) -> None:
    editor.add_classes(["sky"])
    editor.save()
    editor.question.field.setText("mine")
    press(qtbot, editor, "Save")
    editor.begin(lambda: Draft("my-taxonomy"))
    robot(editor)
    qtbot.mouseClick(editor.save_button, LEFT)
    editor.question.field.setText("mine")
    press(qtbot, editor, "Save")
    assert len(catalog.taxonomy("mine")) == 1 and "already" in editor.question.words.text()
    press(qtbot, editor, "Replace it")
    assert len(catalog.taxonomy("mine")) == 3 and not editor.unsaved


def test_a_folder_that_cannot_be_written_is_one_line(editor: DraftEditor, qtbot: Any) -> None:
    robot(editor)
    folder = user_folder("taxonomies")
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the folder should be")
    qtbot.mouseClick(editor.save_button, LEFT)
    editor.question.field.setText("robot")
    qtbot.keyClick(editor.question.field, Qt.Key.Key_Return)
    assert "cannot be written" in editor.line.text() and editor.unsaved


def start(editor: DraftEditor, *texts: str) -> None:
    """Choose from the menu of what to start from."""
    menu = editor.starts
    menu.fill()
    for text in texts:
        action = next(action for action in menu.actions() if action.text() == text)
        menu = action.menu()
    action.trigger()


def test_starts(editor: DraftEditor, qtbot: Any, catalog: Catalog) -> None:
    start(editor, "Universal classes by parent")
    assert editor.draft is not None and editor.draft.left_out(catalog.taxonomy("universal")) == ()
    assert len(editor.draft.classes) == 33 and not editor.unsaved
    start(editor, "Copy of", "camvid-11")
    assert editor.draft.name == "camvid-11-copy" and len(editor.draft.classes) == 11
    start(editor, "Empty")
    assert editor.draft.classes == ()
    start(editor, "A subset of classes…")
    editor.question.field.setText("parent:person, road, unicorn")
    press(qtbot, editor, "Take these")
    assert "unicorn" in editor.line.text() and editor.question.isVisible()
    editor.question.field.setText("parent:person, road")
    press(qtbot, editor, "Take these")
    assert len(editor.draft.classes) == 5 and editor.question.isHidden() and editor.unsaved


def test_an_unsaved_draft_is_asked_about_before_it_goes(editor: DraftEditor, qtbot: Any, catalog: Catalog) -> None:
    robot(editor)
    before = editor.draft
    start(editor, "Empty")
    assert editor.draft == before and "not saved" in editor.question.words.text()
    press(qtbot, editor, "Cancel")
    assert editor.draft == before and editor.question.isHidden()
    start(editor, "Empty")
    press(qtbot, editor, "Save")
    editor.question.field.setText("robot")
    press(qtbot, editor, "Save")
    assert "robot" in catalog.names() and editor.draft is not None and editor.draft.classes == ()
    start(editor, "Edit my taxonomy", "robot")
    assert editor.draft == before.named("robot") and not editor.unsaved
    editor.add_classes(["sky"])
    start(editor, "Empty")
    press(qtbot, editor, "Discard")
    assert editor.draft.classes == () and len(catalog.taxonomy("robot")) == 3


def test_escape_takes_a_question_away(editor: DraftEditor, qtbot: Any) -> None:
    robot(editor)
    qtbot.mouseClick(editor.save_button, LEFT)
    qtbot.keyClick(editor.question.field, Qt.Key.Key_Escape)
    assert editor.question.isHidden() and editor.foot.isVisible()


def test_rows_say_what_they_are_made_of(editor: DraftEditor) -> None:
    robot(editor)
    index = editor.tree.classes.index(1, 0)
    assert index.data(Qt.ItemDataRole.AccessibleTextRole) == "ground 2, id 1, made of sidewalk_pavement, terrain"
    assert index.data(Qt.ItemDataRole.ToolTipRole) == "ground 2, id 1\nsidewalk_pavement, terrain"


def test_colours_of_classes_do_not_change_when_they_are_selected(editor: DraftEditor, catalog: Catalog) -> None:
    robot(editor)
    icon = editor.left_out.list.item(0).icon()
    rgb = catalog.taxonomy("universal").classes[0].rgb
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
        assert icon.pixmap(9, 9, mode).toImage().pixelColor(4, 4) == QColor(*rgb)

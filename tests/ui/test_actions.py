from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QLabel, QMenu

from mseg_studio.ui.actions import ACTIONS, MENUS, conflicts
from mseg_studio.ui.dialogs.command_palette import CommandPalette
from mseg_studio.ui.dialogs.keys import KeysDialog
from mseg_studio.ui.pages import WORKSPACES


def test_no_two_actions_claim_one_key() -> None:
    assert conflicts() == []


def test_every_action_stands_in_a_menu_and_has_a_readable_key() -> None:
    for spec in ACTIONS:
        assert spec.menu in MENUS
        for key in spec.keys:
            assert not QKeySequence(key).isEmpty(), f"{spec.id}: {key}"


def test_every_action_of_the_table_is_in_the_menus(open_window: Any) -> None:
    window = open_window()
    texts: set[str] = set()
    for entry in window.menuBar().actions():
        menu = entry.menu()
        assert isinstance(menu, QMenu)
        texts |= {action.text() for action in menu.actions()}
    made = {spec.action for spec in WORKSPACES}
    unmade = {spec.text for spec in ACTIONS if spec.id.startswith("show_workspace_") and spec.id not in made}
    missing = {spec.text for spec in ACTIONS} - texts - {"Open camera"} - unmade
    assert missing == set()


def test_the_palette_finds_and_does(open_window: Any, qtbot: Any, picture: Any) -> None:
    window = open_window(picture)
    palette = CommandPalette(window.actions_table, window)
    qtbot.addWidget(palette)
    qtbot.keyClicks(palette.field, "contour")
    assert palette.list.currentItem().text().startswith("View: Contours")
    qtbot.keyClick(palette.field, Qt.Key.Key_Return)
    assert not window.workspace.layers.contours.isChecked()


def test_the_sheet_of_keys_names_every_key(qtbot: Any) -> None:
    sheet = KeysDialog()
    qtbot.addWidget(sheet)
    shown = " ".join(label.text() for label in sheet.findChildren(QLabel))
    for spec in ACTIONS:
        if spec.keys:
            assert QKeySequence(spec.keys[0]).toString(QKeySequence.SequenceFormat.NativeText) in shown

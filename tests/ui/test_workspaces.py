"""The window's workspaces: made when visited, left and found again as they were, each with its own keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLineEdit, QVBoxLayout

from mseg_studio.settings import AppSettings
from mseg_studio.ui import main_window
from mseg_studio.ui.main_window import MainWindow
from mseg_studio.ui.pages import WORKSPACES, WorkspaceSpec
from mseg_studio.ui.workspaces.page import WorkspacePage
from mseg_studio.ui.workspaces.segment.notice import Notice

LEFT, ALT = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.AltModifier


class Page(WorkspacePage):
    made = 0

    def __init__(self, _window: MainWindow) -> None:
        super().__init__()
        Page.made += 1
        self.field = QLineEdit()
        self.field.setAccessibleName("A field")
        self.clicks = 0
        QVBoxLayout(self).addWidget(self.field)

    def facts(self) -> list[str]:
        return ["universal · 194 classes"]

    def aside(self) -> str:
        return "no faults"

    def on_aside(self) -> None:
        self.clicks += 1

    def focus_search(self) -> None:
        self.field.setFocus()


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window whose second workspace is a `Page`."""
    rows = (WORKSPACES[0], WorkspaceSpec("taxonomy", "Taxonomy", "taxonomy", "show_workspace_taxonomy", Page))
    monkeypatch.setattr(main_window, "WORKSPACES", rows)
    Page.made = 0


@pytest.mark.usefixtures("other")
def test_a_workspace_is_made_when_it_is_visited_and_only_once(open_window: Any, qtbot: Any) -> None:
    window = open_window()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    assert Page.made == 0 and window.workspace_bar.buttons["segment"].isChecked()
    for _ in range(2):
        QTest.mouseClick(window.workspace_bar.buttons["taxonomy"], LEFT)
        assert window.current == "taxonomy" and not window.workspace.controls.isVisible()
        QTest.keyClick(window, Qt.Key.Key_1, ALT)
        assert window.current == "segment" and window.workspace.controls.isVisible()
    assert Page.made == 1


@pytest.mark.usefixtures("other")
def test_segment_is_found_as_it_was_left(open_window: Any, folder: Path) -> None:
    window = open_window(folder)
    window.docks["pixel"].hide()
    window.docks["classes"].setFloating(True)
    canvas = window.workspace.canvas
    canvas.setFocus()
    widths = {name: dock.width() for name, dock in window.docks.items()}
    QTest.keyClick(window, Qt.Key.Key_2, ALT)
    assert not any(dock.isVisible() for dock in window.docks.values())
    assert not window.actions_table["labels"].isEnabled()
    assert not window.docks["files"].toggleViewAction().isEnabled()
    QTest.keyClick(window, Qt.Key.Key_1, ALT)
    assert {name: dock.isVisible() for name, dock in window.docks.items()} == {
        "files": True,
        "classes": True,
        "pixel": False,
    }
    assert window.docks["classes"].isFloating() and canvas.hasFocus()
    assert {name: dock.width() for name, dock in window.docks.items()} == widths


@pytest.mark.usefixtures("other")
def test_keys_of_segment_stay_there(open_window: Any, picture: Path, doubles: Any) -> None:
    window = open_window(picture)
    opacity, runs = window.workspace.display.opacity, doubles.inference.runs
    QTest.keyClick(window, Qt.Key.Key_2, ALT)
    for key in (Qt.Key.Key_T, Qt.Key.Key_C, Qt.Key.Key_O, Qt.Key.Key_K, Qt.Key.Key_D, Qt.Key.Key_QuoteLeft):
        QTest.keyClick(window, key)
    QTest.keyClick(window, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier)
    layers = window.workspace.layers
    assert layers.labels.isChecked() and layers.contours.isChecked()
    assert window.workspace.display.opacity == opacity and not window.session.running
    assert doubles.inference.runs == runs
    QTest.keyClick(window, Qt.Key.Key_1, ALT)
    QTest.keyClick(window, Qt.Key.Key_T)
    assert not layers.labels.isChecked()


@pytest.mark.usefixtures("other")
def test_the_status_bar_and_the_search_belong_to_the_workspace(open_window: Any, picture: Path) -> None:
    window = open_window(picture)
    window.show_workspace("taxonomy")
    page = window.page("taxonomy")
    assert window._status.facts.text() == "universal · 194 classes"
    assert window._status.aside.isVisible() and window._status.aside.text() == "no faults"
    QTest.mouseClick(window._status.aside, LEFT)
    assert page.clicks == 1
    QTest.keyClick(window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    assert page.field.hasFocus()
    page.notice.emit(Notice("The table is broken.", "error", "table"))
    assert "The table is broken." in [label.text() for label in page.parentWidget().findChildren(main_window.QWidget)
                                      if hasattr(label, "text")]  # fmt: skip
    window.show_workspace("segment")
    assert "96 × 60" in window._status.facts.text() and not window._status.aside.isVisible()


@pytest.mark.usefixtures("other")
def test_opening_a_picture_shows_segment(open_window: Any, picture: Path, qtbot: Any) -> None:
    window = open_window()
    window.show_workspace("taxonomy")
    window.open_path(str(picture))
    assert window.current == "segment"
    qtbot.waitUntil(lambda: window.session.result is not None)


@pytest.mark.usefixtures("other")
def test_the_workspace_is_remembered(open_window: Any) -> None:
    first = open_window(settings=AppSettings(theme="dark"))
    first.docks["pixel"].hide()
    first.show_workspace("taxonomy")
    first.close()
    second = open_window()
    assert second.current == "taxonomy" and second.workspace_bar.buttons["taxonomy"].isChecked()
    second.show_workspace("segment")
    assert not second.docks["pixel"].isVisible() and second.docks["classes"].isVisible()


def test_an_unknown_workspace_is_an_error(open_window: Any) -> None:
    with pytest.raises(ValueError, match="no workspace 'nowhere'"):
        open_window().show_workspace("nowhere")

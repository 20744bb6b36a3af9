"""The parts of the Taxonomy workspace together: the bar, the Pair view and the panel."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from mseg_studio.ui.main_window import MainWindow
from mseg_studio.ui.workspaces.taxonomy.workspace import TaxonomyWorkspace


@pytest.fixture
def window(open_window: Any, qtbot: Any) -> Iterator[MainWindow]:
    window = open_window()
    window.show_workspace("taxonomy")
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    yield window
    for popup in QApplication.topLevelWidgets():
        if popup.windowType() == Qt.WindowType.Popup:
            popup.close()


@pytest.fixture
def page(window: MainWindow) -> TaxonomyWorkspace:
    found = window.findChild(TaxonomyWorkspace)
    assert found is not None
    return found


def test_a_target_chosen_in_the_panel_is_shown_in_the_pair_view(page: TaxonomyWorkspace) -> None:
    target = page.pair.target.itemText(1)
    page.detail.pair.target_chosen.emit(target)
    assert target != "universal" and page.pair.pair == ("universal", target)


def test_new_taxonomy_opens_its_menu_at_the_button(page: TaxonomyWorkspace, qtbot: Any) -> None:
    asked: list[QPoint] = []
    starts = page.detail.editor.starts
    starts.aboutToShow.connect(lambda: asked.append(QPoint()))
    QTest.mouseClick(page.bar.new, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(starts.isVisible)
    below = page.bar.new.mapToGlobal(QPoint(0, page.bar.new.height())).y()
    assert asked and abs(starts.geometry().top() - below) <= 2


def test_nothing_in_the_bar_overlaps_in_the_smallest_window(window: MainWindow, page: TaxonomyWorkspace) -> None:
    window.resize(900, 560)
    QApplication.processEvents()
    bar = page.bar
    row = [bar.search, bar.views, bar.columns, bar.lint, bar.import_table, bar.export, bar.new]
    for left, right in itertools.pairwise(row):
        assert left.geometry().right() < right.geometry().left()
    assert bar.new.geometry().right() < bar.width()

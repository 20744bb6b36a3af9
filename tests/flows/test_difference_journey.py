"""Projected against mapped labels over the picture, classes that another workspace asks for, tables that change."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

from mseg_studio.settings import user_folder
from mseg_studio.ui.canvas.layers import MARK_RGB, heat_rgb
from mseg_studio.ui.main_window import MainWindow
from mseg_studio.ui.workspaces.taxonomy.image_facts import ImageFacts
from tests.flows.test_segment_journey import LEFT, color_at, pick, point_of
from tests.ui.fakes import FINE, Doubles

AROUND = ("sky", "building", "road", "car", "truck")
MARK = tuple(MARK_RGB >> shift & 255 for shift in (16, 8, 0))
_TIMES = itertools.count(10**18, 10**9)
"""Files written within one tick of the clock still differ."""


def write_taxonomy(path: Path, classes: dict[str, tuple[str, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "\n".join(f"- {{id: {i}, name: {name}, rgb: [{40 * i}, 9, 200]}}" for i, name in enumerate(classes))
    links = "\n".join(f"  {source}: {name}" for name, sources in classes.items() for source in sources)
    path.write_text(f"format: 1\nname: {path.stem}\nignore_id: 255\nclasses:\n{rows}\nfrom_universal:\n{links}\n")
    os.utime(path, ns=(next(_TIMES), next(_TIMES)))


@pytest.fixture
def mine() -> Path:
    """A taxonomy where the sidewalk is alone against five classes; vegetation and person lead nowhere.

    Of the doubles' picture three columns of the sidewalk at the left differ, and the vegetation at the right; in its
    last column nothing has a target at all.
    """
    path = user_folder("taxonomies") / "mine.yaml"
    write_taxonomy(path, {"path": ("sidewalk_pavement",), "around": AROUND})
    return path


@pytest.fixture
def window(open_window: Any, picture: Path, mine: Path) -> MainWindow:
    opened = open_window(picture)
    opened.workspace.layers.set_opacity(1.0)
    QTest.mouseClick(opened.workspace.layers.contours, LEFT)
    return opened


def switch(window: MainWindow, qtbot: Any, target: str) -> None:
    pick(window.workspace.controls.target_box, target)
    qtbot.waitUntil(lambda: window.session.result.labels.taxonomy.name == target)


def look(window: MainWindow, qtbot: Any, view: str) -> None:
    QTest.mouseClick(window.workspace.layers.measures[view], LEFT)
    qtbot.waitUntil(lambda: window.workspace.comparison.current is not None)


def test_pixels_that_mapping_would_change_are_marked(window: MainWindow, qtbot: Any, doubles: Doubles) -> None:
    workspace, layers = window.workspace, window.workspace.layers
    switch(window, qtbot, "mine")
    assert doubles.inference.comparisons == 0, "nothing is compared while nobody looks"
    look(window, qtbot, "difference")
    legend = workspace.display.differences
    assert legend.isVisible() and not workspace.display.legend.isVisible() and not layers.labels.isChecked()
    expected = np.zeros((60, 96), bool)
    expected[30:40, :3] = expected[:30, 72:] = True
    np.testing.assert_array_equal(workspace.comparison.current.differing_HW, expected)
    share = 100 * expected.mean()
    assert f"{share:.1f} % of the pixels differ" in legend.words and "12.5 % have a winner without" in legend.words
    assert color_at(window, 1, 35) == MARK and color_at(window, 80, 10) == MARK
    assert color_at(window, 20, 35) != MARK and color_at(window, 40, 10) != MARK
    QTest.mouseMove(workspace.canvas, point_of(window, 2, 36))
    QTest.mouseMove(workspace.canvas, point_of(window, 1, 35))
    qtbot.waitUntil(lambda: "projected: around · mapped: path" in workspace.probe.words)
    QTest.mouseMove(workspace.canvas, point_of(window, 80, 10))
    qtbot.waitUntil(lambda: "projected: around · mapped: no target" in workspace.probe.words)
    QTest.mouseMove(workspace.canvas, point_of(window, 40, 10))
    qtbot.waitUntil(lambda: "no difference" in workspace.probe.words)
    assert (doubles.inference.runs, doubles.inference.comparisons) == (1, 1)
    QTest.mouseClick(layers.measures["difference"], LEFT)
    assert layers.labels.isChecked() and not legend.isVisible()
    assert color_at(window, 1, 35) == (40, 9, 200)


def test_a_pinned_pixel_is_told_anew_when_the_comparison_arrives(window: MainWindow, qtbot: Any) -> None:
    switch(window, qtbot, "mine")
    window.workspace.pointing.pin((1, 35))
    assert "projected" not in window.workspace.probe.words
    look(window, qtbot, "difference")
    assert "projected: around · mapped: path" in window.workspace.probe.words
    QTest.mouseClick(window.workspace.layers.labels, LEFT)
    assert "projected" not in window.workspace.probe.words


def test_a_line_of_the_legend_shows_its_class_alone(window: MainWindow, qtbot: Any) -> None:
    switch(window, qtbot, "mine")
    look(window, qtbot, "difference")
    legend, seen = window.workspace.display.differences, window.workspace.classes.visibility
    assert [line.name for line in legend.lines if line.isVisible()] == ["around", "path"]
    assert "Mapped: no target 690, path 30." in legend.lines[0].toolTip()
    assert "Mapped: no target 30." in legend.lines[1].toolTip(), (
        "where nothing has a target the first class is the label"
    )
    seen.toggle_hidden("around")
    window.workspace.display.revisible()
    assert color_at(window, 1, 35) != MARK, "marks of a hidden class are hidden"
    QTest.mouseClick(legend.lines[0], LEFT)
    assert seen.solo == "around" and color_at(window, 1, 35) == MARK
    QTest.mouseClick(legend.lines[0], LEFT)
    assert seen.solo is None


def test_painting_the_difference_ends_showing_one_class_alone(window: MainWindow, qtbot: Any) -> None:
    switch(window, qtbot, "mine")
    window.workspace.classes.show_alone("path")
    window.workspace.show_difference()
    qtbot.waitUntil(lambda: window.workspace.comparison.current is not None)
    assert window.workspace.classes.visibility.solo is None and window.workspace.layers.view == "difference"


def test_they_follow_the_taxonomy_and_have_nothing_to_say_about_the_models_own(
    window: MainWindow, qtbot: Any, doubles: Doubles
) -> None:
    workspace, layers = window.workspace, window.workspace.layers
    for view in ("difference", "no_target"):
        assert not layers.measures[view].isEnabled()
        assert "own taxonomy, universal" in layers.measures[view].toolTip()
        assert not window.actions_table[view].isEnabled()
    workspace.show_difference()
    assert any("nothing differs" in text for text in workspace.messages.texts)
    switch(window, qtbot, "mine")
    workspace.show_difference()
    qtbot.waitUntil(lambda: workspace.comparison.current is not None)
    assert layers.view == "difference" and window.actions_table["difference"].isChecked()
    switch(window, qtbot, "coarse-3")
    qtbot.waitUntil(lambda: workspace.comparison.current is not None)
    assert workspace.comparison.current.projected.taxonomy.name == "coarse-3"
    assert workspace.display.differences.words.startswith("No pixel differs")
    switch(window, qtbot, "universal")
    qtbot.waitUntil(lambda: not layers.measures["difference"].isEnabled())
    assert layers.view == "difference" and not workspace.display.differences.words.startswith("0")
    road = FINE.classes[3].rgb
    qtbot.waitUntil(lambda: workspace.comparison.current is not None)
    compared = doubles.inference.comparisons
    switch(window, qtbot, "mine")
    assert workspace.comparison.current.projected.taxonomy.name == "mine", "what was compared is kept"
    assert doubles.inference.comparisons == compared
    QTest.mouseClick(layers.labels, LEFT)
    switch(window, qtbot, "universal")
    assert color_at(window, 90, 55) == road


def test_what_has_no_target_is_a_heat_map(window: MainWindow, qtbot: Any) -> None:
    workspace = window.workspace
    switch(window, qtbot, "mine")
    look(window, qtbot, "no_target")
    found, legend = workspace.comparison.current, workspace.display.legend
    assert legend.isVisible() and not workspace.display.differences.isVisible()
    assert "no target" in legend.accessibleName()
    assert f"mean {100 * found.no_target_share:.1f} %" in legend.accessibleDescription()
    best = np.linspace(0.4, 1, 96)
    vegetation = best[80] + (1 - best[80]) / 7
    assert found.no_target_HW[10, 80] == round(255 * vegetation)
    for column, row in ((80, 10), (5, 55)):
        expected = heat_rgb()[min(254, found.no_target_HW[row, column])]
        assert np.abs(np.array(color_at(window, column, row), int) - expected).max() <= 2
    QTest.mouseMove(workspace.canvas, point_of(window, 79, 10))
    QTest.mouseMove(workspace.canvas, point_of(window, 80, 10))
    qtbot.waitUntil(lambda: f"no target {vegetation:.2f}" in workspace.probe.words)


def test_classes_that_take_part_are_those_of_the_labels(window: MainWindow, qtbot: Any, doubles: Doubles) -> None:
    switch(window, qtbot, "mine")
    look(window, qtbot, "difference")
    window.session.choose(only=(0,))
    qtbot.waitUntil(lambda: doubles.inference.comparisons == 2)
    qtbot.waitUntil(lambda: window.workspace.comparison.current is not None)
    assert set(np.unique(window.workspace.comparison.current.mapped.ids_HW)) == {0, 255}
    window.session.choose(min_confidence=0.9)
    qtbot.waitUntil(lambda: window.session.result.choice.min_confidence == 0.9)
    assert doubles.inference.comparisons == 2, "a least confidence changes nothing here"
    assert window.workspace.comparison.current is not None


def test_another_workspace_watches_and_is_told(window: MainWindow, qtbot: Any, doubles: Doubles) -> None:
    comparison, told = window.workspace.comparison, []
    comparison.changed.connect(told.append)
    comparison.watch(True)
    qtbot.waitUntil(lambda: bool(told))
    facts = told[-1]
    assert isinstance(facts, ImageFacts) and facts.target == facts.source == "universal"
    assert facts.differing_share == facts.no_target_share == 0
    assert sum(facts.shares.values()) == pytest.approx(1) and facts.shares["vegetation"] == pytest.approx(720 / 5760)
    switch(window, qtbot, "mine")
    qtbot.waitUntil(lambda: told[-1] is not None and told[-1].target == "mine")
    assert (
        told[-1].source == "universal"
        and told[-1].shares == facts.shares
        and told[-1].differing_share == pytest.approx(750 / 5760)
    )
    comparison.watch(False)
    assert told[-1] is None and comparison.current is None
    compared = doubles.inference.comparisons
    switch(window, qtbot, "coarse-3")
    assert doubles.inference.comparisons == compared


def test_late_answers_are_dropped(window: MainWindow, qtbot: Any, doubles: Doubles) -> None:
    workspace, told = window.workspace, []
    switch(window, qtbot, "coarse-3")
    switch(window, qtbot, "mine")
    doubles.inference.compare_seconds = 0.3
    workspace.comparison.changed.connect(lambda facts: told.append(facts and facts.target))
    QTest.mouseClick(workspace.layers.measures["difference"], LEFT)
    assert workspace.comparison.waiting
    switch(window, qtbot, "coarse-3")
    qtbot.waitUntil(lambda: workspace.comparison.current is not None)
    assert told == ["coarse-3"] and doubles.inference.comparisons == 2


def test_after_a_cancel_it_is_asked_for_again_while_somebody_looks(
    window: MainWindow, qtbot: Any, doubles: Doubles
) -> None:
    switch(window, qtbot, "mine")
    doubles.inference.compare_seconds = 0.2
    QTest.mouseClick(window.workspace.layers.measures["difference"], LEFT)
    doubles.inference.cancel()
    qtbot.waitUntil(lambda: window.workspace.comparison.current is not None)
    assert doubles.inference.comparisons == 1


def test_a_process_that_dies_takes_the_scores_along(window: MainWindow, qtbot: Any, doubles: Doubles) -> None:
    workspace = window.workspace
    switch(window, qtbot, "mine")
    doubles.inference.compare_seconds = 0.1
    QTest.mouseClick(workspace.layers.measures["difference"], LEFT)
    doubles.inference.die()
    qtbot.waitUntil(lambda: not workspace.comparison.waiting)
    assert workspace.comparison.current is None and "not kept" in workspace.layers.measures["no_target"].toolTip()
    assert not workspace.display.differences.isVisible()
    doubles.inference.compare_seconds = 0.0
    qtbot.waitUntil(lambda: window.session.runs.engine is not None)
    QTest.mouseClick(workspace.controls.run_button, LEFT)
    qtbot.waitUntil(lambda: workspace.comparison.current is not None)
    assert workspace.layers.measures["difference"].isEnabled() and workspace.display.differences.isVisible()


def test_other_pictures_have_their_own_and_those_of_before_are_kept(
    open_window: Any, folder: Path, mine: Path, qtbot: Any, doubles: Doubles
) -> None:
    window = open_window(folder)
    session, comparison = window.session, window.workspace.comparison
    switch(window, qtbot, "mine")
    look(window, qtbot, "difference")
    first = comparison.current
    session.go(2)
    qtbot.waitUntil(lambda: session.at == 2 and comparison.current not in (None, first))
    assert window.workspace.display.differences.isVisible()
    session.go(0)
    qtbot.waitUntil(lambda: session.at == 0 and comparison.current is first)
    switch(window, qtbot, "coarse-3")  # segments again: its scores are gone
    qtbot.waitUntil(lambda: comparison.current is not None)
    session.go(2)
    qtbot.waitUntil(lambda: session.at == 2 and session.result is not None)
    qtbot.waitUntil(lambda: comparison.current is not None)
    assert comparison.current.projected.taxonomy.name == "coarse-3"


def test_where_the_scores_are_gone_it_says_so(
    open_window: Any, folder: Path, mine: Path, qtbot: Any, doubles: Doubles
) -> None:
    window = open_window(folder)
    session, layers = window.session, window.workspace.layers
    switch(window, qtbot, "mine")
    session.go(2)
    qtbot.waitUntil(lambda: session.at == 2 and session.result is not None)
    session.go(0)
    qtbot.waitUntil(lambda: session.at == 0 and session.result is not None)
    for view in ("difference", "no_target"):
        assert not layers.measures[view].isEnabled() and "not kept any more" in layers.measures[view].toolTip()
    assert doubles.inference.comparisons == 0


def test_a_played_video_shows_the_difference_of_its_frames(
    open_window: Any, tmp_path: Path, mine: Path, qtbot: Any, doubles: Doubles
) -> None:
    window = open_window(tmp_path / "drive.mp4")
    session, comparison = window.session, window.workspace.comparison
    switch(window, qtbot, "mine")
    look(window, qtbot, "difference")
    seen: list[int] = []
    comparison.changed.connect(lambda facts: seen.append(session.at) if facts is not None else None)
    window.workspace.player.toggle()
    qtbot.waitUntil(lambda: not window.workspace.player.playing, timeout=15_000)
    qtbot.waitUntil(lambda: comparison.current is not None)
    assert len(seen) >= 6, "most frames were compared while they were on the canvas"
    assert window.workspace.display.differences.isVisible()


@pytest.mark.parametrize(("width", "folded"), [(1600, False), (1280, False), (900, True)])
def test_the_bar_of_layers_fits(
    open_window: Any, picture: Path, mine: Path, qtbot: Any, width: int, folded: bool
) -> None:
    window = open_window(picture)
    switch(window, qtbot, "mine")
    window.resize(width, 700)
    bar, canvas = window.workspace.layers, window.workspace.canvas
    qtbot.waitUntil(lambda: window.width() == width and bar.geometry().right() <= canvas.width() and bar.x() >= 0)
    assert bar.more.isVisible() is folded
    assert all(button.isVisible() is not folded for button in bar.measures.values())
    if folded:
        menu = bar.more.menu()
        menu.aboutToShow.emit()
        action = next(action for action in menu.actions() if action.text() == "Difference")
        assert action.isEnabled() and not action.isChecked()
        action.trigger()
        qtbot.waitUntil(lambda: window.workspace.display.differences.isVisible())
        assert bar.more.text() == "Difference ▾" and bar.more.isChecked()
        QTest.mouseClick(bar.labels, LEFT)
        assert bar.more.text() == "More ▾" and not bar.more.isChecked()
        legend = window.workspace.display.differences
        assert canvas.rect().contains(legend.geometry())


def test_a_click_beside_the_legend_pins_a_pixel(window: MainWindow, qtbot: Any) -> None:
    switch(window, qtbot, "mine")
    look(window, qtbot, "difference")
    legend = window.workspace.display.differences
    beside = legend.geometry().topRight() + QPoint(20, 0)
    QTest.mouseClick(window.workspace.canvas, LEFT, Qt.KeyboardModifier.NoModifier, beside)
    assert window.workspace.pointing._pinned is not None


# -- classes that another workspace asks for ---------------------------------------------------------------------


def test_a_class_of_an_output_is_shown_alone(window: MainWindow, qtbot: Any, doubles: Doubles) -> None:
    workspace, seen = window.workspace, window.workspace.classes.visibility
    QTest.mouseClick(workspace.layers.measures["confidence"], LEFT)
    workspace.show_class("mine", "path")
    qtbot.waitUntil(lambda: seen.solo == "path")
    assert window.session.choice.target == "mine" and workspace.layers.labels.isChecked()
    assert color_at(window, 20, 35) == (0, 9, 200) and color_at(window, 90, 55) != (40, 9, 200)
    workspace.show_class("universal", "road")
    qtbot.waitUntil(lambda: seen.solo == "road")
    assert window.session.choice.target == "universal" and workspace.messages.texts == ()
    assert doubles.inference.runs == 1
    workspace.show_class("universal", "person")
    assert seen.solo == "person"
    assert any("person of universal has no pixels" in text for text in workspace.messages.texts)
    workspace.show_class("universal", "sky")
    assert workspace.messages.texts == (), "the next class takes the words about the last away"


def test_a_class_of_no_output_is_shown_as_what_it_leads_to(window: MainWindow, qtbot: Any) -> None:
    path = user_folder("taxonomies") / "source.yaml"
    path.write_text(
        "format: 1\nname: source\nignore_id: 255\nclasses:\n"
        "- {id: 0, name: lane, rgb: [1, 1, 1]}\n- {id: 1, name: boat, rgb: [2, 1, 1]}\nto_universal:\n  lane: road\n"
    )
    workspace = window.workspace
    workspace.show_class("source", "lane")
    assert workspace.classes.visibility.solo == "road" and window.session.choice.target == "universal"
    assert any("lane of source is shown as road" in text for text in workspace.messages.texts)
    workspace.show_class("source", "boat")
    assert any("'boat' of source leads to no class" in text for text in workspace.messages.texts)
    workspace.show_class("nothing", "boat")
    assert any("unknown taxonomy 'nothing'" in text for text in workspace.messages.texts)
    assert workspace.classes.visibility.solo == "road", "what cannot be shown changes nothing"


def test_without_an_image_there_is_nothing_to_show(open_window: Any, mine: Path) -> None:
    window = open_window()
    window.workspace.show_class("mine", "path")
    assert any("Open an image" in text for text in window.workspace.messages.texts)
    assert window.session.choice.target == "universal"


def test_a_class_that_takes_no_part_says_so(window: MainWindow, qtbot: Any) -> None:
    window.session.choose(only=(0, 1))
    qtbot.waitUntil(lambda: window.session.result.choice.only == (0, 1))
    window.workspace.show_class("universal", "road")
    assert any("road takes no part" in text for text in window.workspace.messages.texts)


# -- tables that change on disk ----------------------------------------------------------------------------------


def test_a_table_that_changed_is_used_at_once_and_nothing_of_the_old_one(
    window: MainWindow, mine: Path, qtbot: Any, doubles: Doubles
) -> None:
    switch(window, qtbot, "mine")
    look(window, qtbot, "difference")
    before, compared = window.session.result, window.workspace.comparison.current
    projections = doubles.inference.projections
    window.workspace.refresh_targets()
    assert window.session.result is before and doubles.inference.projections == projections
    write_taxonomy(mine, {"around": AROUND, "path": ("sidewalk_pavement",)})
    window.workspace.refresh_targets()
    qtbot.waitUntil(lambda: window.session.result is not before)
    swapped = 1 - before.labels.ids_HW
    np.testing.assert_array_equal(window.session.result.labels.ids_HW[:, :95], swapped[:, :95])
    assert window.session.result.labels.taxonomy.names == ("around", "path")
    qtbot.waitUntil(lambda: window.workspace.comparison.current not in (None, compared))
    assert window.workspace.comparison.current.projected.taxonomy.names == ("around", "path")
    assert window.workspace.classes.classes.rows[0].info.name == "around" and doubles.inference.runs == 1


def test_labels_of_an_old_table_are_not_shown_where_a_run_is_too_dear(
    open_window: Any, folder: Path, mine: Path, qtbot: Any, doubles: Doubles
) -> None:
    window = open_window(folder)
    session = window.session
    switch(window, qtbot, "mine")
    session.go(2)
    qtbot.waitUntil(lambda: session.at == 2 and session.result is not None)
    session.go(0)
    qtbot.waitUntil(lambda: session.at == 0 and session.result is not None)
    doubles.run_seconds = 60.0
    session.choose(recipe="paper")
    assert session.result is not None, "labels of another recipe stay"
    write_taxonomy(mine, {"around": AROUND, "path": ("sidewalk_pavement",)})
    window.workspace.refresh_targets()
    assert session.result is None and any("Press Run" in text for text in window.workspace.messages.texts)
    assert not any(row.share for row in window.workspace.classes.classes.rows)


def test_a_changed_table_drops_the_classes_that_took_part(window: MainWindow, mine: Path, qtbot: Any) -> None:
    switch(window, qtbot, "mine")
    window.session.choose(only=(0,))
    qtbot.waitUntil(lambda: window.session.result.choice.only == (0,))
    write_taxonomy(mine, {"around": AROUND, "path": ("sidewalk_pavement",)})
    window.workspace.refresh_targets()
    qtbot.waitUntil(lambda: window.session.result.choice.only == ())
    assert any("its file has changed" in text for text in window.workspace.messages.texts)


def test_a_taxonomy_saved_a_moment_ago_is_an_output_and_one_removed_is_not(
    window: MainWindow, mine: Path, qtbot: Any
) -> None:
    box = window.workspace.controls.target_box
    write_taxonomy(mine.with_name("later.yaml"), {"all": ("sky", "road")})
    window.workspace.refresh_targets()
    assert box.findText("later") >= 0
    switch(window, qtbot, "later")
    mine.with_name("later.yaml").unlink()
    window.workspace.refresh_targets()
    qtbot.waitUntil(lambda: window.session.result.labels.taxonomy.name == "universal")
    assert box.findText("later") < 0
    assert any("no output later any more" in text for text in window.workspace.messages.texts)

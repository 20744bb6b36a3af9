"""Leave classes out, ask for sure labels only, look at how sure they are: with the mouse and the keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

from mseg_studio.ui.canvas.layers import heat_rgb
from mseg_studio.ui.dialogs.settings import SettingsDialog
from mseg_studio.ui.main_window import MainWindow
from mseg_studio.ui.widgets import Heading
from tests.flows.test_segment_journey import LEFT, click_row, color_at, pick, point_of
from tests.ui.fakes import FINE, Doubles

SKY, BUILDING, ROAD, SIDEWALK, CAR, TRUCK = 0, 1, 3, 4, 5, 6


def choose_mode(window: MainWindow, key: str) -> None:
    QTest.mouseClick(window.workspace.classes.modes.button(key), LEFT)


def settled(window: MainWindow, doubles: Doubles, projections: int) -> bool:
    return doubles.inference.projections >= projections and not window.session.runs._asks


def ids_on_screen(window: MainWindow) -> set[int]:
    return set(np.unique(window.session.result.labels.ids_HW).tolist())


def test_unticking_a_class_gives_its_pixels_to_the_next_best(
    open_window: Any, picture: Path, qtbot: Any, doubles: Doubles
) -> None:
    window = open_window(picture)
    panel = window.workspace.classes
    choose_mode(window, "part")
    assert panel.classes.rows[0].info.id == ROAD and len(panel.classes.rows) == 8
    assert panel.subset_bar.words == "8 of 8 classes take part —\nthe network is not faster for it"
    assert not panel.subset_bar.reset.isVisible()
    click_row(window, "road", 200)
    qtbot.waitUntil(lambda: ROAD not in ids_on_screen(window))
    assert window.session.choice.only == (0, 1, 2, 4, 5, 6, 7)
    assert (doubles.inference.runs, doubles.inference.projections) == (1, 1), "the network does not run"
    assert panel.subset_bar.words.startswith("7 of 8 classes take part")
    first = panel.classes.rows[0]
    assert first.info.id == ROAD and first.part is False and first.share == 0, "its row stays where it was"
    assert window.session.result.sidecar["readout"]["only"][0] == {"id": 0, "name": "sky"}
    QTest.mouseClick(panel.subset_bar.reset, LEFT)
    qtbot.waitUntil(lambda: ROAD in ids_on_screen(window))
    assert window.session.choice.only == () and doubles.inference.projections == 1, "the first labels were kept"


def test_only_what_the_search_finds_even_when_it_is_not_in_the_picture(
    open_window: Any, picture: Path, qtbot: Any, doubles: Doubles
) -> None:
    window = open_window(picture)
    panel = window.workspace.classes
    choose_mode(window, "part")
    QTest.keyClick(window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClicks(panel.field, "r")
    found = [row.info.name for row in panel.classes.rows]
    assert "truck" in found and "sky" not in found
    assert panel.subset_bar.found_button.text() == f"Only the {len(found)} found"
    panel.field.clear()
    QTest.keyClicks(panel.field, "truck")
    QTest.mouseClick(panel.subset_bar.found_button, LEFT)
    qtbot.waitUntil(lambda: ids_on_screen(window) == {TRUCK})
    assert panel.subset_bar.words.startswith("1 of 8 classes takes part: all pixels get it")
    panel.field.clear()
    assert panel.classes.rows[0].info.id == TRUCK, "what takes part comes first"
    QTest.keyClicks(panel.field, "car")
    QTest.keyClick(panel.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: ids_on_screen(window) == {CAR, TRUCK} or ids_on_screen(window) == {CAR})
    assert window.session.choice.only == (CAR, TRUCK) and doubles.inference.runs == 1


def test_none_waits_for_the_first_tick(open_window: Any, picture: Path, qtbot: Any, doubles: Doubles) -> None:
    window = open_window(picture)
    panel = window.workspace.classes
    choose_mode(window, "part")
    QTest.mouseClick(panel.subset_bar.none_button, LEFT)
    assert "No class is ticked" in panel.subset_bar.words
    assert not any(row.part for row in panel.classes.rows) and doubles.inference.projections == 0
    panel.view.setFocus()
    panel.view.setCurrentIndex(panel.classes.index(0))
    QTest.keyClick(panel.view, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: ids_on_screen(window) == {ROAD})
    QTest.mouseClick(panel.subset_bar.all_button, LEFT)
    qtbot.waitUntil(lambda: len(ids_on_screen(window)) > 3)
    assert not panel.subset_bar.reset.isVisible()


def test_hiding_is_not_restricting(open_window: Any, picture: Path, qtbot: Any, doubles: Doubles) -> None:
    window = open_window(picture)
    panel = window.workspace.classes
    click_row(window, "road", 15)
    assert panel.visibility.hidden == {"road"} and window.session.choice.only == ()
    assert ROAD in ids_on_screen(window) and doubles.inference.projections == 0
    assert not panel.subset_bar.isVisible()
    choose_mode(window, "part")
    click_row(window, "road", 15)
    qtbot.waitUntil(lambda: ROAD not in ids_on_screen(window))
    assert panel.visibility.hidden == {"road"}, "ticks leave the eyes alone"
    choose_mode(window, "show")
    assert panel.subset_bar.isVisible() and panel.subset_bar.reset.isVisible(), "a restriction is always said"
    assert all(row.part is None for row in panel.classes.rows)


def test_another_taxonomy_drops_the_subset_and_says_so(
    open_window: Any, picture: Path, qtbot: Any, doubles: Doubles
) -> None:
    window = open_window(picture)
    panel = window.workspace.classes
    choose_mode(window, "part")
    click_row(window, "road", 200)
    qtbot.waitUntil(lambda: ROAD not in ids_on_screen(window))
    pick(window.workspace.controls.target_box, "coarse-3")
    qtbot.waitUntil(lambda: window.session.result.labels.taxonomy.name == "coarse-3")
    assert window.session.choice.only == ()
    assert panel.subset_bar.words.startswith("3 of 3 classes") and len(panel.classes.rows) == 3
    assert any("All classes of coarse-3 take part" in text for text in window.workspace.messages.texts)
    assert doubles.inference.readouts[-1].only == ()


def test_the_threshold_is_live_and_the_newest_wins(
    open_window: Any, picture: Path, qtbot: Any, doubles: Doubles
) -> None:
    window = open_window(picture)
    bar = window.workspace.classes.threshold
    bar.slider.setFocus()
    for _ in range(7):
        QTest.keyClick(bar.slider, Qt.Key.Key_PageUp)
    assert bar.number.value() == 70
    qtbot.waitUntil(lambda: window.session.choice.min_confidence == 0.7)
    qtbot.waitUntil(lambda: 255 in ids_on_screen(window))
    assert doubles.inference.projections == 1, "the values on the way are left out"
    # Sureness goes from 0.4 at the left to 1 at the right: the left half is below 0.7.
    ids_HW = window.session.result.labels.ids_HW
    assert (ids_HW[:, :46] == 255).all() and (ids_HW[:, 50:] != 255).all()
    assert "50.0 % unlabeled" in window.docks["classes"].titleBarWidget().findChild(Heading).text()
    road = FINE.classes[ROAD].rgb
    window.workspace.layers.set_opacity(1.0)
    window.workspace.toggle_contours()
    assert color_at(window, 90, 55) == road and color_at(window, 10, 55) != road
    bar.number.setFocus()
    bar.number.selectAll()
    QTest.keyClicks(bar.number, "0")
    qtbot.waitUntil(lambda: 255 not in ids_on_screen(window))
    assert bar.slider.value() == 0 and doubles.inference.runs == 1
    assert "unlabeled" not in window.docks["classes"].titleBarWidget().findChild(Heading).text()


def test_a_threshold_set_while_the_network_runs_needs_no_second_run(
    open_window: Any, picture: Path, qtbot: Any, doubles: Doubles
) -> None:
    doubles.inference.seconds = 0.3
    window = open_window()
    window.open_path(str(picture))
    qtbot.waitUntil(lambda: window.session.running)
    window.workspace.classes.threshold.slider.setValue(70)
    qtbot.waitUntil(lambda: window.session.result is not None and 255 in ids_on_screen(window), timeout=5000)
    assert (doubles.inference.runs, doubles.inference.projections) == (1, 1)


@pytest.mark.parametrize("measure", ["confidence", "margin", "entropy"])
def test_a_measure_is_a_heat_map_with_a_legend(
    open_window: Any, picture: Path, qtbot: Any, doubles: Doubles, measure: str
) -> None:
    window = open_window(picture)
    layers, display = window.workspace.layers, window.workspace.display
    layers.set_opacity(1.0)
    QTest.mouseClick(layers.contours, LEFT)
    QTest.mouseClick(layers.measures[measure], LEFT)
    qtbot.waitUntil(lambda: display.legend.isVisible())
    assert doubles.inference.readouts[-1].measure == measure and doubles.inference.runs == 1
    assert measure in display.legend.accessibleName()
    assert not layers.labels.isChecked(), "labels make room"
    for column in (5, 90):
        value = window.session.result.measure_HW[55, column]
        assert np.abs(np.array(color_at(window, column, 55), int) - heat_rgb()[value]).max() <= 2
    QTest.mouseMove(window.workspace.canvas, point_of(window, 10, 55))
    QTest.mouseMove(window.workspace.canvas, point_of(window, 90, 55))
    qtbot.waitUntil(lambda: f"{measure} 0.97" in window.workspace.probe.words)
    QTest.mouseClick(layers.measures[measure], LEFT)
    assert layers.labels.isChecked() and not display.legend.isVisible()
    assert color_at(window, 90, 55) == FINE.classes[ROAD].rgb


def test_measures_and_labels_take_turns(open_window: Any, picture: Path, qtbot: Any) -> None:
    window = open_window(picture)
    layers, display = window.workspace.layers, window.workspace.display
    QTest.mouseClick(layers.measures["confidence"], LEFT)
    qtbot.waitUntil(lambda: display.legend.isVisible())
    QTest.mouseClick(layers.measures["entropy"], LEFT)
    qtbot.waitUntil(lambda: window.session.result.measure == "entropy")
    assert [m for m, button in layers.measures.items() if button.isChecked()] == ["entropy"]
    window.workspace.canvas.setFocus()
    QTest.keyClick(window, Qt.Key.Key_T)
    assert layers.labels.isChecked() and layers.view is None and window.session.measure is None
    assert not display.legend.isVisible()


def test_where_the_scores_are_gone_measures_are_disabled_and_say_why(
    open_window: Any, folder: Path, qtbot: Any, doubles: Doubles
) -> None:
    window = open_window(folder)
    session, layers = window.session, window.workspace.layers
    QTest.mouseClick(layers.measures["confidence"], LEFT)
    qtbot.waitUntil(lambda: session.result.measure == "confidence")
    window.session.go(2)
    qtbot.waitUntil(lambda: session.at == 2 and session.result is not None and session.result.measure == "confidence")
    window.session.go(0)
    qtbot.waitUntil(lambda: session.at == 0 and session.result is not None)
    assert layers.measures["confidence"].isEnabled(), "what was measured is kept"
    assert session.result.measure_HW is not None and window.workspace.display.legend.isVisible()
    entropy = layers.measures["entropy"]
    assert not entropy.isEnabled() and "not kept any more" in entropy.toolTip()
    runs = doubles.inference.runs
    QTest.mouseClick(window.workspace.controls.run_button, LEFT)
    qtbot.waitUntil(lambda: doubles.inference.runs == runs + 1 and not session.running)
    assert entropy.isEnabled() and "spread" in entropy.toolTip()


def test_a_picture_without_the_measure_shows_its_labels(open_window: Any, folder: Path, qtbot: Any) -> None:
    window = open_window(folder)
    session, layers, display = window.session, window.workspace.layers, window.workspace.display
    layers.set_opacity(1.0)
    QTest.mouseClick(layers.contours, LEFT)
    session.go(2)
    qtbot.waitUntil(lambda: session.at == 2 and session.result is not None)
    QTest.mouseClick(layers.measures["margin"], LEFT)
    qtbot.waitUntil(lambda: display.legend.isVisible())
    session.go(0)
    qtbot.waitUntil(lambda: session.at == 0 and session.result is not None)
    assert not display.legend.isVisible() and color_at(window, 90, 55) == FINE.classes[ROAD].rgb


def test_the_bar_of_layers_fits_a_narrow_canvas(open_window: Any, folder: Path, qtbot: Any) -> None:
    window = open_window(folder)
    window.resize(1000, 600)
    qtbot.waitUntil(lambda: window.workspace.canvas.width() < 500)
    bar, canvas = window.workspace.layers, window.workspace.canvas
    assert bar.x() >= 0 and bar.geometry().right() <= canvas.width()
    assert window.workspace.display.legend.geometry().bottom() <= canvas.height()


def test_the_legend_lets_clicks_through(open_window: Any, picture: Path, qtbot: Any) -> None:
    window = open_window(picture)
    QTest.mouseClick(window.workspace.layers.measures["confidence"], LEFT)
    legend = window.workspace.display.legend
    qtbot.waitUntil(lambda: legend.isVisible())
    at = legend.geometry().center()
    assert window.workspace.centre.childAt(window.workspace.canvas.mapTo(window.workspace.centre, QPoint(at))) in (
        window.workspace.canvas,
        window.workspace.canvas.parentWidget(),
    )


def test_engine_and_precision_of_the_settings_reach_the_recipe(
    open_window: Any, picture: Path, qtbot: Any, doubles: Doubles, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = open_window(picture)
    assert (doubles.inference.recipes[-1].engine, doubles.inference.recipes[-1].precision) == ("auto", "auto")

    def change(dialog: SettingsDialog) -> int:
        dialog.engine.setCurrentText("OpenVINO")
        dialog.precision.setCurrentText("half: bfloat16 or float16")
        return 1

    monkeypatch.setattr(SettingsDialog, "exec", change)
    window.actions_table["settings"].trigger()
    qtbot.waitUntil(lambda: doubles.inference.runs == 2)
    assert (doubles.inference.recipes[-1].engine, doubles.inference.recipes[-1].precision) == ("openvino", "half")
    again = open_window(settings=window.settings)
    assert (again.session.choice.engine, again.session.choice.precision) == ("openvino", "half")


def test_a_precision_that_cannot_be_is_told_in_the_worker_s_words(
    open_window: Any, picture: Path, qtbot: Any, doubles: Doubles
) -> None:
    window = open_window(picture)
    doubles.inference.fail_with = "street-small is not calibrated for int8: run `mseg-studio models calibrate`"
    window.session.choose(precision="int8")
    qtbot.waitUntil(lambda: any("models calibrate" in text for text in window.workspace.messages.texts))
    doubles.inference.fail_with = ""
    window.session.choose(precision="auto")
    qtbot.waitUntil(lambda: window.session.result is not None)
    assert window.workspace.messages.texts == ()


def test_the_live_recipe_is_there_and_called_approximate(
    open_window: Any, picture: Path, qtbot: Any, doubles: Doubles
) -> None:
    window = open_window(picture)
    button = window.workspace.controls.recipe_buttons.button("live")
    assert "pproximate" in button.toolTip()
    QTest.mouseClick(button, LEFT)
    qtbot.waitUntil(lambda: doubles.inference.recipes[-1].whole)
    qtbot.waitUntil(lambda: "approximate" in window._status.facts.text())
    assert window.actions_table["live"].isChecked()

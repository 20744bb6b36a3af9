"""Open, see, switch, solo, hide, probe, zoom, pan, export, next: with the mouse and the keys, as a person would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from mseg_studio.ui.dialogs.export import ExportDialog
from mseg_studio.ui.main_window import MainWindow
from mseg_studio.ui.workspaces.segment.items import ItemState
from tests.ui.conftest import write_picture
from tests.ui.fakes import FINE, Doubles

LEFT = Qt.MouseButton.LeftButton


def point_of(window: MainWindow, column: float, row: float) -> QPoint:
    x, y = window.workspace.canvas.viewport.point_of(column + 0.5, row + 0.5)
    return QPoint(round(x), round(y))


def color_at(window: MainWindow, column: float, row: float) -> tuple[int, int, int]:
    canvas = window.workspace.canvas
    color = canvas.grab().toImage().pixelColor(point_of(window, column, row))
    return color.red(), color.green(), color.blue()


def pick(box: Any, text: str) -> None:
    box.setCurrentText(text)
    box.textActivated.emit(text)


def click_row(window: MainWindow, name: str, from_right: int) -> None:
    panel = window.workspace.classes
    row = [r.info.name for r in panel.classes.rows].index(name)
    box = panel.view.visualRect(panel.classes.index(row))
    QTest.mouseClick(panel.view.viewport(), LEFT, pos=QPoint(box.right() - from_right, box.center().y()))


def test_open_and_see(open_window: Any, picture: Path, doubles: Doubles) -> None:
    window = open_window(picture)
    assert doubles.inference.runs == 1
    assert window.workspace.classes.classes.rows[0].info.name == "road"
    assert "96 × 60" in window._status.facts.text()
    assert window.workspace.controls.run_button.text() == "Run"
    assert not window.docks["files"].isVisible()


def test_switching_the_taxonomy_runs_no_network(open_window: Any, picture: Path, doubles: Doubles, qtbot: Any) -> None:
    window = open_window(picture)
    pick(window.workspace.controls.target_box, "coarse-3")
    qtbot.waitUntil(lambda: window.session.result.labels.taxonomy.name == "coarse-3")
    assert {row.info.name for row in window.workspace.classes.classes.rows} == {"flat", "vehicle", "rest"}
    assert window.workspace.controls.target_box.tag() == "approximate"
    pick(window.workspace.controls.target_box, "universal")
    qtbot.waitUntil(lambda: window.session.result.labels.taxonomy.name == "universal")
    assert (doubles.inference.runs, doubles.inference.projections) == (1, 1)


def test_hide_solo_and_show_all(open_window: Any, picture: Path) -> None:
    window = open_window(picture)
    window.workspace.layers.set_opacity(1.0)
    window.workspace.toggle_contours()
    road, sky = FINE.classes[3].rgb, FINE.classes[0].rgb
    assert color_at(window, 10, 55) == road and color_at(window, 10, 5) == sky
    click_row(window, "road", 15)
    assert color_at(window, 10, 55) != road and color_at(window, 10, 5) == sky
    click_row(window, "road", 15)
    assert color_at(window, 10, 55) == road
    click_row(window, "road", 45)
    assert color_at(window, 10, 55) == road and color_at(window, 10, 5) != sky
    QTest.keyClick(window, Qt.Key.Key_H, Qt.KeyboardModifier.ShiftModifier)
    assert color_at(window, 10, 5) == sky


def test_keys_of_the_class_list(open_window: Any, picture: Path) -> None:
    window = open_window(picture)
    panel = window.workspace.classes
    QTest.keyClick(window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    assert panel.field.hasFocus()
    QTest.keyClicks(panel.field, "truck")
    assert [row.info.name for row in panel.classes.rows] == ["truck"] and panel.classes.rows[0].share == 0
    panel.field.clear()
    QTest.keyClicks(panel.field, "car")
    QTest.keyClick(panel.field, Qt.Key.Key_Return)
    assert panel.visibility.solo == "car"
    QTest.keyClick(panel.field, Qt.Key.Key_Escape)
    QTest.keyClick(panel.field, Qt.Key.Key_Down)
    assert panel.view.hasFocus()
    QTest.keyClick(panel.view, Qt.Key.Key_Space)
    assert panel.visibility.solo is None and panel.visibility.hidden == {panel.classes.rows[0].info.name}


def test_letters_typed_into_a_field_do_nothing_else(open_window: Any, picture: Path) -> None:
    window = open_window(picture)
    window.workspace.classes.field.setFocus()
    QTest.keyClicks(window.workspace.classes.field, "tco`d ")
    assert window.workspace.classes.field.text() == "tco`d "
    assert window.workspace.layers.labels.isChecked() and window.workspace.layers.contours.isChecked()
    assert window.workspace.display.opacity == 0.5
    window.workspace.canvas.setFocus()
    QTest.keyClick(window, Qt.Key.Key_T)
    assert not window.workspace.layers.labels.isChecked()


def test_probe_a_pixel(open_window: Any, picture: Path, qtbot: Any) -> None:
    window = open_window(picture)
    pick(window.workspace.controls.target_box, "coarse-3")
    qtbot.waitUntil(lambda: window.session.result.labels.taxonomy.name == "coarse-3")
    QTest.mouseMove(window.workspace.canvas, point_of(window, 10, 55))
    QTest.mouseMove(window.workspace.canvas, point_of(window, 11, 55))
    qtbot.waitUntil(lambda: "universal 3 road" in window.workspace.probe.words, timeout=3000)
    assert window.workspace.probe.words.startswith("flat") and "coarse-3 0" in window.workspace.probe.words
    QTest.mouseClick(window.workspace.canvas, LEFT, pos=point_of(window, 60, 36))
    qtbot.waitUntil(lambda: "universal 5 car" in window.workspace.probe.words, timeout=3000)


def test_zoom_at_the_cursor_and_pan(open_window: Any, picture: Path) -> None:
    window = open_window(picture)
    canvas = window.workspace.canvas
    fitted = canvas.viewport
    place = QPointF(point_of(window, 20, 20))
    before = canvas.viewport.pixel_at(place.x(), place.y())
    wheel = QWheelEvent(place, canvas.mapToGlobal(place), QPoint(), QPoint(0, 360), Qt.MouseButton.NoButton,
                        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False)  # fmt: skip
    QApplication.sendEvent(canvas, wheel)
    assert canvas.viewport.scale == pytest.approx(fitted.scale * 1.25**3)
    assert canvas.viewport.pixel_at(place.x(), place.y()) == before
    start = place.toPoint()
    QTest.mousePress(canvas, Qt.MouseButton.MiddleButton, pos=start)
    QTest.mouseMove(canvas, start + QPoint(30, 10))
    QTest.mouseRelease(canvas, Qt.MouseButton.MiddleButton, pos=start + QPoint(30, 10))
    assert canvas.viewport.pixel_at(place.x() + 30, place.y() + 10) == before
    canvas.setFocus()
    QTest.keyPress(canvas, Qt.Key.Key_Space)
    left = canvas.viewport.left
    QTest.mousePress(canvas, LEFT, pos=start)
    QTest.mouseMove(canvas, start - QPoint(20, 0))
    QTest.mouseRelease(canvas, LEFT, pos=start - QPoint(20, 0))
    QTest.keyRelease(canvas, Qt.Key.Key_Space)
    assert canvas.viewport.left == pytest.approx(left - 20)
    QTest.keyClick(window, Qt.Key.Key_0, Qt.KeyboardModifier.ControlModifier)
    assert canvas.viewport == fitted
    QTest.keyClick(window, Qt.Key.Key_1, Qt.KeyboardModifier.ControlModifier)
    assert canvas.device_scale == 1.0


def test_hold_the_backquote_for_the_bare_image(open_window: Any, picture: Path) -> None:
    window = open_window(picture)
    window.workspace.layers.set_opacity(1.0)
    window.workspace.toggle_contours()
    window.workspace.canvas.setFocus()
    bare = tuple(int(v) for v in cv2.imread(str(picture))[55, 10, ::-1])
    assert color_at(window, 10, 55) == FINE.classes[3].rgb
    QTest.keyPress(window.workspace.canvas, Qt.Key.Key_QuoteLeft)
    assert color_at(window, 10, 55) == bare
    QTest.keyRelease(window.workspace.canvas, Qt.Key.Key_QuoteLeft)
    assert color_at(window, 10, 55) == FINE.classes[3].rgb


def test_opacity_by_keys_stays_in_its_range(open_window: Any, picture: Path) -> None:
    window = open_window(picture)
    window.workspace.canvas.setFocus()
    for _ in range(8):
        QTest.keyClick(window, Qt.Key.Key_O)
    assert window.workspace.display.opacity == 1.0
    QTest.keyClick(window, Qt.Key.Key_O, Qt.KeyboardModifier.ShiftModifier)
    assert window.workspace.display.opacity == pytest.approx(0.9)


def test_export_writes_what_is_ticked(open_window: Any, picture: Path, qtbot: Any, tmp_path: Path) -> None:
    window = open_window(picture)
    dialog = ExportDialog(window.session, window)
    dialog.show()
    dialog.tick("ids", "overlay", "classes")
    dialog.folder.setText(str(tmp_path / "out" / "deep"))
    with qtbot.waitSignal(dialog.accepted, timeout=5000):
        QTest.mouseClick(dialog.write, LEFT)
    names = sorted(path.name for path in (tmp_path / "out" / "deep").iterdir())
    assert names == ["street.json", "street.png", "street_classes.csv", "street_overlay.png"]
    ids = cv2.imread(str(tmp_path / "out" / "deep" / "street.png"), cv2.IMREAD_UNCHANGED)
    assert ids is not None
    assert any("written" in text for text in window.workspace.messages.texts)


def test_export_into_a_place_that_cannot_be_says_why(open_window: Any, picture: Path, qtbot: Any) -> None:
    window = open_window(picture)
    dialog = ExportDialog(window.session, window)
    dialog.show()
    dialog.folder.setText(str(picture / "inside a file"))
    QTest.mouseClick(dialog.write, LEFT)
    qtbot.waitUntil(lambda: str(picture) in dialog.message.text(), timeout=5000)
    assert dialog.isVisible() and dialog.write.isEnabled()
    dialog.reject()


def test_a_folder_step_by_step(open_window: Any, folder: Path, qtbot: Any, doubles: Doubles) -> None:
    window = open_window(folder)
    session = window.session
    assert window.docks["files"].isVisible()
    window.workspace.canvas.setFocus()
    QTest.keyClick(window, Qt.Key.Key_D)
    qtbot.waitUntil(lambda: any("b.png" in text for text in window.workspace.messages.texts))
    assert session.state_of(1)[0] is ItemState.FAILED
    assert session.shown is None and QApplication.activeModalWidget() is None
    QTest.keyClick(window, Qt.Key.Key_PageDown)
    qtbot.waitUntil(lambda: session.result is not None and session.at == 2)
    assert window.workspace.messages.texts == ()
    runs = doubles.inference.runs
    QTest.keyClick(window, Qt.Key.Key_A)
    QTest.keyClick(window, Qt.Key.Key_A)
    qtbot.waitUntil(lambda: session.result is not None and session.at == 0)
    assert doubles.inference.runs == runs, "labels of an item that was seen are kept"
    view = window.workspace.files.view
    box = view.visualRect(view.model().index(3, 0))
    QTest.mouseClick(view.viewport(), LEFT, pos=box.center())
    qtbot.waitUntil(lambda: session.result is not None and session.at == 3)


def test_run_all_then_everything_is_there(open_window: Any, folder: Path, qtbot: Any, doubles: Doubles) -> None:
    window = open_window(folder)
    QTest.keyClick(window, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    qtbot.waitUntil(lambda: window.session.batch is None and doubles.inference.runs == 3, timeout=5000)
    states = [window.session.state_of(index)[0] for index in range(4)]
    assert states == [ItemState.PREDICTED, ItemState.FAILED, ItemState.PREDICTED, ItemState.PREDICTED]
    assert any("3 items segmented" in text and "1 failed" in text for text in window.workspace.messages.texts)


def test_walking_about_during_run_all_loses_nothing(
    open_window: Any, folder: Path, qtbot: Any, doubles: Doubles, tmp_path: Path
) -> None:
    for number in range(12):
        write_picture(folder / f"e{number:02d}.png", seed=number)
    doubles.inference.seconds = 0.02
    window = open_window(folder)
    window.workspace.run_all()
    for index in (5, 9, 2, 11, 7):
        qtbot.wait(25)
        window.session.go(index)
    qtbot.waitUntil(lambda: window.session.batch is None, timeout=10000)
    qtbot.waitUntil(lambda: window.session.result is not None)
    states = {window.session.state_of(index)[0] for index in range(16) if index != 1}
    assert states == {ItemState.PREDICTED}


def test_dropped_files_open(open_window: Any, tmp_path: Path, qtbot: Any) -> None:
    window = open_window()
    paths = [write_picture(tmp_path / name) for name in ("one.png", "two.png")]
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    event = QDropEvent(QPointF(300, 300), Qt.DropAction.CopyAction, data, LEFT, Qt.KeyboardModifier.NoModifier)
    window.dragEnterEvent(event)
    assert event.isAccepted()
    window.dropEvent(event)
    qtbot.waitUntil(lambda: window.session.result is not None)
    assert window.session.source.items == tuple(str(path) for path in paths)


def test_a_file_that_cannot_be_opened_leaves_the_old_one(open_window: Any, picture: Path, qtbot: Any) -> None:
    window = open_window(picture)
    bad = picture.with_name("notes.png")
    bad.write_text("no picture")
    window.open_path(str(bad))
    qtbot.waitUntil(lambda: any("notes.png" in text for text in window.workspace.messages.texts))
    assert window.session.source.path == str(picture) and window.session.result is not None
    assert window.settings.recent == (str(picture),)
    close = window.workspace.messages._rows[0].closed
    QTest.mouseClick(close, LEFT)
    assert window.workspace.messages.texts == () and not window.workspace.messages.isVisible()


def test_a_dear_run_waits_for_the_button(open_window: Any, picture: Path, qtbot: Any, doubles: Doubles) -> None:
    doubles.run_seconds = 40.0
    window = open_window()
    window.open_path(str(picture))
    qtbot.waitUntil(lambda: window.session.shown is not None)
    assert "40 s" in window.workspace.controls.cost.text()
    qtbot.wait(100)
    assert doubles.inference.runs == 0
    QTest.mouseClick(window.workspace.controls.run_button, LEFT)
    qtbot.waitUntil(lambda: window.session.result is not None)


def test_a_run_that_does_not_fit_in_memory_is_not_started_unasked(
    open_window: Any, picture: Path, qtbot: Any, doubles: Doubles
) -> None:
    doubles.run_bytes, doubles.free_bytes = 6_100_000_000, 3_000_000_000
    window = open_window()
    window.open_path(str(picture))
    qtbot.waitUntil(lambda: window.session.shown is not None)
    assert "6.1 GB" in window.workspace.controls.cost.text()
    assert any("3.0 GB are free" in text for text in window.workspace.messages.texts)
    qtbot.wait(100)
    assert doubles.inference.runs == 0
    QTest.mouseClick(window.workspace.controls.run_button, LEFT)
    qtbot.waitUntil(lambda: window.session.result is not None)


def test_a_dear_recipe_keeps_the_labels_until_it_has_run(
    open_window: Any, picture: Path, qtbot: Any, doubles: Doubles
) -> None:
    doubles.inference.seconds = doubles.run_seconds = 1.0
    window = open_window(picture)
    QTest.mouseClick(window.workspace.controls.recipe_buttons.button("paper"), LEFT)
    assert any("Press Run: about 6" in text for text in window.workspace.messages.texts)
    assert window.session.result.choice.recipe == "balanced" and "balanced" in window._status.facts.text()
    doubles.inference.seconds = 0.0
    QTest.mouseClick(window.workspace.controls.run_button, LEFT)
    qtbot.waitUntil(lambda: window.session.result.choice.recipe == "paper")
    assert window.workspace.messages.texts == ()


def test_cancel_frees_the_window_at_once(open_window: Any, picture: Path, qtbot: Any, doubles: Doubles) -> None:
    doubles.inference.seconds = 1.0
    window = open_window()
    window.open_path(str(picture))
    qtbot.waitUntil(lambda: window.session.running)
    assert window.workspace.controls.run_button.text() == "Cancel"
    QTest.keyClick(window, Qt.Key.Key_Escape)
    assert not window.session.running
    assert window.workspace.controls.run_button.text() == "Run"
    assert doubles.inference.cancels == 1
    qtbot.wait(400)
    assert window.session.result is None, "a late result is dropped"


def test_a_dead_worker_is_told_and_the_next_run_works(
    open_window: Any, picture: Path, qtbot: Any, doubles: Doubles
) -> None:
    window = open_window(picture)
    doubles.inference.die()
    qtbot.waitUntil(lambda: any("killed (signal 9)" in text for text in window.workspace.messages.texts))
    assert window.workspace.controls.badge.text() == "Restarting"
    qtbot.waitUntil(lambda: window.workspace.controls.badge.text() == "CPU · torch · float32")
    assert window.workspace.messages.texts == ()
    QTest.mouseClick(window.workspace.controls.run_button, LEFT)
    qtbot.waitUntil(lambda: doubles.inference.runs == 2)
    qtbot.waitUntil(lambda: not window.session.running)


def test_a_run_that_fails_says_why(open_window: Any, picture: Path, qtbot: Any, doubles: Doubles) -> None:
    doubles.inference.fail_with = "no memory on cuda:0 on any rung of the ladder"
    window = open_window()
    window.open_path(str(picture))
    qtbot.waitUntil(lambda: any("rung" in text for text in window.workspace.messages.texts))
    assert not window.session.running
    doubles.inference.fail_with = ""
    QTest.mouseClick(window.workspace.controls.run_button, LEFT)
    qtbot.waitUntil(lambda: window.session.result is not None)
    assert window.workspace.messages.texts == ()


def test_a_video_seeks_steps_plays_and_marks(open_window: Any, qtbot: Any, doubles: Doubles) -> None:
    window = open_window("clip.mp4")
    transport, session = window.workspace.transport, window.session
    assert transport.isVisible() and transport.time.text() == "00:00.00 / 00:01.10"
    window.workspace.canvas.setFocus()
    QTest.keyClick(window, Qt.Key.Key_Period)
    qtbot.waitUntil(lambda: session.at == 1 and session.result is not None)
    QTest.keyClick(window, Qt.Key.Key_Comma)
    qtbot.waitUntil(lambda: session.at == 0 and session.result is not None)
    timeline = transport.timeline
    QTest.mouseClick(timeline, LEFT, pos=QPoint(round(4 + (timeline.width() - 8) * 6.5 / 12), timeline.height() // 2))
    qtbot.waitUntil(lambda: session.at == 6 and session.result is not None)
    assert int(session.shown.frame.pixels_HW3[0, 0, 0]) == 40 + 15 * 6
    assert "3 done" in transport.frame.text()
    QTest.keyClick(window, Qt.Key.Key_K)
    assert window.workspace.player.playing
    qtbot.waitUntil(lambda: not window.workspace.player.playing and session.at == 11, timeout=5000)
    qtbot.waitUntil(lambda: "8 done" in transport.frame.text())
    QTest.mouseClick(transport.run_all, LEFT)
    qtbot.waitUntil(lambda: "12 done" in transport.frame.text())


def test_20000_files_are_listed_at_once(open_window: Any, tmp_path: Path, qtbot: Any, doubles: Doubles) -> None:
    window = open_window()
    real = str(write_picture(tmp_path / "real.png"))
    window.session.open_images((real, *(str(tmp_path / f"{number:05d}.png") for number in range(20_000))))
    qtbot.waitUntil(lambda: window.session.result is not None, timeout=2000)
    qtbot.waitUntil(lambda: len(doubles.media.thumbnails) > 5, timeout=2000)
    assert len(doubles.media.thumbnails) < 60, "only what is in sight"
    window.workspace.files.filter.setText("1999")
    assert window.workspace.files._proxy.rowCount() == 12


def test_layout_and_recents_are_remembered(open_window: Any, picture: Path) -> None:
    window = open_window(picture)
    window.docks["pixel"].hide()
    window.workspace.layers.set_opacity(0.8)
    window.close()
    from mseg_studio.settings import load_settings

    kept = load_settings()
    assert kept.recent == (str(picture),) and kept.opacity == 0.8
    again = open_window(settings=kept)
    assert not again.docks["pixel"].isVisible() and again.docks["classes"].isVisible()
    assert np.isclose(again.workspace.display.opacity, 0.8)

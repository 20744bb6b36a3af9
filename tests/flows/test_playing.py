"""A played video: frames appear together with their labels, and the window does little beside."""

from __future__ import annotations

from typing import Any

from PySide6.QtTest import QTest

from tests.ui.fakes import Doubles


def test_frames_and_their_labels_appear_together(open_window: Any, qtbot: Any, doubles: Doubles) -> None:
    window = open_window("clip.mp4")
    session, canvas, player = window.session, window.workspace.canvas, window.workspace.player
    before: list[bool] = []
    together: list[bool] = []
    session.frame_changed.connect(lambda shown: before.append(canvas.picture is shown.picture))
    session.result_changed.connect(lambda result: together.append(canvas.picture is session.shown.picture))
    doubles.inference.seconds = 0.02
    player.toggle()
    qtbot.waitUntil(lambda: not player.playing and session.at == 11, timeout=5000)
    assert len(before) == len(together) == 11
    assert not any(before)
    assert all(together)


def test_pausing_shows_the_frame_that_waits_for_its_labels(open_window: Any, qtbot: Any, doubles: Doubles) -> None:
    window = open_window("clip.mp4")
    session, canvas, player = window.session, window.workspace.canvas, window.workspace.player
    doubles.inference.seconds = 5.0
    player.toggle()
    qtbot.waitUntil(lambda: session.at == 1)
    assert canvas.picture is not session.shown.picture
    player.stop()
    assert canvas.picture is session.shown.picture
    session.cancel()


def test_without_labels_frames_appear_as_they_come(open_window: Any, qtbot: Any, doubles: Doubles) -> None:
    window = open_window("clip.mp4")
    session, canvas, player = window.session, window.workspace.canvas, window.workspace.player
    player.with_labels = False
    runs = doubles.inference.runs
    at_once: list[bool] = []
    session.frame_changed.connect(lambda shown: at_once.append(canvas.picture is shown.picture))
    player.toggle()
    qtbot.waitUntil(lambda: len(at_once) >= 3)
    player.stop()
    assert all(at_once)
    assert doubles.inference.runs == runs


def test_the_status_follows_a_few_times_a_second(open_window: Any, qtbot: Any) -> None:
    window = open_window("clip.mp4")
    player = window.workspace.player
    told: list[int] = []
    window.workspace.state_changed.connect(lambda: told.append(1))
    player.toggle()
    qtbot.waitUntil(lambda: not player.playing and window.session.at == 11, timeout=5000)
    assert len(told) < 22
    QTest.qWait(150)
    assert "12 / 12" in window._status.facts.text()

"""The Train workspace on folders as trainers leave them: found, watched, stopped, continued, deleted, compared."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDialogButtonBox, QLabel, QMessageBox, QStyle

from mseg_studio.training import launcher, runs
from mseg_studio.training.devices import Device
from mseg_studio.ui.main_window import MainWindow
from mseg_studio.ui.workspaces.train import workspace as module
from mseg_studio.ui.workspaces.train.compare_dialog import CompareDialog
from mseg_studio.ui.workspaces.train.new_run import NewRunPage
from mseg_studio.ui.workspaces.train.run_list import tick_box
from mseg_studio.ui.workspaces.train.run_reader import RunReader
from mseg_studio.ui.workspaces.train.workspace import TrainWorkspace
from tests.ui.fakes import Doubles
from tests.ui.train_factory import FakeRun, five_runs

LEFT = Qt.MouseButton.LeftButton
SECONDS = 20_000


def shown(open_window: Any, qtbot: Any, *, run: bool = True) -> tuple[MainWindow, TrainWorkspace]:
    """The window with the Train workspace, and the look at the first run if there is one."""
    window = open_window()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    QTest.keyClick(window, Qt.Key.Key_4, Qt.KeyboardModifier.AltModifier)
    assert window.current == "train"
    page = window.page("train")
    assert isinstance(page, TrainWorkspace)
    if run:
        qtbot.waitUntil(lambda: page.look is not None, timeout=SECONDS)
    return window, page


def choose(page: TrainWorkspace, qtbot: Any, name: str) -> None:
    """Click a run in the list."""
    row = next(n for n in range(page.runs.model.rowCount()) if page.runs.model.index(n).data() == name)
    box = page.runs.view.visualRect(page.runs.model.index(row))
    QTest.mouseClick(page.runs.view.viewport(), LEFT, pos=box.topLeft() + QPoint(40, 10))
    qtbot.waitUntil(lambda: page.look is not None and page.look.folder.name == name, timeout=SECONDS)


def tick(page: TrainWorkspace, name: str) -> None:
    row = next(n for n in range(page.runs.model.rowCount()) if page.runs.model.index(n).data() == name)
    box = page.runs.view.visualRect(page.runs.model.index(row))
    QTest.mouseClick(page.runs.view.viewport(), LEFT, pos=tick_box(box).center())


def test_without_runs_it_says_what_to_do(open_window: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    window, page = shown(open_window, qtbot, run=False)
    assert page.pages.currentWidget() is page.empty and window._status.facts.text() == ""
    asked: list[str | None] = []
    monkeypatch.setattr(page, "begin", lambda *, recipe=None: asked.append(recipe))
    QTest.mouseClick(page.empty.new, LEFT)
    QTest.mouseClick(page.empty.smoke, LEFT)
    QTest.mouseClick(page.bar.new, LEFT)
    assert asked == [None, "smoke", None]
    assert not page.bar.resume.isVisible() and not page.bar.stop.isVisible()


def test_runs_are_found_with_state_and_what_to_do(open_window: Any, qtbot: Any) -> None:
    five_runs()
    window, page = shown(open_window, qtbot)
    model = page.runs.model
    words = [model.index(n).data(Qt.ItemDataRole.AccessibleTextRole) for n in range(model.rowCount())]
    assert words[0].startswith("fine-tune my street, running, step 12 400 / 20 000 · 41 min left")
    assert words[1].startswith("camvid from scratch, finished, mIoU 0.641")
    assert words[2].startswith("mseg-480-3m, failed, rank 3: CUDA ran out of memory")
    assert words[3].startswith("oracle kitti, lost, ")
    assert window._status.facts.text().split("      ") == [
        "fine-tune my street", "step 12 400 / 20 000", "training", "41 min left", "runs go on when this window closes",
    ]  # fmt: skip
    assert page.bar.stop_save.isVisible() and not page.bar.resume.isVisible() and not page.bar.delete.isVisible()
    assert not page.run_page.head.problem.isVisible()
    choose(page, qtbot, "mseg-480-3m")
    problem = page.run_page.head.problem
    qtbot.waitUntil(problem.isVisible, timeout=SECONDS)
    assert problem.what.text().startswith("Rank 3: CUDA ran out of memory at step 210") and problem.advice.text()
    assert page.bar.resume.isEnabled() and not page.bar.use.isEnabled()


def test_what_a_run_writes_is_on_screen_within_two_seconds(open_window: Any, qtbot: Any) -> None:
    run = FakeRun("fresh", steps=1000).launched(alive=True).progress("loading", left=0)
    _window, page = shown(open_window, qtbot)
    chart = page.run_page.charts.loss_chart
    assert chart.series == () and chart.hint.isVisible()
    began = time.monotonic()
    run.trained(10).progress()
    qtbot.waitUntil(lambda: len(chart.series) > 0, timeout=SECONDS)
    seconds = time.monotonic() - began
    assert seconds < 4, "2 s on a calm machine"
    run.trained(200)
    qtbot.waitUntil(lambda: len(chart.series[-1].x) == 20, timeout=SECONDS)
    qtbot.waitUntil(
        lambda: page.runs.model.index(0).data(Qt.ItemDataRole.AccessibleTextRole).startswith("fresh, running")
    )
    run.close()


def test_until_a_run_was_read_nothing_is_claimed_of_it(
    open_window: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeRun("long")
    hold = threading.Event()
    look = RunReader.look
    monkeypatch.setattr(RunReader, "look", lambda self, **more: hold.wait(20) and look(self, **more))
    _window, page = shown(open_window, qtbot, run=False)
    qtbot.waitUntil(lambda: page.runs.current is not None, timeout=SECONDS)
    charts = page.run_page.charts
    hints = (charts.loss_chart.hint, charts.validation_chart.hint, charts.bars_hint, charts.speed_chart.hint)
    assert [hint.text() for hint in hints] == ["reading…"] * 4
    hold.set()
    qtbot.waitUntil(lambda: page.look is not None, timeout=SECONDS)
    assert charts.loss_chart.hint.text() == "nothing logged yet"
    assert charts.validation_chart.hint.text() == charts.bars_hint.text() == "comes with the first validation"


def test_filter_finds_by_name_and_state_and_the_chosen_run_stays(open_window: Any, qtbot: Any) -> None:
    five_runs()
    window, page = shown(open_window, qtbot)
    QTest.keyClick(window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    assert page.runs.filter.hasFocus()
    QTest.keyClicks(page.runs.filter, "lost")
    assert [page.runs.model.index(n).data() for n in range(page.runs.model.rowCount())] == ["oracle kitti"]
    assert page.runs.current is not None and page.runs.current.name == "fine-tune my street"
    QTest.keyClick(page.runs.filter, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClick(page.runs.filter, Qt.Key.Key_Delete)
    assert page.runs.model.rowCount() == 5
    assert page.runs.view.currentIndex().data() == "fine-tune my street"


def test_ticked_runs_are_drawn_over_the_chosen_one_with_a_legend(open_window: Any, qtbot: Any) -> None:
    five_runs()
    _window, page = shown(open_window, qtbot)
    charts, legend = page.run_page.charts, page.run_page.legend
    assert not legend.isVisible()
    tick(page, "camvid from scratch")
    qtbot.waitUntil(lambda: len(charts._looks) == 2, timeout=SECONDS)
    assert legend.isVisible() and legend.words.accessibleName() == "Drawn: fine-tune my street, camvid from scratch"
    named = [one.name for one in charts.loss_chart.series if not one.is_raw]
    assert sorted(named) == ["camvid from scratch", "fine-tune my street"]
    assert len({one.colour for one in charts.loss_chart.series}) == 2
    page.bar.forget_ticks.trigger()
    qtbot.waitUntil(lambda: len(charts._looks) == 1, timeout=SECONDS)
    assert not legend.isVisible()


def test_space_ticks_a_run(open_window: Any, qtbot: Any) -> None:
    five_runs()
    _window, page = shown(open_window, qtbot)
    page.runs.view.setFocus()
    QTest.keyClick(page.runs.view, Qt.Key.Key_Space)
    assert [path.name for path in page.runs.ticked_runs] == ["fine-tune my street"]
    QTest.keyClick(page.runs.view, Qt.Key.Key_Space)
    assert page.runs.ticked_runs == []


def test_configurations_are_compared(open_window: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    five_runs()
    _window, page = shown(open_window, qtbot)
    tick(page, "camvid from scratch")
    qtbot.waitUntil(lambda: len(page.looks) == 2, timeout=SECONDS)
    seen: list[str] = []
    monkeypatch.setattr(CompareDialog, "exec", lambda dialog: seen.append(dialog.as_text()))
    QTest.mouseClick(page.run_page.legend.compare, LEFT)
    rows = dict(line.split("\t", 1) for line in seen[0].splitlines())
    assert rows["setting"] == "fine-tune my street\tcamvid from scratch"
    assert rows["start"] == "mseg-3m-480p\trandom" and rows["accumulate"] == "2\t1" and "steps" not in rows
    one = CompareDialog({"a": {"steps": 1}, "b": {"steps": 2}}, page)
    assert [label.text() for label in one.findChildren(QLabel)] == ["1 setting differs."]
    close = one.findChild(QDialogButtonBox).button(QDialogButtonBox.StandardButton.Close)
    hint = QStyle.StyleHint.SH_DialogButtonBox_ButtonsHaveIcons
    assert not close.style().styleHint(hint, None, close.parentWidget()), "the platform's icons do not fit the theme"
    one.deleteLater()


def test_stop_and_save_stop_and_resume_reach_the_launcher(
    open_window: Any, qtbot: Any, doubles: Doubles, monkeypatch: pytest.MonkeyPatch
) -> None:
    five_runs()
    asked: list[Any] = []
    monkeypatch.setattr(launcher, "stop", lambda folder, *, kill=False: asked.append((folder.name, kill)))
    monkeypatch.setattr(launcher, "resume", lambda folder, plan: asked.append((folder.name, plan.processes)))
    _window, page = shown(open_window, qtbot)
    QTest.mouseClick(page.bar.stop_save, LEFT)
    qtbot.waitUntil(lambda: len(asked) == 1 and page.bar.stop.isEnabled(), timeout=SECONDS)
    monkeypatch.setattr(QMessageBox, "question", lambda *_args: QMessageBox.StandardButton.Cancel)
    QTest.mouseClick(page.bar.stop, LEFT)
    monkeypatch.setattr(QMessageBox, "question", lambda *_args: QMessageBox.StandardButton.Yes)
    QTest.mouseClick(page.bar.stop, LEFT)
    qtbot.waitUntil(lambda: len(asked) == 2, timeout=SECONDS)
    choose(page, qtbot, "oracle kitti")
    qtbot.waitUntil(page.bar.resume.isVisible, timeout=SECONDS)
    QTest.mouseClick(page.bar.resume, LEFT)
    qtbot.waitUntil(lambda: len(asked) == 3, timeout=SECONDS)
    assert asked == [("fine-tune my street", False), ("fine-tune my street", True), ("oracle kitti", 1)]
    assert doubles.inference.releases == 1, "the GPU is freed before a run goes on"


def test_a_refusal_is_told(open_window: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    five_runs()

    def refuse(folder: Path, plan: object) -> None:
        raise launcher.RunFailed("it goes on already", path=folder)

    monkeypatch.setattr(launcher, "resume", refuse)
    _window, page = shown(open_window, qtbot)
    told: list[Any] = []
    page.notice.connect(told.append)
    choose(page, qtbot, "smoke")
    QTest.mouseClick(page.bar.resume, LEFT)
    qtbot.waitUntil(lambda: bool(told), timeout=SECONDS)
    assert told[0].kind == "error" and "it goes on already" in told[0].text
    qtbot.waitUntil(page.bar.resume.isEnabled)


def test_a_run_is_deleted_after_a_question(open_window: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = five_runs()
    _window, page = shown(open_window, qtbot)
    choose(page, qtbot, "smoke")
    monkeypatch.setattr(QMessageBox, "question", lambda *_args: QMessageBox.StandardButton.Cancel)
    QTest.mouseClick(page.bar.delete, LEFT)
    assert found["smoke"].path.is_dir()
    monkeypatch.setattr(QMessageBox, "question", lambda *_args: QMessageBox.StandardButton.Yes)
    QTest.mouseClick(page.bar.delete, LEFT)
    qtbot.waitUntil(lambda: page.runs.model.rowCount() == 4, timeout=SECONDS)
    assert not found["smoke"].path.exists()
    assert page.runs.current is not None and page.runs.current.name == "fine-tune my street"


def test_the_exact_command_is_copied(open_window: Any, qtbot: Any) -> None:
    found = five_runs()
    _window, page = shown(open_window, qtbot)
    QTest.mouseClick(page.bar.copy, LEFT)
    text = QGuiApplication.clipboard().text()
    assert "-m torch.distributed.run --standalone --nproc-per-node=2 -m mseg_studio.training.worker" in text
    assert text.endswith(f"'{found['fine-tune my street'].path}'")


def test_the_model_of_a_run_comes_into_the_list(
    open_window: Any, qtbot: Any, doubles: Doubles, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mseg_studio.ui.services import ModelChoice
    from mseg_studio.ui.workspaces.train import run_actions

    class Child(run_actions.ChildCommand):
        def start(self) -> None:
            assert self._process.arguments()[2:4] == ["runs", "use"]
            doubles.models.append(ModelChoice("my-street", "universal", 8, 360, 473))
            self.told.emit({"model": "my-street"})
            self.finished.emit(True, "")

    monkeypatch.setattr(run_actions, "ChildCommand", Child)
    five_runs()
    window, page = shown(open_window, qtbot)
    names: list[str] = []
    page.model_installed.connect(names.append)
    QTest.mouseClick(page.bar.use, LEFT)
    assert names == ["my-street"]
    assert "my-street" in [model.name for model in window.workspace.models], "Segment offers it at once"
    assert window.session.choice.model == "my-street"


def test_a_run_elsewhere_is_opened_and_found_again(open_window: Any, qtbot: Any, tmp_path: Path) -> None:
    run = FakeRun("far away", folder=tmp_path).launched(alive=False).trained(500).ended("stopped")
    run.close()
    _window, page = shown(open_window, qtbot, run=False)
    told: list[Any] = []
    page.notice.connect(told.append)
    page.open_run(tmp_path)
    assert "no config.yaml" in told[0].text
    page.open_run(run.path)
    qtbot.waitUntil(lambda: page.look is not None and page.pages.currentWidget() is page.run_page, timeout=SECONDS)
    assert page.runs.model.rowCount() == 1 and runs.known_runs() == (run.path,)


def test_closing_the_window_leaves_runs_alone(open_window: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    five_runs()
    monkeypatch.setattr(launcher, "stop", lambda *_args, **_more: pytest.fail("it was stopped"))
    window, page = shown(open_window, qtbot)
    page.run_page.notes.text.setFocus()
    QTest.keyClicks(page.run_page.notes.text, "rate too high?")
    folder = page.runs.current
    window.close()
    assert folder is not None and runs.read_notes(folder) == "rate too high?", "what was typed last is not lost"
    assert not (folder / "stop.json").exists()


def test_notes_are_saved_as_they_are_typed(open_window: Any, qtbot: Any) -> None:
    five_runs()
    _window, page = shown(open_window, qtbot)
    folder = page.runs.current
    QTest.keyClicks(page.run_page.notes.text, "more data")
    assert folder is not None
    qtbot.waitUntil(lambda: runs.read_notes(folder) == "more data", timeout=SECONDS)
    choose(page, qtbot, "smoke")
    assert page.run_page.notes.text.toPlainText() == ""
    choose(page, qtbot, "fine-tune my street")
    assert page.run_page.notes.text.toPlainText() == "more data"


def test_nobody_looks_at_runs_while_another_workspace_is_shown(open_window: Any, qtbot: Any) -> None:
    five_runs()
    window, page = shown(open_window, qtbot)
    window.show_workspace("segment")
    assert not page.watcher._look.isActive() and not page.watcher._list.isActive()
    window.show_workspace("train")
    assert page.watcher._look.isActive()


def test_a_damaged_folder_is_shown_with_what_is_wrong(open_window: Any, qtbot: Any) -> None:
    run = FakeRun("broken").launched(alive=False).trained(100)
    run.close()
    (run.path / "config.yaml").write_text("steps: [")
    (run.path / "launch.json").write_text("{")
    (run.path / "samples" / "index.json").write_text(json.dumps({"images": 3, "steps": "x"}))
    _window, page = shown(open_window, qtbot)
    qtbot.waitUntil(lambda: bool(page.run_page.config.texts()), timeout=SECONDS)
    assert "config.yaml" in page.run_page.config.texts()[0]
    assert len(page.run_page.charts.loss_chart.series) == 2


def test_every_control_has_a_name(open_window: Any, qtbot: Any) -> None:
    from tests.ui.test_accessibility import KINDS

    five_runs()
    _window, page = shown(open_window, qtbot)
    found = [w for kind in KINDS for w in page.findChildren(kind) if w.isVisible()]
    found = [w for w in found if not w.objectName().startswith("qt_")]
    nameless = [w for w in found if not (w.accessibleName() or (w.text().strip() if hasattr(w, "text") else ""))]
    assert [f"{type(w).__name__} in {type(w.parent()).__name__}" for w in nameless] == []


def test_the_page_fits_the_smallest_window(open_window: Any, qtbot: Any) -> None:
    five_runs()
    window, page = shown(open_window, qtbot)
    window.resize(900, 560)
    qtbot.waitUntil(lambda: window.width() == 900)
    assert page.bar.more.geometry().right() <= page.bar.width()
    assert page.width() <= window.width()


def test_the_form_of_a_new_run_is_whole_in_the_smallest_window(open_window: Any, qtbot: Any) -> None:
    FakeRun("one").launched(alive=True)
    window, page = shown(open_window, qtbot)
    window.resize(900, 560)
    page.begin()
    form = page.new_run
    assert isinstance(form, NewRunPage)
    qtbot.waitUntil(lambda: form.draft is not None and not page.runs.isVisible(), timeout=SECONDS)
    inside = form.parts.recipe.parentWidget()
    area = inside.parentWidget()
    qtbot.waitUntil(lambda: inside.width() <= area.width(), timeout=SECONDS)
    form.parts.back.click()
    assert page.runs.isVisible()
    page.begin()
    window.resize(1280, 800)
    qtbot.waitUntil(page.runs.isVisible, timeout=SECONDS)


def test_only_a_person_leaves_the_form_of_a_new_run(open_window: Any, qtbot: Any) -> None:
    FakeRun("one").launched(alive=True)
    _window, page = shown(open_window, qtbot, run=False)
    page.begin()  # before the first list of runs has come
    qtbot.waitUntil(lambda: page.look is not None, timeout=SECONDS)
    assert page.pages.currentWidget() is page.new_run
    box = page.runs.view.visualRect(page.runs.model.index(0))
    QTest.mouseClick(page.runs.view.viewport(), LEFT, pos=box.topLeft() + QPoint(40, 10))
    assert page.pages.currentWidget() is page.run_page, "a click on the run that is chosen already shows it too"


def test_devices_badge(open_window: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = tuple(Device("cuda", str(n), "NVIDIA GeForce RTX 4090", 24 << 30) for n in range(2))
    monkeypatch.setattr(module, "devices_here", lambda: cards)
    _window, page = shown(open_window, qtbot, run=False)
    qtbot.waitUntil(lambda: page.bar.badge.text() == "2 × RTX 4090 · NCCL", timeout=SECONDS)


def test_a_run_is_begun_and_left_again(open_window: Any, qtbot: Any) -> None:
    five_runs()
    window, page = shown(open_window, qtbot)
    QTest.mouseClick(page.bar.new, LEFT)
    assert page.new_run is not None and page.pages.currentWidget() is page.new_run
    page.watcher.list_now()
    qtbot.wait(100)
    assert page.pages.currentWidget() is page.new_run, "what runs do does not take the form away"
    assert window._status.facts.text() == ""
    page.new_run.closed.emit()
    assert page.pages.currentWidget() is page.run_page
    QTest.mouseClick(page.bar.clone, LEFT)
    assert page.pages.currentWidget() is page.new_run
    other = next(path for path in page.runs.model.states if path.name == "smoke")
    page.new_run.started.emit(other)
    assert page.runs.current == other and page.pages.currentWidget() is page.run_page


def test_a_look_that_never_comes_back_does_not_stop_the_looking(
    open_window: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mseg_studio.ui.workspaces.train import watcher

    five_runs()
    _window, page = shown(open_window, qtbot)
    qtbot.waitUntil(lambda: not page.watcher._looking, timeout=SECONDS)
    page.watcher._looking = True  # as after an error nobody foresaw
    seen: list[object] = []
    page.watcher.looked.connect(seen.append)
    qtbot.wait(700)
    assert seen == []
    monkeypatch.setattr(watcher, "_GIVE_UP_S", 0.0)
    qtbot.waitUntil(lambda: bool(seen), timeout=SECONDS)

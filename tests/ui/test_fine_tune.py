"""Fine-tuning in the window: the dialog looks at labels in a child, the panel tells what a run changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QApplication

from mseg_studio.storage import write_json_atomic
from mseg_studio.training.fine_tune import begin, plan_fine_tune
from mseg_studio.training.fine_tune_scores import Scores, write_scores
from mseg_studio.training.run_state import RunState
from mseg_studio.ui import fine_tune as from_segment
from mseg_studio.ui.main_window import MainWindow
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.train import fine_tune_dialog, fine_tune_panel
from mseg_studio.ui.workspaces.train.fine_tune_dialog import FineTuneDialog, labels_near
from mseg_studio.ui.workspaces.train.fine_tune_panel import FineTunePanel
from tests.training.test_fine_tune import MODEL, STREET, edit, export
from tests.ui.fakes import Doubles

LEFT = Qt.MouseButton.LeftButton
WAIT_MS = 60_000


class FakeChild(QObject):
    """A child command that says and does nothing until the test tells it."""

    told = Signal(object)
    finished = Signal(bool, str)
    made: list[FakeChild] = []

    def __init__(self, arguments: list[str], parent: QObject) -> None:
        super().__init__(parent)
        self.arguments, self.started, self.ended = list(arguments), False, False
        self.made.append(self)

    def start(self) -> None:
        self.started = True

    def end(self) -> None:
        self.ended = True


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[FakeChild]:
    FakeChild.made.clear()
    for module in (fine_tune_dialog, fine_tune_panel):
        monkeypatch.setattr(module, "ChildCommand", FakeChild)
    return FakeChild.made


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Four exported label maps, two of them changed."""
    for label in export(tmp_path / "segmented", tmp_path / "drive", 4)[:2]:
        edit(label, STREET | {"car": slice(18, 24)})
    return tmp_path / "segmented"


@pytest.fixture
def dialog(qtbot: Any, doubles: Doubles) -> Iterator[Callable[..., FineTuneDialog]]:
    made: list[FineTuneDialog] = []

    def make(source: str = "", model: str = "street-demo") -> FineTuneDialog:
        made.append(FineTuneDialog(doubles.services, source=source, model=model))
        qtbot.addWidget(made[-1])
        made[-1].show()
        return made[-1]

    yield make
    for one in made:
        one.done(0)


def test_the_plan_is_read_from_a_child_and_shown_before_the_start(
    qtbot: Any, dialog: Callable[..., FineTuneDialog], labels: Path
) -> None:
    shown = dialog(str(labels))
    shown.model.addItem(MODEL)  # the doubles' models are not installed
    shown.model.setCurrentText(MODEL)
    assert not shown.go.isEnabled()
    qtbot.waitUntil(lambda: shown.go.isEnabled(), timeout=WAIT_MS)
    assert "3 images to learn from, 1 held out" in shown.facts.text()
    assert "2 of 4 labels are street-small's own answers" in shown.warnings.text()
    assert shown.name.text() == "street-small-segmented"
    shown.only_changed.setChecked(True)
    assert not shown.go.isEnabled(), "the plan of before does not count"
    qtbot.waitUntil(lambda: shown.go.isEnabled(), timeout=WAIT_MS)
    assert "1 image to learn from, 1 held out" in shown.facts.text()


def test_what_cannot_be_is_said_in_the_dialog(
    qtbot: Any, dialog: Callable[..., FineTuneDialog], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    shown = dialog(str(tmp_path / "empty"))
    shown.model.addItem(MODEL)
    shown.model.setCurrentText(MODEL)
    qtbot.waitUntil(lambda: "no labels of MSeg Studio in this folder" in shown.warnings.text(), timeout=WAIT_MS)
    assert not shown.go.isEnabled() and shown.warnings.isVisible()


def test_start_frees_the_device_and_tells_the_run(
    qtbot: Any, dialog: Callable[..., FineTuneDialog], doubles: Doubles, children: list[FakeChild], tmp_path: Path
) -> None:
    shown = dialog(str(tmp_path))
    qtbot.waitUntil(lambda: len(children) == 1)
    assert children[0].arguments == [
        *("fine-tune", str(tmp_path), "--model", shown.model.currentText()),
        *("--dry-run", "--json", "--progress-json"),
    ]
    children[0].told.emit({"plan": {"facts": ["a"], "warnings": [], "name": "mine"}})
    children[0].finished.emit(True, "")
    runs: list[Path] = []
    shown.started.connect(runs.append)
    qtbot.mouseClick(shown.go, LEFT)
    assert doubles.inference.releases == 1 and "--detach" in children[1].arguments
    assert not shown.go.isEnabled() and not shown.source.isEnabled()
    children[1].told.emit({"plan": {"facts": [], "warnings": [], "name": "mine"}})
    children[1].told.emit({"run": str(tmp_path / "run")})
    children[1].finished.emit(True, "")
    assert runs == [tmp_path / "run"] and not shown.isVisible()


def test_a_start_that_fails_is_told_and_may_be_tried_again(
    qtbot: Any, dialog: Callable[..., FineTuneDialog], children: list[FakeChild], tmp_path: Path
) -> None:
    shown = dialog(str(tmp_path))
    qtbot.waitUntil(lambda: len(children) == 1)
    children[0].told.emit({"plan": {"facts": ["a"], "warnings": [], "name": "mine"}})
    children[0].finished.emit(True, "")
    qtbot.mouseClick(shown.go, LEFT)
    children[1].finished.emit(False, "the disk is full")
    assert shown.warnings.text() == "the disk is full" and shown.go.isEnabled() and shown.source.isEnabled()
    shown.reject()
    assert not shown.isVisible()


def test_typing_ends_the_child_that_looked(
    qtbot: Any, dialog: Callable[..., FineTuneDialog], children: list[FakeChild], tmp_path: Path
) -> None:
    shown = dialog(str(tmp_path))
    qtbot.waitUntil(lambda: len(children) == 1)
    shown.source.setText("cityscapes")
    assert children[0].ended
    qtbot.waitUntil(lambda: len(children) == 2)
    assert children[1].arguments[1] == "cityscapes"


def test_labels_are_found_where_export_puts_them_or_beside_the_images(labels: Path, tmp_path: Path) -> None:
    assert labels_near(str(tmp_path / "drive")) == str(labels)
    assert labels_near(str(tmp_path / "drive" / "street_0.jpg")) == ""
    labels.rename(tmp_path / "drive" / "labels")
    assert labels_near(str(tmp_path / "drive")) == ""
    (tmp_path / "drive" / "labels" / "street_0.json").rename(tmp_path / "drive" / "street_0.json")
    (tmp_path / "drive" / "labels" / "street_0.png").rename(tmp_path / "drive" / "street_0.png")
    assert labels_near(str(tmp_path / "drive")) == str(tmp_path / "drive")


def test_from_segment_by_button_and_menu(
    qtbot: Any, open_window: Callable[..., MainWindow], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(
        fine_tune_dialog, "ask_fine_tune", lambda services, opened, model, parent: asked.append((opened, model))
    )
    window = open_window(folder)
    qtbot.mouseClick(window.workspace.files.fine_tune, LEFT)
    window.actions_table["fine_tune"].trigger()
    assert asked == [(str(folder), window.session.choice.model)] * 2
    assert window.current == "segment"


def test_a_run_that_began_is_shown_in_train(
    qtbot: Any, open_window: Callable[..., MainWindow], monkeypatch: pytest.MonkeyPatch, fine_tuned: Path
) -> None:
    monkeypatch.setattr(fine_tune_dialog, "ask_fine_tune", lambda *_: fine_tuned)
    window = open_window()
    shown: list[Path] = []
    monkeypatch.setattr(
        "mseg_studio.ui.workspaces.train.workspace.TrainWorkspace.show_run", lambda _page, run: shown.append(run)
    )
    from_segment.fine_tune(window)
    assert window.current == "train" and shown == [fine_tuned]


# -- the panel ---------------------------------------------------------------------------------------------------


def result(miou: float, **iou: float | None) -> dict[str, Any]:
    return {"miou": miou, "iou": iou, "images": 4, "taxonomy": "universal", "model": "old", "model_sha256": "0"}


@pytest.fixture
def fine_tuned(labels: Path, tmp_path: Path) -> Path:
    """The folder of a fine-tuning that has ended and was not scored."""
    folder = begin(plan_fine_tune(labels, MODEL), tmp_path / "run").path
    write_json_atomic(folder / "result.json", {"format": 1, "status": "finished", "step": 9, "time": 50.0})
    return folder


@pytest.fixture
def panel(qtbot: Any, doubles: Doubles) -> Iterator[FineTunePanel]:
    theme = Theme(QApplication.instance(), "dark")
    panel = FineTunePanel(doubles.services, theme)
    qtbot.addWidget(panel)
    yield panel
    panel.close_child()
    theme.close()


def test_the_panel_is_there_for_fine_tunings_only(panel: FineTunePanel, tmp_path: Path) -> None:
    panel.show_run(None)
    assert panel.isHidden()
    panel.show_run(tmp_path, RunState("finished"))
    assert panel.isHidden() and not panel.busy


def test_a_run_that_has_ended_is_scored_once_and_the_table_told(
    qtbot: Any, panel: FineTunePanel, fine_tuned: Path, children: list[FakeChild]
) -> None:
    panel.show_run(fine_tuned, RunState("running"))
    assert not panel.isHidden() and not children and panel.use.isHidden()
    assert "once the run has ended" in panel.words.text()
    ended = RunState("finished", updated=50.0)
    panel.show_run(fine_tuned, ended)
    panel.show_run(fine_tuned, ended)
    (child,) = children
    assert child.arguments[:3] == ["fine-tune", str(fine_tuned), "--score"]
    child.told.emit({"progress": {"done": 1, "total": 4, "what": "Before: scoring images", "seconds_left": 65.0}})
    assert panel.words.text() == "Before: scoring images · 1:05 min left"
    before, after = result(0.5, road=0.9, car=0.1, dog=None), result(0.6, road=0.85, car=0.35, dog=None)
    write_scores(fine_tuned, Scores(before, after, 9, 50.0))
    child.finished.emit(True, "")
    texts = [[panel.table.model().index(r, c).data() for c in range(4)] for r in range(3)]
    assert texts == [
        ["mean", "50.0", "60.0", "+10.0"],
        ["car", "10.0", "35.0", "+25.0"],
        ["road", "90.0", "85.0", "-5.0"],
    ]
    assert "1 of 2 classes better, 1 worse" in panel.words.text()
    panel.resize(215, 600)
    panel.show()

    def end() -> int:
        return panel.table.columnViewportPosition(3) + panel.table.columnWidth(3)

    # All numbers are seen in a narrow column.
    qtbot.waitUntil(lambda: end() <= panel.table.viewport().width() < 215)
    assert panel.again.isHidden() and not panel.use.isHidden()
    panel.show_run(fine_tuned, ended)
    assert len(children) == 1


def test_scoring_that_fails_is_told_and_offered_again(
    panel: FineTunePanel, fine_tuned: Path, children: list[FakeChild]
) -> None:
    panel.show_run(fine_tuned, RunState("finished"))
    children[0].finished.emit(False, "street_1.jpg: no such file")
    assert panel.words.text() == "street_1.jpg: no such file"
    panel.show_run(fine_tuned, RunState("finished"))
    assert len(children) == 1 and not panel.again.isHidden() and "no such file" in panel.words.text()
    panel.again.click()
    assert len(children) == 2


def test_numbers_of_a_run_that_went_on_are_called_old(
    panel: FineTunePanel, fine_tuned: Path, children: list[FakeChild]
) -> None:
    write_scores(fine_tuned, Scores(result(0.5, road=0.9), result(0.6, road=0.95), 9, 40.0))
    panel.show_run(fine_tuned, RunState("stopped"))
    assert not children, "only a finished run is scored unasked"
    assert "gone on since" in panel.words.text() and not panel.again.isHidden()


def test_use_this_model_installs_it_and_says_so(
    panel: FineTunePanel, fine_tuned: Path, children: list[FakeChild]
) -> None:
    write_scores(fine_tuned, Scores(result(0.5, road=0.9), result(0.6, road=0.95), 9, 50.0))
    panel.show_run(fine_tuned, RunState("finished"))
    names: list[str] = []
    panel.model_installed.connect(names.append)
    panel.use.click()
    assert children[0].arguments[:3] == ["runs", "use", str(fine_tuned)]
    children[0].told.emit({"name": "mine", "folder": "/models/mine", "card": {}})
    children[0].finished.emit(True, "")
    assert names == ["mine"]
    panel.show_run(None)
    assert panel.isHidden()


def test_another_run_ends_the_scoring_of_the_first(
    panel: FineTunePanel, fine_tuned: Path, children: list[FakeChild], tmp_path: Path
) -> None:
    panel.show_run(fine_tuned, RunState("finished"))
    panel.show_run(tmp_path, RunState("running"))
    assert children[0].ended and not panel.busy


def test_a_broken_file_of_numbers_is_told(panel: FineTunePanel, fine_tuned: Path, children: list[FakeChild]) -> None:
    (fine_tuned / "fine-tune" / "scores.json").write_text(json.dumps({"format": 1}))
    panel.show_run(fine_tuned, RunState("stopped"))
    assert "not the numbers of a fine-tuning" in panel.words.text()

"""The page of a new run with mouse and keys; what it starts is a double, what reads the data is real."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QEvent, QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication
from PySide6.QtWidgets import QAbstractButton, QApplication, QComboBox, QLineEdit, QPlainTextEdit, QWidget

from mseg_studio.errors import RunFailed
from mseg_studio.settings import user_folder
from mseg_studio.training.config_file import load_config
from mseg_studio.training.devices import Device
from mseg_studio.training.launcher import LaunchPlan
from mseg_studio.training.run_processes import run_processes
from mseg_studio.training.runs import known_runs
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.train.form_rows import SettingRow
from mseg_studio.ui.workspaces.train.new_run import NewRunPage
from mseg_studio.ui.workspaces.train.new_run_begin import Engine
from mseg_studio.ui.workspaces.train.new_run_memory import Memory
from tests.datasets.camvid_like import make_camvid
from tests.ui.fakes import Doubles

LEFT = Qt.MouseButton.LeftButton
WAIT_MS = 60_000
CORES = (Device("cpu", "", "CPU core"),) * 2
GPUS = tuple(Device("cuda", str(n), "RTX 4090", 24_000_000_000, 20_000_000_000) for n in range(2))

MakePage = Callable[..., NewRunPage]


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    return make_camvid(tmp_path / "c", train=4, val=2)


@pytest.fixture
def plans() -> list[LaunchPlan]:
    return []


@pytest.fixture
def make_page(qtbot: Any, doubles: Doubles, plans: list[LaunchPlan]) -> Iterator[MakePage]:
    theme = Theme(QApplication.instance(), "dark")
    pages: list[NewRunPage] = []

    def make(**engine: Any) -> NewRunPage:
        values = {"start": plans.append, "devices": lambda: CORES, "has_slurm": lambda: False} | engine
        page = NewRunPage(doubles.services, theme, Engine(**values))
        qtbot.addWidget(page)
        pages.append(page)
        page.resize(1200, 800)
        page.show()
        return page

    yield make
    for page in pages:
        page.close_children()
    theme.close()


@pytest.fixture
def page(qtbot: Any, make_page: MakePage, camvid: Path) -> NewRunPage:
    """Filled as for somebody who trained on this data before."""
    Memory({"camvid-480x360": str(camvid)}, {"recipe": "smoke", "datasets": ["camvid-480x360"]}).save()
    page = make_page()
    page.begin()
    settled(qtbot, page)
    assert page.parts.start.isEnabled(), page.parts.reason.text()
    return page


def settled(qtbot: Any, page: NewRunPage) -> None:
    qtbot.waitUntil(lambda: page.checked is not None and bool(page.parts.where.devices), timeout=WAIT_MS)


def click(qtbot: Any, button: QWidget) -> None:
    assert button.isVisible() and button.isEnabled()
    qtbot.mouseClick(button, LEFT)


def write(qtbot: Any, page: NewRunPage, path: str, text: str) -> SettingRow:
    row = page.parts.form.rows[path]
    page.parts.form.show_setting(path)
    field = row.editor.field
    assert isinstance(field, QLineEdit) and field.isVisible()
    field.selectAll()
    qtbot.keyClicks(field, text)
    return row


def drop(page: NewRunPage, path: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    action = Qt.DropAction.CopyAction
    event = QDropEvent(QPointF(5, 5), action, data, LEFT, Qt.KeyboardModifier.NoModifier)
    page.parts.data.dropEvent(event)


class TestStarting:
    def test_one_click_starts_what_is_filled_in(self, qtbot: Any, page: NewRunPage, plans: list[LaunchPlan]) -> None:
        with qtbot.waitSignal(page.started, timeout=WAIT_MS) as told:
            click(qtbot, page.parts.start)
        (folder,) = told.args
        assert plans == [LaunchPlan(folder, 2)] and known_runs() == (folder,)
        config = load_config(folder / "config.yaml")
        assert config.steps == 20 and config.start == "random" and config.datasets[0].classes["Sky"] == "sky"
        assert config.name == folder.name == "smoke-camvid-480x360"

    def test_a_newcomer_drops_a_folder_and_starts(
        self, qtbot: Any, make_page: MakePage, camvid: Path, plans: list[LaunchPlan]
    ) -> None:
        page = make_page()
        page.begin()
        settled(qtbot, page)
        assert not page.parts.start.isEnabled() and page.parts.reason.text() == "Choose the data: drop its folder here"
        assert page.parts.data.hint.isVisible()
        drop(page, camvid)
        qtbot.waitUntil(page.parts.start.isEnabled, timeout=WAIT_MS)
        assert page.draft is not None and page.draft.recipe.name == "first"
        assert page.parts.data.cards[0].words.text() == "4 to train on · 2 to judge by · 11 classes"
        with qtbot.waitSignal(page.started, timeout=WAIT_MS):
            click(qtbot, page.parts.start)
        page.begin()
        settled(qtbot, page)
        assert page.parts.start.isEnabled(), "the next time the data is there already"

    def test_a_folder_nobody_knows_is_said(self, qtbot: Any, make_page: MakePage, tmp_path: Path) -> None:
        page = make_page()
        page.begin()
        settled(qtbot, page)
        drop(page, tmp_path)
        qtbot.waitUntil(page.parts.data.problem.isVisible, timeout=WAIT_MS)
        assert "no ready description fits this folder" in page.parts.data.problem.text()

    def test_a_failed_start_is_said_and_leaves_nothing(self, qtbot: Any, make_page: MakePage, page: NewRunPage) -> None:
        def fail(plan: LaunchPlan) -> None:
            raise RunFailed("the supervisor did not start", path=plan.folder)

        bad = make_page(start=fail)
        bad.begin()
        settled(qtbot, bad)
        click(qtbot, bad.parts.start)
        qtbot.waitUntil(bad.parts.problem.isVisible, timeout=WAIT_MS)
        assert "the supervisor did not start" in bad.parts.problem.text() and known_runs() == ()
        assert bad.parts.start.isEnabled(), "it may be tried again"

    def test_only_the_folder_is_written(self, qtbot: Any, page: NewRunPage, plans: list[LaunchPlan]) -> None:
        with qtbot.waitSignal(page.started, timeout=WAIT_MS) as told:
            click(qtbot, page.parts.write)
        assert plans == [] and (told.args[0] / "config.yaml").is_file()

    def test_the_window_gives_the_gpu_back_first(
        self, qtbot: Any, make_page: MakePage, doubles: Doubles, page: NewRunPage, plans: list[LaunchPlan]
    ) -> None:
        with qtbot.waitSignal(page.started, timeout=WAIT_MS):
            click(qtbot, page.parts.start)
        assert doubles.inference.releases == 0, "a run on the CPU needs no GPU"
        other = make_page(devices=lambda: GPUS)
        other.begin()
        settled(qtbot, other)
        click(qtbot, other.parts.where.gpus[0])
        with qtbot.waitSignal(other.started, timeout=WAIT_MS):
            click(qtbot, other.parts.start)
        assert doubles.inference.releases == 1
        assert plans[-1].devices == ("1",) and plans[-1].processes == 1

    def test_back(self, qtbot: Any, page: NewRunPage) -> None:
        with qtbot.waitSignal(page.closed):
            click(qtbot, page.parts.back)


class TestSettings:
    def test_a_change_is_marked_and_taken_back(self, qtbot: Any, page: NewRunPage) -> None:
        row = write(qtbot, page, "steps", "50")
        assert row.changed and row.preset.text() == "preset 20" and page.parts.form.count.text() == "1 change"
        settled(qtbot, page)
        assert page.checked is not None and page.checked.config is not None and page.checked.config.steps == 50
        click(qtbot, row.back)
        assert not row.changed and row.preset.text() == "" and row.editor.value() == 20

    def test_a_mistake_is_said_at_its_field_and_nothing_starts(self, qtbot: Any, page: NewRunPage) -> None:
        row = write(qtbot, page, "optim.lr", "-1")
        assert row.wrong.isVisible() and "must be positive" in row.wrong.text()
        qtbot.waitUntil(lambda: "must be positive" in page.parts.reason.text(), timeout=WAIT_MS)
        assert not page.parts.start.isEnabled() and row.editor.field.text() == "-1", "what was typed stays"
        page.parts.back.setFocus()
        click(qtbot, page.parts.show_me)
        assert page.focusWidget() is row.editor.field
        write(qtbot, page, "optim.lr", "0.001")
        qtbot.waitUntil(page.parts.start.isEnabled, timeout=WAIT_MS)
        assert not row.wrong.isVisible()

    def test_a_taxonomy_that_is_not_there(self, qtbot: Any, page: NewRunPage) -> None:
        page.parts.form.rows["taxonomy"].editor.field.setEditText("universl")
        qtbot.waitUntil(page.parts.form.rows["taxonomy"].wrong.isVisible, timeout=WAIT_MS)
        assert "universal" in page.parts.form.rows["taxonomy"].wrong.text()

    def test_settings_are_found_by_name_and_by_help(self, qtbot: Any, page: NewRunPage) -> None:
        form = page.parts.form
        assert not form.rows["optim.fall"].isVisible(), "folded until it is wanted"
        qtbot.keyClicks(form.search, "plateau")
        assert form.rows["optim.fall"].isVisible() and not form.rows["steps"].isVisible()
        form.search.setText("nothing like it")
        assert form.nothing.isVisible() and "nothing like it" in form.nothing.text()
        form.search.clear()
        assert form.rows["steps"].isVisible() and not form.rows["optim.fall"].isVisible()

    def test_changes_alone(self, qtbot: Any, page: NewRunPage) -> None:
        form = page.parts.form
        write(qtbot, page, "optim.fall", "0.3")
        form.only_changes.click()
        assert [path for path, row in form.rows.items() if row.isVisible()] == ["optim.fall"]
        click(qtbot, form.reset_all)
        assert form.nothing.text() == "Nothing differs from the preset."

    def test_help_follows_the_keys(self, qtbot: Any, page: NewRunPage) -> None:
        page.parts.form.show_setting("accumulate")
        qtbot.waitUntil(lambda: page.parts.form.help.text().startswith("accumulate: Parts that"), timeout=WAIT_MS)

    def test_another_recipe(self, qtbot: Any, page: NewRunPage) -> None:
        write(qtbot, page, "steps", "50")
        combo = page.parts.recipe.combo
        combo.setCurrentIndex(combo.findData("fine-tune"))
        combo.activated.emit(combo.currentIndex())
        settled(qtbot, page)
        assert page.parts.form.rows["steps"].editor.value() == 400 and page.draft is not None
        assert page.draft.changes == {} and page.draft.datasets[0].root
        assert page.parts.reason.text() == "Choose the start weights" and page.parts.first.note.isVisible()
        start = page.parts.first.combo
        start.setCurrentIndex(start.findData("street-small"))
        start.activated.emit(start.currentIndex())
        qtbot.waitUntil(page.parts.start.isEnabled, timeout=WAIT_MS)
        assert page.parts.name.name.text() == "fine-tune-camvid-480x360"


class TestData:
    def test_several_datasets_and_their_splits(self, qtbot: Any, page: NewRunPage, tmp_path: Path) -> None:
        drop(page, make_camvid(tmp_path / "d", train=3, val=1))
        qtbot.waitUntil(lambda: len(page.parts.data.cards) == 2, timeout=WAIT_MS)
        settled(qtbot, page)
        assert [one.name for one in page.draft.datasets] == ["camvid-480x360", "camvid-480x360-2"]
        card = page.parts.data.cards[1]
        card.val.setCurrentIndex(card.val.findText("not judged by"))
        card.val.activated.emit(card.val.currentIndex())
        settled(qtbot, page)
        assert card.words.text() == "3 to train on · 11 classes"
        click(qtbot, card.remove)
        assert len(page.parts.data.cards) == 1

    def test_a_folder_that_is_not_there(self, qtbot: Any, page: NewRunPage) -> None:
        card = page.parts.data.cards[0]
        card.folder.selectAll()
        qtbot.keyClicks(card.folder, "/nowhere")
        qtbot.waitUntil(lambda: "/nowhere" in page.parts.reason.text(), timeout=WAIT_MS)
        assert "/nowhere" in card.words.text() and not page.parts.start.isEnabled()

    def test_left_out_images(self, qtbot: Any, page: NewRunPage) -> None:
        card = page.parts.data.cards[0]
        click(qtbot, card.more)
        qtbot.keyClicks(card.leave_out, "train_000, train_001")
        settled(qtbot, page)
        qtbot.waitUntil(lambda: card.words.text().startswith("2 to train on"), timeout=WAIT_MS)
        assert card.leave_out.text() == "train_000, train_001"

    def test_pixels_of_every_class_are_counted_by_a_child(self, qtbot: Any, page: NewRunPage) -> None:
        click(qtbot, page.parts.tabs.button("data"))
        data = page.parts.dataset_page
        click(qtbot, data.go)
        assert data.histogram.running and data.stop.isVisible()
        qtbot.waitUntil(lambda: not data.histogram.running, timeout=WAIT_MS)
        assert len(data.bars.lines()) == 11 and data.words.text().startswith("4 images")
        page.parts.form.edited.emit("taxonomy", "camvid-11")
        settled(qtbot, page)
        assert data.bars.lines() == [], "of another taxonomy nothing is known yet"

    def test_the_doctor_reads_every_file(self, qtbot: Any, page: NewRunPage) -> None:
        click(qtbot, page.parts.tabs.button("data"))
        data = page.parts.dataset_page
        click(qtbot, data.views.button("doctor"))
        click(qtbot, data.go)
        qtbot.waitUntil(lambda: not data.checker.running, timeout=WAIT_MS)
        assert data.report_view.isVisible() and data.report_view.verdict.text() == "6 pairs, nothing wrong"

    def test_a_count_is_cancelled(self, qtbot: Any, page: NewRunPage) -> None:
        click(qtbot, page.parts.tabs.button("data"))
        data = page.parts.dataset_page
        click(qtbot, data.go)
        click(qtbot, data.stop)
        qtbot.waitUntil(lambda: not data.histogram.running, timeout=WAIT_MS)
        assert data.go.isVisible()


class TestWhere:
    def test_the_exact_line_is_copied(self, qtbot: Any, page: NewRunPage) -> None:
        line = page.parts.line
        assert "-m torch.distributed.run --standalone --nproc-per-node=2" in line.text.toPlainText()
        page.parts.where.processes.set_value(1)
        text = line.text.toPlainText()
        assert "torch.distributed" not in text and text.endswith("runs/smoke-camvid-480x360")
        click(qtbot, line.copy)
        assert QGuiApplication.clipboard().text() == text

    def test_several_machines_need_a_meeting_place(self, qtbot: Any, page: NewRunPage) -> None:
        where = page.parts.where
        where.machines.set_value(2)
        assert where.rendezvous.isVisible() and "--node-rank=1" in page.parts.line.text.toPlainText()
        where.rendezvous.selectAll()
        qtbot.keyClicks(where.rendezvous, "nowhere")
        assert "expected host:port" in page.parts.reason.text() and not page.parts.start.isEnabled()

    def test_too_few_samples_for_the_processes(self, qtbot: Any, page: NewRunPage) -> None:
        write(qtbot, page, "batch", "1")
        settled(qtbot, page)
        assert "cannot share a batch of 1" in page.parts.reason.text() and not page.parts.start.isEnabled()

    def test_accumulation_is_offered_where_a_step_is_large(self, qtbot: Any, page: NewRunPage) -> None:
        assert not page.parts.where.suggest.isVisible()
        write(qtbot, page, "batch", "2400")
        assert page.parts.where.suggest.isVisible()
        page.parts.where.suggest.click()
        assert page.draft.changes["accumulate"] > 1 and not page.parts.where.suggest.isVisible()

    def test_slurm(self, qtbot: Any, make_page: MakePage, page: NewRunPage) -> None:
        click(qtbot, page.parts.where.engine.button("slurm"))
        assert "no sbatch on this machine" in page.parts.reason.text() and not page.parts.start.isEnabled()
        assert page.parts.write.isEnabled() and page.parts.line.text.toPlainText().startswith("sbatch --parsable")
        told: list[Any] = []
        other = make_page(has_slurm=lambda: True, submit=lambda *arguments: told.append(arguments))
        other.begin()
        settled(qtbot, other)
        click(qtbot, other.parts.where.engine.button("slurm"))
        slurm = other.parts.slurm
        assert slurm.isVisible() and other.parts.start.isEnabled()
        qtbot.keyClicks(slurm.rows["partition"].editor.field, "gpu")
        assert "#SBATCH --partition=gpu" in slurm.text.toPlainText()
        qtbot.keyClicks(slurm.rows["time"].editor.field, "soon")
        assert "expected minutes" in slurm.rows["time"].wrong.text() and not other.parts.start.isEnabled()
        slurm.rows["time"].back.click()
        with qtbot.waitSignal(other.started, timeout=WAIT_MS) as done:
            click(qtbot, other.parts.start)
        ((folder, options, _name),) = told
        assert folder == done.args[0] and options.partition == "gpu"


class TestPreflight:
    FOUND = {
        "memory_bytes": 2.5e9, "memory_total_bytes": 8e9, "seconds_per_step": 0.5, "seconds_total": 7260.0,
        "disk_bytes": 4e8, "disk_free_bytes": 9e9, "device": "cpu", "steps_measured": 8, "warnings": ["mind the disk"],
    }  # fmt: skip

    def test_four_numbers_and_what_to_mind(self, qtbot: Any, page: NewRunPage) -> None:
        strip = page.parts.preflight
        page._measured = page.checked.config
        page.dry_run.answered.emit(self.FOUND)
        page.dry_run.ended.emit("")
        assert {key: label.text() for key, label in strip.numbers.items()} == {
            "memory": "2.5 GB", "step": "0.50 s", "run": "2:01 h", "disk": "0.4 GB",
        }  # fmt: skip
        assert strip.notes["step"].text() == "8 crops/s" and strip.warnings.text() == "mind the disk"
        write(qtbot, page, "batch", "8")
        settled(qtbot, page)
        assert strip.numbers["step"].text() == "–", "of another run nothing is known yet"

    def test_a_dry_run_is_cancelled_and_its_folder_goes(self, qtbot: Any, page: NewRunPage) -> None:
        click(qtbot, page.parts.preflight.go)
        assert page.dry_run.running and page.parts.preflight.stop.isVisible()
        folder = Path(page.dry_run._folder.name)
        assert (folder / "config.yaml").is_file()
        click(qtbot, page.parts.preflight.stop)
        qtbot.waitUntil(lambda: not page.dry_run.running, timeout=WAIT_MS)
        assert page.parts.preflight.go.isVisible() and not folder.exists()

    def test_a_dry_run_that_fails_says_why(self, qtbot: Any, page: NewRunPage) -> None:
        page.parts.form.edited.emit("augment.crop_px", 322)
        settled(qtbot, page)
        click(qtbot, page.parts.preflight.go)
        qtbot.waitUntil(lambda: not page.dry_run.running, timeout=WAIT_MS)
        assert "322" in page.parts.preflight.warnings.text()

    def test_the_end_of_the_window_ends_it_and_the_processes_it_started(self, qtbot: Any, page: NewRunPage) -> None:
        click(qtbot, page.parts.preflight.go)
        place = user_folder("runs") / ".preflight"
        qtbot.waitUntil(lambda: any(run_processes(one) for one in place.glob("*")), timeout=WAIT_MS)
        (folder,) = place.glob("*")
        page.close()
        assert not page.dry_run.running
        qtbot.waitUntil(lambda: not run_processes(folder), timeout=WAIT_MS)
        qtbot.waitUntil(lambda: not folder.exists(), timeout=WAIT_MS)


class TestCopy:
    def test_a_run_is_copied_with_its_changes(self, qtbot: Any, page: NewRunPage) -> None:
        write(qtbot, page, "steps", "50")
        settled(qtbot, page)
        with qtbot.waitSignal(page.started, timeout=WAIT_MS) as told:
            click(qtbot, page.parts.start)
        page.begin(clone_of=told.args[0])
        settled(qtbot, page)
        assert page.draft.changes == {"steps": 50} and page.draft.recipe.name == "smoke"
        assert page.parts.form.rows["steps"].preset.text() == "preset 20"
        assert page.parts.title.text() == "New run like smoke-camvid-480x360"
        with qtbot.waitSignal(page.started, timeout=WAIT_MS) as again:
            click(qtbot, page.parts.start)
        assert again.args[0].name == "smoke-camvid-480x360-2"
        first, second = (load_config(one.args[0] / "config.yaml") for one in (told, again))
        assert first == second

    def test_with_a_dataset_that_was_asked_for(self, qtbot: Any, make_page: MakePage, camvid: Path) -> None:
        path = camvid / "mine.yaml"
        path.write_text("based_on: camvid-480x360\nname: mine\nroot: .\n")
        page = make_page()
        page.begin(recipe="smoke", dataset=str(path))
        settled(qtbot, page)
        assert page.parts.start.isEnabled() and page.parts.name.name.text() == "smoke-mine"


class TestAccess:
    def test_every_control_has_a_name(self, qtbot: Any, page: NewRunPage) -> None:
        for group in page.parts.form.groups.values():
            group.head.setChecked(True)
        page.parts.data.cards[0].more.setChecked(True)
        nameless = []
        for tab in ("settings", "data", "slurm"):
            page.parts.show_tab(tab)
            for kind in (QAbstractButton, QComboBox, QLineEdit, QPlainTextEdit):
                for widget in page.findChildren(kind):
                    text = widget.text() if isinstance(widget, QAbstractButton) else ""
                    inside = isinstance(widget.parent(), QLineEdit | QComboBox)
                    hidden = not widget.isVisible() or widget.objectName().startswith("qt_")
                    if not (widget.accessibleName() or text.strip() or inside or hidden):
                        nameless.append(f"{type(widget).__name__} in {type(widget.parent()).__name__}")
        assert nameless == []

    def test_no_part_is_a_window_for_a_moment(self, qtbot: Any, make_page: MakePage) -> None:
        shown: list[str] = []

        class Watch(QWidget):
            def eventFilter(self, watched: Any, event: QEvent) -> bool:
                if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
                    shown.append(type(watched).__name__)
                return False

        watch = Watch()
        QApplication.instance().installEventFilter(watch)
        try:
            page = make_page()
            page.begin()
            settled(qtbot, page)
        finally:
            QApplication.instance().removeEventFilter(watch)
        assert shown == ["NewRunPage"]

    def test_nothing_lies_over_another_thing_in_a_small_window(self, qtbot: Any, page: NewRunPage) -> None:
        page.resize(900, 560)
        qtbot.waitUntil(lambda: page.width() == 900, timeout=WAIT_MS)
        parts = page.parts
        assert parts.start.geometry().right() <= page.width()
        assert parts.line.geometry().bottom() <= page.height()
        assert parts.form.area.height() >= 100

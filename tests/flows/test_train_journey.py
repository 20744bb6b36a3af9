"""A newcomer trains on two processes from the window, kills it, comes back, stops, resumes and uses the model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from mseg_studio.networks.catalog import find_model
from mseg_studio.settings import AppSettings
from mseg_studio.training.launcher import stop
from mseg_studio.training.metrics_log import read_metrics
from mseg_studio.training.run_processes import run_processes
from mseg_studio.training.run_state import read_state
from mseg_studio.ui.app import WindowOptions, close_window, make_window
from mseg_studio.ui.real_services import real_services
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.train.workspace import TrainWorkspace
from tests.datasets.camvid_like import make_camvid

pytestmark = pytest.mark.timeout(600)

LEFT = Qt.MouseButton.LeftButton
WAIT_MS = 180_000
QUICK = (
    *("augment.crop_px=65", "augment.short_side=null", "batch=2", "steps=2000", "log_every=1", "threads=1"),
    *("validate_every=5", "validate_images=2", "save_every=5", "optim.warmup_steps=0", "optim.average_decay=0.0"),
)


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    """A stand-in of a few small pictures in the layout of CamVid at 480x360."""
    return make_camvid(tmp_path / "camvid", train=12, val=2)


@pytest.fixture
def ended() -> Iterator[list[Path]]:
    """Folders of runs that must not outlive the test."""
    folders: list[Path] = []
    yield folders
    for folder in folders:
        stop(folder, kill=True)
        end = time.monotonic() + 60
        while run_processes(folder) and time.monotonic() < end:
            time.sleep(0.2)
        assert not run_processes(folder), "a process of the run is left"


class Teller:
    """The lines of the window in its own process."""

    def __init__(self, arguments: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.flows.train_window", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=Path(__file__).parents[2],
        )

    def until(self, word: str, holds: Callable[[str], bool] = bool) -> str:
        """The rest of the first line that begins with `word` and for which it holds."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            first, _, rest = line.strip().partition(" ")
            if first == word and holds(rest):
                return rest
        raise AssertionError(f"the window ended without '{word}': {self.process.wait()}")

    def kill(self) -> None:
        """-9 at once, as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        if self.process.stdout is not None:
            self.process.stdout.close()


def test_train_kill_the_window_come_back_stop_resume_and_use(
    qtbot: Any, camvid: Path, tmp_path: Path, ended: list[Path]
) -> None:
    window = Teller([str(camvid), *QUICK])
    try:
        assert window.until("processes") == "2" or os.cpu_count() == 1
        run = Path(window.until("run"))
        ended.append(run)
        first = int(window.until("points", lambda count: int(count) >= 2))
        assert int(window.until("points", lambda count: int(count) > first + 2)) > first, "the curve moves"
    finally:
        window.kill()
    state = read_state(run)
    assert state.is_going and state.processes == 2, "the run goes on without its window"
    seen = state.step
    settings = AppSettings(theme="dark", threads=1)
    theme, services = Theme(QApplication.instance(), "dark"), real_services(settings)
    again = make_window(services, theme, settings, WindowOptions(size=(1280, 800)))
    try:
        again.show()
        services.media.client.start()
        services.inference.client.start()
        again.show_workspace("train")
        page = again.page("train")
        assert isinstance(page, TrainWorkspace)
        found(qtbot, page, run, seen)
        stopped_at = stops(qtbot, page, run)
        resumes(qtbot, page, run, stopped_at)
        uses(qtbot, again, page, tmp_path)
    finally:
        close_window(services, theme, again)


def found(qtbot: Any, page: TrainWorkspace, run: Path, seen: int) -> None:
    """The new window finds the run by itself, still going, with what it did meanwhile."""
    qtbot.waitUntil(lambda: page.runs.current == run and page.look is not None, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: page.look.state.state == "running" and page.look.state.step > seen, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: any(len(one.x) > 3 for one in page.run_page.charts.loss_chart.series), timeout=WAIT_MS)


def stops(qtbot: Any, page: TrainWorkspace, run: Path) -> int:
    """Stop and save: nothing of the run is left, and it says where it stands."""
    qtbot.waitUntil(page.bar.stop_save.isEnabled, timeout=WAIT_MS)
    qtbot.mouseClick(page.bar.stop_save, LEFT)
    qtbot.waitUntil(lambda: page.look.state.state == "stopped" and not run_processes(run), timeout=WAIT_MS)
    step = page.look.state.step
    assert (run / "checkpoints" / f"{step:08d}").is_dir(), "saved at the step where it stopped"
    return step


def resumes(qtbot: Any, page: TrainWorkspace, run: Path, stopped_at: int) -> None:
    """Resume goes on from there, on as many processes as before."""
    qtbot.waitUntil(page.bar.resume.isEnabled, timeout=WAIT_MS)
    qtbot.mouseClick(page.bar.resume, LEFT)
    qtbot.waitUntil(
        lambda: page.look.state.state == "running" and page.look.state.step >= stopped_at + 2, timeout=WAIT_MS
    )
    resumed = [event for event in read_metrics(run / "metrics.jsonl") if event["event"] == "resume"]
    assert [event["step"] for event in resumed] == [stopped_at]
    assert page.look.state.processes == 2
    qtbot.mouseClick(page.bar.stop_save, LEFT)
    qtbot.waitUntil(lambda: page.look.state.state == "stopped" and not run_processes(run), timeout=WAIT_MS)


def uses(qtbot: Any, window: Any, page: TrainWorkspace, tmp_path: Path) -> None:
    """Use this model: Segment lists it at once and segments with it."""
    names: list[str] = []
    page.model_installed.connect(names.append)
    qtbot.waitUntil(page.bar.use.isEnabled, timeout=WAIT_MS)
    qtbot.mouseClick(page.bar.use, LEFT)
    qtbot.waitUntil(lambda: bool(names), timeout=WAIT_MS)
    (name,) = names
    assert find_model(name).card.network == "hrnet-w18-small"
    box = window.workspace.controls.model_box
    assert name in [box.itemText(n) for n in range(box.count())]
    picture = tmp_path / "street.png"
    cv2.imwrite(str(picture), cv2.imread(str(next((tmp_path / "camvid" / "val").glob("*.jpg")))))
    window.show_workspace("segment")
    window.session.choose(model=name, recipe="fast", target="camvid-11")
    window.open_path(str(picture))
    qtbot.waitUntil(lambda: window.session.result is not None, timeout=WAIT_MS)
    result = window.session.result
    assert result.sidecar["model"]["name"] == name and result.labels.ids_HW.shape == (36, 48)

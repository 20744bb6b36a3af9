"""Three clicks from Segment: fine-tune on corrected labels, see before and after, use the model."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QApplication

from mseg_studio.networks.catalog import find_model
from mseg_studio.settings import AppSettings
from mseg_studio.training.fine_tune_scores import read_scores
from mseg_studio.training.launcher import stop
from mseg_studio.training.run_processes import run_processes
from mseg_studio.ui.app import WindowOptions, close_window, make_window
from mseg_studio.ui.real_services import real_services
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.train.fine_tune_dialog import FineTuneDialog
from mseg_studio.ui.workspaces.train.workspace import TrainWorkspace
from tests.training.test_before_after import SETTINGS
from tests.training.test_fine_tune import STREET, edit, export

pytestmark = pytest.mark.timeout(600)

LEFT = Qt.MouseButton.LeftButton
WAIT_MS = 240_000


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dialog's run takes two small steps."""
    whole = FineTuneDialog.arguments

    def shortened(dialog: FineTuneDialog, *more: str) -> list[str]:
        settings = [word for setting in SETTINGS for word in ("--set", setting)]
        return whole(dialog, *more, *settings)

    monkeypatch.setattr(FineTuneDialog, "arguments", shortened)


def test_from_corrected_labels_to_a_better_known_model(qtbot: Any, tmp_path: Path, quick: None) -> None:
    for label in export(tmp_path / "segmented", tmp_path / "drive", 5):
        edit(label, STREET | {"car": slice(18, 24)})
    settings = AppSettings(theme="dark", threads=1)
    theme, services = Theme(QApplication.instance(), "dark"), real_services(settings)
    window = make_window(services, theme, settings, WindowOptions(size=(1280, 800)))
    run: Path | None = None
    try:
        window.show()
        services.media.client.start()
        services.inference.client.start()
        window.open_path(str(tmp_path / "drive"))
        qtbot.waitUntil(lambda: window.session.source is not None, timeout=WAIT_MS)
        in_the_dialog(lambda dialog: dialog.go.isEnabled(), lambda dialog: qtbot.mouseClick(dialog.go, LEFT))
        qtbot.mouseClick(window.workspace.files.fine_tune, LEFT)  # the first click; the second is in the dialog
        assert window.current == "train"
        page = window.page("train")
        assert isinstance(page, TrainWorkspace)
        run = page.runs.current
        assert run is not None and run.name == "street-small-segmented"
        panel = page.run_page.fine_tune
        names: list[str] = []
        page.model_installed.connect(names.append)
        qtbot.waitUntil(lambda: panel.table.isVisible() and not panel.busy, timeout=WAIT_MS)
        scores = read_scores(run)
        assert scores is not None and scores.before["images"] == 1
        shown = {panel.table.model().index(row, 0).data() for row in range(panel.table.model().rowCount())}
        assert {"mean", "sky", "road", "car"} == shown
        qtbot.mouseClick(panel.use, LEFT)  # the third
        qtbot.waitUntil(lambda: bool(names), timeout=WAIT_MS)
        box = window.workspace.controls.model_box
        assert names[0] in [box.itemText(number) for number in range(box.count())]
        known = find_model("street-small").card.trained_classes
        assert set(find_model(names[0]).card.trained_classes) == set(known), "it forgot nothing"
    finally:
        close_window(services, theme, window)
        if run is not None:
            stop(run, kill=True)
            qtbot.waitUntil(lambda: not run_processes(run), timeout=60_000)


def in_the_dialog(ready: Callable[[FineTuneDialog], bool], act: Callable[[FineTuneDialog], object]) -> None:
    """Do something in the modal dialog once it is there and ready; the click that opens it waits for its end."""
    timer, end = QTimer(QApplication.instance(), interval=50), time.monotonic() + WAIT_MS / 1000

    def look() -> None:
        dialog = QApplication.activeModalWidget()
        if isinstance(dialog, FineTuneDialog) and ready(dialog):
            timer.stop()
            act(dialog)
        elif time.monotonic() > end:
            timer.stop()
            if isinstance(dialog, FineTuneDialog):
                dialog.reject()

    timer.timeout.connect(look)
    timer.start()

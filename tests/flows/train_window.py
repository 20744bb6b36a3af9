"""A window of its own process that starts a run with three clicks and watches it until somebody kills it.

`python -m tests.flows.train_window DATA KEY=VALUE...`: prints `run FOLDER` and `points N` lines.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog

from mseg_studio.plain_yaml import parse_yaml
from mseg_studio.settings import AppSettings
from mseg_studio.ui.app import WindowOptions, make_window
from mseg_studio.ui.real_services import real_services
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.train.new_run import NewRunPage
from mseg_studio.ui.workspaces.train.workspace import TrainWorkspace

LEFT = Qt.MouseButton.LeftButton


def main(data: str, settings: list[str]) -> None:
    application = QApplication([])
    QFileDialog.getExistingDirectory = staticmethod(lambda *_: data)  # type: ignore[method-assign]
    options = AppSettings(theme="dark", threads=1)
    window = make_window(real_services(options), Theme(application, "dark"), options, WindowOptions(size=(1280, 800)))
    window.show()
    window.show_workspace("train")
    page = window.page("train")
    assert isinstance(page, TrainWorkspace)
    QTest.mouseClick(page.bar.new, LEFT)  # the first click
    form = page.new_run
    assert isinstance(form, NewRunPage)
    parts = form.parts
    wait(lambda: form.draft is not None and bool(parts.where.devices))
    QTest.mouseClick(parts.data.hint.choose, LEFT)  # the second
    wait(lambda: form.draft is not None and bool(form.draft.datasets))
    for setting in settings:
        key, _, value = setting.partition("=")
        parts.form.edited.emit(key, parse_yaml(value.encode(), Path("settings")))
    wait(parts.start.isEnabled)
    print("processes", parts.where.where.processes, flush=True)
    QTest.mouseClick(parts.start, LEFT)  # the third
    wait(lambda: page.pages.currentWidget() is page.run_page and page.look is not None)
    print("run", page.runs.current, flush=True)
    timer = QTimer(interval=200)
    timer.timeout.connect(lambda: tell(page))
    timer.start()
    application.exec()


def tell(page: TrainWorkspace) -> None:
    """How many points of the loss are drawn."""
    shown = [len(series.x) for series in page.run_page.charts.loss_chart.series]
    print("points", max(shown, default=0), flush=True)


def wait(condition: Callable[[], bool], timeout_s: float = 120) -> None:
    """Until it holds; ends the process when it never does."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            sys.exit("waited in vain")
        QTest.qWait(20)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

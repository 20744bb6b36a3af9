"""What the window's process imports, when, and what that costs its event loop."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mseg_studio.ui.held_keys import HeldKeys

_WINDOW = """
import sys
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
application = QApplication([])
from mseg_studio.settings import AppSettings
from mseg_studio.ui.ahead import import_ahead
from mseg_studio.ui.app import WindowOptions, make_window
from mseg_studio.ui.bridges import wait_for_background
from mseg_studio.ui.real_services import real_services
from mseg_studio.ui.theme import Theme
settings = AppSettings()
window = make_window(real_services(settings), Theme(application, "dark"), settings, WindowOptions(size=(1280, 800)))
assert "pyqtgraph" not in sys.modules, "the window waits for pyqtgraph before it is drawn"
import_ahead(window)
def look():
    if "mseg_studio.ui.workspaces.taxonomy.workspace" in sys.modules:
        application.exit()
timer = QTimer(interval=50)
timer.timeout.connect(look)
timer.start()
QTimer.singleShot(100_000, lambda: application.exit(3))
assert application.exec() == 0, "the workspaces were not imported"
assert {"pyqtgraph", "mseg_studio.ui.workspaces.train.new_run"} <= set(sys.modules)
window.show_workspace("train")
window.page("train").begin()
timer.timeout.disconnect()
QTimer.singleShot(300, application.exit)
application.exec()
wait_for_background(60_000)
print([name for name in sys.modules if name.split(".")[0] == "torch"])
"""


def test_workspaces_are_imported_ahead_and_none_brings_torch(tmp_path: Path) -> None:
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "MSEG_STUDIO_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", _WINDOW], env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_events_do_not_pass_through_python_while_no_key_can_be_held(
    open_window: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    class Counting(HeldKeys):
        def eventFilter(self, watched: Any, event: Any) -> bool:
            seen.append(event.type())  # not the widget: kept before it is whole, it stays a mere QWidget
            return super().eventFilter(watched, event)

    monkeypatch.setattr("mseg_studio.ui.main_window.HeldKeys", Counting)
    window = open_window()
    assert seen, "Segment listens to keys that are held"
    del seen[:]
    window.page("train")
    window.show_workspace("train")
    assert not seen, "the first visit of a workspace sends thousands of events"
    window.show_workspace("segment")
    assert seen

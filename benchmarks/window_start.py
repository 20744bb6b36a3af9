"""How long the window takes from the start of its process to its first picture.

    python -m benchmarks.window_start [--rounds N]

Each round is a new process, offscreen; the moment is the first paint of the main window.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

_CHILD = """
import sys, time, json, psutil
born = psutil.Process().create_time()
from mseg_studio.ui.app import WindowOptions
from mseg_studio.ui import app, main_window
from PySide6.QtCore import QEvent, QObject, QTimer
from PySide6.QtWidgets import QApplication
marks = {}
class Watch(QObject):
    def eventFilter(self, watched, event):
        if event.type() == QEvent.Type.Paint and isinstance(watched, main_window.MainWindow) and "window" not in marks:
            marks["window"] = time.time() - born
            QTimer.singleShot(0, lambda: QApplication.exit(0))
        return False
qt = QApplication([])
watch = Watch()
qt.installEventFilter(watch)
app.run_window(WindowOptions())
print(json.dumps(marks))
"""


def main() -> None:
    """Print one JSON line: medians over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "MSEG_STUDIO_HOME": home, "QT_QPA_PLATFORM": "offscreen"}
        command = [sys.executable, "-c", _CHILD]
        for _ in range(options.rounds + 1):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
            rounds.append(json.loads(done.stdout.splitlines()[-1]))
    # The first round compiles and fills the disk cache.
    medians = {key: round(statistics.median(r[key] for r in rounds[1:]), 3) for key in rounds[0]}
    print(
        json.dumps(
            {"claim": "window_start", "unit": "s", "rounds": options.rounds, "first_round": rounds[0], **medians}
        )
    )


if __name__ == "__main__":
    main()

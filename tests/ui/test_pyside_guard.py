from __future__ import annotations

import subprocess
import sys

CODE = """
from PySide6.QtCore import QCoreApplication, QObject, Signal
from mseg_studio.ui.pyside_guard import keep_singletons_alive
keep_singletons_alive()
keep_singletons_alive()
class Emitter(QObject):
    number = Signal(int)
application = QCoreApplication([])
emitter = Emitter()
for _ in range(20_000):
    emitter.number.emit(1)
    emitter.setObjectName("x")
print("alive")
"""


def test_twenty_thousand_calls_do_not_end_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "alive"), done.stderr

"""A command of `mseg-studio` run as a child of the window: work that may take long or read what nobody trusts."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QObject, QProcess, QTimer, Signal

_KILL_MS = 4000
"""A child that was asked to stop has this long; it ends orderly within a tile's time."""


class ChildCommand(QObject):
    """Emits the JSON objects of the child's standard output, and in the end how it went."""

    told = Signal(object)
    """A JSON object."""
    finished = Signal(bool, str)
    """Whether the exit code is 0, and the last line of its messages."""

    def __init__(self, arguments: Sequence[str], parent: QObject) -> None:
        super().__init__(parent)
        self._rest = b""
        self._messages = b""
        self.stopping = False
        self._process = QProcess(self)
        self._process.setProgram(sys.executable)
        self._process.setArguments(["-m", "mseg_studio", *arguments])
        self._process.readyReadStandardOutput.connect(self._read)
        self._process.readyReadStandardError.connect(self._read_messages)
        self._process.finished.connect(self._on_finished)
        self._process.errorOccurred.connect(self._on_error)
        self._kill = QTimer(self, interval=_KILL_MS, singleShot=True)
        self._kill.timeout.connect(self._process.kill)

    def start(self) -> None:
        """Start the child; returns at once."""
        self._process.start()

    def stop(self) -> None:
        """Ask the child to end; it is killed when it does not."""
        if self.running:
            self.stopping = True
            self._process.terminate()
            self._kill.start()

    @property
    def running(self) -> bool:
        """Whether the child is there."""
        return self._process.state() != QProcess.ProcessState.NotRunning

    def end(self, *, grace_ms: int = 0) -> None:
        """Kill the child now and wait for it: the window closes.

        `grace_ms` is for a child with processes of its own: it is asked first, and has so long to end them.
        """
        self.blockSignals(True)
        if self.running and grace_ms:
            self._process.terminate()
            self._process.waitForFinished(grace_ms)
        if self.running:
            self._process.kill()
            self._process.waitForFinished(2000)

    def _read(self) -> None:
        self._rest += bytes(self._process.readAllStandardOutput().data())
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            value = _json(line)
            if value is not None:
                self.told.emit(value)

    def _read_messages(self) -> None:
        self._messages = (self._messages + bytes(self._process.readAllStandardError().data()))[-8192:]

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._kill.stop()
        self._read()
        self._read_messages()
        lines = [line.strip() for line in self._messages.decode(errors="replace").splitlines() if line.strip()]
        last = lines[-1].removeprefix("mseg-studio: ").removeprefix("error: ") if lines else ""
        good = code == 0 and status == QProcess.ExitStatus.NormalExit
        self.finished.emit(good, last or ("" if good else "it ended without a word"))

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self.finished.emit(False, f"{sys.executable} cannot be started")


def _json(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None

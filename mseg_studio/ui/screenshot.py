"""`--screenshot`: wait until the window shows what was asked for, save a picture of it, end."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QObject, QTimer
from PySide6.QtWidgets import QApplication

from mseg_studio.storage import write_atomic
from mseg_studio.ui.main_window import MainWindow
from mseg_studio.ui.workspaces.segment.notice import Notice

_TIMEOUT_MS = 600_000
_CALM_MS = 700
"""After the last event: contours, thumbnails and probabilities arrive on their own."""
_LOOKS = 5
"""Calm moments in which a training run must have been on screen."""


class Screenshot(QObject):
    """Watches a session; `problem` is why there is no picture."""

    def __init__(self, window: MainWindow, path: Path, frame: int, probe: tuple[int, int] | None) -> None:
        super().__init__(window)
        self._window, self._path, self._frame, self._probe = window, path, frame, probe
        self.problem = ""
        self._looks = 0
        self._calm = QTimer(self, interval=_CALM_MS, singleShot=True)
        self._calm.timeout.connect(self._save)
        self._limit = QTimer(self, interval=_TIMEOUT_MS, singleShot=True)
        self._limit.timeout.connect(lambda: self._fail("nothing was shown within ten minutes"))
        window.session.notice.connect(self._on_notice)
        window.session.settled.connect(self._on_settled)
        window.workspace.comparison.changed.connect(lambda _facts: self._still_moving())

    def start(self, *, expects_labels: bool) -> None:
        """Begin to watch; without a picture to come, the empty window is what is asked for."""
        self._limit.start()
        if not expects_labels:
            self._calm.start()

    def _on_settled(self) -> None:
        session = self._window.session
        if session.shown is None:
            return
        if beyond := self._beyond():
            self._fail(beyond)
        elif session.at != self._frame and session.source is not None and session.source.count:
            session.go(self._frame)
        elif session.result is None:
            session.run()
        else:
            if self._probe is not None:
                self._window.workspace.pointing.pin(self._probe)
                self._probe = None
            self._calm.start()

    def _still_moving(self) -> None:
        if self._calm.isActive():
            self._calm.start()

    def _beyond(self) -> str:
        """Why the frame or the pixel asked for does not exist, if so. A camera has no count of frames."""
        session = self._window.session
        if session.source is not None and session.source.count and self._frame >= session.source.count:
            return f"{session.source.path}: there is no frame {self._frame}, it has {session.source.count} from 0"
        if self._probe is not None and session.shown is not None:
            (x, y), frame = self._probe, session.shown.frame
            if not (0 <= x < frame.width and 0 <= y < frame.height):
                return f"there is no pixel {x},{y}: the picture is {frame.width} x {frame.height}"
        return ""

    def _on_notice(self, notice: Notice) -> None:
        if notice.text and notice.kind == "error":
            self._fail(notice.text)

    def _waits_for_a_run(self) -> bool:
        """Whether the Train workspace is on screen and has not looked at its run yet: it does so in the background."""
        if self._window.current != "train":
            return False
        from mseg_studio.ui.workspaces.train.workspace import TrainWorkspace

        page = self._window.page("train")
        if not isinstance(page, TrainWorkspace) or page.runs.current is None:
            return False
        # Behind the first look come the colours of its classes and the predictions on its fixed images.
        self._looks += page.look is not None
        return self._looks < _LOOKS

    def _fail(self, problem: str) -> None:
        self.problem = self.problem or problem
        QApplication.exit(1)

    def _save(self) -> None:
        if self._window.workspace.comparison.waiting or self._waits_for_a_run():
            self._calm.start()
            return
        data = QByteArray()
        buffer = QBuffer(data)
        buffer.open(QIODevice.OpenModeFlag.WriteOnly)
        self._window.grab().save(buffer, "PNG")
        try:
            write_atomic(self._path, bytes(data.data()))
        except OSError as error:
            self._fail(f"{self._path}: {error.strerror}")
            return
        QApplication.exit(0)

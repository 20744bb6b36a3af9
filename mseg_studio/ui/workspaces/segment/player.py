"""Plays a video at its own pace. Frames without labels are segmented on the way, unless labels are not shown."""

from __future__ import annotations

import bisect
import time

from PySide6.QtCore import QObject, QTimer, Signal

from mseg_studio.media.events import SourceInfo
from mseg_studio.ui.workspaces.segment.session import AUTO_SECONDS, Session


class Player(QObject):
    """Moves the session from frame to frame; each next frame is asked for when the one before has settled."""

    playing_changed = Signal(bool)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self._advance)
        self._playing = False
        self.with_labels = True
        """Whether playing waits for the labels of frames that have none yet."""
        self._start_s = 0.0
        self._start_index = 0
        session.settled.connect(self._on_settled)
        session.frame_changed.connect(self._read_ahead)
        session.source_changed.connect(self._on_source)

    @property
    def playing(self) -> bool:
        """Whether the video runs."""
        return self._playing

    def toggle(self) -> None:
        """Play or pause; at the end, from the start."""
        source = self._session.source
        if self._playing:
            self.stop()
        elif source is not None and (len(source.timestamps_s) > 1 or source.kind == "camera"):
            self._playing = True
            self._session.auto_seconds = AUTO_SECONDS if self.with_labels else 0.0
            self._session.quiet = True
            self.playing_changed.emit(True)
            if source.kind == "camera":
                self._on_settled()
            elif self._session.index >= source.count - 1:
                self._restart_clock(0)
                self._session.go(0)
            else:
                self._restart_clock(self._session.index)
                self._on_settled()

    def stop(self) -> None:
        """Pause."""
        if self._playing:
            self._playing = False
            self._session.auto_seconds = AUTO_SECONDS
            self._session.quiet = False
            self._timer.stop()
            self.playing_changed.emit(False)

    def _on_source(self, source: SourceInfo | None) -> None:
        self.stop()
        if source is not None and source.kind == "camera":
            self.toggle()

    def _restart_clock(self, index: int) -> None:
        self._start_s, self._start_index = time.monotonic(), index

    def _on_settled(self) -> None:
        source = self._session.source
        if not self._playing or source is None:
            return
        index = self._session.index
        if source.kind == "camera":
            self._timer.start(0)
            return
        if index + 1 >= source.count:
            self.stop()
            return
        due_s = self._start_s + source.timestamps_s[index + 1] - source.timestamps_s[self._start_index]
        wait_s = due_s - time.monotonic()
        if wait_s < -0.25:
            # Frames take longer than they last: go on from here instead of racing after the clock.
            self._restart_clock(index)
            wait_s = 0.0
        self._timer.start(max(0, round(wait_s * 1000)))

    def _read_ahead(self) -> None:
        """While a frame is segmented and drawn the next is decoded."""
        source = self._session.source
        if self._playing and source is not None and self._session.index + 1 < source.count:
            self._session.reader.read_ahead(source, self._session.index + 1)

    def _advance(self) -> None:
        source = self._session.source
        if source is None or not self._playing:
            return
        session = self._session
        wanted = session.index + 1
        if source.kind == "camera":
            session.go(wanted)
            return
        clock_s = source.timestamps_s[self._start_index] + time.monotonic() - self._start_s
        on_time = bisect.bisect_right(source.timestamps_s, clock_s) - 1
        if on_time > wanted and session.has_labels(wanted) and session.has_labels(min(on_time, source.count - 1)):
            wanted = min(on_time, source.count - 1)
        session.go(wanted)

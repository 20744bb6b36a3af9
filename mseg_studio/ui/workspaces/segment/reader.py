"""Requests to the media process: what is being opened, which frame the screen waits for, which one a batch waits for.

Every answer is matched with what asked for it; late ones are dropped.
"""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Signal

from mseg_studio.media.events import MediaDied, MediaFailed, Opened, SourceInfo, ThumbnailReady
from mseg_studio.ui.bridges import MediaBridge, ShownFrame


class Reader(QObject):
    """Asks the media process; the newest request of a kind wins."""

    opened = Signal(object)
    """SourceInfo."""
    open_failed = Signal(object)
    """MediaFailed."""
    arrived = Signal(object)
    """ShownFrame for the screen."""
    arrive_failed = Signal(object)
    fetched = Signal(int, object)
    """Item and ShownFrame for a batch."""
    fetch_failed = Signal(int, object)
    thumbnail_ready = Signal(object)
    thumbnail_failed = Signal(object)
    died = Signal(str)

    def __init__(self, bridge: MediaBridge, parent: QObject) -> None:
        super().__init__(parent)
        self._client = bridge.client
        self._opening: int | None = None
        self._frame: int | None = None
        self._fetch: tuple[int, int] | None = None
        self._ahead: tuple[int, str, int] | None = None
        """Request, source and item that is read before anybody waits for it."""
        self._kept: tuple[str, int, ShownFrame] | None = None
        """What came of it."""
        bridge.happened.connect(self._on_event)

    def open(self, path: str) -> None:
        """Open a source; the one before stays usable until the answer."""
        self._opening = self._client.open(path)

    def reopen(self, source: SourceInfo) -> None:
        """Have the process turn back to `source`, without an answer, after another one could not be opened."""
        self._opening = None
        if not source.items:
            self._client.open(source.path)

    def forget_opening(self) -> None:
        """Whatever is being opened is not wanted any more."""
        if self._opening is not None:
            self._client.cancel(self._opening)
            self._opening = None

    def show(self, source: SourceInfo, index: int) -> int | None:
        """Read an item for the screen; gives the item that a batch was waiting for and now will not get."""
        dropped, self._fetch = self._fetch, None
        (ahead, self._ahead), (kept, self._kept) = (self._ahead, None), (self._kept, None)
        if kept is not None and kept[:2] == (source.path, index):
            self._frame = kept[2].request_id
            QTimer.singleShot(0, self, lambda: self._on_event(kept[2]))  # after this call, as any other answer
        elif ahead is not None and ahead[1:] == (source.path, index):
            self._frame = ahead[0]
        else:
            self._frame = self._ask(source, index)
        return None if dropped is None else dropped[1]

    def read_ahead(self, source: SourceInfo, index: int) -> None:
        """Read an item that will be shown next, while nobody waits for one: its `show` will be quick."""
        if self.idle and source.kind == "video":
            self._kept = None
            self._ahead = (self._ask(source, index), source.path, index)

    def fetch(self, source: SourceInfo, index: int) -> None:
        """Read an item for a batch; not while the screen waits for one."""
        self._fetch = (self._ask(source, index), index)

    def forget_fetch(self) -> None:
        """The batch has ended."""
        self._fetch = None

    @property
    def opening(self) -> bool:
        """Whether a source is being opened."""
        return self._opening is not None

    @property
    def showing(self) -> bool:
        """Whether the screen waits for a frame."""
        return self._frame is not None

    @property
    def idle(self) -> bool:
        """Whether neither the screen nor a batch waits for a frame."""
        return self._frame is None and self._fetch is None

    def _ask(self, source: SourceInfo, index: int) -> int:
        if source.items:
            return self._client.frame(0, path=source.items[index])
        return self._client.frame(index)

    def _on_event(self, event: object) -> None:
        match event:
            case Opened() if event.request_id == self._opening:
                self._opening = None
                self.opened.emit(event.source)
            case ShownFrame() if event.request_id == self._frame:
                self._frame = None
                self.arrived.emit(event)
            case ShownFrame() if self._fetch is not None and event.request_id == self._fetch[0]:
                index, self._fetch = self._fetch[1], None
                self.fetched.emit(index, event)
            case ShownFrame() if self._ahead is not None and event.request_id == self._ahead[0]:
                self._kept, self._ahead = (*self._ahead[1:], event), None
            case MediaFailed() if self._ahead is not None and event.request_id == self._ahead[0]:
                self._ahead = None  # whoever wants to see it asks again and is told
            case MediaFailed():
                self._on_failed(event)
            case MediaDied():
                self.died.emit(event.message)
            case ThumbnailReady():
                self.thumbnail_ready.emit(event)

    def _on_failed(self, event: MediaFailed) -> None:
        if event.request_id == self._opening:
            self._opening = None
            self.open_failed.emit(event)
        elif event.request_id == self._frame:
            self._frame = None
            self.arrive_failed.emit(event)
        elif self._fetch is not None and event.request_id == self._fetch[0]:
            index, self._fetch = self._fetch[1], None
            self.fetch_failed.emit(index, event)
        else:
            self.thumbnail_failed.emit(event)

"""What has become of each item of a source: a file of a folder or a frame of a video."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from mseg_studio.media.events import SourceInfo


@dataclass(frozen=True, slots=True)
class FrameKey:
    """One picture: a file, and its place in it for videos."""

    path: str
    index: int = 0


class ItemState(enum.Enum):
    """How far a file or a frame is; the value is the word shown beside it."""

    NEW = ""
    RUNNING = "segmenting"
    PREDICTED = "predicted"
    EXPORTED = "exported"
    FAILED = "failed"


class Items:
    """The items of one source, by number; what failed with its reason, what was exported."""

    def __init__(self, source: SourceInfo | None = None) -> None:
        self._source = source
        self._rows = {path: row for row, path in enumerate(source.items)} if source is not None else {}
        self.failed: dict[int, str] = {}
        """Why an item could not be read or segmented."""
        self.exported: set[int] = set()

    def key_of(self, index: int) -> FrameKey:
        """What results of an item are kept under. Raises ValueError when nothing is open."""
        source = self._source
        if source is None:
            raise ValueError("no source is open")
        return FrameKey(source.items[index]) if source.items else FrameKey(source.path, index)

    def index_of(self, key: FrameKey) -> int | None:
        """The item of a key; None for another source's, and for a camera, whose frames are gone."""
        source = self._source
        if source is None or source.kind == "camera":
            return None
        if source.items:
            return self._rows.get(key.path)
        return key.index if key.path == source.path else None

    def row_of(self, path: str) -> int | None:
        """The item that is the file at `path`."""
        return self._rows.get(path)

    def state_of(self, index: int, *, running: bool, labelled: bool) -> tuple[ItemState, str]:
        """State of an item that the network runs on or that has labels, and why it failed."""
        if index in self.failed:
            return ItemState.FAILED, self.failed[index]
        if running:
            return ItemState.RUNNING, ""
        if index in self.exported:
            return ItemState.EXPORTED, ""
        return (ItemState.PREDICTED if labelled else ItemState.NEW), ""

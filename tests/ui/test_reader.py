from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QCoreApplication, QObject

from mseg_studio.media.events import FrameReady, MediaFailed, SourceInfo
from mseg_studio.media.frame import Frame
from mseg_studio.ui.bridges import MediaBridge
from mseg_studio.ui.workspaces.segment.reader import Reader

FILM = SourceInfo("video", "film.mp4", (), tuple(i / 10 for i in range(12)), 10.0)


class Media:
    """Notes what is asked for, and answers when told to."""

    def __init__(self, on_event: Any) -> None:
        self._tell = on_event
        self.asked: list[int] = []

    def frame(self, index: int, *, path: str | None = None) -> int:
        self.asked.append(index)
        return len(self.asked)

    def answer(self, request_id: int) -> None:
        index = self.asked[request_id - 1]
        self._tell(FrameReady(request_id, index, Frame(np.full((4, 6, 3), index, np.uint8))))

    def fail(self, request_id: int) -> None:
        self._tell(MediaFailed(request_id, "VideoReadError", "film.mp4: broken", "film.mp4"))


@pytest.fixture
def read(qtbot: Any) -> tuple[Reader, Media, list[int]]:
    bridge = MediaBridge(Media)  # type: ignore[arg-type]
    owner = QObject()
    reader = Reader(bridge, owner)
    shown: list[int] = []
    reader.arrived.connect(lambda event: shown.append(int(event.frame.pixels_HW3[0, 0, 0])))
    reader.arrive_failed.connect(lambda event: shown.append(-1))
    reader.thumbnail_failed.connect(lambda event: shown.append(-2))
    reader._keep = (bridge, owner)  # type: ignore[attr-defined]
    return reader, bridge.client, shown  # type: ignore[return-value]


def test_a_frame_read_ahead_is_shown_without_another_request(read):
    reader, media, shown = read
    reader.read_ahead(FILM, 3)
    media.answer(1)
    assert shown == [] and reader.idle
    reader.show(FILM, 3)
    assert reader.showing and shown == []  # as any other answer, not within the call
    QCoreApplication.processEvents()
    assert (shown, media.asked) == ([3], [3])
    reader.show(FILM, 3)
    assert media.asked == [3, 3]


def test_a_frame_that_is_still_being_read_ahead_is_waited_for(read):
    reader, media, shown = read
    reader.read_ahead(FILM, 3)
    reader.show(FILM, 3)
    assert media.asked == [3]
    media.answer(1)
    assert shown == [3]


def test_another_frame_than_the_one_read_ahead_is_asked_for(read):
    reader, media, shown = read
    reader.read_ahead(FILM, 3)
    media.answer(1)
    reader.show(FILM, 7)
    media.answer(2)
    QCoreApplication.processEvents()
    assert (shown, media.asked) == ([7], [3, 7])
    other = SourceInfo("video", "other.mp4", (), FILM.timestamps_s, 10.0)
    reader.read_ahead(FILM, 8)
    media.answer(3)
    reader.show(other, 8)
    assert media.asked == [3, 7, 8, 8]


def test_a_failure_ahead_is_told_only_when_the_frame_is_shown(read):
    reader, media, shown = read
    reader.read_ahead(FILM, 3)
    media.fail(1)
    assert shown == []
    reader.show(FILM, 3)
    media.fail(2)
    assert shown == [-1]


def test_nothing_is_read_ahead_while_somebody_waits_or_where_frames_have_no_number(read):
    reader, media, _ = read
    reader.show(FILM, 1)
    reader.read_ahead(FILM, 2)
    assert media.asked == [1]
    media.answer(1)
    reader.read_ahead(SourceInfo("camera", "camera:0", ()), 2)
    assert media.asked == [1]

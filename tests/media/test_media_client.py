"""The media process as the window meets it: real children, hostile files."""

from __future__ import annotations

import os
import queue
import signal
import time

import bad_files
import numpy as np
import psutil
import pytest
from numbered import read_number, write_video

from mseg_studio.media.client import MediaClient
from mseg_studio.media.events import FrameReady, MediaDied, MediaFailed, Opened, ThumbnailReady
from mseg_studio.media.image import read_image, write_rgb_png

POSIX = os.name == "posix"


class Listened:
    def __init__(self, *, module=None, **options):
        self.events = queue.SimpleQueue()
        self.client = MediaClient(self.events.put, **options)
        if module is not None:
            self.client._worker._pump._module = module
        self.client.start()

    def answer(self, request_id):
        """The event that ends one request."""
        while True:
            event = self.events.get(timeout=30)
            if getattr(event, "request_id", None) == request_id:
                return event


@pytest.fixture
def media():
    made = []

    def make(**options):
        made.append(Listened(**options))
        return made[-1]

    yield make
    for listened in made:
        listened.client.close()


@pytest.fixture
def image_path(tmp_path):
    path = tmp_path / "a.png"
    write_rgb_png(path, bad_files.pixels())
    return path


def test_image_folder_video_and_thumbnails(media, tmp_path, image_path):
    listened = media()
    client = listened.client
    opened = listened.answer(client.open(image_path))
    assert isinstance(opened, Opened)
    assert (opened.source.kind, opened.source.items) == ("image", (str(image_path),))
    ready = listened.answer(client.frame(0))
    assert isinstance(ready, FrameReady)
    assert ready.frame.ref.path == image_path
    np.testing.assert_array_equal(ready.frame.pixels_HW3, bad_files.pixels())

    (tmp_path / "b.png").write_bytes(b"broken")
    (tmp_path / ".c.png").write_bytes(b"")
    opened = listened.answer(client.open(tmp_path))
    assert opened.source.count == 2
    assert [entry.reason for entry in opened.source.skipped] == ["hidden file"]
    failed = listened.answer(client.frame(1))
    assert isinstance(failed, MediaFailed)
    assert (failed.code, failed.file) == ("ImageReadError", str(tmp_path / "b.png"))
    assert failed.message.startswith(str(tmp_path / "b.png"))
    assert listened.answer(client.frame(5)).code == "VideoReadError"
    assert listened.answer(client.frame(0, path=image_path)).frame.height == bad_files.HEIGHT

    video = write_video(tmp_path / "v.mp4", range(30), options={"bf": "3", "g": "12"})
    opened = listened.answer(client.open(video))
    assert (opened.source.kind, opened.source.count, opened.source.fps) == ("video", 30, 25.0)
    for index in (0, 1, 2, 29, 7, 8):
        ready = listened.answer(client.frame(index))
        assert (ready.index, read_number(ready.frame.pixels_HW3)) == (index, index)
        assert ready.frame.ref.timestamp_s == pytest.approx(index / 25)

    wanted = [client.thumbnail(path, 20) for path in (image_path, video, tmp_path / "b.png")]
    answers = [listened.answer(request_id) for request_id in wanted]
    assert [type(answer) for answer in answers] == [ThumbnailReady, ThumbnailReady, MediaFailed]
    assert answers[0].path == str(image_path)
    assert [max(answer.pixels_HW3.shape) for answer in answers[:2]] == [20, 20]
    client.close_source()


def test_odd_names_cross_the_pipe(media, tmp_path):
    listened = media()
    for name in ("new\nline.png", "bytes\udcff.png", "\U0001f6a6.png"):
        path = tmp_path / name
        try:
            write_rgb_png(path, bad_files.pixels())
        except Exception:  # noqa: BLE001
            continue
        assert listened.answer(listened.client.open(path)).source.path == str(path)
        assert listened.answer(listened.client.frame(0)).frame.ref.path == path


def test_newest_frame_wins_and_all_thumbnails_come(media, tmp_path, image_path):
    listened = media()
    video = write_video(tmp_path / "v.mp4", range(40), options={"g": "40"})
    listened.answer(listened.client.open(video))
    thumbnails = [listened.client.thumbnail(image_path, 8) for _ in range(10)]
    frames = [listened.client.frame(index) for index in reversed(range(40))]
    got = {"frames": [], "thumbnails": []}
    while len(got["thumbnails"]) < 10 or frames[-1] not in got["frames"]:
        event = listened.events.get(timeout=30)
        got["frames" if isinstance(event, FrameReady) else "thumbnails"].append(event.request_id)
    assert got["thumbnails"] == thumbnails
    assert len(got["frames"]) < 40
    assert got["frames"] == sorted(got["frames"])


@pytest.mark.skipif(not POSIX, reason="signals")
def test_killed_in_the_middle_of_a_video_the_next_frame_comes(media, tmp_path):
    listened = media()
    video = write_video(tmp_path / "v.mp4", range(20))
    listened.answer(listened.client.open(video))
    start_s = time.monotonic()
    os.kill(listened.client.pid, signal.SIGKILL)
    while not isinstance(event := listened.events.get(timeout=5), MediaDied):
        pass
    assert time.monotonic() - start_s < 1.0
    assert event.message == "the media process was killed (signal 9)"
    assert event.restart_in_s == 0.2
    assert read_number(listened.answer(listened.client.frame(11)).frame.pixels_HW3) == 11
    assert time.monotonic() - start_s < 3.0


@pytest.mark.skipif(not POSIX, reason="signals")
def test_a_file_that_kills_is_named_and_set_aside(media, tmp_path, image_path):
    listened = media(module="hanging_worker")
    evil = tmp_path / "kill.png"
    listened.answer(listened.client.open(image_path))
    for _ in range(3):
        failed = listened.answer(listened.client.frame(0, path=evil))
        assert failed.code == "WorkerDied"
        assert failed.message == f"{evil}: the media process was killed (signal 9)"
        assert isinstance(listened.answer(listened.client.frame(0, path=image_path)), FrameReady)
    failed = listened.answer(listened.client.frame(0, path=evil))
    assert "set aside" in failed.message
    assert failed.message.startswith(str(evil))


def test_a_file_that_hangs_costs_its_own_request_only(media, tmp_path, image_path):
    listened = media(module="hanging_worker", frame_limit_s=0.5)
    hanging = tmp_path / "hang.png"
    start_s = time.monotonic()
    listened.answer(listened.client.thumbnail(image_path, 8))
    first = listened.client.frame(0, path=hanging)
    failed = listened.answer(first)
    assert (failed.code, failed.message) == ("TimeLimit", f"{hanging}: took longer than 0.5 s")
    assert isinstance(listened.answer(listened.client.frame(0, path=image_path)), FrameReady)
    assert time.monotonic() - start_s < 5
    while not listened.events.empty():
        assert not isinstance(listened.events.get(), MediaDied)


@pytest.mark.skipif(not POSIX, reason="address space limits")
def test_a_file_that_swallows_memory_is_an_error(media, tmp_path, image_path):
    listened = media(module="hanging_worker")
    failed = listened.answer(listened.client.frame(0, path=tmp_path / "memory.png"))
    assert failed.code == "DeviceMemoryError"
    assert "memory" in failed.message
    assert isinstance(listened.answer(listened.client.frame(0, path=image_path)), FrameReady)


@pytest.mark.skipif(not POSIX, reason="address space limits")
def test_a_picture_beyond_the_memory_limit_is_an_error(media, tmp_path):
    listened = media(memory_limit_bytes=1 << 30)
    path = tmp_path / "large.png"
    write_rgb_png(path, np.zeros((9_000, 9_000, 3), np.uint8))
    failed = listened.answer(listened.client.frame(0, path=path))
    assert failed.message.startswith(f"{path}: ")
    assert "memory" in failed.message


def test_every_bad_file_ends_in_its_error_and_the_process_lives(media, tmp_path):
    listened = media()
    cases = bad_files.BAD + (bad_files.POSIX_BAD if POSIX else ())
    for case, path in bad_files.make_all(tmp_path, cases):
        for request_id in (listened.client.frame(0, path=path), listened.client.thumbnail(path, 9)):
            answer = listened.answer(request_id)
            assert isinstance(answer, MediaFailed), case.name
            assert answer.code == "ImageReadError"
            assert answer.message.startswith(str(path))
    pid = listened.client.pid
    for case, path in bad_files.make_all(tmp_path, bad_files.GOOD):
        answer = listened.answer(listened.client.frame(0, path=path))
        np.testing.assert_array_equal(answer.frame.pixels_HW3, read_image(path).pixels_HW3, case.name)
    assert listened.client.pid == pid


def test_cancelled_requests_are_silent_and_closing_ends_the_process(media, tmp_path, image_path):
    listened = media(module="hanging_worker")
    answered = listened.client.thumbnail(image_path, 8)
    listened.answer(answered)
    hanging = listened.client.frame(0, path=tmp_path / "hang.png")
    listened.client.cancel(hanging)
    pid = listened.client.pid
    start_s = time.monotonic()
    listened.client.close()
    assert time.monotonic() - start_s < 3
    assert not psutil.pid_exists(pid)
    assert listened.events.empty()


def test_frames_before_open_are_an_error_not_the_current_folder(media):
    listened = media()
    failed = listened.answer(listened.client.frame(0))
    assert isinstance(failed, MediaFailed)
    assert failed.message == "no file name was given"

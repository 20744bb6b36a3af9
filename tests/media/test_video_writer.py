"""Written videos: frames, times and rate come back; nothing is half written."""

from __future__ import annotations

import errno
from fractions import Fraction

import av
import numpy as np
import pytest
from numbered import picture, read_number

from mseg_studio.errors import ExportError
from mseg_studio.media.video import open_video
from mseg_studio.media.video_writer import VideoWriter

TIMES_S = [0.0, 0.04, 0.05, 0.5, 0.54, 2.0]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("fps", [25, Fraction(30000, 1001), 59.94])
def test_frames_and_rate_come_back(tmp_path, suffix, fps):
    path = tmp_path / f"a{suffix}"
    with VideoWriter(path, fps=fps, size=(96, 64)) as writer:
        for number in range(30):
            writer.write(picture(number))
    with open_video(path) as video:
        assert [read_number(frame.pixels_HW3) for frame in video.frames()] == list(range(30))
        assert float(video.fps) == pytest.approx(float(fps), rel=2e-3)
        np.testing.assert_allclose(video.timestamps_s, np.arange(30) / float(fps), atol=1.1e-3)
        error = np.abs(video.frame(7).pixels_HW3.astype(int) - picture(7))
        assert error.mean() < 4
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"


def test_irregular_times_come_back(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", fps=25, size=(96, 64)) as writer:
        for number, time_s in enumerate(TIMES_S):
            writer.write(picture(number), timestamp_s=time_s)
    with open_video(tmp_path / "a.mp4") as video:
        np.testing.assert_allclose(video.timestamps_s, TIMES_S, atol=1e-4)
        assert [read_number(frame.pixels_HW3) for frame in video.frames()] == list(range(len(TIMES_S)))


@pytest.mark.parametrize("size", [(97, 64), (96, 65), (97, 65), (1, 1), (17, 1)])
def test_odd_sizes_are_padded_to_even(tmp_path, size):
    width, height = size
    pixels = np.full((height, width, 3), (30, 120, 220), np.uint8)
    with VideoWriter(tmp_path / "a.mp4", fps=25, size=size) as writer:
        for _ in range(3):
            writer.write(pixels)
    with open_video(tmp_path / "a.mp4") as video:
        assert (video.width, video.height) == (width + width % 2, height + height % 2)
        assert np.abs(video.frame(1).pixels_HW3.astype(int) - pixels[0, 0]).max() < 8


def test_a_failure_inside_the_block_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="mine"), VideoWriter(path, fps=25, size=(96, 64)) as writer:
        writer.write(picture(0))
        raise RuntimeError("mine")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]


def test_no_frames_is_an_error_and_no_file(tmp_path):
    with pytest.raises(ExportError, match="no frames"), VideoWriter(tmp_path / "a.mp4", fps=25, size=(96, 64)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_unwritable_places_are_named(tmp_path):
    path = tmp_path / "no" / "folder.mp4"
    with pytest.raises(ExportError, match="cannot be written") as caught, VideoWriter(path, fps=25, size=(96, 64)):
        pytest.fail("the block must not run")
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("when", ["mux", "close"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, when):
    path = tmp_path / "a.mp4"
    if when == "close":

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("mseg_studio.storage._fsync", full)
    with pytest.raises(ExportError, match="no space left on device") as caught:  # noqa: SIM117
        with VideoWriter(path, fps=25, size=(96, 64)) as writer:
            if when == "mux":

                def encode(*_):
                    raise av.error.OSError(errno.ENOSPC, "No space left on device", str(path))

                writer._stream = type("Stream", (), {"encode": encode})()
            writer.write(picture(0))
    assert str(caught.value).startswith(f"{path}: ")
    assert list(tmp_path.iterdir()) == []


def test_misuse(tmp_path):
    with pytest.raises(ValueError, match="positive"):
        VideoWriter(tmp_path / "a.mp4", fps=0, size=(96, 64))
    with VideoWriter(tmp_path / "a.mp4", fps=25, size=(96, 64)) as writer:
        writer.write(picture(0), timestamp_s=1.0)
        with pytest.raises(ValueError, match="not after"):
            writer.write(picture(1), timestamp_s=1.0)
        with pytest.raises(ValueError, match="expected RGB"):
            writer.write(picture(1)[:10])

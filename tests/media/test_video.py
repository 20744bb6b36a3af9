"""Videos: every frame carries its number, so a wrong frame cannot hide."""

from __future__ import annotations

import random
import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numbered import picture, read_number, write_video

from mseg_studio.errors import VideoReadError
from mseg_studio.media.video import Video, open_video, read_first_frame

COUNT = 40
B_FRAMES = {"bf": "3", "g": "12"}
OPEN_GOP = {"x264-params": "open-gop=1:keyint=10:bframes=3:b-pyramid=normal"}
IRREGULAR_MS = [0]
for _step in random.Random(3).choices([7, 40, 41, 500], k=COUNT - 1):
    IRREGULAR_MS.append(IRREGULAR_MS[-1] + _step)

FILES = {
    "b_frames.mp4": {"options": B_FRAMES},
    "open_gop.mp4": {"options": OPEN_GOP},
    "one_key.mp4": {"options": {"g": "600", "bf": "3"}},
    "all_keys.mp4": {"options": {"g": "1"}},
    "short_gops.mp4": {"options": {"g": "2", "bf": "3"}},
    "b_frames.mkv": {"options": B_FRAMES},
    "b_frames.ts": {"options": B_FRAMES},
    "no_times.avi": {"options": B_FRAMES},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2", "g": "12"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2", "g": "12"}},
    "raw.h264": {"options": B_FRAMES, "container": "h264"},
    "motion_jpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "irregular.mp4": {"options": B_FRAMES, "times_ms": IRREGULAR_MS},
    "irregular.mkv": {"options": B_FRAMES, "times_ms": IRREGULAR_MS},
    "ten_bit.mkv": {"codec": "ffv1", "pix_fmt": "yuv420p10le"},
    "odd_size.mkv": {"codec": "ffv1", "pix_fmt": "yuv444p", "size": (97, 65)},
    "one_frame.mp4": {"count": 1},
}


def make(folder: Path, name: str, **changes) -> Path:
    options = {**FILES[name], **changes}
    codec = options.get("codec", "libx264")
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    return write_video(folder / name, range(options.pop("count", COUNT)), **options)


@pytest.mark.parametrize("name", FILES)
def test_frames_by_number_equal_frames_in_order(tmp_path, name):
    path = make(tmp_path, name)
    count = FILES[name].get("count", COUNT)
    with open_video(path) as video:
        assert len(video) == count
        assert (video.width, video.height) == FILES[name].get("size", (96, 64))
        in_order = [frame.pixels_HW3 for frame in video.frames()]
        assert [read_number(pixels) for pixels in in_order] == list(range(count))
        for index in random.Random(0).sample(range(count), count):
            frame = video.frame(index)
            assert (frame.ref.index, frame.ref.timestamp_s) == (index, video.timestamps_s[index])
            np.testing.assert_array_equal(frame.pixels_HW3, in_order[index])
        assert video.notes == ()


@pytest.mark.parametrize("name", ["irregular.mp4", "irregular.mkv"])
def test_times_of_a_variable_rate_are_kept(tmp_path, name):
    with open_video(make(tmp_path, name)) as video:
        np.testing.assert_allclose(video.timestamps_s, np.array(IRREGULAR_MS) / 1000, atol=1e-6)
        assert video.notes == ()


def test_two_steps_of_different_length_are_no_gap(tmp_path):
    with open_video(make(tmp_path, "irregular.mkv", options={}, times_ms=[0, 100, 900], count=3)) as video:
        assert len(video) == 3
        assert video.notes == ()


@pytest.mark.parametrize("name", ["b_frames.mp4", "b_frames.ts", "no_times.avi", "raw.h264", "mpeg2.mpg"])
def test_times_and_rate_of_a_steady_video(tmp_path, name):
    with open_video(make(tmp_path, name)) as video:
        assert video.fps == 25
        np.testing.assert_allclose(video.timestamps_s, np.arange(COUNT) / 25, atol=1e-4)


def test_the_next_frame_never_seeks(tmp_path, monkeypatch):
    with open_video(make(tmp_path, "b_frames.mp4")) as video:
        video.frame(0)
        monkeypatch.setattr(Video, "_seek", lambda *_: pytest.fail("sought"))
        for index in range(1, COUNT):
            assert read_number(video.frame(index).pixels_HW3) == index
        assert video.frame(COUNT - 1) is video.frame(COUNT - 1)


def test_frames_outside_are_an_index_error_and_a_closed_video_opens_again(tmp_path):
    video = open_video(make(tmp_path, "b_frames.mp4"))
    for index in (-1, COUNT):
        with pytest.raises(IndexError):
            video.frame(index)
    kept = video.frame(3).pixels_HW3
    video.close()
    assert read_number(kept) == 3
    assert read_number(video.frame(7).pixels_HW3) == 7
    video.close()


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_rotation_is_applied_as_opencv_does(tmp_path, turns):
    path = make(tmp_path, "b_frames.mp4")
    matrix = {0: (1, 0, 0, 1), 1: (0, 1, -1, 0), 2: (-1, 0, 0, -1), 3: (0, -1, 1, 0)}[turns]
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44
    data[place : place + 36] = struct.pack(
        ">9i", matrix[0] << 16, matrix[1] << 16, 0, matrix[2] << 16, matrix[3] << 16, 0, 0, 0, 1 << 30
    )
    path.write_bytes(bytes(data))
    with open_video(path) as video:
        frame = video.frame(5)
        assert (video.width, video.height) == ((96, 64) if turns % 2 == 0 else (64, 96))
    upright = np.rot90(frame.pixels_HW3, turns)  # the matrix turned it clockwise
    assert read_number(np.ascontiguousarray(upright)) == 5
    capture = cv2.VideoCapture(str(path))
    try:
        _, first = capture.read()
    finally:
        capture.release()
    with open_video(path) as video:
        assert np.abs(video.frame(0).pixels_HW3.astype(int) - first[..., ::-1]).max() <= 3


def test_colours_are_those_of_opencv(shared):
    path = shared / "data" / "samples" / "DAVIS_judo_ade20k-150.mp4"
    capture = cv2.VideoCapture(str(path))
    with open_video(path) as video:
        assert len(video) == 34
        assert video.fps == 30
        in_order = []
        for frame in video.frames():
            _, bgr = capture.read()
            np.testing.assert_array_equal(frame.pixels_HW3, bgr[..., ::-1])
            in_order.append(frame.pixels_HW3)
        assert len(in_order) == 34
        assert video.notes == ()
        for index in random.Random(1).sample(range(34), 34):
            np.testing.assert_array_equal(video.frame(index).pixels_HW3, in_order[index])
    capture.release()


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [10, 50, 90, 99])
@pytest.mark.parametrize("name", ["b_frames.mp4", "b_frames.mkv", "b_frames.ts", "no_times.avi"])
def test_a_truncated_video_gives_its_readable_frames_or_one_line(tmp_path, name, percent):
    path = make(tmp_path, name)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * percent // 100])
    try:
        video = open_video(path)
    except VideoReadError as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)
        return
    with video:
        found = {frame.ref.index: read_number(frame.pixels_HW3) for frame in video.frames()}
        assert 0 < len(found) <= COUNT
        numbers = [found[index] for index in sorted(found)]
        assert numbers == sorted(set(numbers))
        for index in range(len(video)):
            if index in found:
                assert read_number(video.frame(index).pixels_HW3) == found[index]
            else:
                with pytest.raises(VideoReadError):
                    video.frame(index)


@pytest.mark.parametrize("name", ["b_frames.mp4", "b_frames.mkv"])
def test_a_corrupt_packet_in_the_middle_costs_frames_but_not_the_rest(tmp_path, name):
    def spoil(number: int, packet: bytes) -> bytes:
        return packet[:8] + random.Random(number).randbytes(len(packet) - 8) if number in (20, 21) else packet

    with open_video(make(tmp_path, name, options={"bf": "0", "g": "12"}, spoil=spoil)) as video:
        numbers = {frame.ref.index: read_number(frame.pixels_HW3) for frame in video.frames()}
    assert all(numbers[index] == index for index in range(20))
    assert numbers[COUNT - 1] == COUNT - 1
    assert any("damaged" in note for note in video.notes)


def test_a_file_that_ends_early_says_so(tmp_path):
    path = make(tmp_path, "irregular.mkv")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with open_video(path) as video:
        assert len(video) < COUNT
        assert any("damaged" in note for note in video.notes)


def cut(data: bytes) -> bytes:
    return data[: len(data) * 6 // 10]


def altered(data: bytes) -> bytes:
    start = len(data) // 2 - 100
    return data[:start] + random.Random(1).randbytes(200) + data[start + 200 :]


@pytest.mark.parametrize(
    ("name", "changes", "damage"),
    [
        ("b_frames.mkv", {}, cut),
        ("b_frames.mkv", {}, altered),
        ("vp9.webm", {}, cut),
        ("vp9.webm", {}, altered),
        ("b_frames.mp4", {}, altered),
        # One frame a second makes Matroska begin a new cluster every few frames: the end is found again.
        ("b_frames.mkv", {"options": {"g": "2", "bf": "0"}, "times_ms": range(0, COUNT * 1000, 1000)}, altered),
    ],
)
def test_lost_frames_are_counted_in_a_note(tmp_path, name, changes, damage):
    path = make(tmp_path, name, **changes)
    path.write_bytes(damage(path.read_bytes()))
    with open_video(path) as video:
        found = len(list(video.frames()))
        assert 0 < found < COUNT
        [note] = video.notes
    assert note.endswith(f"; {found} frames could be read, about {COUNT} expected")


def test_a_gap_in_a_steady_video_is_noted_and_one_dropped_frame_is_not(tmp_path):
    def without(*numbers: int) -> Path:
        return make(
            tmp_path,
            "b_frames.mkv",
            options={"bf": "0", "g": "1"},
            spoil=lambda number, packet: None if number in numbers else packet,
        )

    with open_video(without(20, 21, 22, 23)) as video:
        assert video.notes == (f"incomplete; {COUNT - 4} frames could be read, about {COUNT} expected",)
    with open_video(without(20)) as video:
        assert video.notes == ()


def test_a_change_of_size_keeps_the_first_size(tmp_path):
    small = write_video(tmp_path / "a.ts", range(10), size=(96, 64), options={"bf": "0"})
    times = [2000 + 40 * place for place in range(10)]
    large = write_video(tmp_path / "b.ts", range(10, 20), size=(192, 128), options={"bf": "0"}, times_ms=times)
    path = tmp_path / "both.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    with open_video(path) as video:
        frames = list(video.frames())
        assert {frame.pixels_HW3.shape for frame in frames} == {(64, 96, 3)}
        assert [read_number(frame.pixels_HW3) for frame in frames] == list(range(20))
        assert any("size changes" in note for note in video.notes)


def audio_only(path: Path) -> None:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=44100)
        for place in range(5):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, 1024 * place
            for packet in stream.encode(frame):
                output.mux(packet)
        for packet in stream.encode(None):
            output.mux(packet)


def no_frames(path: Path) -> None:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.open()
        output.start_encoding()


def playlist(kind: str):
    def make_list(path: Path) -> None:
        write_video(path.with_name("inner.ts"), range(5))
        text = {
            "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ninner.ts\n#EXT-X-ENDLIST\n",
            "hls_net": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n",
            "concat": "ffconcat version 1.0\nfile inner.ts\n",
            "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>',
            "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        }[kind]
        path.write_text(text)

    return make_list


HOSTILE = {
    "missing.mp4": (lambda path: None, "no such file"),
    "empty.mp4": (lambda path: path.write_bytes(b""), "empty"),
    "text.mp4": (lambda path: path.write_text("not a video\n" * 99), "not a video"),
    "picture.mp4": (lambda path: path.write_bytes(cv2.imencode(".png", picture(1))[1].tobytes()), "not a video"),
    "folder.mp4": (lambda path: path.mkdir(), "found a folder"),
    "audio.mp4": (audio_only, "no moving pictures"),
    "audio.m4v": (audio_only, "no moving pictures"),
    "no_frames.mp4": (no_frames, ""),
    "no_frames.mkv": (no_frames, ""),
    "hls.mp4": (playlist("hls"), "not a video"),
    "hls_net.m3u8": (playlist("hls_net"), "not a video"),
    "concat.mp4": (playlist("concat"), "not a video"),
    "dash.mpd": (playlist("dash"), "not a video"),
    "net.sdp": (playlist("sdp"), "not a video"),
    "concat:inner.mp4": (lambda path: None, "no such file"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_video_is_one_line_that_names_the_file(tmp_path, name, capfd):
    path = tmp_path / name
    make_file, words = HOSTILE[name]
    make_file(path)
    capfd.readouterr()
    for read in (open_video, read_first_frame):
        with pytest.raises(VideoReadError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
        assert words in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_wrong_frame_count_in_the_header_is_not_believed(tmp_path):
    path = make(tmp_path, "motion_jpeg.avi")
    data = bytearray(path.read_bytes())
    header = data.index(b"avih") + 8
    data[header + 16 : header + 20] = struct.pack("<I", 9999)
    length = data.index(b"strh") + 8
    data[length + 32 : length + 36] = struct.pack("<I", 9999)
    path.write_bytes(bytes(data))
    with open_video(path) as video:
        assert len(video) == COUNT
        assert [read_number(frame.pixels_HW3) for frame in video.frames()] == list(range(COUNT))


@pytest.mark.parametrize("name", ["-dash.mp4", "%04d.mp4", "a:b.mp4", "caf\u00e9 \U0001f6a6.mp4", "bytes\udcff.mp4"])
def test_odd_names(tmp_path, name):
    path = tmp_path / name
    make(tmp_path, "b_frames.mp4").rename(path)
    with open_video(path) as video:
        assert len(video) == COUNT


def test_first_frame(tmp_path):
    assert read_number(read_first_frame(make(tmp_path, "b_frames.mp4")).pixels_HW3) == 0


def test_damaged_bytes_never_raise_anything_else(tmp_path):
    for name in ("b_frames.mp4", "b_frames.mkv", "no_times.avi", "b_frames.ts"):
        original = make(tmp_path, name).read_bytes()
        for seed in range(8):
            data = bytearray(original)
            generator = random.Random(seed)
            for _ in range(10):
                data[generator.randrange(len(data))] = generator.randrange(256)
            path = tmp_path / f"fuzz{seed}{name}"
            path.write_bytes(bytes(data))
            try:
                with open_video(path) as video:
                    for frame in video.frames():
                        assert frame.pixels_HW3.shape == (video.height, video.width, 3)
            except VideoReadError as error:
                assert str(error).startswith(f"{path}: ")


def test_the_rate_is_a_fraction(tmp_path):
    with open_video(make(tmp_path, "b_frames.mp4")) as video:
        assert isinstance(video.fps, Fraction)

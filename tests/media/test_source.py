"""Image, folder, video and camera as one sequence."""

from __future__ import annotations

import os
import time

import bad_files
import pytest
from numbered import read_number, write_video

from mseg_studio.errors import ImageReadError, VideoReadError
from mseg_studio.media.folder import list_images, natural_key
from mseg_studio.media.image import write_rgb_png
from mseg_studio.media.source import open_source

POSIX = os.name == "posix"


def fill(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rgb_png(path, bad_files.pixels())


def test_an_image_is_a_sequence_of_one(tmp_path):
    fill(tmp_path, "a.png")
    with open_source(tmp_path / "a.png") as source:
        assert (source.info.kind, source.info.count) == ("image", 1)
        assert source.info.items == (str(tmp_path / "a.png"),)
        assert len(list(source)) == 1
        with pytest.raises(IndexError):
            source.frame(1)


def test_a_folder_is_sorted_naturally_and_goes_on_past_broken_files(tmp_path):
    fill(tmp_path, "frame10.png", "frame2.png", "Frame1.png", "sub/b.png", "sub/a.png", "sub/deep/c.png", "z.png")
    (tmp_path / "frame3.png").write_bytes(b"broken")
    (tmp_path / "notes.txt").write_text("x")
    with open_source(str(tmp_path)) as source:
        names = [os.path.relpath(item, tmp_path).replace(os.sep, "/") for item in source.info.items]
        own = ["Frame1.png", "frame2.png", "frame3.png", "frame10.png", "z.png"]
        assert names == [*own, "sub/a.png", "sub/b.png", "sub/deep/c.png"]
        assert source.info.kind == "folder"
        outcomes = []
        for item in source.items():
            try:
                outcomes.append(item.load().ref == item.ref)
            except ImageReadError as error:
                outcomes.append(str(error).startswith(str(item.ref.path)))
        assert outcomes == [True] * 8
        assert [frame.ref.index for frame in source] == [0, 1, 3, 4, 5, 6, 7]


def test_what_is_skipped_has_a_reason(tmp_path):
    fill(tmp_path, "a.png", ".hidden.png", ".git/b.png")
    (tmp_path / "film.mp4").write_bytes(b"x")
    (tmp_path / "phone.HEIC").write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / ".mseg-part-123.png").write_bytes(b"half")
    expected = {
        ".hidden.png": "hidden file",
        ".git": "hidden folder",
        "film.mp4": "a video; open it by itself",
        "phone.HEIC": "HEIC pictures cannot be read; save it as JPEG or PNG",
        ".mseg-part-123.png": "hidden file",
    }
    if POSIX:
        (tmp_path / "gone.png").symlink_to("nowhere")
        os.mkfifo(tmp_path / "pipe.png")
        (tmp_path / "up").symlink_to(tmp_path)
        (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
        expected |= {
            "gone.png": "a broken link",
            "pipe.png": "not a plain file",
            "up": "a link to a folder that is already listed",
        }
    images, skipped = list_images(tmp_path)
    assert [os.path.basename(path) for path in images] == ["a.png"]
    reasons = {os.path.basename(entry.path): entry.reason for entry in skipped}
    if POSIX:
        assert reasons.pop("self.png")
    assert reasons == expected


@pytest.mark.skipif(not POSIX, reason="symbolic links")
def test_links_to_images_are_followed_and_loops_end(tmp_path):
    fill(tmp_path, "one/a.png", "other/b.png")
    (tmp_path / "one" / "link.png").symlink_to(tmp_path / "other" / "b.png")
    (tmp_path / "one" / "loop").symlink_to(tmp_path)
    (tmp_path / "other" / "loop").symlink_to(tmp_path / "one")
    images, _ = list_images(tmp_path)
    assert len(images) == 3


def test_many_images_are_listed_fast(tmp_path):
    for folder in range(20):
        (tmp_path / str(folder)).mkdir()
        for number in range(150):
            os.close(os.open(tmp_path / str(folder) / f"{number}.jpg", os.O_CREAT))
    start_s = time.perf_counter()
    images, skipped = list_images(tmp_path)
    assert time.perf_counter() - start_s < 1.0
    assert len(images) == 3_000
    assert not skipped
    assert images[151].endswith(os.path.join("1", "1.jpg"))


def test_natural_order():
    names = ["b", "a10", "a2", "A1", "a", "10", "9", "a2b", "", "a\u00b2"]
    ordered = sorted(names, key=natural_key)
    assert ordered == ["", "9", "10", "a", "A1", "a2", "a2b", "a10", "a\u00b2", "b"]


def test_a_video_gives_frames_with_times(tmp_path):
    path = write_video(tmp_path / "a.mp4", range(10))
    with open_source(path) as source:
        assert (source.info.kind, source.info.count, source.info.fps) == ("video", 10, 25.0)
        for index, item in enumerate(source.items()):
            frame = item.load()
            assert (read_number(frame.pixels_HW3), frame.ref) == (index, item.ref)
            assert item.ref.timestamp_s == pytest.approx(index / 25)


def test_files_without_a_telling_name_are_told_by_content(tmp_path):
    fill(tmp_path, "a.png")
    (tmp_path / "a.png").rename(tmp_path / "image")
    write_video(tmp_path / "b.mp4", range(3)).rename(tmp_path / "film")
    assert open_source(tmp_path / "image").info.kind == "image"
    with open_source(tmp_path / "film") as source:
        assert source.info.kind == "video"


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("missing.png", ImageReadError, "no such file"),
        ("missing.mp4", VideoReadError, "no such file"),
        ("missing", ImageReadError, "no such file"),
        ("empty", ImageReadError, "holds no images"),
        ("only_videos", ImageReadError, r"holds no images \(1 entries were skipped\)"),
        ("", ImageReadError, "no file name"),
        ("camera:97", VideoReadError, "no such camera"),
    ],
)
def test_what_cannot_be_opened_is_one_line(tmp_path, name, error, words, capfd):
    (tmp_path / "empty").mkdir()
    (tmp_path / "only_videos").mkdir()
    (tmp_path / "only_videos" / "a.mp4").write_bytes(b"x")
    path = str(tmp_path / name) if name and not name.startswith("camera") else name
    with pytest.raises(error, match=words) as caught:
        open_source(path)
    assert str(caught.value).startswith(path)
    assert capfd.readouterr().err == ""


def test_a_camera_by_number_that_is_not_there():
    with pytest.raises(VideoReadError, match="camera:97: "):
        open_source(97)


class FakeCapture:
    """Two pictures, then the plug is pulled."""

    def __init__(self, number):
        self.left, self.released = 2, False

    def isOpened(self):
        return True

    def get(self, what):
        return 30.0

    def read(self):
        self.left -= 1
        return (self.left >= 0, bad_files.pixels()[..., ::-1] if self.left >= 0 else None)

    def release(self):
        self.released = True


def test_a_camera_gives_pictures_until_it_is_gone(monkeypatch):
    monkeypatch.setattr("mseg_studio.media.source.cv2.VideoCapture", FakeCapture)
    with open_source("camera:0") as source:
        assert (source.info.kind, source.info.path, source.info.fps) == ("camera", "camera:0", 30.0)
        frames = []
        with pytest.raises(VideoReadError, match="no picture any more"):
            for frame in source:
                frames.append(frame)
        assert len(frames) == 2
        assert (frames[0].pixels_HW3 == bad_files.pixels()).all()
    assert source._camera.released

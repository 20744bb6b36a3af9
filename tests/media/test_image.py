"""Pictures of all kinds: the pixels of OpenCV, or one line that names the file."""

from __future__ import annotations

import errno
import os
import tracemalloc

import bad_files
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mseg_studio.errors import ExportError, ImageReadError
from mseg_studio.media import image as module
from mseg_studio.media.image import (
    is_image_path,
    is_video_path,
    read_image,
    read_label_ids,
    read_thumbnail,
    write_ids_png,
    write_rgb_png,
)
from mseg_studio.media.regular_file import read_regular

POSIX = os.name == "posix"
OLD_OPENCV = tuple(int(part) for part in cv2.__version__.split(".")[:2]) < (4, 11)
BAD = bad_files.BAD + (bad_files.POSIX_BAD if POSIX else ())


@pytest.mark.parametrize("case", bad_files.GOOD, ids=lambda case: case.name)
def test_pixels_are_those_of_opencv(case, tmp_path):
    if OLD_OPENCV and case.name.startswith("animated"):
        pytest.skip("OpenCV reads GIF and animated WebP from 4.11 on")
    path = tmp_path / case.name
    case.make(path)
    frame = read_image(path)
    assert (frame.height, frame.width) == case.size
    assert not frame.pixels_HW3.flags.writeable
    assert frame.ref.path == path
    expected = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if expected is not None:
        np.testing.assert_array_equal(frame.pixels_HW3, expected[..., ::-1])
    thumbnail = read_thumbnail(path, 16)
    assert max(thumbnail.shape[:2]) <= 16


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_what_is_no_picture_is_one_line_that_names_the_file(case, tmp_path, capfd):
    path = tmp_path / case.name
    case.make(path)
    for read in (read_image, read_label_ids, lambda path: read_thumbnail(path, 16)):
        with pytest.raises(ImageReadError) as caught:
            read(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
        if read is not read_label_ids:
            assert case.error.lower() in message.lower()
    assert capfd.readouterr().err == ""


def test_float_pixels_are_scaled_and_nan_is_black(tmp_path):
    case = next(case for case in bad_files.GOOD if case.name == "float_nan.tiff")
    case.make(tmp_path / case.name)
    pixels = read_image(tmp_path / case.name).pixels_HW3
    assert pixels[3, 3].tolist() == [0, 0, 0]
    assert pixels[-1, -1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("name", bad_files.ODD_NAMES)
def test_odd_names_are_read_and_written(name, tmp_path):
    path = tmp_path / name
    try:
        path.write_bytes(b"")
    except (OSError, ValueError):
        pytest.skip("this file system has no such names")
    pixels = bad_files.pixels()
    write_rgb_png(path, pixels)
    np.testing.assert_array_equal(read_image(path).pixels_HW3, pixels)
    path.write_bytes(b"nothing")
    with pytest.raises(ImageReadError) as caught:
        read_image(path)
    assert str(caught.value).isprintable()


def test_a_name_with_a_null_byte_is_an_error():
    with pytest.raises(ImageReadError):
        read_image("a\0b.png")


@pytest.mark.skipif(not POSIX or os.getuid() == 0, reason="needs an ordinary user")
def test_a_file_without_permission_is_named(tmp_path):
    path = tmp_path / "secret.png"
    write_rgb_png(path, bad_files.pixels())
    path.chmod(0)
    with pytest.raises(ImageReadError, match="permission denied"):
        read_image(path)


def test_names():
    assert is_image_path("a/B.JpEg")
    assert not is_image_path("a/jpg")
    assert is_video_path("x.MP4")
    assert not is_video_path("x.png")


@pytest.mark.parametrize(("suffix", "size"), [(".jpg", (2000, 1000)), (".png", (300, 200)), (".jpg", (40, 30))])
def test_thumbnails_have_the_size_and_look_like_the_picture(tmp_path, suffix, size):
    width, height = size
    pixels = cv2.resize(bad_files.pixels(), size, interpolation=cv2.INTER_CUBIC)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(pixels).save(path, quality=95)
    thumbnail = read_thumbnail(path, 64)
    scale = min(1, 64 / max(size))
    assert thumbnail.shape == (round(height * scale), round(width * scale), 3)
    expected = cv2.resize(pixels, thumbnail.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(thumbnail.astype(int) - expected).mean() < 4


def test_a_thumbnail_is_upright_and_never_empty(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(bad_files.pixels(height=800, width=1600)).save(tmp_path / "a.jpg", exif=exif)
    assert read_thumbnail(tmp_path / "a.jpg", 100).shape == (100, 50, 3)
    Image.fromarray(bad_files.pixels(height=1, width=3000)).save(tmp_path / "b.png")
    assert read_thumbnail(tmp_path / "b.png", 100).shape == (1, 100, 3)
    with pytest.raises(ValueError, match="at least one pixel"):
        read_thumbnail(tmp_path / "a.jpg", 0)


# -- ids ---------------------------------------------------------------------------------------------------------------

PALETTE = np.random.default_rng(1).integers(0, 256, (194, 3), dtype=np.uint8)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from([None, PALETTE, PALETTE[:1], PALETTE[:0]]),
    st.integers(0, 99),
)
def test_ids_come_back_equal(tmp_path_factory, height, width, dtype, palette, seed):
    path = tmp_path_factory.mktemp("ids") / "a.png"
    ids = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, (height, width)).astype(dtype)
    write_ids_png(path, ids, palette)
    again = read_label_ids(path)
    assert again.dtype == dtype
    np.testing.assert_array_equal(again, ids)
    with Image.open(path) as picture:  # a second opinion
        np.testing.assert_array_equal(np.asarray(picture), ids)
        if palette is not None and dtype == np.uint8:
            colours = np.zeros((256, 3), np.uint8)
            colours[: len(palette)] = palette
            assert picture.mode == "P"
            np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), colours[ids])
        np.testing.assert_array_equal(picture.size, (width, height))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("transparency", [None, 0])
def test_palette_indices_of_few_bits_are_kept(tmp_path, bits, transparency):
    colours = min(2**bits, 200)
    ids = np.random.default_rng(bits).integers(0, colours, (13, 29)).astype(np.uint8)
    picture = Image.frombytes("P", (29, 13), ids.tobytes())
    picture.putpalette([value for colour in range(colours) for value in (colour, 255 - colour, 7)])
    options = {} if transparency is None else {"transparency": transparency}
    picture.save(tmp_path / "a.png", bits=bits, **options)
    np.testing.assert_array_equal(read_label_ids(tmp_path / "a.png"), ids)


def test_one_bit_grey_gives_the_stored_bit(tmp_path):
    ids = np.eye(9, dtype=np.uint8)
    Image.fromarray(ids.astype(bool)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label_ids(tmp_path / "a.png"), ids)


@pytest.mark.parametrize(
    ("name", "mode", "words"),
    [
        ("rgb.png", "RGB", "3 channels"),
        ("rgba.png", "RGBA", "4 channels"),
        ("palette.gif", "P", "GIF" if OLD_OPENCV else "channels"),
        ("labels.jpg", "L", "JPEG"),
    ],
)
def test_pictures_without_ids_are_refused(tmp_path, name, mode, words):
    Image.fromarray(bad_files.pixels()).convert(mode).save(tmp_path / name)
    with pytest.raises(ImageReadError, match=words):
        read_label_ids(tmp_path / name)


def test_ids_in_grey_tiff_and_bmp_are_read(tmp_path):
    ids = np.random.default_rng(0).integers(0, 256, (9, 11)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.tif"), ids.astype(np.uint16) + 500)
    np.testing.assert_array_equal(read_label_ids(tmp_path / "a.tif"), ids.astype(np.uint16) + 500)


def test_ids_of_camvid_are_kept(shared):
    folder = shared / "data" / "camvid"
    path = next(folder.rglob("*annot/*.png"))
    with Image.open(path) as picture:
        np.testing.assert_array_equal(read_label_ids(path), np.asarray(picture))


# -- writing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4), np.int32), np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32)],
)
def test_other_arrays_are_no_ids(tmp_path, array):
    with pytest.raises(ValueError, match="expected ids"):
        write_ids_png(tmp_path / "a.png", array)
    with pytest.raises(ValueError, match="expected RGB"):
        write_rgb_png(tmp_path / "a.png", array[..., :1])
    assert list(tmp_path.iterdir()) == []


def test_unwritable_places_are_named(tmp_path):
    for path in (tmp_path / "no" / "such" / "folder.png", tmp_path):
        with pytest.raises(ExportError, match=r"cannot be written") as caught:
            write_rgb_png(path, bad_files.pixels())
        assert str(caught.value).startswith(str(path))


def test_a_full_disk_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_ids_png(path, np.zeros((4, 4), np.uint8))
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mseg_studio.storage._fsync", full)
    with pytest.raises(ExportError, match="no space left on device"):
        write_ids_png(path, np.ones((4, 4), np.uint8))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_too_large_files_are_refused_before_reading(tmp_path, monkeypatch):
    monkeypatch.setattr("mseg_studio.media.regular_file.MAX_FILE_BYTES", 100)
    write_rgb_png(tmp_path / "a.png", bad_files.pixels())
    with pytest.raises(ImageReadError, match="more than the 100"):
        read_image(tmp_path / "a.png")


def test_reading_takes_memory_for_the_file_alone(tmp_path):
    """Not for the largest file that would be read, which threads side by side would multiply."""
    (tmp_path / "a.png").write_bytes(bytes(5000))
    tracemalloc.start()
    assert len(read_regular(tmp_path / "a.png", ImageReadError)) == 5000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_an_image_at_the_pixel_limit_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_PIXELS", bad_files.HEIGHT * bad_files.WIDTH)
    write_rgb_png(tmp_path / "a.png", bad_files.pixels())
    read_image(tmp_path / "a.png")
    monkeypatch.setattr(module, "MAX_PIXELS", bad_files.HEIGHT * bad_files.WIDTH - 1)
    with pytest.raises(ImageReadError, match="more than"):
        read_image(tmp_path / "a.png")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([".jpg", ".png", ".webp", ".gif", ".bmp", ".tif"]), st.data())
def test_damaged_files_never_raise_anything_else(tmp_path_factory, suffix, data):
    path = tmp_path_factory.mktemp("fuzz") / f"a{suffix}"
    content = bytearray(bad_files.encoded(suffix))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    try:
        frame = read_image(path)
    except ImageReadError as error:
        assert str(error).startswith(str(path))
    else:
        assert frame.pixels_HW3.dtype == np.uint8

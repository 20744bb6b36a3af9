"""Pictures that a program meets in the wild, built from a seed: each with what must come of it."""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

HEIGHT, WIDTH = 41, 57


@dataclass(frozen=True)
class Case:
    """A file and its outcome: the size (height, width) of the picture, or words of the error."""

    name: str
    make: Callable[[Path], None]
    size: tuple[int, int] | None = (HEIGHT, WIDTH)
    error: str = ""


def pixels(seed: int = 0, *, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A smooth RGB picture."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_header(width: int, height: int, *, depth: int = 8, colour_type: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)


def huge_png(side: int) -> bytes:
    """A small file that claims `side` x `side` pixels."""
    return png_header(side, side) + png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")


def encoded(suffix: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels()).save(stream, Image.registered_extensions()[suffix], **options)
    return stream.getvalue()


def ycck_jpeg() -> bytes:
    """A CMYK JPEG whose Adobe marker says YCCK."""
    stream = io.BytesIO()
    Image.fromarray(pixels()).convert("CMYK").save(stream, "JPEG")
    data = bytearray(stream.getvalue())
    data[data.index(b"Adobe") + 11] = 2
    return bytes(data)


def huge_jpeg() -> bytes:
    data = bytearray(encoded(".jpg"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 60000, 60000)
    return bytes(data)


def flipped_png() -> bytes:
    data = bytearray(encoded(".png"))
    data[len(data) // 2] ^= 1
    return bytes(data)


def save(mode: str, **options: object) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        Image.fromarray(pixels()).convert(mode).save(path, **options)

    return make


def write(data: bytes | Callable[[], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data() if callable(data) else data) and None


def cv_write(array: np.ndarray) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(cv2.imencode(path.suffix, array)[1].tobytes()) and None


def _animation(path: Path) -> None:
    first, *others = (Image.fromarray(pixels(seed)) for seed in range(3))
    first.save(path, save_all=True, append_images=others)


def _rotated(orientation: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels()).save(path, exif=exif)

    return make


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _float_tiff() -> np.ndarray:
    values = np.linspace(0, 1, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    values[3, 3], values[4, 4] = np.nan, np.inf
    return values


GREY16 = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 20

GOOD = (
    Case("plain.jpg", save("RGB")),
    Case("plain.png", save("RGB")),
    Case("plain.webp", save("RGB", lossless=True)),
    Case("plain.bmp", save("RGB")),
    Case("plain.ppm", save("RGB")),
    Case("UPPER.JPG", save("RGB")),
    Case("progressive.jpg", save("RGB", progressive=True)),
    Case("grey.jpg", save("L")),
    Case("grey.png", save("L")),
    Case("one_bit.png", save("1")),
    Case("palette.png", save("P")),
    Case("palette_transparent.png", save("P", transparency=3)),
    Case("la.png", save("LA")),
    Case("rgba.png", save("RGBA")),
    Case("rgba.webp", save("RGBA")),
    Case("cmyk.jpg", save("CMYK")),
    Case("ycck.jpg", write(ycck_jpeg)),
    Case("grey16.png", cv_write(GREY16)),
    Case("rgb16.png", cv_write(pixels().astype(np.uint16) * 257)),
    Case("rgb16.tiff", cv_write(pixels().astype(np.uint16) * 257)),
    Case("float_nan.tiff", cv_write(_float_tiff())),
    Case("pages.tiff", _animation),
    Case("animated.gif", _animation),
    Case("animated.webp", _animation),
    Case("interlaced_as_png.jpg", save("RGB", format="PNG")),
    *(Case(f"exif{n}.jpg", _rotated(n), (HEIGHT, WIDTH) if n < 5 else (WIDTH, HEIGHT)) for n in range(1, 9)),
    Case("one_pixel.png", cv_write(np.full((1, 1, 3), 7, np.uint8)), (1, 1)),
    Case("one_row.png", cv_write(np.full((1, 300, 3), 7, np.uint8)), (1, 300)),
    Case("one_column.jpg", cv_write(np.full((300, 1, 3), 7, np.uint8)), (300, 1)),
)

BAD = (
    Case("missing.jpg", lambda path: None, error="no such file"),
    Case("empty.png", write(b""), error="the file is empty"),
    Case("one_byte.png", write(b"\x89"), error="not a picture"),
    Case("text.png", write(b"this is a shopping list\n" * 50), error="not a picture"),
    Case("html.jpg", write(b"<!DOCTYPE html><html></html>"), error="not a picture"),
    *(
        Case(
            f"cut{percent}{suffix}",
            write(lambda s=suffix, p=percent: (d := encoded(s))[: len(d) * p // 100]),
            error=word,
        )
        for suffix, word in ((".jpg", "truncated JPEG"), (".png", "truncated PNG"), (".webp", ""), (".tif", ""))
        for percent in (10, 50, 99)
    ),
    Case("header_only.png", write(png_header(10, 10)), error="truncated PNG"),
    Case("no_pixels.png", write(png_header(10, 10) + png_chunk(b"IEND", b"")), error="no pixels"),
    Case("flipped_bit.png", write(flipped_png), error="wrong checksum"),
    Case("signature.png", write(b"\x89PNG\r\n\x1a\n"), error="truncated PNG"),
    Case("signature.jpg", write(b"\xff\xd8"), error="truncated JPEG"),
    Case("huge20000.png", write(huge_png(20_000)), error="20000 x 20000 pixels"),
    Case("huge60000.png", write(huge_png(60_000)), error="60000 x 60000 pixels"),
    Case("huge60000.jpg", write(huge_jpeg), error="60000 x 60000 pixels"),
    Case("zero.png", write(png_header(0, 0) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")), error="PNG"),
    Case("int32.tiff", cv_write(np.zeros((5, 5), np.int32)), error="int32"),
    Case("video.png", write(b"\x00\x00\x00\x20ftypisom" + bytes(100)), error="not a picture"),
    Case("phone.png", write(b"\x00\x00\x00\x18ftypheic" + bytes(100)), error="HEIC"),
    Case("folder.png", lambda path: path.mkdir(), error="found a folder"),
)

POSIX_BAD = (
    Case("fifo.png", lambda path: os.mkfifo(path), error="found a named pipe"),
    Case("socket.png", _socket, error="found a socket"),
    Case("device.png", lambda path: path.symlink_to("/dev/zero"), error="found a device"),
    Case("loop.png", _loop, error="symbolic link"),
    Case("broken_link.png", lambda path: path.symlink_to("nowhere"), error="no such file"),
)

ODD_NAMES = (
    "-leading-dash.png",
    "%04d.png",
    "new\nline.png",
    "caf\u00e9.png",
    "cafe\u0301.png",
    "\U0001f6a6.png",
    "http:name.png",
    "b" * 251 + ".png",
    "bytes\udcff.png",
    " .png",
)


def make_all(folder: Path, cases: tuple[Case, ...]) -> Iterator[tuple[Case, Path]]:
    for case in cases:
        path = folder / case.name
        case.make(path)
        yield case, path

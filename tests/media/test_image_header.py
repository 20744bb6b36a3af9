from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mseg_studio.media.image_header import channels_and_bits, read_header


def encoded(mode: str, suffix: str) -> bytes:
    dtype = np.uint16 if mode == "I;16" else np.uint8
    shape = {"RGB": (4, 6, 3), "RGBA": (4, 6, 4), "LA": (4, 6, 2)}.get(mode, (4, 6))
    image = Image.new("1", (6, 4)) if mode == "1" else Image.fromarray(np.zeros(shape, dtype))
    stream = io.BytesIO()
    (image if mode in ("1", "I;16") else image.convert(mode)).save(stream, suffix)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("mode", "suffix", "expected"),
    [
        ("L", "PNG", (1, 8)),
        ("1", "PNG", (1, 1)),
        ("P", "PNG", (1, 8)),
        ("I;16", "PNG", (1, 16)),
        ("LA", "PNG", (2, 8)),
        ("RGB", "PNG", (3, 8)),
        ("RGBA", "PNG", (4, 8)),
        ("L", "JPEG", (1, 8)),
        ("RGB", "JPEG", (3, 8)),
        ("RGB", "BMP", None),
    ],
)
def test_channels_and_bits_are_those_that_are_stored(mode: str, suffix: str, expected: tuple[int, int] | None) -> None:
    data = encoded(mode, suffix)
    header = read_header(data)
    assert header is not None
    assert channels_and_bits(data, header) == expected

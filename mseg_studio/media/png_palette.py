"""Palette PNGs by their indices, which OpenCV can neither read nor write.

A palette picture and a grey one hold the same bytes a pixel; only the colour type in IHDR and the PLTE chunk differ. So
the header is rewritten and libpng, inside OpenCV, does the rest: no second codec, no slow unfiltering in Python.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

from mseg_studio.media.image_header import PNG_SIGNATURE, png_chunks

_COLOUR_TYPE = 9
"""Byte of IHDR's content that holds the colour type; the one before it holds the bit depth."""
_GREY, _PALETTE = 0, 3


def palette_as_grey(data: bytes) -> tuple[bytes, int]:
    """A palette or grey PNG as a plain grey one, and what to divide the decoded samples by to get the stored ones.

    Decoders stretch 1, 2 and 4 bits to 0..255. Other colour types come back unchanged. Raises BrokenImage.
    """
    chunks = list(png_chunks(data))
    header = chunks[0][1]
    depth, colour_type = header[_COLOUR_TYPE - 1], header[_COLOUR_TYPE]
    if colour_type not in (_GREY, _PALETTE):
        return data, 1
    # All other chunks go too: tRNS and gAMA would change what a decoder gives, animation frames are not ids.
    kept = [(b"IHDR", header[:_COLOUR_TYPE] + bytes([_GREY]) + header[_COLOUR_TYPE + 1 :])]
    kept += [(kind, content) for kind, content in chunks if kind in (b"IDAT", b"IEND")]
    return _join(kept), 255 // (2**depth - 1) if depth < 8 else 1


def grey_as_palette(data: bytes, palette_rgb: npt.NDArray[np.uint8]) -> bytes:
    """An 8-bit grey PNG as a palette one with the same samples as indices. `palette_rgb` is (n, 3), n <= 256."""
    if palette_rgb.dtype != np.uint8 or palette_rgb.ndim != 2 or palette_rgb.shape[1] != 3 or len(palette_rgb) > 256:
        raise ValueError(f"expected a palette uint8 (n <= 256, 3), got {palette_rgb.dtype} {palette_rgb.shape}")
    # All 256 entries: an index without one (255 for ignore) makes some readers refuse the file.
    entries = np.zeros((256, 3), dtype=np.uint8)
    entries[: len(palette_rgb)] = palette_rgb
    chunks = list(png_chunks(data))
    header = chunks[0][1]
    if (header[_COLOUR_TYPE - 1], header[_COLOUR_TYPE]) != (8, _GREY):
        raise ValueError("expected an 8-bit grey PNG")
    kept = [(b"IHDR", header[:_COLOUR_TYPE] + bytes([_PALETTE]) + header[_COLOUR_TYPE + 1 :])]
    kept.append((b"PLTE", entries.tobytes()))
    kept += [(kind, content) for kind, content in chunks if kind in (b"IDAT", b"IEND")]
    return _join(kept)


def _join(chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = [PNG_SIGNATURE]
    for kind, content in chunks:
        checksum = zlib.crc32(content, zlib.crc32(kind))
        parts += [struct.pack(">I", len(content)), kind, content, struct.pack(">I", checksum)]
    return b"".join(parts)

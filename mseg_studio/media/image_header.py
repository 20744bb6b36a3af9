"""What the first bytes of a picture say: its format, its size, and whether its end is there. Decodes nothing.

Sources: PNG (W3C PNG third edition, chunks), JPEG (ITU-T T.81 annex B, markers), GIF89a, BMP, WebP container, TIFF 6.0.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class BrokenImage(ValueError):  # noqa: N818 - a verdict about a file, turned into ImageReadError by the reader
    """The structure of a picture file is damaged; the text says how."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Format and size in pixels as the file claims them (before any EXIF rotation)."""

    format: str
    width: int
    height: int


def read_header(data: bytes) -> ImageHeader | None:
    """Header of a PNG, JPEG, GIF, BMP, WebP or TIFF file; None when the bytes are none of these.

    Raises BrokenImage when the format is known but the header is cut off.
    """
    for signature, name, size in _FORMATS:
        if data.startswith(signature):
            try:
                width, height = size(data)
            except (struct.error, IndexError) as error:
                raise BrokenImage(f"truncated {name}: the header is incomplete") from error
            return ImageHeader(name, width, height)
    return None


def channels_and_bits(data: bytes, header: ImageHeader) -> tuple[int, int] | None:
    """Channels and bits a sample as a PNG or JPEG stores them (a palette is one channel); None for other formats."""
    if header.format == "PNG" and len(data) > 25:
        return {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(data[25], 0), data[24]
    if header.format == "JPEG":
        for marker, position in _jpeg_segments(data):
            if _is_jpeg_frame(marker) and position + 7 < len(data):
                return data[position + 7], data[position + 2]
    return None


def is_heif(data: bytes) -> bool:
    """Whether the bytes are a HEIC picture: an ISO media file whose first box names such a brand."""
    if data[4:8] != b"ftyp":
        return False
    brands = data[8 : max(12, int.from_bytes(data[:4], "big"))][:256]
    return data[8:12] in (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1") and b"avif" not in brands


def check_complete(data: bytes, header: ImageHeader) -> None:
    """Raise BrokenImage when a PNG or JPEG file lacks its end, or a PNG's checksums disagree.

    Decoders differ in what they do then (some fill the rest with grey and say nothing), so it is settled before them.
    """
    if header.format == "PNG":
        for _ in png_chunks(data):
            pass
    elif header.format == "JPEG" and not jpeg_has_end(data):
        raise BrokenImage("truncated JPEG: the end of the image is missing")


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each chunk up to and with IEND. Raises BrokenImage on a cut or damaged file."""
    position, seen_data = len(PNG_SIGNATURE), False
    while True:
        if position + 12 > len(data):
            raise BrokenImage("truncated PNG: the end of the image is missing")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            raise BrokenImage("truncated PNG: the end of the image is missing")
        content = data[position + 8 : end]
        critical = not kind[0] & 0x20
        if critical and zlib.crc32(content, zlib.crc32(kind)) != struct.unpack_from(">I", data, end)[0]:
            raise BrokenImage(f"damaged PNG: wrong checksum in its {kind.decode('latin-1')} chunk")
        seen_data = seen_data or kind == b"IDAT"
        yield kind, content
        if kind == b"IEND":
            if not seen_data:
                raise BrokenImage("damaged PNG: it holds no pixels")
            return
        position = end + 4


def jpeg_has_end(data: bytes) -> bool:
    """Whether the end marker follows the first scan (0xFF is stuffed in scans: the pair cannot come by chance)."""
    for marker, position in _jpeg_segments(data):
        if marker == 0xDA:
            return data.find(b"\xff\xd9", position) >= 0
    return False


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and position of its length field, for each segment up to and with the first start of scan."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            position += 1  # decoders skip stray bytes between segments
            continue
        marker = data[position + 1]
        if marker in (0xFF, 0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            position += 1 if marker == 0xFF else 2
            continue
        yield marker, position + 2
        if marker in (0xD9, 0xDA):
            return
        position += 2 + max(2, int.from_bytes(data[position + 2 : position + 4], "big"))


def _png_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int]:
    for marker, position in _jpeg_segments(data):
        if _is_jpeg_frame(marker):
            height, width = struct.unpack_from(">HH", data, position + 3)
            return width, height
    raise IndexError


def _is_jpeg_frame(marker: int) -> bool:
    """Start-of-frame markers are C0..CF but for DHT (C4), JPG (C8) and DAC (CC)."""
    return 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)


def _gif_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _bmp_size(data: bytes) -> tuple[int, int]:
    (header_size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_size == 12 else "<ii", data, 18)
    return abs(width), abs(height)


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _tiff_size(data: bytes) -> tuple[int, int]:
    order = "<" if data[:2] == b"II" else ">"
    (offset,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, offset)
    sizes = {256: 0, 257: 0}
    for entry in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if tag in sizes:
            (sizes[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, entry + 8)
    return sizes[256], sizes[257]


_FORMATS = (
    (PNG_SIGNATURE, "PNG", _png_size),
    (b"\xff\xd8", "JPEG", _jpeg_size),
    (b"GIF8", "GIF", _gif_size),
    (b"BM", "BMP", _bmp_size),
    (b"RIFF", "WebP", _webp_size),
    (b"II*\x00", "TIFF", _tiff_size),
    (b"MM\x00*", "TIFF", _tiff_size),
)

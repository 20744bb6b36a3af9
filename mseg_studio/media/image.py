"""Pictures from files and to files. BGR, OpenCV's order, never leaves this file.

Pixels are those of `cv2.imread(path, IMREAD_COLOR)`, as the published code read them (parity.md): EXIF rotation
applied, alpha dropped, grey and palettes expanded, 16 bits cut to 8.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mseg_studio.errors import ExportError, ImageReadError
from mseg_studio.media.file_kinds import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from mseg_studio.media.file_kinds import VIDEO_SUFFIXES as VIDEO_SUFFIXES
from mseg_studio.media.file_kinds import is_image_path as is_image_path
from mseg_studio.media.file_kinds import is_video_path as is_video_path
from mseg_studio.media.frame import Frame, FrameRef
from mseg_studio.media.image_header import BrokenImage, ImageHeader, check_complete, is_heif, read_header
from mseg_studio.media.png_palette import grey_as_palette, palette_as_grey
from mseg_studio.media.regular_file import read_regular, reason_of
from mseg_studio.storage import write_atomic

MAX_PIXELS = 1 << 28
"""Largest picture that is decoded: 16384 x 16384, 0.8 GB of pixels."""

Pixels = npt.NDArray[np.uint8]


def _silence_decoders() -> None:
    """Decoders report on standard error what the caller learns from the error: the program's own lines would drown."""
    if hasattr(cv2, "setLogLevel"):  # up to OpenCV 4.12
        cv2.setLogLevel(0)
    else:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


_silence_decoders()


def read_image(path: str | PathLike[str]) -> Frame:
    """The picture at `path`, upright. Raises ImageReadError, one line, naming the file."""
    data = read_regular(path, ImageReadError)
    return Frame(decode_image(data, path), FrameRef(Path(path)))


def decode_image(data: bytes, path: str | PathLike[str]) -> Pixels:
    """RGB pixels (H, W, 3) of an encoded picture; `path` is for the error. Raises ImageReadError."""
    header = _checked_header(data, path)
    bgr = _decode(data, cv2.IMREAD_COLOR, path)
    if bgr is None or bgr.dtype != np.uint8 or bgr.ndim != 3 or _holds_floats(data):
        bgr = _decode_unusual(data, header, path)
    return _to_rgb(bgr)


def read_thumbnail(path: str | PathLike[str], size_px: int) -> Pixels:
    """RGB (h, w, 3), longest side at most `size_px`; JPEG is decoded at 1/8 to 1/2 size. Raises ImageReadError."""
    if size_px < 1:
        raise ValueError(f"a thumbnail has at least one pixel, got {size_px}")
    data = read_regular(path, ImageReadError)
    header = _checked_header(data, path)
    longest = 0 if header is None else max(header.width, header.height)
    bgr = None
    if header is not None and header.format == "JPEG":
        for shrink, flag in _REDUCED:
            if longest >= shrink * size_px:
                bgr = _decode(data, flag, path)
                break
    pixels = decode_image(data, path) if bgr is None else _to_rgb(bgr)
    height, width = pixels.shape[:2]
    scale = size_px / max(height, width)
    if scale >= 1:
        return pixels
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, small, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def read_label_ids(path: str | PathLike[str]) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Label ids (H, W), uint8 or uint16, exactly as stored: a palette's indices, never its colours.

    Raises ImageReadError for colour pictures, lossy formats and everything that `read_image` refuses.
    """
    return decode_label_ids(read_regular(path, ImageReadError), path)


def decode_label_ids(data: bytes, path: str | PathLike[str]) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """`read_label_ids` for an encoded picture; `path` is for the error. Raises ImageReadError."""
    header = _checked_header(data, path)
    if header is not None and header.format == "JPEG":
        raise ImageReadError("label ids do not survive JPEG; expected a PNG of ids", path=path)
    if header is not None and header.format == "PNG":
        data, divisor = palette_as_grey(data)
    else:
        divisor = 1
    ids = _decode(data, cv2.IMREAD_UNCHANGED, path)
    if ids is None:
        raise ImageReadError(_cannot_decode(data, header), path=path)
    if ids.ndim != 2:
        raise ImageReadError(f"expected one id a pixel, got {ids.shape[2]} channels (a colour picture)", path=path)
    if ids.dtype not in (np.uint8, np.uint16):
        raise ImageReadError(f"expected ids of 8 or 16 bits, got {ids.dtype}", path=path)
    return ids if divisor == 1 else np.asarray(ids // divisor, dtype=np.uint8)


def write_rgb_png(path: str | PathLike[str], pixels_HW3: Pixels) -> None:
    """Write RGB uint8 (H, W, 3) as PNG, atomically. Raises ExportError, ValueError on other arrays."""
    if pixels_HW3.dtype != np.uint8 or pixels_HW3.ndim != 3 or pixels_HW3.shape[2] != 3:
        raise ValueError(f"expected RGB uint8 (H, W, 3), got {pixels_HW3.dtype} {pixels_HW3.shape}")
    _write(path, _encode_png(cv2.cvtColor(pixels_HW3, cv2.COLOR_RGB2BGR), path))


def write_ids_png(
    path: str | PathLike[str],
    ids_HW: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    palette_rgb: npt.NDArray[np.uint8] | None = None,
) -> None:
    """Write what `encode_ids_png` gives, atomically. Raises ExportError, ValueError on other arrays."""
    _write(path, encode_ids_png(path, ids_HW, palette_rgb))


def encode_ids_png(
    path: str | PathLike[str],
    ids_HW: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    palette_rgb: npt.NDArray[np.uint8] | None = None,
) -> bytes:
    """A PNG of ids (H, W), so that reading gives the same ids; `path` is for the error.

    uint8: with `palette_rgb` (n, 3), n <= 256, a palette picture whose index is the id (indices from n on are black),
    without one grey. uint16: 16-bit grey, a palette is left out. Raises ExportError, ValueError on other arrays.
    """
    if ids_HW.ndim != 2 or ids_HW.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"expected ids uint8 or uint16 (H, W), got {ids_HW.dtype} {ids_HW.shape}")
    data = _encode_png(ids_HW, path)
    if palette_rgb is not None and ids_HW.dtype == np.uint8:
        data = grey_as_palette(data, palette_rgb)
    return data


_REDUCED = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))


def _checked_header(data: bytes, path: str | PathLike[str]) -> ImageHeader | None:
    try:
        header = read_header(data)
        if header is None:
            return None
        if header.width * header.height == 0:
            raise ImageReadError(f"damaged {header.format}: it claims no pixels", path=path)
        if header.width * header.height > MAX_PIXELS:
            limit = f"{MAX_PIXELS // 1_000_000} million"
            raise ImageReadError(
                f"{header.width} x {header.height} pixels are more than the {limit} that are read", path=path
            )
        check_complete(data, header)
    except BrokenImage as error:
        raise ImageReadError(str(error), path=path) from error
    return header


def _decode(data: bytes, flags: int, path: str | PathLike[str]) -> npt.NDArray[Any] | None:
    """What OpenCV makes of the bytes, None when nothing. Raises ImageReadError when a limit or the memory ends it."""
    try:
        decoded: npt.NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except MemoryError as error:
        raise ImageReadError("not enough memory to decode it", path=path) from error
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            raise ImageReadError("it has more pixels than are read", path=path) from error
        if error.code == cv2.Error.StsNoMem:
            raise ImageReadError("not enough memory to decode it", path=path) from error
        return None
    return decoded


def _holds_floats(data: bytes) -> bool:
    return data.startswith((b"PF\n", b"Pf\n", b"PF ", b"Pf ", b"#?"))


def _decode_unusual(data: bytes, header: ImageHeader | None, path: str | PathLike[str]) -> npt.NDArray[np.uint8]:
    """BGR (or grey) uint8 of what IMREAD_COLOR refuses: float pictures, 0..1 or 0..255, NaN as black."""
    raw = _decode(data, cv2.IMREAD_UNCHANGED, path)
    if raw is None:
        raise ImageReadError(_cannot_decode(data, header), path=path)
    if raw.ndim == 3 and raw.shape[2] == 4:
        raw = raw[..., :3]
    elif raw.ndim == 3 and raw.shape[2] == 2:
        raw = raw[..., 0]
    if raw.ndim == 3 and raw.shape[2] not in (1, 3):
        raise ImageReadError(f"expected grey or RGB pixels, got {raw.shape[2]} channels", path=path)
    if raw.dtype == np.uint8:
        return np.ascontiguousarray(raw)
    if raw.dtype == np.uint16:
        return np.asarray(raw >> 8, dtype=np.uint8)
    if raw.dtype.kind != "f":
        raise ImageReadError(f"expected 8-bit, 16-bit or float pixels, got {raw.dtype}", path=path)
    values = np.nan_to_num(raw.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    largest = float(values.max())
    if largest > 255:
        raise ImageReadError(f"expected float pixels from 0 to 1 or 0 to 255, got {largest:g}", path=path)
    values *= 255.0 if largest <= 1 else 1.0
    return np.asarray(np.rint(values.clip(0, 255)), dtype=np.uint8)


def _to_rgb(bgr: npt.NDArray[np.uint8]) -> Pixels:
    grey = bgr.ndim == 2 or bgr.shape[2] == 1
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_GRAY2RGB if grey else cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _cannot_decode(data: bytes, header: ImageHeader | None) -> str:
    if is_heif(data):
        return "HEIC pictures cannot be read; save it as JPEG or PNG"
    if header is None:
        return "not a picture that can be read (its content is of no known picture format)"
    return f"damaged or unsupported {header.format}"


def _encode_png(pixels: npt.NDArray[Any], path: str | PathLike[str]) -> bytes:
    try:
        done, data = cv2.imencode(".png", pixels)
    except cv2.error as error:
        raise ExportError(f"cannot be encoded as PNG: {pixels.shape} {pixels.dtype}", path=path) from error
    if not done:
        raise ExportError(f"cannot be encoded as PNG: {pixels.shape} {pixels.dtype}", path=path)
    return bytes(data)


def _write(path: str | PathLike[str], data: bytes) -> None:
    try:
        write_atomic(Path(path), data)
    except (OSError, ValueError) as error:
        raise ExportError(f"cannot be written: {reason_of(error)}", path=path) from error

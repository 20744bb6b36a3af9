"""Frames to an H.264 file that any player shows, never half written."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace

from mseg_studio.errors import ExportError
from mseg_studio.media.regular_file import reason_of
from mseg_studio.storage import atomic_path

_TIME_BASE = Fraction(1, 90_000)
_CODECS = {"libx264": {"crf": "18", "preset": "veryfast"}, "mpeg4": {"qscale": "3"}}
_BT709 = 1
_LIMITED_RANGE = 1


class VideoWriter:
    """Writes RGB frames of one size; a context manager.

    `path` appears when the block ends well and holds all of the video; when the block raises it stays as it was. 4:2:0
    pictures have even sides: an odd width or height is padded by repeating the last column or row.
    """

    def __init__(self, path: str | PathLike[str], *, fps: Fraction | float, size: tuple[int, int]) -> None:
        """`fps` frames a second, `size` (width, height) in pixels. Nothing is written before the block begins."""
        if fps <= 0 or min(size) < 1:
            raise ValueError(f"expected a positive rate and size, got {fps} and {size}")
        self.path = Path(path)
        self._fps = Fraction(fps).limit_denominator(100_000)
        self._width, self._height = size
        self._stack = contextlib.ExitStack()
        self._container: Any = None
        self._stream: Any = None
        self._last_pts: int | None = None
        self._count = 0

    def __enter__(self) -> VideoWriter:
        try:
            temporary = self._stack.enter_context(atomic_path(self.path))
            # The temporary name decides nothing: the container is named here.
            kind = {".mkv": "matroska", ".mov": "mov", ".avi": "avi"}.get(self.path.suffix.lower(), "mp4")
            options = {"movflags": "+faststart"} if kind in ("mp4", "mov") else {}
            self._container = av.open(f"file:{temporary}", "w", format=kind, options=options)
            self._stream = self._add_stream()
            self._container.start_encoding()  # a place that cannot be written is noticed now
        except BaseException as error:
            self._give_up(error)
            raise self._export_error(error) from error
        return self

    def write(self, pixels_HW3: npt.NDArray[np.uint8], *, timestamp_s: float | None = None) -> None:
        """Add a frame, RGB uint8 (H, W, 3), shown at `timestamp_s`, or at its number / fps. Raises ExportError.

        Timestamps must increase (ValueError).
        """
        if pixels_HW3.dtype != np.uint8 or pixels_HW3.shape != (self._height, self._width, 3):
            expected = f"uint8 ({self._height}, {self._width}, 3)"
            raise ValueError(f"expected RGB {expected}, got {pixels_HW3.dtype} {pixels_HW3.shape}")
        seconds = self._count / self._fps if timestamp_s is None else timestamp_s
        pts = round(seconds / _TIME_BASE)
        if self._last_pts is not None and pts <= self._last_pts:
            raise ValueError(f"frame {self._count} at {float(seconds):g} s is not after the one before")
        padded = np.pad(pixels_HW3, ((0, self._height % 2), (0, self._width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        frame.pts, frame.time_base = pts, _TIME_BASE
        frame.duration = round(1 / self._fps / _TIME_BASE)
        self._encode(frame)
        self._last_pts = pts
        self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._give_up(error)
            return
        try:
            if self._count == 0:
                raise ExportError("no frames were written", path=self.path)
            self._encode(None)
            self._container.close()
            self._stack.close()
        except BaseException as problem:
            self._give_up(problem)
            raise self._export_error(problem) from problem

    def _add_stream(self) -> Any:
        codec = next((name for name in _CODECS if name in av.codecs_available), None)
        if codec is None:
            raise ExportError("this installation can write neither H.264 nor MPEG-4 video", path=self.path)
        stream = self._container.add_stream(codec, rate=self._fps, options=_CODECS[codec])
        stream.width, stream.height = self._width + self._width % 2, self._height + self._height % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = _TIME_BASE
        stream.codec_context.colorspace = _BT709
        stream.codec_context.color_primaries = _BT709
        stream.codec_context.color_trc = _BT709
        stream.codec_context.color_range = _LIMITED_RANGE
        return stream

    def _encode(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise self._export_error(error) from error

    def _give_up(self, error: BaseException) -> None:
        """Close what is open and let the temporary file be removed."""
        if self._container is not None:
            with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
                self._container.close()
        with contextlib.suppress(BaseException):
            # `atomic_path` sees the error, removes its file and raises the error again.
            self._stack.__exit__(type(error), error, error.__traceback__)

    def _export_error(self, error: BaseException) -> BaseException:
        if isinstance(error, av.error.FFmpegError | OSError):
            return ExportError(f"cannot be written: {reason_of(error)}", path=self.path)
        return error

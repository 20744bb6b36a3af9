"""Opening a video file safely, and the list of its frames by time, made without decoding where the file allows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike, fspath
from typing import Any

import av

from mseg_studio.errors import VideoReadError
from mseg_studio.media.image import MAX_PIXELS
from mseg_studio.media.regular_file import check_regular

# Only containers that hold their own pixels. Playlists (HLS, DASH, concat), image patterns and devices would make a
# file read other files or the network; the protocol whitelist closes the same door a second time.
_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg,mjpeg,h264,hevc,m4v,"
    "yuv4mpegpipe,ivf,obu,nut,dv,mxf,gif",
}
_DEFAULT_FPS = Fraction(25)

av.logging.set_level(av.logging.PANIC)


@dataclass(frozen=True, slots=True)
class VideoIndex:
    """Frames of a video in the order they are shown."""

    pts: tuple[int, ...]
    """Presentation time stamps in units of `time_base`; empty when the file has none that can be trusted."""
    keys: tuple[int, ...]
    """Numbers of the frames at which decoding can start, increasing."""
    timestamps_s: tuple[float, ...]
    """Seconds since the first frame."""
    fps: Fraction
    damaged: bool
    """The file ends, or a packet is broken, before its end: there may be fewer frames than were recorded."""


def open_container(path: str | PathLike[str]) -> Any:
    """PyAV's input container of a plain video file. Raises VideoReadError."""
    if check_regular(path, VideoReadError) == 0:
        raise VideoReadError("the file is empty", path=path)
    try:
        # "file:" keeps a name with a colon or a leading dash from being read as a protocol or option.
        return av.open(f"file:{fspath(path)}", options=_OPTIONS, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoReadError(f"not a video that can be read: {_words(error)}", path=path) from error


def video_stream(container: Any, path: str | PathLike[str]) -> Any:
    """The stream with moving pictures. Raises VideoReadError when there is none, no decoder, or it is too large."""
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        raise VideoReadError("holds no moving pictures (audio only?)", path=path)
    stream = streams[0]
    context = stream.codec_context
    if context is None:
        raise VideoReadError("there is no decoder for its pictures", path=path)
    if context.width * context.height > MAX_PIXELS:
        raise VideoReadError(f"{context.width} x {context.height} pixels are more than are read", path=path)
    stream.thread_type = "AUTO"
    return stream


def build_index(path: str | PathLike[str]) -> VideoIndex:
    """Read the whole file once. Raises VideoReadError when it holds no frames."""
    with open_container(path) as container:
        stream = video_stream(container, path)
        fps = stream.average_rate or stream.guessed_rate or stream.base_rate
        times: list[int | None] = []
        keys: list[int | None] = []
        damaged = False
        packets = _packets(container, stream)
        for packet in packets:
            if packet is None:
                damaged = True
            elif packet.size and not packet.is_discard:
                times.append(packet.pts)
                damaged = damaged or packet.is_corrupt
                if packet.is_keyframe:
                    keys.append(packet.pts)
        time_base = stream.time_base
    if not times:
        raise VideoReadError("holds no frames", path=path)
    known = sorted(time for time in times if time is not None)
    if len(known) < len(times) or len(set(known)) < len(known) or time_base is None:
        return _index_by_decoding(path, fps=Fraction(fps) if fps else _DEFAULT_FPS, damaged=damaged)
    timestamps_s = tuple(float((time - known[0]) * time_base) for time in known)
    if not fps:
        fps = Fraction(len(known) - 1) / Fraction(timestamps_s[-1]) if timestamps_s[-1] > 0 else _DEFAULT_FPS
    numbers = {time: number for number, time in enumerate(known)}
    starts = tuple(sorted(numbers[key] for key in keys if key is not None))
    return VideoIndex(tuple(known), starts, timestamps_s, Fraction(fps).limit_denominator(100_000), damaged)


def _index_by_decoding(path: str | PathLike[str], *, fps: Fraction, damaged: bool) -> VideoIndex:
    """Count the frames of a file without usable time stamps (raw streams, AVI with B-frames): its rate says when."""
    count = 0
    with open_container(path) as container:
        for frame in decoded(container, video_stream(container, path)):
            if frame is None:
                damaged = True
            else:
                count += 1
    if count == 0:
        raise VideoReadError("none of its frames can be decoded", path=path)
    return VideoIndex((), (0,), tuple(float(number / fps) for number in range(count)), fps, damaged)


def decoded(container: Any, stream: Any, *, from_key: bool = False) -> Iterator[Any]:
    """Frames in the order they are shown; None for a packet that is broken. Ends at the end of the readable part.

    `from_key` skips packets until decoding can start: some containers seek to any packet.
    """
    waiting = from_key
    for packet in _packets(container, stream):
        if packet is None:
            yield None
            continue
        if waiting and packet.size and not packet.is_keyframe:
            continue
        waiting = False
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, OSError, ValueError):
            yield None
            continue
        yield from frames


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """Packets, then PyAV's empty one that flushes the decoder; None before that where reading broke off."""
    try:
        yield from container.demux(stream)
    except (av.error.FFmpegError, OSError, ValueError):
        yield None
        flush = av.Packet(0)
        flush.stream = stream
        yield flush


def _is_cover(stream: Any) -> bool:
    disposition = getattr(stream, "disposition", None)
    return disposition is not None and bool(disposition & type(disposition).attached_pic)


def _words(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]

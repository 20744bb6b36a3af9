"""Opening a video file safely, and the list of its frames by time, made without decoding where the file allows it."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
_WITH_DURATION = ("mov", "matroska", "avi", "flv", "asf")
_DEFAULT_FPS = Fraction(25)
_STEADY_SHARE = 0.95
"""Of the steps between frames, how many must be alike before a longer one counts as a gap: variable rates have none."""
_STEADY_COUNT = 16
_GAP_STEPS = 3
"""A gap is at least as many steps long: a camera may drop one frame without a fault of the file."""
# PyAV's logging stays off, its default: with a level set, decoder threads wait for the interpreter to print while
# closing the file waits for the threads.


@dataclass(frozen=True, slots=True)
class VideoIndex:
    """Frames of a video in the order they are shown."""

    pts: tuple[int, ...]
    """Presentation time stamps in units of `time_base`; empty when the file has none that can be trusted."""
    keys: tuple[int, ...]
    """Numbers of the frames at which decoding can start, increasing."""
    starts: Mapping[int, int]
    """Bytes of the packet of each of those frames, by its time stamp: how it is recognised after a seek."""
    timestamps_s: tuple[float, ...]
    """Seconds since the first frame."""
    fps: Fraction
    damaged: bool
    """The file ends, or a packet is broken, before its end: there may be fewer frames than were recorded."""
    expected: int
    """About how many frames were recorded, where times tell that some are missing; otherwise 0."""


def open_container(path: str | PathLike[str]) -> Any:
    """PyAV's input container of a plain video file. Raises VideoReadError."""
    if check_regular(path, VideoReadError) == 0:
        raise VideoReadError("the file is empty", path=path)
    try:
        # "file:" keeps a name with a colon or a leading dash from being read as a protocol or option.
        return av.open(f"file:{fspath(path)}", options=_OPTIONS, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoReadError(f"not a video that can be read, or cut off ({_words(error)})", path=path) from error


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
        time_base = stream.time_base
        scan = _scan(container, stream)
        announced_end_s = _announced_end_s(container)
        cut = scan.end_s < announced_end_s - max(0.5, 2 / fps if fps else 0.0)
        damaged = scan.damaged or cut
        start_s = (container.start_time or 0) / 1e6
        announced_s = announced_end_s - start_s if cut else 0.0
        in_doubt = container.format.name == "avi"
    if not scan.times:
        raise VideoReadError("holds no frames", path=path)
    known = sorted(time for time in scan.times if time is not None)
    doubtful = len(known) < len(scan.times) or len(set(known)) < len(known) or time_base is None
    if doubtful or (in_doubt and not _times_increase(path)):
        times_s = [float(time * time_base) for time in sorted(set(scan.decoding_times))] if time_base else []
        rate = Fraction(fps) if fps else _DEFAULT_FPS
        return _index_by_decoding(path, fps=rate, times_s=times_s, damaged=damaged, announced_s=announced_s)
    timestamps_s = tuple(float((time - known[0]) * time_base) for time in known)
    numbers = {time: number for number, time in enumerate(known)}
    keys = tuple(sorted(numbers[key] for key in scan.keys))
    rate = Fraction(fps).limit_denominator(100_000) if fps else _average_rate(timestamps_s)
    expected = _expected_count(timestamps_s, announced_s=announced_s)
    return VideoIndex(tuple(known), keys, scan.keys, timestamps_s, rate, damaged, expected)


@dataclass(slots=True)
class _Scan:
    """What the packets of a file say."""

    times: list[int | None] = field(default_factory=list)
    decoding_times: list[int] = field(default_factory=list)
    keys: dict[int, int] = field(default_factory=dict)
    """Bytes of the packets at which decoding can start, by time stamp."""
    end_s: float = 0.0
    """Where the last packet of any stream ends."""
    damaged: bool = False


def _scan(container: Any, stream: Any) -> _Scan:
    scan = _Scan()
    for packet in _packets(container):
        if packet is None:
            scan.damaged = True
            continue
        if not packet.size:
            continue
        if packet.pts is not None and packet.time_base:
            scan.end_s = max(scan.end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream_index == stream.index and not packet.is_discard:
            scan.times.append(packet.pts)
            scan.damaged = scan.damaged or packet.is_corrupt
            if packet.dts is not None:
                scan.decoding_times.append(packet.dts)
            if packet.is_keyframe and packet.pts is not None:
                scan.keys[packet.pts] = packet.size
    return scan


def _announced_end_s(container: Any) -> float:
    """Where the file's header says that it ends; 0 for formats whose header does not say, which would be a guess."""
    if container.duration is None or not any(name in container.format.name for name in _WITH_DURATION):
        return 0.0
    return float(container.duration + (container.start_time or 0)) / 1e6


def _times_increase(path: str | PathLike[str]) -> bool:
    """Whether frames come out in the order of their times.

    AVI stores no presentation times; FFmpeg derives them from the order of packets, wrongly for H.264 with B-frames.
    """
    times: list[int] = []
    with open_container(path) as container:
        for frame in itertools.islice(decoded(container, video_stream(container, path)), 100):
            if frame is not None:
                times.append(-1 if frame.pts is None else frame.pts)
    return all(before < after for before, after in itertools.pairwise(times))


def _index_by_decoding(
    path: str | PathLike[str], *, fps: Fraction, times_s: list[float], damaged: bool, announced_s: float
) -> VideoIndex:
    """Count the frames of a file that does not say when each is shown (raw streams, AVI with B-frames).

    Frames are shown at the times at which packets are decoded, in order, all shifted alike: `times_s`, where there are
    as many as frames. Otherwise `fps` says when.
    """
    count = 0
    with open_container(path) as container:
        for frame in decoded(container, video_stream(container, path)):
            if frame is None:
                damaged = True
            else:
                count += 1
    if count == 0:
        raise VideoReadError("none of its frames can be decoded", path=path)
    if len(times_s) == count:
        timestamps_s = tuple(time_s - times_s[0] for time_s in times_s)
        rate = _average_rate(timestamps_s)
    else:
        timestamps_s, rate = tuple(float(number / fps) for number in range(count)), fps
    expected = _expected_count(timestamps_s, announced_s=announced_s)
    return VideoIndex((), (0,), {}, timestamps_s, rate, damaged, expected)


def _expected_count(timestamps_s: tuple[float, ...], *, announced_s: float) -> int:
    """About how many frames were recorded: see `VideoIndex.expected`.

    `announced_s` is the length that the header of a file that ends too early tells, 0 for all others: those miss frames
    only where a steady rate has a gap.
    """
    steps_s = [after - before for before, after in itertools.pairwise(timestamps_s)]
    step_s = statistics.median_low(steps_s) if steps_s else 0.0
    if step_s <= 0:
        return 0
    # Matroska rounds times to milliseconds.
    near_s = max(0.0015, step_s / 10)
    steady = sum(abs(other_s - step_s) <= near_s for other_s in steps_s) / len(steps_s)
    mean_s = statistics.fmean(other_s for other_s in steps_s if abs(other_s - step_s) <= near_s)
    if announced_s > 0:
        # So few frames may be left, with holes between them, that less has to do for a number that says "about".
        return round(announced_s / mean_s) if steady >= 0.7 else 0
    if len(steps_s) < _STEADY_COUNT or steady < _STEADY_SHARE or max(steps_s) < (_GAP_STEPS - 0.5) * step_s:
        return 0
    return round(timestamps_s[-1] / mean_s) + 1


def _average_rate(timestamps_s: tuple[float, ...]) -> Fraction:
    """Frames a second, from first to last."""
    if len(timestamps_s) < 2 or timestamps_s[-1] <= 0:
        return _DEFAULT_FPS
    return Fraction((len(timestamps_s) - 1) / timestamps_s[-1]).limit_denominator(1001)


def decoded(container: Any, stream: Any, *, starts: Mapping[int, int] | None = None) -> Iterator[Any]:
    """Frames in the order they are shown; None for a packet that is broken. Ends at the end of the readable part.

    `starts` skips packets until one of these: some containers seek to any packet, and MPEG streams give the first one
    after a seek the time of another.
    """
    waiting = starts is not None
    for packet in _packets(container, stream):
        if packet is None:
            yield None
            continue
        if waiting and starts is not None and packet.size and starts.get(packet.pts) != packet.size:
            continue
        waiting = False
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, OSError, ValueError):
            yield None
            continue
        yield from frames


def _packets(container: Any, *streams: Any) -> Iterator[Any]:
    """Packets of the streams (of all, when none are named), PyAV's empty ones that flush the decoders last.

    None comes where reading broke off, before those.
    """
    try:
        yield from container.demux(*streams)
    except (av.error.FFmpegError, OSError, ValueError):
        yield None
        for stream in streams:
            flush = av.Packet(0)
            flush.stream = stream
            yield flush


def _is_cover(stream: Any) -> bool:
    disposition = getattr(stream, "disposition", None)
    return disposition is not None and bool(disposition & type(disposition).attached_pic)


def _words(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]

"""Videos whose every frame carries its number, written with PyAV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 8


def picture(number: int, *, width: int = 96, height: int = 64) -> np.ndarray:
    """RGB (H, W, 3): vertical bars, white where `number` has a bit, with a coloured band to check the orientation."""
    pixels = np.zeros((height, width, 3), np.uint8)
    bar = width // BITS
    for bit in range(BITS):
        if number >> bit & 1:
            pixels[height // 4 :, bit * bar : (bit + 1) * bar] = 255
    pixels[: height // 4] = (200, 40, 40)
    return pixels


def read_number(pixels: np.ndarray) -> int:
    """The number that `picture` drew."""
    height, width = pixels.shape[:2]
    bar = width // BITS
    row = pixels[height * 3 // 4].astype(int).mean(axis=1)
    return sum(1 << bit for bit in range(BITS) if row[bit * bar + bar // 2] > 127)


def write_video(
    path: Path,
    numbers: Iterable[int],
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (96, 64),
    times_ms: Sequence[int] | None = None,
    container: str | None = None,
    spoil: Callable[[int, bytes], bytes | None] | None = None,
) -> Path:
    """A video of `numbers`, 40 ms each or at `times_ms`. `spoil` may change a packet's bytes, or drop it (None)."""
    width, height = size
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        time_base = Fraction(1, 25) if times_ms is None else Fraction(1, 1000)
        stream.codec_context.time_base = time_base
        count = 0

        def mux(frame: av.VideoFrame | None) -> None:
            nonlocal count
            for packet in stream.encode(frame):
                if spoil is not None:
                    changed = spoil(count, bytes(packet))
                    count += 1
                    if changed is None:
                        continue
                    copy = av.Packet(changed)
                    copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                    copy.is_keyframe = packet.is_keyframe
                    copy.stream = stream
                    packet = copy
                output.mux(packet)

        for place, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(picture(number, width=width, height=height), format="rgb24")
            frame.pts = place if times_ms is None else times_ms[place]
            frame.time_base = time_base
            mux(frame)
        mux(None)
    return path

"""Sliding windows over a scaled and padded image: pure geometry (parity.md 2.2). Torch-free."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


def scaled_size(height: int, width: int, *, base_size: int, scale: float) -> tuple[int, int]:
    """(height, width) of an image whose short side becomes `scale * base_size`; sides round half to even."""
    if height < 1 or width < 1:
        raise ValueError(f"an image has at least one pixel, got {height} x {width}")
    short = round(scale * base_size)
    if height > width:
        return max(1, round(short / float(width) * height)), short
    return short, max(1, round(short / float(height) * width))


@dataclass(frozen=True, slots=True)
class Window:
    """Where one crop lies on the unpadded grid, and which part of it is image.

    `top` and `left` are the crop's corner in pixels of the unpadded grid, negative inside the padding. Rows
    `row_start:row_stop` and columns `column_start:column_stop` of the grid are covered by it.
    """

    top: int
    left: int
    row_start: int
    row_stop: int
    column_start: int
    column_stop: int


@dataclass(frozen=True, slots=True)
class Tiling:
    """Crops of `crop_px` over a grid of `height` x `width`: stride ceil(2/3 crop), the last one pulled back flush."""

    height: int
    width: int
    crop_px: int

    def __post_init__(self) -> None:
        if min(self.height, self.width, self.crop_px) < 1:
            raise ValueError(f"sizes are at least 1, got {self.height} x {self.width} and crop {self.crop_px}")

    @property
    def stride_px(self) -> int:
        """Distance of one window to the next."""
        return math.ceil(self.crop_px * 2 / 3)

    @property
    def pad_top(self) -> int:
        """Rows of padding above the image: half of what a crop lacks, rounded down."""
        return max(self.crop_px - self.height, 0) // 2

    @property
    def pad_left(self) -> int:
        """Columns of padding left of the image."""
        return max(self.crop_px - self.width, 0) // 2

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self._starts(self.height)) * len(self._starts(self.width))

    def windows(self) -> tuple[Window, ...]:
        """All windows, row by row."""
        rows = [start - self.pad_top for start in self._starts(self.height)]
        columns = [start - self.pad_left for start in self._starts(self.width)]
        return tuple(
            Window(
                top=top,
                left=left,
                row_start=max(top, 0),
                row_stop=min(top + self.crop_px, self.height),
                column_start=max(left, 0),
                column_stop=min(left + self.crop_px, self.width),
            )
            for top, left in itertools.product(rows, columns)
        )

    def visits(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """How many windows cover each row (height,) and each column (width,): their product is a pixel's count."""
        return self._visits(self.height, self.pad_top), self._visits(self.width, self.pad_left)

    def _starts(self, side: int) -> tuple[int, ...]:
        """First pixels of the windows along one side of the padded grid."""
        padded = max(side, self.crop_px)
        number = math.ceil((padded - self.crop_px) / self.stride_px) + 1
        return tuple(min(index * self.stride_px, padded - self.crop_px) for index in range(number))

    def _visits(self, side: int, pad: int) -> npt.NDArray[np.int32]:
        counts = np.zeros(max(side, self.crop_px), np.int32)
        for start in self._starts(side):
            counts[start : start + self.crop_px] += 1
        return counts[pad : pad + side]


@dataclass(frozen=True, eq=False, slots=True)
class Taps:
    """Linear interpolation along one axis: output i is `low[i]` and `high[i]` mixed, `weight[i]` of the latter."""

    low: npt.NDArray[np.int32]
    high: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]

    def part(self, start: int, stop: int) -> Taps:
        """Taps of the outputs start:stop."""
        return Taps(self.low[start:stop], self.high[start:stop], self.weight[start:stop])

    def mirrored(self) -> Taps:
        """Taps that read the mirror image of the output."""
        return Taps(self.low[::-1].copy(), self.high[::-1].copy(), self.weight[::-1].copy())


def half_pixel_taps(size_in: int, size_out: int) -> Taps:
    """Taps of a resize whose pixel centres lie at (i + 0.5) / size, clamped at the border (cv2.INTER_LINEAR)."""
    position = (np.arange(size_out, dtype=np.float64) + 0.5) * (size_in / size_out) - 0.5
    return _taps(np.clip(position, 0, size_in - 1), size_in)


def corner_taps(size_in: int, size_out: int) -> Taps:
    """Taps of a resize that maps corners onto corners (`align_corners=True`), computed in float32 like torch."""
    ratio = np.float32((size_in - 1) / (size_out - 1)) if size_out > 1 else np.float32(0)
    return _taps(np.arange(size_out, dtype=np.float32) * ratio, size_in)


def _taps(position: npt.NDArray[np.float32] | npt.NDArray[np.float64], size_in: int) -> Taps:
    low = np.minimum(np.floor(position).astype(np.int32), size_in - 1)
    high = np.minimum(low + 1, size_in - 1)
    return Taps(low, high, (position - low).astype(np.float32))

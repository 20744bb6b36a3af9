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
    """Crops over a grid of `height` x `width`: stride ceil(2/3 crop), the last one pulled back flush.

    A side shorter than the crop is padded on both ends. Published crops are square: `Tiling(360, 640, 473)`.
    """

    height: int
    width: int
    crop_height_px: int
    crop_width_px: int = 0
    """0: as wide as high."""

    def __post_init__(self) -> None:
        if self.crop_width_px == 0:
            object.__setattr__(self, "crop_width_px", self.crop_height_px)
        if min(self.height, self.width, self.crop_height_px, self.crop_width_px) < 1:
            crop = f"{self.crop_height_px} x {self.crop_width_px}"
            raise ValueError(f"sizes are at least 1, got {self.height} x {self.width} and crop {crop}")

    @classmethod
    def whole(cls, height: int, width: int, *, size_multiple: int) -> Tiling:
        """One window around all of the grid: its sides are the next that a network takes, (side - 1) % multiple == 0.

        The few pixels of padding are shared by both ends of a side, as those of a crop are: border pixels then see the
        same surroundings in both modes.
        """
        return cls(height, width, _network_side(height, size_multiple), _network_side(width, size_multiple))

    @property
    def crop_px(self) -> int:
        """Side of a square crop. Raises ValueError for another shape."""
        if self.crop_height_px != self.crop_width_px:
            raise ValueError(f"the crop is {self.crop_height_px} x {self.crop_width_px}, not square")
        return self.crop_height_px

    @property
    def stride_px(self) -> int:
        """Distance of one window to the next; the crop must be square (ValueError)."""
        return _stride(self.crop_px)

    @property
    def pad_top(self) -> int:
        """Rows of padding above the image: half of what a crop lacks, rounded down."""
        return max(self.crop_height_px - self.height, 0) // 2

    @property
    def pad_left(self) -> int:
        """Columns of padding left of the image."""
        return max(self.crop_width_px - self.width, 0) // 2

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self.tops()) * len(self.lefts())

    def tops(self) -> tuple[int, ...]:
        """First rows of the windows on the unpadded grid."""
        return tuple(start - self.pad_top for start in _starts(self.height, self.crop_height_px))

    def lefts(self) -> tuple[int, ...]:
        """First columns of the windows on the unpadded grid."""
        return tuple(start - self.pad_left for start in _starts(self.width, self.crop_width_px))

    def windows(self) -> tuple[Window, ...]:
        """All windows, row by row."""
        return tuple(
            Window(
                top=top,
                left=left,
                row_start=max(top, 0),
                row_stop=min(top + self.crop_height_px, self.height),
                column_start=max(left, 0),
                column_stop=min(left + self.crop_width_px, self.width),
            )
            for top, left in itertools.product(self.tops(), self.lefts())
        )

    def visits(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """How many windows cover each row (height,) and each column (width,): their product is a pixel's count."""
        rows = _visits(self.height, self.crop_height_px, self.pad_top)
        return rows, _visits(self.width, self.crop_width_px, self.pad_left)


def _stride(crop_px: int) -> int:
    return math.ceil(crop_px * 2 / 3)


def _starts(side: int, crop_px: int) -> tuple[int, ...]:
    """First pixels of the windows along one side of the padded grid."""
    padded = max(side, crop_px)
    number = math.ceil((padded - crop_px) / _stride(crop_px)) + 1
    return tuple(min(index * _stride(crop_px), padded - crop_px) for index in range(number))


def _visits(side: int, crop_px: int, pad: int) -> npt.NDArray[np.int32]:
    counts = np.zeros(max(side, crop_px), np.int32)
    for start in _starts(side, crop_px):
        counts[start : start + crop_px] += 1
    return counts[pad : pad + side]


def _network_side(side: int, size_multiple: int) -> int:
    """The smallest side of at least `side` pixels that a network takes (`NetworkSpec.check_crop`)."""
    return max(2, math.ceil((side - 1) / size_multiple)) * size_multiple + 1


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

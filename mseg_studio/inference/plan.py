"""What every pixel of an image is computed from, as arrays for the compiled passes. Torch-free."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mseg_studio.inference.tiling import Taps, Tiling, corner_taps, half_pixel_taps

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
_CACHE_FLOATS = 1 << 17
_NOTHING_KEPT = (np.zeros(0, np.int32), np.zeros((0, 0), np.float32))


class Plan(NamedTuple):
    """Crops, grids and image at S scales. Rows (columns) of the grids of all scales are numbered through.

    A grid pixel is the mean over its row's sources times its column's sources; each such pair is a place between four
    logit pixels: (low or high of the row's source) + (low or high of the column's source). A row's sources are the
    windows over it; a column's are the windows over it, and for each the image and its mirror image.
    """

    row_ends: Ints
    """(rows + 1,) Sources `row_ends[r]:row_ends[r + 1]` are of row r."""
    row_sources: Ints
    """(n, 2) Logit pixel at the start of the low and of the high row of logits."""
    row_mix: Floats
    """(n,) Share of the high one."""
    column_ends: Ints
    column_sources: Ints
    """(m, 2) Logit pixels to add for the low and for the high column."""
    column_mix: Floats
    row_place: Ints
    """(rows,) Add a column's number: the pixel among those of all grids."""
    column_first: Ints
    """(S + 1,) First column of every scale, and their number."""
    native_rows: Ints
    """(S, H, 2) Rows of the grids that a row of the image is mixed from."""
    native_row_mix: Floats
    native_columns: Ints
    """(S, W, 2)"""
    native_column_mix: Floats
    kept_slots: Ints
    """(grid pixels,) Row of `kept_scores` that holds a grid pixel's probabilities, -1 for none; empty when none are."""
    kept_scores: Floats
    """(n, C)"""
    cache_floats: int
    """What a thread may keep at once: half a megabyte, half of what a core has for itself nowadays."""


@functools.lru_cache(maxsize=8)
def plan_of(tilings: tuple[Tiling, ...], *, height: int, width: int, images: int, logits_stride: int) -> Plan:
    """The plan of an image (height, width) that is segmented at the grids of `tilings`, one each scale.

    Logits lie crop by crop in the order of the windows, scale by scale; a mirror image (`images` 2) behind its crop.
    """
    rows: list[_Source] = []
    columns: list[_Source] = []
    places: list[int] = []
    row_ends, column_ends = [0], [0]
    first_logit = first_pixel = 0
    for tiling in tilings:
        size = logit_size(tiling, logits_stride)
        crop_logits = size[0] * size[1]
        beside = len(tiling.lefts()) * images * crop_logits
        places += [first_pixel + y * tiling.width - (len(column_ends) - 1) for y in range(tiling.height)]
        for sources in _sources(tiling.tops(), tiling.height, corner_taps(size[0], tiling.crop_height_px)):
            rows += [
                (first_logit + window * beside + size[1] * low, first_logit + window * beside + size[1] * high, mix)
                for window, low, high, mix in sources
            ]
            row_ends.append(len(rows))
        taps = corner_taps(size[1], tiling.crop_width_px)
        sides = [_sources(tiling.lefts(), tiling.width, side) for side in (taps, taps.mirrored())[:images]]
        for of_images in zip(*sides, strict=True):
            for image, sources in enumerate(of_images):
                starts = [
                    ((window * images + image) * crop_logits, low, high, mix) for window, low, high, mix in sources
                ]
                columns += [(start + low, start + high, mix) for start, low, high, mix in starts]
            column_ends.append(len(columns))
        first_logit += tiling.count * images * crop_logits
        first_pixel += tiling.height * tiling.width
    native = _native([(tiling.height, tiling.width) for tiling in tilings], height, width)
    firsts = np.cumsum([0, *(tiling.width for tiling in tilings)], dtype=np.int32)
    ends = (np.array(row_ends, np.int32), np.array(column_ends, np.int32))
    return Plan(
        ends[0],
        *_arrays(rows),
        ends[1],
        *_arrays(columns),
        np.array(places, np.int32),
        firsts,
        *native,
        *_NOTHING_KEPT,
        _CACHE_FLOATS,
    )


def resized(plan: Plan, grid_sizes: Sequence[tuple[int, int]], height: int, width: int) -> Plan:
    """`plan` for an image that is read at another size."""
    rows, row_mix, columns, column_mix = _native(grid_sizes, height, width)
    return plan._replace(native_rows=rows, native_row_mix=row_mix, native_columns=columns, native_column_mix=column_mix)


def logit_size(tiling: Tiling, logits_stride: int) -> tuple[int, int]:
    """(height, width) of the logits of one crop before the last upsampling."""
    return -(-tiling.crop_height_px // logits_stride), -(-tiling.crop_width_px // logits_stride)


_Source = tuple[int, int, float]
"""Low and high logit pixel, share of the high one."""


def _sources(starts: Sequence[int], side: int, taps: Taps) -> Iterator[list[tuple[int, int, int, float]]]:
    """For every pixel of a side and every window over it: (window, low, high, share of the high one)."""
    crop_px = len(taps.low)
    for at in range(side):
        inside = [(window, at - start) for window, start in enumerate(starts) if start <= at < start + crop_px]
        yield [(window, int(taps.low[i]), int(taps.high[i]), float(taps.weight[i])) for window, i in inside]


def _arrays(sources: Sequence[_Source]) -> tuple[Ints, Floats]:
    return np.array([source[:2] for source in sources], np.int32), np.array([s[2] for s in sources], np.float32)


def _native(grid_sizes: Sequence[tuple[int, int]], height: int, width: int) -> tuple[Ints, Floats, Ints, Floats]:
    """Resize of every grid to the image's own size."""
    rows = _numbered([grid for grid, _ in grid_sizes], height)
    return (*rows, *_numbered([grid for _, grid in grid_sizes], width))


def _numbered(sides: Sequence[int], native: int) -> tuple[Ints, Floats]:
    """Taps of the grids' sides, numbered through all scales: (S, native, 2) and (S, native)."""
    firsts = itertools.accumulate(sides[:-1], initial=0)
    taps = [half_pixel_taps(side, native) for side in sides]
    pairs = [np.stack([one.low, one.high], axis=1) + first for one, first in zip(taps, firsts, strict=True)]
    return np.stack(pairs).astype(np.int32), np.stack([one.weight for one in taps])

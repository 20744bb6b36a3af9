"""Compiled: rows of the image from rows of the grids.

One row of the image needs two rows of every scale's grid. Grid pixels are computed when the first row asks for them,
kept while rows need them, and only where they are wanted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mseg_studio.inference.kernels import Logits, compiled, grid_pixel, sum_groups
from mseg_studio.inference.plan import Plan

_F32 = npt.NDArray[np.float32]
_I32 = npt.NDArray[np.int32]


class Lines(NamedTuple):
    """Scratch of one thread for columns `start:stop` of the image: what they need of the grids' rows, K channels.

    The parts of all scales lie one behind the other (w pixels). Few columns at once, so that all of it stays in the
    core's own cache.
    """

    start: int
    stop: int
    begin: _I32
    """(S,) Subtract from a grid column's number: its place in the lines."""
    left: _I32
    """(S,) First grid column."""
    right: _I32
    """(S,) Grid column behind the last."""
    held: _I32
    """(2, S) The grid row that each of two lines holds of a scale, -1 for none."""
    done: npt.NDArray[np.bool_]
    """(2, w) Which of its pixels are computed."""
    values: _F32
    """(2, w, padded K)"""
    mixed: _F32
    """(w, padded K) Both lines mixed for one row of the image."""
    wanted: npt.NDArray[np.bool_]
    """(w,) Which pixels of `mixed` are needed."""
    pixel: _F32
    """(3, C) scratch."""


@compiled
def padded(classes: int) -> Any:
    """Length of a pixel with `classes` numbers and zeros behind: vector code takes 32 at once, the rest singly."""
    return (classes + 31) // 32 * 32


@compiled
def columns_at_once(plan: Plan, channels: int, classes: int) -> Any:
    """Columns of the image whose three lines fit into the cache, with the logits that they are computed from.

    A grid pixel needs two rows of logits, of which it has a quarter's column, in about two windows.
    """
    width, pixels = plan.native_columns.shape[1], plan.column_ends.shape[0] - 1
    return max(32, min(width, plan.cache_floats * width // (pixels * (3 * padded(classes) + 2 * channels))))


@compiled
def new_lines(plan: Plan, channels: int, classes: int, start: int, stop: int) -> Any:
    """Empty `Lines` for columns start:stop of the image."""
    scales = plan.native_columns.shape[0]
    begin, left, right = np.empty(scales, np.int32), np.empty(scales, np.int32), np.empty(scales, np.int32)
    pixels = 0
    for s in range(scales):
        left[s], right[s] = plan.native_columns[s, start, 0], plan.native_columns[s, stop - 1, 1] + 1
        begin[s] = left[s] - pixels
        pixels += right[s] - left[s]
    return Lines(
        start,
        stop,
        begin,
        left,
        right,
        np.full((2, scales), -1, np.int32),
        np.zeros((2, pixels), np.bool_),
        np.zeros((2, pixels, padded(classes)), np.float32),
        np.empty((pixels, padded(classes)), np.float32),
        np.zeros(pixels, np.bool_),
        np.empty((3, channels), np.float32),
    )


@compiled
def _hold(lines: Lines, s: int, row: int, other: int) -> Any:
    """Which of the two lines holds grid row `row` of scale `s`; makes room, but not where row `other` is held."""
    if lines.held[0, s] == row:
        return 0
    if lines.held[1, s] == row:
        return 1
    slot = 1 if lines.held[0, s] == other else 0
    lines.held[slot, s] = row
    lines.done[slot, lines.left[s] - lines.begin[s] : lines.right[s] - lines.begin[s]] = False
    return slot


@compiled
def _fill(lines: Lines, slot: int, logits_LC: Logits, plan: Plan, s: int, row: int, members: _I32, ends: _I32) -> None:
    """Put what is wanted of grid row `row` of scale `s` into a line: from kept scores, else computed.

    Without groups `ends` holds one number.
    """
    done, values, wanted, begin = lines.done, lines.values, lines.wanted, lines.begin[s]
    pixel_C, part_C, scratch_C = lines.pixel[0], lines.pixel[1], lines.pixel[2]
    row_ends, row_sources, row_mix = plan.row_ends, plan.row_sources, plan.row_mix
    column_ends, column_sources, column_mix = plan.column_ends, plan.column_sources, plan.column_mix
    kept_slots, kept_scores, place = plan.kept_slots, plan.kept_scores, plan.row_place[row]
    for column in range(lines.left[s], lines.right[s]):
        at = column - begin
        if not wanted[at] or done[slot, at]:
            continue
        done[slot, at] = True
        kept = kept_slots[place + column] if kept_slots.shape[0] > 0 else np.int32(-1)
        if kept >= 0:
            if ends.shape[0] > 1:
                sum_groups(values[slot, at], kept_scores[kept], members, ends)
            else:
                values[slot, at, : part_C.shape[0]] = kept_scores[kept]
            continue
        out_C = pixel_C if ends.shape[0] > 1 else values[slot, at, : part_C.shape[0]]
        grid_pixel(
            out_C,
            part_C,
            scratch_C,
            logits_LC,
            row_ends,
            row_sources,
            row_mix,
            column_ends,
            column_sources,
            column_mix,
            row,
            column,
        )
        if ends.shape[0] > 1:
            sum_groups(values[slot, at], pixel_C, members, ends)


@compiled
def mix_lines(lines: Lines, logits_LC: Logits, plan: Plan, y: int, members: _I32, ends: _I32) -> None:
    """Vertical half of the resize: row `y` of the image into `mixed`, where wanted."""
    values, mixed, wanted = lines.values, lines.mixed, lines.wanted
    scales = plan.native_rows.shape[0]
    for s in range(scales):
        low_row, high_row = plan.native_rows[s, y, 0], plan.native_rows[s, y, 1]
        low = _hold(lines, s, low_row, high_row)
        _fill(lines, low, logits_LC, plan, s, low_row, members, ends)
        high = _hold(lines, s, high_row, low_row)
        _fill(lines, high, logits_LC, plan, s, high_row, members, ends)
        high_share = plan.native_row_mix[s, y] / np.float32(scales)
        low_share = np.float32(1.0) / np.float32(scales) - high_share
        for at in range(lines.left[s] - lines.begin[s], lines.right[s] - lines.begin[s]):
            if wanted[at]:
                for k in range(mixed.shape[1]):
                    mixed[at, k] = low_share * values[low, at, k] + high_share * values[high, at, k]


@compiled
def native_pixel(pixel_K: _F32, mixed: _F32, begin: _I32, columns: _I32, mix: _F32, x: int) -> None:
    """Horizontal half: the mean over all scales of column `x` into `pixel_K`."""
    for s in range(columns.shape[0]):
        a, b = columns[s, x, 0] - begin[s], columns[s, x, 1] - begin[s]
        b_share = mix[s, x]
        a_share = np.float32(1.0) - b_share
        if s == 0:
            for k in range(pixel_K.shape[0]):
                pixel_K[k] = a_share * mixed[a, k] + b_share * mixed[b, k]
        else:
            for k in range(pixel_K.shape[0]):
                pixel_K[k] += a_share * mixed[a, k] + b_share * mixed[b, k]

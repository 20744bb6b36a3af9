"""Compiled: labels, computed only where the winner is not certain already (`kernels.grid_winner_rows`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mseg_studio.inference.kernels import Logits, compiled, first, largest
from mseg_studio.inference.line_kernels import Lines, columns_at_once, mix_lines, native_pixel, new_lines, padded
from mseg_studio.inference.plan import Plan

_F32 = npt.NDArray[np.float32]
_I32 = npt.NDArray[np.int32]
_U16 = npt.NDArray[np.uint16]

_SURE = np.float32(0.5001)
"""Half of the probability and some rounding."""


@compiled
def _certain(
    targets_G: _I32,
    least_G: _F32,
    merges: bool,
    row_place: _I32,
    rows: _I32,
    row_mix: _F32,
    columns: _I32,
    column_mix: _F32,
    y: int,
    x: int,
) -> Any:
    """The class that certainly wins at pixel (y, x) of the image, or -1.

    It wins at every grid pixel that this one is mixed from, or has more than half of the probability in the end.
    Where classes are merged only the second counts: several small ones may beat the largest.
    """
    scales = rows.shape[0]
    winner = targets_G[row_place[rows[scales - 1, y, 0]] + columns[scales - 1, x, 0]]
    if winner < 0:
        return winner
    everywhere, least = not merges, np.float32(0.0)
    for s in range(scales):
        left, right, right_share = columns[s, x, 0], columns[s, x, 1], column_mix[s, x]
        for side in range(2):
            line = row_place[rows[s, y, side]]
            share = row_mix[s, y] if side == 1 else np.float32(1.0) - row_mix[s, y]
            if targets_G[line + left] == winner:
                least += share * (np.float32(1.0) - right_share) * least_G[line + left]
            else:
                everywhere = False
            if targets_G[line + right] == winner:
                least += share * right_share * least_G[line + right]
            else:
                everywhere = False
    return winner if everywhere or least > _SURE * np.float32(scales) else np.int32(-1)


@compiled
def _decided(
    labels_HW: _U16,
    open_W: _I32,
    lines: Lines,
    class_ids: _U16,
    targets_G: _I32,
    least_G: _F32,
    merges: bool,
    plan: Plan,
    y: int,
) -> Any:
    """Write what is certain of row `y`. Other columns go to `open_W`, what they need is wanted; gives their number."""
    row_place, rows, row_mix = plan.row_place, plan.native_rows, plan.native_row_mix
    columns, column_mix = plan.native_columns, plan.native_column_mix
    wanted, begin = lines.wanted, lines.begin
    wanted[:] = False
    open_count = 0
    for x in range(lines.start, lines.stop):
        winner = _certain(targets_G, least_G, merges, row_place, rows, row_mix, columns, column_mix, y, x)
        if winner >= 0:
            labels_HW[y, x] = class_ids[winner]
            continue
        open_W[open_count] = x
        open_count += 1
        for s in range(columns.shape[0]):
            wanted[columns[s, x, 0] - begin[s]] = True
            wanted[columns[s, x, 1] - begin[s]] = True
    return open_count


@compiled
def mark_open_rows(
    marks_G: npt.NDArray[np.uint8], targets_G: _I32, least_G: _F32, plan: Plan, start: int, stop: int
) -> None:
    """Mark the grid pixels that rows start:stop of the image need where nothing has more than half for certain."""
    row_place, rows, row_mix = plan.row_place, plan.native_rows, plan.native_row_mix
    columns, column_mix = plan.native_columns, plan.native_column_mix
    for y in range(start, stop):
        for x in range(columns.shape[1]):
            if _certain(targets_G, least_G, True, row_place, rows, row_mix, columns, column_mix, y, x) >= 0:
                continue
            for s in range(columns.shape[0]):
                for side in range(2):
                    line = row_place[rows[s, y, side]]
                    marks_G[line + columns[s, x, 0]] = 1
                    marks_G[line + columns[s, x, 1]] = 1


@compiled
def label_rows(
    labels_HW: _U16,
    class_ids: _U16,
    targets_G: _I32,
    least_G: _F32,
    merges: bool,
    logits_LC: Logits,
    plan: Plan,
    members: _I32,
    ends: _I32,
    start: int,
    stop: int,
) -> None:
    """The most probable of K classes for rows start:stop of the image.

    `targets_G` is the class of the channel that is known to win at a grid pixel, -1 where none is, and `least_G` the
    least probability of that channel; `merges` says whether any class has several channels. Groups as in
    `kernels.sum_groups`, none when `ends` holds one number. Between equal values the smaller class wins; class k is
    written as `class_ids[k]`.
    """
    width, classes = labels_HW.shape[1], class_ids.shape[0]
    step = columns_at_once(plan, logits_LC.shape[1], classes)
    open_W = np.empty(step, np.int32)
    pixel_K = np.zeros(padded(classes), np.float32)
    bits_K = pixel_K.view(np.int32)
    columns, mix = plan.native_columns, plan.native_column_mix
    for column in range(0, width, step):
        lines = new_lines(plan, logits_LC.shape[1], classes, column, min(column + step, width))
        mixed, begin = lines.mixed, lines.begin
        for y in range(start, stop):
            open_count = _decided(labels_HW, open_W, lines, class_ids, targets_G, least_G, merges, plan, y)
            if open_count == 0:
                continue
            mix_lines(lines, logits_LC, plan, y, members, ends)
            for x in open_W[:open_count]:
                native_pixel(pixel_K, mixed, begin, columns, mix, x)
                labels_HW[y, x] = class_ids[first(bits_K, largest(bits_K))]

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

SURE = np.float32(0.5001)
"""Half of the probability and some rounding."""


@compiled
def _find_cells(
    cells_w: _I32, cell_least_w: _F32, targets_G: _I32, least_G: _F32, upper: int, lower: int, columns: int
) -> None:
    """For every cell between four grid pixels: their class if it is one, else -1, and the least of what is certain.

    `upper` and `lower` are the places of column 0 in two rows of a grid of `columns`.
    """
    for x in range(columns):
        right = min(x + 1, columns - 1)
        target = targets_G[upper + x]
        same = targets_G[upper + right] == target and targets_G[lower + x] == target
        same = same and targets_G[lower + right] == target
        least = min(min(least_G[upper + x], least_G[upper + right]), min(least_G[lower + x], least_G[lower + right]))
        cells_w[x] = target if same else np.int32(-1)
        cell_least_w[x] = least if same and target >= 0 else np.float32(0.0)


@compiled
def _certain_row(
    certain_W: _I32,
    cells_w: _I32,
    cell_least_w: _F32,
    held: _I32,
    targets_G: _I32,
    least_G: _F32,
    merges: bool,
    plan: Plan,
    y: int,
) -> None:
    """The class that certainly wins at every pixel of row `y` of the image, or -1.

    It wins in the cells of all scales that a pixel lies in, or has more than half of the probability by those where it
    does. Where classes are merged only the second counts: several small ones may beat the largest. The cells of all
    scales lie one behind the other and are kept while `held` (S, 2) says that they are of the same rows.
    """
    row_place, rows, columns, first = plan.row_place, plan.native_rows, plan.native_columns, plan.column_first
    scales = rows.shape[0]
    for s in range(scales):
        if held[s, 0] != rows[s, y, 0] or held[s, 1] != rows[s, y, 1]:
            held[s, 0], held[s, 1] = rows[s, y, 0], rows[s, y, 1]
            upper, lower = row_place[held[s, 0]] + first[s], row_place[held[s, 1]] + first[s]
            part = slice(first[s], first[s + 1])
            width = first[s + 1] - first[s]
            _find_cells(cells_w[part], cell_least_w[part], targets_G, least_G, upper, lower, width)
    needed = SURE * np.float32(scales)
    for x in range(certain_W.shape[0]):
        winner = cells_w[columns[scales - 1, x, 0]]
        everywhere, least = not merges, np.float32(0.0)
        for s in range(scales):
            cell = columns[s, x, 0]
            everywhere = everywhere and cells_w[cell] == winner
            least += cell_least_w[cell] if cells_w[cell] == winner else np.float32(0.0)
        if winner < 0 or not (everywhere or least > needed):
            winner = np.int32(-1)
        certain_W[x] = winner


@compiled
def _find_certain(certain_RW: _I32, targets_G: _I32, least_G: _F32, merges: bool, plan: Plan, first_row: int) -> None:
    """`_certain_row` for the rows of the image from `first_row` on."""
    pixels, scales = plan.column_first[plan.column_first.shape[0] - 1], plan.native_rows.shape[0]
    cells_w, cell_least_w = np.empty(pixels, np.int32), np.empty(pixels, np.float32)
    held = np.full((scales, 2), -1, np.int32)
    for row in range(certain_RW.shape[0]):
        certain_W = certain_RW[row]
        _certain_row(certain_W, cells_w, cell_least_w, held, targets_G, least_G, merges, plan, first_row + row)


@compiled
def mark_open_rows(
    marks_G: npt.NDArray[np.uint8], targets_G: _I32, least_G: _F32, plan: Plan, start: int, stop: int
) -> None:
    """Mark the grid pixels that rows start:stop of the image need where nothing has more than half for certain."""
    row_place, rows, columns = plan.row_place, plan.native_rows, plan.native_columns
    certain_RW = np.empty((stop - start, columns.shape[1]), np.int32)
    _find_certain(certain_RW, targets_G, least_G, True, plan, start)
    for y in range(start, stop):
        certain_W = certain_RW[y - start]
        for x in range(columns.shape[1]):
            if certain_W[x] >= 0:
                continue
            for s in range(columns.shape[0]):
                for side in range(2):
                    line = row_place[rows[s, y, side]]
                    marks_G[line + columns[s, x, 0]] = 1
                    marks_G[line + columns[s, x, 1]] = 1


@compiled
def _write_certain(labels_W: _U16, open_W: _I32, lines: Lines, certain_W: _I32, class_ids: _U16, plan: Plan) -> Any:
    """Write what is certain of a row. Other columns go to `open_W`, what they need is wanted; gives their number."""
    columns, wanted, begin = plan.native_columns, lines.wanted, lines.begin
    wanted[:] = False
    open_count = 0
    for x in range(lines.start, lines.stop):
        if certain_W[x] >= 0:
            labels_W[x] = class_ids[certain_W[x]]
            continue
        open_W[open_count] = x
        open_count += 1
        for s in range(columns.shape[0]):
            wanted[columns[s, x, 0] - begin[s]] = True
            wanted[columns[s, x, 1] - begin[s]] = True
    return open_count


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
    least probability of that class; `merges` says whether several channels together may beat it. Groups as in
    `kernels.sum_groups`, none when `ends` holds one number. Between equal values the smaller class wins; class k is
    written as `class_ids[k]`.
    """
    width, classes = labels_HW.shape[1], class_ids.shape[0]
    step = columns_at_once(plan, logits_LC.shape[1], classes)
    open_W = np.empty(step, np.int32)
    pixel_K = np.zeros(padded(classes), np.float32)
    bits_K = pixel_K.view(np.int32)
    columns, mix = plan.native_columns, plan.native_column_mix
    certain_RW = np.empty((stop - start, width), np.int32)
    _find_certain(certain_RW, targets_G, least_G, merges, plan, start)
    for column in range(0, width, step):
        lines = new_lines(plan, logits_LC.shape[1], classes, column, min(column + step, width))
        mixed, begin = lines.mixed, lines.begin
        for y in range(start, stop):
            open_count = _write_certain(labels_HW[y], open_W, lines, certain_RW[y - start], class_ids, plan)
            if open_count == 0:
                continue
            mix_lines(lines, logits_LC, plan, y, members, ends)
            for x in open_W[:open_count]:
                native_pixel(pixel_K, mixed, begin, columns, mix, x)
                labels_HW[y, x] = class_ids[first(bits_K, largest(bits_K))]

"""Compiled: from logits to the rows of the image's own size: labels, measures, the most probable classes.

One row of the image needs two rows of every scale's grid. Grid pixels are computed when the first row asks for them,
kept while rows need them, and only where a pixel of the image is not decided already: see `kernels.grid_winner_rows`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mseg_studio.inference.kernels import (
    Logits,
    compiled,
    first,
    grid_pixel,
    grid_winner_rows,
    largest,
    logit_winner_rows,
    sum_groups,
)
from mseg_studio.inference.plan import Plan, plan_of
from mseg_studio.inference.tiling import Tiling
from mseg_studio.labels.readout import NO_MASS

_F32 = npt.NDArray[np.float32]
_I32 = npt.NDArray[np.int32]
_U16 = npt.NDArray[np.uint16]

CONFIDENCE, MARGIN, ENTROPY = 1, 2, 3
_NOTHING = np.float32(NO_MASS)
_FULL_SCALE = np.float32(65535.0)
_SURE = np.float32(0.5001)
"""Half of the probability and some rounding."""
_LN_2 = np.float32(0.6931471805599453)


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
    """(2, w, K)"""
    mixed: _F32
    """(w, K) Both lines mixed for one row of the image."""
    wanted: npt.NDArray[np.bool_]
    """(w,) Which pixels of `mixed` are needed."""
    pixel: _F32
    """(3, C) scratch."""


@compiled
def _columns_at_once(plan: Plan, channels: int, classes: int) -> Any:
    """Columns of the image whose three lines fit into the cache, with the logits that they are computed from.

    A grid pixel needs two rows of logits, of which it has a quarter's column, in about two windows.
    """
    width, pixels = plan.native_columns.shape[1], plan.column_ends.shape[0] - 1
    return max(32, min(width, plan.cache_floats * width // (pixels * (3 * classes + 2 * channels))))


@compiled
def _new_lines(plan: Plan, channels: int, classes: int, start: int, stop: int) -> Any:
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
        np.empty((2, pixels, classes), np.float32),
        np.empty((pixels, classes), np.float32),
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
    """Compute what is wanted of grid row `row` of scale `s` and not yet there. Without groups `ends` holds one."""
    done, values, wanted, begin = lines.done, lines.values, lines.wanted, lines.begin[s]
    pixel_C, part_C, scratch_C = lines.pixel[0], lines.pixel[1], lines.pixel[2]
    row_ends, row_sources, row_mix = plan.row_ends, plan.row_sources, plan.row_mix
    column_ends, column_sources, column_mix = plan.column_ends, plan.column_sources, plan.column_mix
    for column in range(lines.left[s], lines.right[s]):
        at = column - begin
        if not wanted[at] or done[slot, at]:
            continue
        done[slot, at] = True
        out_C = pixel_C if ends.shape[0] > 1 else values[slot, at]
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
def _mix_lines(lines: Lines, logits_LC: Logits, plan: Plan, y: int, members: _I32, ends: _I32) -> None:
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
def _native_pixel(pixel_K: _F32, mixed: _F32, begin: _I32, columns: _I32, mix: _F32, x: int) -> None:
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
    step = _columns_at_once(plan, logits_LC.shape[1], classes)
    open_W = np.empty(step, np.int32)
    pixel_K = np.empty(classes, np.float32)
    bits_K = pixel_K.view(np.int32)
    columns, mix = plan.native_columns, plan.native_column_mix
    for column in range(0, width, step):
        lines = _new_lines(plan, logits_LC.shape[1], classes, column, min(column + step, width))
        mixed, begin = lines.mixed, lines.begin
        for y in range(start, stop):
            open_count = _decided(labels_HW, open_W, lines, class_ids, targets_G, least_G, merges, plan, y)
            if open_count == 0:
                continue
            _mix_lines(lines, logits_LC, plan, y, members, ends)
            for x in open_W[:open_count]:
                _native_pixel(pixel_K, mixed, begin, columns, mix, x)
                labels_HW[y, x] = class_ids[first(bits_K, largest(bits_K))]


@compiled
def _entropy(shares_K: _F32, factor: float) -> Any:
    """Sum of -q ln q with q = share x factor, in vector code: ln as exponent and a polynomial in the mantissa."""
    bits_K = shares_K.view(np.int32)
    for k in range(shares_K.shape[0]):
        shares_K[k] = max(shares_K[k] * factor, np.float32(1e-30))
    total = np.float32(0.0)
    mantissa_K = np.empty(shares_K.shape[0], np.float32)
    mantissa_bits = mantissa_K.view(np.int32)
    for k in range(shares_K.shape[0]):
        mantissa_bits[k] = (bits_K[k] & np.int32(0x7FFFFF)) | np.int32(0x3F800000)
    for k in range(shares_K.shape[0]):
        exponent = np.float32((bits_K[k] >> np.int32(23)) - np.int32(127))
        # ln(m) = 2 artanh(t), t = (m - 1) / (m + 1) <= 1/3: the next term is below 3e-7.
        t = (mantissa_K[k] - np.float32(1.0)) / (mantissa_K[k] + np.float32(1.0))
        u = t * t
        p = np.float32(1.0 / 11.0)
        p = p * u + np.float32(1.0 / 9.0)
        p = p * u + np.float32(1.0 / 7.0)
        p = p * u + np.float32(1.0 / 5.0)
        p = p * u + np.float32(1.0 / 3.0)
        p = p * u + np.float32(1.0)
        total -= shares_K[k] * (exponent * _LN_2 + np.float32(2.0) * t * p)
    return total


@compiled
def _measure(pixel_K: _F32, winner: int, kind: int) -> Any:
    """Confidence, margin or entropy of one pixel as a share of 65535; overwrites `pixel_K`."""
    bits_K = pixel_K.view(np.int32)
    total = np.float32(0.0)
    for k in range(pixel_K.shape[0]):
        total += pixel_K[k]
    best = pixel_K[winner]
    value = np.float32(1.0) if kind == ENTROPY else np.float32(0.0)
    if total >= _NOTHING:
        if kind == CONFIDENCE:
            value = best / total
        elif kind == MARGIN:
            pixel_K[winner] = np.float32(0.0)
            value = (best - pixel_K[first(bits_K, largest(bits_K))]) / total
        elif pixel_K.shape[0] == 1:
            value = np.float32(0.0)
        else:
            value = _entropy(pixel_K, np.float32(1.0) / total) / np.float32(np.log(pixel_K.shape[0]))
    return np.uint16(min(max(value, np.float32(0.0)), np.float32(1.0)) * _FULL_SCALE + np.float32(0.5))


@compiled
def read_rows(
    labels_HW: _U16,
    confidence_HW: _U16,
    measure_HW: _U16,
    class_ids: _U16,
    logits_LC: Logits,
    plan: Plan,
    members: _I32,
    ends: _I32,
    kind: int,
    start: int,
    stop: int,
) -> None:
    """As `label_rows`, with the confidence of every pixel and, if `kind` is MARGIN or ENTROPY, that measure."""
    width, classes = labels_HW.shape[1], class_ids.shape[0]
    step = _columns_at_once(plan, logits_LC.shape[1], classes)
    pixel_K = np.empty(classes, np.float32)
    bits_K = pixel_K.view(np.int32)
    columns, mix = plan.native_columns, plan.native_column_mix
    for column in range(0, width, step):
        lines = _new_lines(plan, logits_LC.shape[1], classes, column, min(column + step, width))
        lines.wanted[:] = True
        mixed, begin = lines.mixed, lines.begin
        for y in range(start, stop):
            _mix_lines(lines, logits_LC, plan, y, members, ends)
            for x in range(lines.start, lines.stop):
                _native_pixel(pixel_K, mixed, begin, columns, mix, x)
                winner = first(bits_K, largest(bits_K))
                labels_HW[y, x] = class_ids[winner]
                confidence_HW[y, x] = _measure(pixel_K, winner, CONFIDENCE)
                if kind != CONFIDENCE:
                    measure_HW[y, x] = _measure(pixel_K, winner, kind)


@compiled
def top_k_rows(
    ids_HWk: _U16,
    values_HWk: _F32,
    residual_HW: _F32,
    class_ids: _U16,
    logits_LC: Logits,
    plan: Plan,
    members: _I32,
    ends: _I32,
    start: int,
    stop: int,
) -> None:
    """As `label_rows`, but the k largest, descending, and the sum of all others. The arrays hold these rows only.

    The lowest bits of a value make room for the class: one maximum over integers gives both. That loses far less than
    float16 does afterwards. It is the class's complement, so that the smaller wins between equals.
    """
    classes, kept = class_ids.shape[0], ids_HWk.shape[2]
    low_bits = np.int32(1)
    while low_bits < classes:
        low_bits *= np.int32(2)
    low_bits -= np.int32(1)
    width = ids_HWk.shape[1]
    step = _columns_at_once(plan, logits_LC.shape[1], classes)
    pixel_K = np.empty(classes, np.float32)
    bits_K = pixel_K.view(np.int32)
    best = np.empty(1, np.float32)
    best_bits = best.view(np.int32)
    columns, mix = plan.native_columns, plan.native_column_mix
    for column in range(0, width, step):
        lines = _new_lines(plan, logits_LC.shape[1], classes, column, min(column + step, width))
        lines.wanted[:] = True
        mixed, begin = lines.mixed, lines.begin
        for y in range(start, stop):
            _mix_lines(lines, logits_LC, plan, y, members, ends)
            for x in range(lines.start, lines.stop):
                _native_pixel(pixel_K, mixed, begin, columns, mix, x)
                rest = np.float32(0.0)
                for k in range(classes):
                    rest += pixel_K[k]
                for k in range(classes):
                    bits_K[k] = (bits_K[k] & ~low_bits) | (low_bits - np.int32(k))
                for place in range(kept):
                    key = largest(bits_K)
                    winner = low_bits - (key & low_bits)
                    bits_K[winner] = np.int32(0)
                    best_bits[0] = key & ~low_bits
                    values_HWk[y - start, x, place] = best[0]
                    ids_HWk[y - start, x, place] = class_ids[winner]
                    rest -= best[0]
                residual_HW[y - start, x] = max(rest, np.float32(0.0))


@compiled
def probe_pixel(out_C: _F32, logits_LC: Logits, plan: Plan, y: int, x: int) -> None:
    """Probabilities of all channels at pixel (y, x) of the image into `out_C`."""
    ends = np.zeros(1, np.int32)
    lines = _new_lines(plan, out_C.shape[0], out_C.shape[0], x, x + 1)
    lines.wanted[:] = True
    _mix_lines(lines, logits_LC, plan, y, ends, ends)
    _native_pixel(out_C, lines.mixed, lines.begin, plan.native_columns, plan.native_column_mix, x)


def warm_up() -> None:
    """Compile, or load what was compiled before, so that the first image does not wait for it."""
    one = Tiling(1, 1, 1)
    plan = plan_of([one], height=1, width=1, images=1, logits_stride=1)
    winners, shares = np.zeros(1, np.int32), np.zeros(1, np.float32)
    ids, groups = np.zeros((1, 1), np.uint16), (np.zeros(1, np.int32), np.array([0, 1], np.int32))
    for logits in (np.zeros((1, 1), np.float32), np.zeros((1, 1), np.uint16)):
        logit_winner_rows(winners.copy(), shares.copy(), logits, 0, 1)
        grid_winner_rows(winners.copy(), shares.copy(), winners, shares, plan, 0, 1, 0, 1)
        read = (ids[0].copy(), logits, plan, *groups)
        label_rows(ids.copy(), ids[0].copy(), winners, shares, True, *read[1:], 0, 1)
        probe_pixel(np.zeros(1, np.float32), logits, plan, 0, 0)
        read_rows(ids.copy(), ids.copy(), ids.copy(), *read, CONFIDENCE, 0, 1)

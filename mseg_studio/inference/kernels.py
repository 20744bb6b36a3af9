"""The two fused passes around the network on the CPU, compiled by numba.

Every function works on a range of rows, releases the interpreter lock and touches nothing outside its rows, so that a
thread pool runs them side by side and the answer does not depend on how rows are shared out. The plain torch versions
in `plain.py` are the oracle. Sums may be reordered. Maxima are taken over the bits seen as integers: they have the same
order, and the compiler makes vector code of them; floating-point maxima stay scalar and cost four times as much.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

_F32 = npt.NDArray[np.float32]
_I32 = npt.NDArray[np.int32]

_LOG2_E = np.float32(1.4426950408889634)
_LN_2_HIGH = np.float32(0.693359375)
_LN_2_LOW = np.float32(-2.12194440e-4)
_SMALLEST = np.float32(-87.0)
_SURE = np.float32(0.5001)
"""Half of the probability and some rounding."""


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    flags = {"contract", "reassoc", "nsz", "nnan"}
    compiled: Callable[..., Any] = numba.njit(nogil=True, cache=True, fastmath=flags, error_model="numpy")(function)
    return compiled


@_compiled
def _largest(bits_C: _I32) -> Any:
    """The largest of non-negative floats, both as int32 bits."""
    top = np.int32(0)
    for c in range(bits_C.shape[0]):
        top = max(top, bits_C[c])
    return top


@_compiled
def _first(bits_C: _I32, wanted: int) -> Any:
    """Smallest index of `wanted` in `bits_C`, which holds it."""
    channels = np.int32(bits_C.shape[0])
    found = channels
    for c in range(bits_C.shape[0]):
        found = min(found, np.int32(c) if bits_C[c] == wanted else channels)
    return found


@_compiled
def _softmax_into(out_C: _F32, scale_C: _F32, factor: float) -> None:
    """Replace the logits in `out_C` by softmax x factor; `scale_C` is scratch of the same length.

    exp as in Cephes' expf: split into 2^n and a polynomial on [-ln2/2, ln2/2], 2 units in the last place.
    """
    channels = out_C.shape[0]
    out_bits, scale_bits = out_C.view(np.int32), scale_C.view(np.int32)
    sign, others = np.int32(31), np.int32(0x7FFFFFFF)
    largest = np.int32(-0x80000000)
    for c in range(channels):
        largest = max(largest, out_bits[c] ^ ((out_bits[c] >> sign) & others))
    scale_bits[0] = largest ^ ((largest >> sign) & others)
    top = scale_C[0]
    for c in range(channels):
        x = max(out_C[c] - top, _SMALLEST)
        n = np.int32(x * _LOG2_E - np.float32(0.5))
        r = x - np.float32(n) * _LN_2_HIGH
        r = r - np.float32(n) * _LN_2_LOW
        p = np.float32(1.9875691500e-4)
        p = p * r + np.float32(1.3981999507e-3)
        p = p * r + np.float32(8.3334519073e-3)
        p = p * r + np.float32(4.1665795894e-2)
        p = p * r + np.float32(1.6666665459e-1)
        p = p * r + np.float32(5.0000001201e-1)
        out_C[c] = p * r * r + r + np.float32(1.0)
        scale_bits[c] = (n + np.int32(127)) << np.int32(23)
    total = np.float32(0.0)
    for c in range(channels):
        e = out_C[c] * scale_C[c]
        out_C[c] = e
        total += e
    share = np.float32(factor) / total
    for c in range(channels):
        out_C[c] *= share


@_compiled
def add_crop_rows(
    grid_hwC: _F32,
    logits_NhwC: _F32,
    row_low: _I32,
    row_high: _I32,
    row_mix: _F32,
    column_low: _I32,
    column_high: _I32,
    column_mix: _F32,
    row_share: _F32,
    column_share: _F32,
    top: int,
    left: int,
    start: int,
    stop: int,
) -> None:
    """Upsample, softmax, mean with the mirrored crop, add: rows start:stop of a crop's visible part.

    Row i of the part is row `top + i` of the grid and mixes logit rows `row_low[i]` and `row_high[i]`. The columns'
    taps have one line for each of the N images (N, columns). A pixel counts `row_share[i] * column_share[j]`.
    """
    images, _, width, channels = logits_NhwC.shape
    line_wC = np.empty((width, channels), np.float32)
    pixel_C = np.empty(channels, np.float32)
    scratch_C = np.empty(channels, np.float32)
    for i in range(start, stop):
        for image in range(images):
            low_wC, high_wC = logits_NhwC[image, row_low[i]], logits_NhwC[image, row_high[i]]
            mix = row_mix[i]
            rest = np.float32(1.0) - mix
            for x in range(width):
                for c in range(channels):
                    line_wC[x, c] = rest * low_wC[x, c] + mix * high_wC[x, c]
            for j in range(column_share.shape[0]):
                a, b = line_wC[column_low[image, j]], line_wC[column_high[image, j]]
                mix = column_mix[image, j]
                rest = np.float32(1.0) - mix
                for c in range(channels):
                    pixel_C[c] = rest * a[c] + mix * b[c]
                _softmax_into(pixel_C, scratch_C, row_share[i] * column_share[j] / np.float32(images))
                target_C = grid_hwC[top + i, left + j]
                for c in range(channels):
                    target_C[c] += pixel_C[c]


@_compiled
def winner_rows(winners_P: _I32, sure_P: npt.NDArray[np.bool_], probabilities_PC: _F32, start: int, stop: int) -> None:
    """The most probable channel of pixels start:stop, and whether it has more than half of the probability."""
    bits_PC = probabilities_PC.view(np.int32)
    for p in range(start, stop):
        top = _largest(bits_PC[p])
        winner = _first(bits_PC[p], top)
        winners_P[p] = winner
        sure_P[p] = probabilities_PC[p, winner] > _SURE


@_compiled
def _sum_groups(sums_K: _F32, scores_C: _F32, members: _I32, ends: _I32) -> None:
    """`sums_K[k]` is the sum of the channels `members[ends[k]:ends[k + 1]]`."""
    for k in range(sums_K.shape[0]):
        total = np.float32(0.0)
        for m in range(ends[k], ends[k + 1]):
            total += scores_C[members[m]]
        sums_K[k] = total


@_compiled
def target_winner_rows(
    targets_P: _I32,
    winners_P: _I32,
    sure_P: npt.NDArray[np.bool_],
    probabilities_PC: _F32,
    lookup_C: _I32,
    members: _I32,
    ends: _I32,
    start: int,
    stop: int,
) -> None:
    """The target with the largest sum for pixels start:stop. `lookup_C` is the target of a channel, -1 for none.

    A channel with more than half of the probability decides without a sum: no other group can reach it.
    """
    sums_K = np.empty(ends.shape[0] - 1, np.float32)
    bits_K = sums_K.view(np.int32)
    for p in range(start, stop):
        target = lookup_C[winners_P[p]]
        if not sure_P[p] or target < 0:
            _sum_groups(sums_K, probabilities_PC[p], members, ends)
            target = _first(bits_K, _largest(bits_K))
        targets_P[p] = target


@_compiled
def _native_line(
    lines_wK: _F32,
    wanted_w: npt.NDArray[np.bool_],
    probabilities_PC: _F32,
    members: _I32,
    ends: _I32,
    firsts: _I32,
    widths: _I32,
    low: _I32,
    high: _I32,
    mix: _F32,
) -> None:
    """Vertical half of the resize to native size: one line of every scale, one behind the other, projected.

    Only pixels in `wanted_w` are filled in. Without groups (`ends` holds one number) channels stay as they are.
    """
    channels = probabilities_PC.shape[1]
    grouped = ends.shape[0] > 1
    pixel_C = np.empty(channels, np.float32)
    at = 0
    for scale in range(widths.shape[0]):
        a0 = firsts[scale] + low[scale] * widths[scale]
        b0 = firsts[scale] + high[scale] * widths[scale]
        share = np.float32(1.0) / np.float32(widths.shape[0])
        b_share = mix[scale] * share
        a_share = share - b_share
        for x in range(widths[scale]):
            if not wanted_w[at + x]:
                continue
            a, b = probabilities_PC[a0 + x], probabilities_PC[b0 + x]
            mixed_C = pixel_C if grouped else lines_wK[at + x]
            for c in range(channels):
                mixed_C[c] = a_share * a[c] + b_share * b[c]
            if grouped:
                _sum_groups(lines_wK[at + x], pixel_C, members, ends)
        at += widths[scale]


@_compiled
def _native_pixel(pixel_C: _F32, lines_wC: _F32, low: _I32, high: _I32, mix: _F32, x: int) -> None:
    """Horizontal half: the mean over all scales of one pixel into `pixel_C`."""
    channels = pixel_C.shape[0]
    for scale in range(low.shape[0]):
        a, b = lines_wC[low[scale, x]], lines_wC[high[scale, x]]
        b_share = mix[scale, x]
        a_share = np.float32(1.0) - b_share
        if scale == 0:
            for c in range(channels):
                pixel_C[c] = a_share * a[c] + b_share * b[c]
        else:
            for c in range(channels):
                pixel_C[c] += a_share * a[c] + b_share * b[c]


@_compiled
def _agreed(
    winners_P: _I32, firsts: _I32, widths: _I32, row_low: _I32, row_high: _I32, column_low: _I32, column_high: _I32
) -> Any:
    """The channel that wins at every grid pixel that a native pixel is mixed from, or -1.

    Mixing has positive shares, so what is largest everywhere is largest in the mixture: no need to compute it.
    """
    agreed, at = np.int32(-1), np.int32(0)
    for scale in range(widths.shape[0]):
        a0 = firsts[scale] + row_low[scale] * widths[scale] - at
        b0 = firsts[scale] + row_high[scale] * widths[scale] - at
        winner = winners_P[a0 + column_low[scale]]
        if scale == 0:
            agreed = winner
        if (
            winner != agreed
            or winners_P[a0 + column_high[scale]] != agreed
            or winners_P[b0 + column_low[scale]] != agreed
            or winners_P[b0 + column_high[scale]] != agreed
        ):
            return np.int32(-1)
        at += widths[scale]
    return agreed


@_compiled
def label_rows(
    labels_HW: npt.NDArray[np.uint16],
    class_ids: npt.NDArray[np.uint16],
    winners_P: _I32,
    probabilities_PC: _F32,
    members: _I32,
    ends: _I32,
    firsts: _I32,
    widths: _I32,
    row_low: _I32,
    row_high: _I32,
    row_mix: _F32,
    column_low: _I32,
    column_high: _I32,
    column_mix: _F32,
    start: int,
    stop: int,
) -> None:
    """Resize every scale's grid to native size, mean, sum of groups, argmax: rows start:stop of the label map.

    Grid of scale s: `firsts[s]` is its first pixel in `probabilities_PC`, `widths[s]` its width. Row taps are (S, H) in
    rows of that grid, column taps (S, W) in pixels of the lines of all scales, one behind the other. Groups as in
    `_sum_groups`, none when `ends` holds one number. `winners_P` is the best group of every grid pixel. Between equal
    values the smaller group wins; group k is written as `class_ids[k]`.
    """
    lines_wK = np.empty((widths.sum(), class_ids.shape[0]), np.float32)
    wanted_w = np.empty(len(lines_wK), np.bool_)
    open_W = np.empty(labels_HW.shape[1], np.int32)
    pixel_K = np.empty(class_ids.shape[0], np.float32)
    bits_K = pixel_K.view(np.int32)
    for y in range(start, stop):
        low, high, mix = row_low[:, y], row_high[:, y], row_mix[:, y]
        wanted_w[:] = False
        open_count = 0
        for x in range(labels_HW.shape[1]):
            winner = _agreed(winners_P, firsts, widths, low, high, column_low[:, x], column_high[:, x])
            if winner >= 0:
                labels_HW[y, x] = class_ids[winner]
                continue
            open_W[open_count] = x
            open_count += 1
            for scale in range(widths.shape[0]):
                wanted_w[column_low[scale, x]] = True
                wanted_w[column_high[scale, x]] = True
        _native_line(lines_wK, wanted_w, probabilities_PC, members, ends, firsts, widths, low, high, mix)
        for x in open_W[:open_count]:
            _native_pixel(pixel_K, lines_wK, column_low, column_high, column_mix, x)
            labels_HW[y, x] = class_ids[_first(bits_K, _largest(bits_K))]


@_compiled
def top_k_rows(
    ids_HWk: npt.NDArray[np.uint16],
    values_HWk: _F32,
    residual_HW: _F32,
    class_ids: npt.NDArray[np.uint16],
    probabilities_PC: _F32,
    members: _I32,
    ends: _I32,
    firsts: _I32,
    widths: _I32,
    row_low: _I32,
    row_high: _I32,
    row_mix: _F32,
    column_low: _I32,
    column_high: _I32,
    column_mix: _F32,
    start: int,
    stop: int,
) -> None:
    """As `label_rows`, but the k largest, descending, and the sum of all others. The arrays hold these rows only."""
    kept, classes = ids_HWk.shape[2], class_ids.shape[0]
    lines_wK = np.empty((widths.sum(), classes), np.float32)
    wanted_w = np.ones(len(lines_wK), np.bool_)
    pixel_K = np.empty(classes, np.float32)
    for y in range(start, stop):
        low, high, mix = row_low[:, y], row_high[:, y], row_mix[:, y]
        _native_line(lines_wK, wanted_w, probabilities_PC, members, ends, firsts, widths, low, high, mix)
        for x in range(ids_HWk.shape[1]):
            _native_pixel(pixel_K, lines_wK, column_low, column_high, column_mix, x)
            values, ids = values_HWk[y - start, x], ids_HWk[y - start, x]
            filled = 0
            total = np.float32(0.0)
            for c in range(classes):
                total += pixel_K[c]
            for c in range(classes):
                value = pixel_K[c]
                if filled == kept and value <= values[kept - 1]:
                    continue
                place = min(filled, kept - 1)
                while place > 0 and values[place - 1] < value:
                    values[place] = values[place - 1]
                    ids[place] = ids[place - 1]
                    place -= 1
                values[place] = value
                ids[place] = class_ids[c]
                filled = min(filled + 1, kept)
            for c in range(kept):
                total -= values[c]
            residual_HW[y - start, x] = max(total, np.float32(0.0))


def warm_up() -> None:
    """Compile, or load what was compiled before, so that the first image does not wait for it."""
    scores, zeros, ones = np.ones((1, 1), np.float32), np.zeros((1, 1), np.int32), np.ones(1, np.int32)
    taps = (zeros, zeros, np.zeros((1, 1), np.float32))
    share, crop = scores[0], np.zeros((1, 1, 1, 1), np.float32)
    add_crop_rows(crop[0].copy(), crop, *(tap[0] for tap in taps), *taps, share, share, 0, 0, 0, 1)
    winners, sure, groups = np.zeros(1, np.int32), np.zeros(1, np.bool_), (zeros[0], np.array([0, 1], np.int32))
    winner_rows(winners, sure, scores, 0, 1)
    target_winner_rows(winners.copy(), winners, sure, scores, zeros[0], *groups, 0, 1)
    for dtype in (np.uint8, np.uint16):
        place = (scores, *groups, zeros[0], ones, *taps, *taps, 0, 1)
        ids = np.zeros(1, dtype)
        label_rows(np.zeros((1, 1), dtype), ids, winners, *place)
        top_k_rows(np.zeros((1, 1, 1), dtype), np.zeros((1, 1, 1), np.float32), scores.copy(), ids, *place)

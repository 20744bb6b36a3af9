"""The compiled passes between the network's logits and labels, by numba: no build step for the user.

Every function works on a range of rows, releases the interpreter lock and touches nothing outside its rows, so that a
thread pool runs them side by side and the answer does not depend on how rows are shared out. The plain torch versions
in `plain.py` are the oracle. Sums may be reordered. Maxima are taken over the bits seen as integers: they have the same
order, and the compiler makes vector code of them; floating-point maxima stay scalar and cost four times as much.

Logits are float32, or bfloat16 seen as uint16.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload

from mseg_studio.inference.plan import Plan

_F32 = npt.NDArray[np.float32]
_I32 = npt.NDArray[np.int32]
Logits = npt.NDArray[np.float32] | npt.NDArray[np.uint16]

_LOG2_E = np.float32(1.4426950408889634)
_LN_2_HIGH = np.float32(0.693359375)
_LN_2_LOW = np.float32(-2.12194440e-4)
_SMALLEST = np.float32(-87.0)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` compiled at its first call and kept on disk; without the interpreter lock."""
    flags = {"contract", "reassoc", "nsz", "nnan"}
    done: Callable[..., Any] = numba.njit(nogil=True, cache=True, fastmath=flags, error_model="numpy")(function)
    return done


@intrinsic
def _bits_as_float(_context: Any, bits: Any) -> Any:
    """float32 with the bits of an uint32."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), generate


_as_float: Any = _bits_as_float
"""For the type checker, which takes an intrinsic's first argument for one of the caller's."""


def _value(_logit: Any) -> Any:
    """A logit as float32: the upper half of its bits is all that a bfloat16 is."""
    raise NotImplementedError("called from compiled code only")


@overload(_value, inline="always")
def _value_overload(logit: Any) -> Any:
    def as_it_is(logit: Any) -> Any:
        return logit

    def widened(logit: Any) -> Any:
        return _as_float(np.uint32(logit) << np.uint32(16))

    return as_it_is if isinstance(logit, types.Float) else widened


@compiled
def largest(bits_C: _I32) -> Any:
    """The largest of non-negative floats, both as int32 bits."""
    top = np.int32(0)
    for c in range(bits_C.shape[0]):
        top = max(top, bits_C[c])
    return top


@compiled
def first(bits_C: _I32, wanted: int) -> Any:
    """Smallest index of `wanted` in `bits_C`, which holds it."""
    channels = np.int32(bits_C.shape[0])
    found = channels
    for c in range(bits_C.shape[0]):
        found = min(found, np.int32(c) if bits_C[c] == wanted else channels)
    return found


@compiled
def _exponentials(pixel_C: _F32, scale_C: _F32) -> Any:
    """Replace logits by exp(logit - largest) and return their sum; `scale_C` is scratch of the same length.

    exp as in Cephes' expf: split into 2^n and a polynomial on [-ln2/2, ln2/2], 2 units in the last place.
    """
    channels = pixel_C.shape[0]
    bits_C, scale_bits = pixel_C.view(np.int32), scale_C.view(np.int32)
    sign, others = np.int32(31), np.int32(0x7FFFFFFF)
    top_bits = np.int32(-0x80000000)
    for c in range(channels):
        top_bits = max(top_bits, bits_C[c] ^ ((bits_C[c] >> sign) & others))
    scale_bits[0] = top_bits ^ ((top_bits >> sign) & others)
    top = scale_C[0]
    total = np.float32(0.0)
    for c in range(channels):
        x = max(pixel_C[c] - top, _SMALLEST)
        n = np.int32(x * _LOG2_E - np.float32(0.5))
        r = x - np.float32(n) * _LN_2_HIGH
        r = r - np.float32(n) * _LN_2_LOW
        p = np.float32(1.9875691500e-4)
        p = p * r + np.float32(1.3981999507e-3)
        p = p * r + np.float32(8.3334519073e-3)
        p = p * r + np.float32(4.1665795894e-2)
        p = p * r + np.float32(1.6666665459e-1)
        p = p * r + np.float32(5.0000001201e-1)
        e = (p * r * r + r + np.float32(1.0)) * _as_float(np.uint32((n + np.int32(127)) << np.int32(23)))
        pixel_C[c] = e
        total += e
    return total


@compiled
def logit_winner_rows(winners_L: _I32, shares_L: _F32, logits_LC: Logits, start: int, stop: int) -> None:
    """The largest channel of logit pixels start:stop, and its probability there."""
    channels = logits_LC.shape[1]
    pixel_C = np.empty(channels, np.float32)
    scratch_C = np.empty(channels, np.float32)
    bits_C = pixel_C.view(np.int32)
    for at in range(start, stop):
        for c in range(channels):
            pixel_C[c] = _value(logits_LC[at, c])
        total = _exponentials(pixel_C, scratch_C)
        winner = first(bits_C, largest(bits_C))
        winners_L[at] = winner
        shares_L[at] = pixel_C[winner] / total


@compiled
def grid_winner_rows(
    winners_G: _I32,
    least_G: _F32,
    winners_L: _I32,
    shares_L: _F32,
    plan: Plan,
    first_column: int,
    end_column: int,
    start: int,
    stop: int,
) -> None:
    """The channel that wins at every logit pixel which a grid pixel is mixed from, and its least probability; or -1, 0.

    Of grid rows start:stop of one scale, whose columns are given. Upsampling, softmax and all means keep what is
    largest everywhere the largest: no need to compute it. Nor does its probability fall below the least of the
    corners: 1 / p is the sum of exp(other - winner), which is convex.
    """
    row_ends, row_sources = plan.row_ends, plan.row_sources
    column_ends, column_sources, row_place = plan.column_ends, plan.column_sources, plan.row_place
    for row in range(start, stop):
        for column in range(first_column, end_column):
            agreed = np.int32(-2)
            least = np.float32(1.0)
            for i in range(row_ends[row], row_ends[row + 1]):
                for j in range(column_ends[column], column_ends[column + 1]):
                    for corner in range(4):
                        at = row_sources[i, corner // 2] + column_sources[j, corner % 2]
                        winner = winners_L[at]
                        agreed = winner if agreed == -2 or agreed == winner else np.int32(-1)
                        least = min(least, shares_L[at])
            winners_G[row_place[row] + column] = agreed
            least_G[row_place[row] + column] = least if agreed >= 0 else np.float32(0.0)


@compiled
def _interpolated(
    pixel_C: _F32, logits_LC: Logits, a: int, b: int, c: int, d: int, row_mix: float, column_mix: float
) -> None:
    """Logits between four pixels: `a` and `b` in the upper row, `c` and `d` in the lower one."""
    one = np.float32(1.0)
    wa, wb = (one - row_mix) * (one - column_mix), (one - row_mix) * column_mix
    wc, wd = row_mix * (one - column_mix), row_mix * column_mix
    for k in range(pixel_C.shape[0]):
        upper = wa * _value(logits_LC[a, k]) + wb * _value(logits_LC[b, k])
        pixel_C[k] = upper + wc * _value(logits_LC[c, k]) + wd * _value(logits_LC[d, k])


@compiled
def grid_pixel(
    out_C: _F32,
    pixel_C: _F32,
    scratch_C: _F32,
    logits_LC: Logits,
    row_ends: _I32,
    row_sources: _I32,
    row_mix: _F32,
    column_ends: _I32,
    column_sources: _I32,
    column_mix: _F32,
    row: int,
    column: int,
) -> None:
    """Probabilities of a grid pixel into `out_C`: upsample, softmax, mean over images and windows.

    Arrays one by one: handing over a whole `Plan` costs more than a softmax, for counting references.
    """
    pairs = (row_ends[row + 1] - row_ends[row]) * (column_ends[column + 1] - column_ends[column])
    share = np.float32(1.0) / np.float32(pairs)
    out_C[:] = 0
    for i in range(row_ends[row], row_ends[row + 1]):
        upper, lower = row_sources[i, 0], row_sources[i, 1]
        for j in range(column_ends[column], column_ends[column + 1]):
            left, right = column_sources[j, 0], column_sources[j, 1]
            corners = (upper + left, upper + right, lower + left, lower + right)
            _interpolated(pixel_C, logits_LC, *corners, row_mix[i], column_mix[j])
            factor = share / _exponentials(pixel_C, scratch_C)
            for k in range(out_C.shape[0]):
                out_C[k] += pixel_C[k] * factor


@compiled
def keep_rows(
    slots_G: _I32,
    kept_SC: _F32,
    logits_LC: Logits,
    plan: Plan,
    first_column: int,
    end_column: int,
    start: int,
    stop: int,
) -> None:
    """Probabilities of the grid pixels that have a slot into their row of `kept_SC`; rows start:stop of one scale."""
    channels = kept_SC.shape[1]
    part_C, scratch_C = np.empty(channels, np.float32), np.empty(channels, np.float32)
    row_ends, row_sources, row_mix = plan.row_ends, plan.row_sources, plan.row_mix
    column_ends, column_sources, column_mix = plan.column_ends, plan.column_sources, plan.column_mix
    row_place = plan.row_place
    for row in range(start, stop):
        for column in range(first_column, end_column):
            slot = slots_G[row_place[row] + column]
            if slot >= 0:
                grid_pixel(
                    kept_SC[slot],
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


@compiled
def sum_groups(sums_K: _F32, scores_C: _F32, members: _I32, ends: _I32) -> None:
    """`sums_K[k]` is the sum of the channels `members[ends[k]:ends[k + 1]]`; what is behind them stays."""
    for k in range(ends.shape[0] - 1):
        total = np.float32(0.0)
        for m in range(ends[k], ends[k + 1]):
            total += scores_C[members[m]]
        sums_K[k] = total


@compiled
def kept_target_rows(
    targets_G: _I32, places: _I32, kept_SC: _F32, members: _I32, ends: _I32, start: int, stop: int
) -> None:
    """The best group at the grid pixels `places[start:stop]`, whose probabilities are the same rows of `kept_SC`."""
    grouped = ends.shape[0] > 1
    sums_K = np.zeros(ends.shape[0] - 1 if grouped else kept_SC.shape[1], np.float32)
    bits_K = sums_K.view(np.int32)
    for n in range(start, stop):
        if grouped:
            sum_groups(sums_K, kept_SC[n], members, ends)
        else:
            sums_K[:] = kept_SC[n]
        targets_G[places[n]] = first(bits_K, largest(bits_K))

"""Compiled: what needs the probabilities of every pixel of the image: measures, the most probable classes, a probe."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mseg_studio.inference.kernels import Logits, compiled, first, largest
from mseg_studio.inference.line_kernels import columns_at_once, mix_lines, native_pixel, new_lines, padded
from mseg_studio.inference.plan import Plan
from mseg_studio.labels.readout import MEASURE_STEPS, NO_MASS

_F32 = npt.NDArray[np.float32]
_I32 = npt.NDArray[np.int32]
_U16 = npt.NDArray[np.uint16]

CONFIDENCE, MARGIN, ENTROPY = 1, 2, 3
_NOTHING = np.float32(NO_MASS)
_FULL_SCALE = np.float32(MEASURE_STEPS)
_FLOAT16_NOTHING = np.float32(2.0**-25)
_LN_2 = np.float32(0.6931471805599453)


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
def _measure(pixel_K: _F32, classes: int, winner: int, kind: int) -> Any:
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
        elif classes == 1:
            value = np.float32(0.0)
        else:
            value = _entropy(pixel_K, np.float32(1.0) / total) / np.float32(np.log(classes))
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
    step = columns_at_once(plan, logits_LC.shape[1], classes)
    pixel_K = np.zeros(padded(classes), np.float32)
    bits_K = pixel_K.view(np.int32)
    columns, mix = plan.native_columns, plan.native_column_mix
    for column in range(0, width, step):
        lines = new_lines(plan, logits_LC.shape[1], classes, column, min(column + step, width))
        lines.wanted[:] = True
        mixed, begin = lines.mixed, lines.begin
        for y in range(start, stop):
            mix_lines(lines, logits_LC, plan, y, members, ends)
            for x in range(lines.start, lines.stop):
                native_pixel(pixel_K, mixed, begin, columns, mix, x)
                winner = first(bits_K, largest(bits_K))
                labels_HW[y, x] = class_ids[winner]
                confidence_HW[y, x] = _measure(pixel_K, classes, winner, CONFIDENCE)
                if kind != CONFIDENCE:
                    measure_HW[y, x] = _measure(pixel_K, classes, winner, kind)


@compiled
def _keys(keys_K: _I32, pixel_K: _F32, kept: int, low_bits: int) -> Any:
    """Sortable keys of the classes that float16 does not round to 0, or of `kept` classes if those are fewer.

    The lowest bits of a value make room for the class's complement, so that the smaller wins between equals: one
    maximum over integers gives both. That loses far less than float16 does afterwards. Returns the number of keys.
    """
    bits_K = pixel_K.view(np.int32)
    count = 0
    for k in range(pixel_K.shape[0]):
        if pixel_K[k] >= _FLOAT16_NOTHING:
            keys_K[count] = (bits_K[k] & ~low_bits) | (low_bits - np.int32(k))
            count += 1
    k = 0
    while count < kept:
        if pixel_K[k] < _FLOAT16_NOTHING:
            keys_K[count] = low_bits - np.int32(k)
            count += 1
        k += 1
    return count


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
    """As `label_rows`, but the k largest, descending, and the sum of all others. The arrays hold these rows only."""
    classes, kept = class_ids.shape[0], ids_HWk.shape[2]
    low_bits = np.int32(1)
    while low_bits < classes:
        low_bits *= np.int32(2)
    low_bits -= np.int32(1)
    width = ids_HWk.shape[1]
    step = columns_at_once(plan, logits_LC.shape[1], classes)
    pixel_K = np.zeros(padded(classes), np.float32)
    keys_K = np.empty(classes, np.int32)
    best = np.empty(1, np.float32)
    best_bits = best.view(np.int32)
    columns, mix = plan.native_columns, plan.native_column_mix
    for column in range(0, width, step):
        lines = new_lines(plan, logits_LC.shape[1], classes, column, min(column + step, width))
        lines.wanted[:] = True
        mixed, begin = lines.mixed, lines.begin
        for y in range(start, stop):
            mix_lines(lines, logits_LC, plan, y, members, ends)
            for x in range(lines.start, lines.stop):
                native_pixel(pixel_K, mixed, begin, columns, mix, x)
                count = _keys(keys_K, pixel_K[:classes], kept, low_bits)
                rest = np.float32(0.0)
                for k in range(classes):
                    rest += pixel_K[k]
                for place in range(kept):
                    key = largest(keys_K[:count])
                    winner = low_bits - (key & low_bits)
                    keys_K[first(keys_K[:count], key)] = np.int32(-1)
                    best_bits[0] = key & ~low_bits
                    values_HWk[y - start, x, place] = best[0]
                    ids_HWk[y - start, x, place] = class_ids[winner]
                    rest -= pixel_K[winner]
                residual_HW[y - start, x] = max(rest, np.float32(0.0))


@compiled
def probe_pixel(out_C: _F32, logits_LC: Logits, plan: Plan, y: int, x: int) -> None:
    """Probabilities of all channels at pixel (y, x) of the image into `out_C`."""
    ends = np.zeros(1, np.int32)
    lines = new_lines(plan, out_C.shape[0], out_C.shape[0], x, x + 1)
    lines.wanted[:] = True
    mix_lines(lines, logits_LC, plan, y, ends, ends)
    pixel_C = np.zeros(padded(out_C.shape[0]), np.float32)
    native_pixel(pixel_C, lines.mixed, lines.begin, plan.native_columns, plan.native_column_mix, x)
    out_C[:] = pixel_C[: out_C.shape[0]]

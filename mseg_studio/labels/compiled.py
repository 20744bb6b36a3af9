"""Passes over the kept classes of score maps, compiled by numba; imported only by what is about to run one.

Every function works on a range of pixels, releases the interpreter lock and writes nothing outside its range.
float16 comes as its bits: numba knows no float16 on the CPU, and `HALF` gives the value of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from mseg_studio.labels.label_map import Ids
from mseg_studio.labels.measures import CERTIFICATION_MARGIN
from mseg_studio.labels.readout import MEASURE_STEPS, NO_MASS

HALF: npt.NDArray[np.float32] = np.nan_to_num(np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32))
"""Value of every float16 by its bits."""

UNKNOWN_ID, WRONG_SUM, WRONG_ORDER = 1, 2, 3
"""What `check_pixels` finds."""

_SMALLEST_NORMAL = np.float32(2.0**-14)
_EXPONENTS_APART = np.uint32(112 << 23)
"""What float32 adds to an exponent more than float16 does, in place."""

_RATIO_MARGIN = 2e-3
"""More than it can move a quotient of two sums that are both above `CERTIFICATION_MARGIN`."""

_U16 = npt.NDArray[np.uint16]
_I32 = npt.NDArray[np.int32]
_F64 = npt.NDArray[np.float64]


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    done: Callable[..., Any] = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    return done


@_compiled
def _merge(sums_K: _F64, touched_k: _I32, ids_k: Ids, bits_k: _U16, half: Any, slots: _I32) -> Any:
    """Sum a pixel's kept probabilities by output class; gives how many of `touched_k` are slots with a sum.

    `sums_K` comes and, once the touched slots are cleared, goes with zeros.
    """
    count = 0
    for j in range(bits_k.shape[0]):
        value = half[bits_k[j]]
        if value == 0.0:
            break  # the others are 0 too
        slot = slots[ids_k[j]]
        if slot < 0:
            continue
        if sums_K[slot] == 0.0:
            touched_k[count] = slot
            count += 1
        sums_K[slot] += value
    return count


@_compiled
def _ranking(sums_K: _F64, touched_k: _I32, count: int) -> Any:
    """(slot of the largest sum, that sum, the second largest, the smallest, all together); equal: the smaller slot."""
    winner, best, second, smallest, total = -1, 0.0, 0.0, 2.0, 0.0
    for n in range(count):
        slot = touched_k[n]
        value = sums_K[slot]
        total += value
        smallest = min(smallest, value)
        if value > best or (value == best and slot < winner):
            winner, second, best = slot, best, value
        elif value > second:
            second = value
    return winner, best, second, smallest, total


@_compiled
def _entropy(sums_K: _F64, touched_k: _I32, count: int, smallest: float, mass: float, dropped: float) -> Any:
    """Entropy in [0, 1] of the sums and the dropped mass; `mass` is both together. See `measures`."""
    classes = sums_K.shape[0]
    if classes == 1:
        return 0.0
    if mass < NO_MASS:
        return 1.0
    logs = 0.0
    for n in range(count):
        value = sums_K[touched_k[n]]
        logs += value * math.log(value)
    if dropped > 0.0:
        if count < classes:
            logs += dropped * math.log(dropped / (classes - count))
        else:
            logs += (smallest + dropped) * math.log(smallest + dropped) - smallest * math.log(smallest)
    return (math.log(mass) - logs / mass) / math.log(classes)


@_compiled
def _confidence(best: float, mass: float, dropped: float, classes: int, exact: bool) -> Any:
    """(smallest, largest) confidence that any share-out of the dropped mass gives."""
    if mass < NO_MASS:
        return 0.0, 0.0
    if classes == 1:
        return (1.0, 1.0) if best > 0.0 else (0.0, 1.0)
    least = min(1.0, best / mass)
    return least, (least if exact else min(1.0, (best + dropped) / mass))


@_compiled
def _margin(best: float, second: float, mass: float, classes: int) -> Any:
    """Lead of the winner as a share of the mass; 1 where a single class takes part and has any."""
    if mass < NO_MASS:
        return 0.0
    return (best - second) / (best if classes == 1 and best > 0.0 else mass)


@_compiled
def read_pixels(
    labels_P: Ids,
    certified_P: npt.NDArray[np.bool_],
    measure_P: _U16,
    ids_Pk: Ids,
    bits_Pk: _U16,
    residual_P: _U16,
    half: npt.NDArray[np.float32],
    slots: _I32,
    class_ids_K: Ids,
    ignore_id: int,
    restricted: bool,
    exact: bool,
    least_steps: int,
    measure: int,
    start: int,
    stop: int,
) -> None:
    """Labels, certificates and a measure of pixels start:stop; see `measures.read`.

    `slots` gives each source id's place in `class_ids_K`, -1 for none. `exact`: without a mapping the first class is
    the answer. `least_steps` is the least confidence in 1/MEASURE_STEPS. `measure` is 0 for none, else 1 + its place in
    MEASURES.
    """
    classes = class_ids_K.shape[0]
    sums_K = np.zeros(classes, np.float64)
    touched_k = np.empty(bits_Pk.shape[1], np.int32)
    labels_only = measure == 0 and least_steps == 0
    asked = least_steps / MEASURE_STEPS
    for at in range(start, stop):
        slot = slots[ids_Pk[at, 0]]
        # More than half of the mass on one class: nothing can beat it, whatever the others map to.
        if labels_only and slot >= 0 and (exact or half[bits_Pk[at, 0]] > 0.5 + CERTIFICATION_MARGIN):
            labels_P[at] = class_ids_K[slot]
            certified_P[at] = True
            continue
        count = _merge(sums_K, touched_k, ids_Pk[at], bits_Pk[at], half, slots)
        winner, best, second, smallest, total = _ranking(sums_K, touched_k, count)
        dropped = np.float64(half[residual_P[at]])
        mass = total + dropped
        least, most = _confidence(best, mass, dropped, classes, exact)
        sure = count > 0 and (exact or classes == 1 or best - second > dropped + CERTIFICATION_MARGIN)
        steps = int(least * MEASURE_STEPS + 0.5)
        if steps < least_steps:
            labels_P[at] = ignore_id
            sure = mass > CERTIFICATION_MARGIN and most < asked - _RATIO_MARGIN
        elif count == 0:
            labels_P[at] = ignore_id if restricted else class_ids_K[0]
        else:
            labels_P[at] = class_ids_K[winner]
            sure = sure and (least_steps == 0 or classes == 1 or least >= asked + _RATIO_MARGIN)
        certified_P[at] = sure
        if measure > 0:
            value = least if measure == 1 else _margin(best, second, mass, classes)
            if measure == 3:
                value = _entropy(sums_K, touched_k, count, smallest, mass, dropped)
            measure_P[at] = np.uint16(min(1.0, max(0.0, value)) * MEASURE_STEPS + 0.5)
        for n in range(count):
            sums_K[touched_k[n]] = 0.0


@_compiled
def check_pixels(
    ids_Pk: Ids,
    bits_Pk: _U16,
    residual_P: _U16,
    half: npt.NDArray[np.float32],
    known: npt.NDArray[np.bool_],
    tolerance: float,
    start: int,
    stop: int,
) -> Any:
    """(what is wrong, pixel, place among the kept) of the first pixel of start:stop that no score map may hold.

    What is wrong is 0 for nothing. `known` tells by id whether it is a class.
    """
    for at in range(start, stop):
        rest = half[residual_P[at]]
        total, before, ordered = rest, np.float32(np.inf), rest >= 0.0
        for j in range(ids_Pk.shape[1]):
            if not known[ids_Pk[at, j]]:
                return UNKNOWN_ID, at, j
            value = half[bits_Pk[at, j]]
            ordered = ordered and 0.0 <= value <= before
            total += value
            before = value
        if not abs(total - 1.0) <= tolerance:
            return WRONG_SUM, at, 0
        if not ordered:
            return WRONG_ORDER, at, 0
    return 0, 0, 0


@_compiled
def write_half(out_Pk: _U16, values_Pk: npt.NDArray[np.float32], start: int, stop: int) -> None:
    """The float16 bits nearest to values 0 to 1, ties to even, for rows start:stop; arrays are contiguous (P, k).

    numpy's own conversion takes ten times as long for values that are subnormal in float16, as most of a tail is.
    """
    bits_Pk = values_Pk.view(np.uint32)
    for at in range(start, stop):
        for j in range(values_Pk.shape[1]):
            value, bits = values_Pk[at, j], bits_Pk[at, j]
            if value < _SMALLEST_NORMAL:
                out_Pk[at, j] = np.uint16(np.rint(value * np.float32(2.0**24)))
            else:
                odd = (bits >> np.uint32(13)) & np.uint32(1)
                out_Pk[at, j] = np.uint16((bits + odd + np.uint32(0xFFF) - _EXPONENTS_APART) >> np.uint32(13))


@_compiled
def _smoothed(
    found_ids: _I32,
    found_values: npt.NDArray[np.float32],
    place_C: _I32,
    past_ids_k: Ids,
    past_values_k: npt.NDArray[np.float32],
    now_ids_k: Ids,
    now_bits_k: _U16,
    half: npt.NDArray[np.float32],
    weight: np.float32,
) -> Any:
    """Weighted sums of the classes that either side kept, unordered; gives their number.

    `place_C` comes and goes with -1 everywhere.
    """
    count = past_ids_k.shape[0]
    for j in range(count):
        found_ids[j] = past_ids_k[j]
        found_values[j] = weight * past_values_k[j]
        place_C[past_ids_k[j]] = j
    for j in range(now_ids_k.shape[0]):
        value = (np.float32(1.0) - weight) * half[now_bits_k[j]]
        place = place_C[now_ids_k[j]]
        if place >= 0:
            found_values[place] += value
        else:
            found_ids[count] = now_ids_k[j]
            found_values[count] = value
            count += 1
    for j in range(past_ids_k.shape[0]):
        place_C[past_ids_k[j]] = -1
    return count


@_compiled
def _order(found_ids: _I32, found_values: npt.NDArray[np.float32], count: int) -> None:
    """Sort by falling value, between equal ones by rising id. Nearly sorted lists of some tens: by insertion."""
    for n in range(1, count):
        value, class_id, at = found_values[n], found_ids[n], n
        while at > 0 and (
            found_values[at - 1] < value or (found_values[at - 1] == value and found_ids[at - 1] > class_id)
        ):
            found_values[at], found_ids[at] = found_values[at - 1], found_ids[at - 1]
            at -= 1
        found_values[at], found_ids[at] = value, class_id


@_compiled
def smooth_pixels(
    past_ids_Pk: Ids,
    past_values_Pk: npt.NDArray[np.float32],
    past_residual_P: npt.NDArray[np.float32],
    now_ids_Pk: Ids,
    now_bits_Pk: _U16,
    now_residual_P: _U16,
    half: npt.NDArray[np.float32],
    channels: int,
    weight: np.float32,
    start: int,
    stop: int,
) -> None:
    """Make pixels start:stop of the past the mean of itself (`weight`) and of what is now; see `smoothing`."""
    k = past_ids_Pk.shape[1]
    found_ids = np.empty(2 * k, np.int32)
    found_values = np.empty(2 * k, np.float32)
    place_C = np.full(channels, -1, np.int32)
    for at in range(start, stop):
        count = _smoothed(
            found_ids,
            found_values,
            place_C,
            past_ids_Pk[at],
            past_values_Pk[at],
            now_ids_Pk[at],
            now_bits_Pk[at],
            half,
            weight,
        )
        _order(found_ids, found_values, count)
        rest = weight * past_residual_P[at] + (np.float32(1.0) - weight) * half[now_residual_P[at]]
        for j in range(k):
            past_ids_Pk[at, j] = found_ids[j]
            past_values_Pk[at, j] = found_values[j]
        for j in range(k, count):
            rest += found_values[j]
        past_residual_P[at] = rest

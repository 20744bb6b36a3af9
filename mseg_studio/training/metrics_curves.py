"""What is drawn of a long column of numbers: its extremes in every piece of the screen, and its smoothed course."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.float64]

_BLOCK = 64
_COARSE = 4096
"""Pieces of the outline of a long curve."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A column ready to be drawn at any zoom in a few milliseconds, however long it is."""

    x: Column
    """(N,), not decreasing."""
    y: Column
    """(N,), NaN where there is no number."""
    outline_x: Column
    outline_y: Column
    """The extremes of equal pieces of the whole; the column itself where it is short."""
    has_numbers: bool

    @classmethod
    def of(cls, x: Column, y: Column, *, scale: float = 1.0) -> Curve:
        """The curve of `scale * y` over `x`."""
        if scale != 1.0:
            y = scale * y
        outline = decimated(x, y, low=-np.inf, high=np.inf, pieces=_COARSE)
        return cls(x, y, *outline, bool(np.isfinite(outline[1]).any()))

    def part(self, low: float, high: float, *, pieces: int) -> tuple[Column, Column]:
        """See `decimated`; from the outline where that is fine enough for what is between `low` and `high`."""
        first, last = np.searchsorted(self.outline_x, (low, high))
        fine = last - first >= 2 * pieces
        x, y = (self.outline_x, self.outline_y) if fine else (self.x, self.y)
        return decimated(x, y, low=low, high=high, pieces=pieces)


def decimated(x: Column, y: Column, *, low: float, high: float, pieces: int) -> tuple[Column, Column]:
    """The points between `low` and `high` and one beyond either end; of many only the extremes of equal pieces.

    `x` (N,) does not decrease. At most 2 points a piece and 2 at either end come back, in their order, so that no
    peak is lost; NaN in `y` is passed over where the piece has another number.
    """
    first = max(0, int(np.searchsorted(x, low, side="left")) - 1)
    last = min(len(x), int(np.searchsorted(x, high, side="right")) + 1)
    x, y = x[first:last], y[first:last]
    if len(y) <= 2 * pieces + 2:
        return x, y
    length = -(-len(y) // pieces)
    whole = len(y) // length * length
    parts = y[:whole].reshape(-1, length)
    ends = [_extremes(parts) + np.arange(len(parts))[:, None] * length]
    if whole < len(y):
        ends.append(_extremes(y[None, whole:]) + whole)
    ends.append(np.array([[0, len(y) - 1]]))
    at = np.unique(np.concatenate(ends))
    return x[at], y[at]


def _extremes(parts: Column) -> npt.NDArray[np.int64]:
    """Where the smallest and the largest number of every row is, (rows, 2); NaN is neither where there is another."""
    blank = np.isnan(parts)
    lowest = np.where(blank, np.inf, parts).argmin(axis=1)
    highest = np.where(blank, -np.inf, parts).argmax(axis=1)
    return np.stack([lowest, highest], axis=1)


def smoothed(y: Column, *, weight: float) -> Column:
    """Exponential moving average s_t = w s_(t-1) + (1 - w) y_t, divided by 1 - w^t so that the start is unbiased.

    `weight` from 0 (as it is) to below 1. NaN stays NaN and changes nothing else. Raises ValueError for another weight.
    """
    if not 0 <= weight < 1:
        raise ValueError(f"weight is {weight}, expected 0 to below 1")
    if weight == 0 or not len(y):
        return y.copy()
    there = np.isfinite(y)
    numbers = y[there]
    total = _recurrence((1 - weight) * numbers, weight)
    share = -np.expm1(np.arange(1, len(numbers) + 1) * np.log(weight))
    result = np.full(len(y), np.nan)
    result[there] = total / share
    return result


def _recurrence(x: Column, weight: float) -> Column:
    """s_t = weight s_(t-1) + x_t, (N,) from (N,): all blocks side by side, then what each hands to the next."""
    count = len(x)
    if count <= _BLOCK:
        values, last = np.empty(count), 0.0
        for index, value in enumerate(x.tolist()):
            last = weight * last + value
            values[index] = last
        return values
    blocks = -(-count // _BLOCK)
    # (_BLOCK, blocks): a step of all blocks lies in one row.
    table = np.zeros(blocks * _BLOCK)
    table[:count] = x
    table = np.ascontiguousarray(table.reshape(blocks, _BLOCK).T)
    for row in range(1, _BLOCK):
        table[row] += weight * table[row - 1]
    carried = _recurrence(table[-1], weight**_BLOCK)
    powers = weight ** np.arange(1, _BLOCK + 1)
    table[:, 1:] += powers[:, None] * carried[:-1]
    return np.ascontiguousarray(table.T).reshape(-1)[:count]

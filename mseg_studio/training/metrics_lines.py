"""Lines of metrics that are alike but for their numbers, read at once: what makes a log of a million lines quick.

`LineShape` is what such lines share; `read_alike` is compiled by numba and releases the interpreter lock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

_U8 = npt.NDArray[np.uint8]
_I64 = npt.NDArray[np.int64]
_F64 = npt.NDArray[np.float64]

_TENS: _F64 = np.array([10.0**power for power in range(23)])
"""Powers of ten that float64 holds exactly."""
_MOST_DIGITS = 19
"""So many digits always fit in 64 bits."""
_SPLIT = 134217729.0
"""2^27 + 1: cuts a float64 into two halves whose products are exact (Veltkamp)."""
_MARGIN = 2.0**-49
"""More than the relative error of the correction in `_quotient`."""

_NEWLINE, _MINUS, _PLUS, _POINT, _ZERO, _NINE, _SMALL_E, _LARGE_E = (ord(c) for c in "\n-+.09eE")


@dataclass(frozen=True, slots=True, eq=False)
class LineShape:
    """The text between the numbers of a line as `MetricsLog` writes it."""

    columns: tuple[str, ...]
    """What each number is: its key, or `key/name` in a mapping."""
    literal: _U8
    """All pieces of text, one after the other."""
    bounds: _I64
    """Where each piece begins, and the end: one piece more than there are numbers."""
    step_at: int
    """Which number is the step: a whole one."""


def shape_of(event: dict[str, Any], line: bytes) -> LineShape | None:
    """The shape of a line whose JSON is `event`; None when it is not written the way `MetricsLog` does."""
    if json.dumps(event, ensure_ascii=False).encode(errors="surrogatepass") != line:
        return None
    pieces, columns = [""], []
    for column, text in _parts(event):
        pieces[-1] += text
        if column:
            columns.append(column)
            pieces.append("")
    encoded = [piece.encode(errors="surrogatepass") for piece in pieces]
    bounds = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    literal = np.frombuffer(b"".join(encoded), np.uint8)
    return LineShape(tuple(columns), literal, bounds, columns.index("step")) if "step" in columns else None


def _parts(event: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Pieces of text; with a column: a number comes after it."""
    opening = "{"
    for key, value in event.items():
        name = f"{opening}{json.dumps(key, ensure_ascii=False)}: "
        opening = ", "
        if is_number(value):
            yield key, name
        elif isinstance(value, dict) and value and all(map(is_number, value.values())):
            inner = name + "{"
            for part in value:
                yield f"{key}/{part}", f"{inner}{json.dumps(part, ensure_ascii=False)}: "
                inner = ", "
            yield "", "}"
        else:
            yield "", name + json.dumps(value, ensure_ascii=False)
    yield "", "}"


def is_number(value: object) -> bool:
    """Whether a JSON value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def read_alike(data: _U8, start: int, shape: LineShape, into: _F64) -> tuple[int, int]:
    """Read lines of `data` from `start` that have the shape into rows of `into` (rows, numbers).

    Gives the rows written, and where the first line begins that is another, incomplete or beyond the room. A number
    that is not certain to be what Python makes of it counts as another line.
    """
    rows, end = _read(data, start, shape.literal, shape.bounds, shape.step_at, into, _TENS)
    return int(rows), int(end)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    done: Callable[..., Any] = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    return done


@_compiled
def _read(data: _U8, start: int, literal: _U8, bounds: _I64, step_at: int, into: _F64, tens: _F64) -> Any:
    """See `read_alike`."""
    size, numbers = data.shape[0], bounds.shape[0] - 2
    rows, line = 0, start
    while rows < into.shape[0]:
        at = line
        good = True
        for number in range(numbers + 1):
            first, last = bounds[number], bounds[number + 1]
            if at + (last - first) >= size:
                good = False
                break
            for place in range(first, last):
                if data[at + place - first] != literal[place]:
                    good = False
                    break
            if not good:
                break
            at += last - first
            if number < numbers:
                value, at, whole = _number(data, at, tens)
                if at < 0 or (number == step_at and not whole):
                    good = False
                    break
                into[rows, number] = value
        if not good or data[at] != _NEWLINE:
            break
        rows += 1
        line = at + 1
    return rows, line


@_compiled
def _divided(high: float, low: float, divisor: float) -> Any:
    """(high + low) / divisor as a quotient and the correction to it; the products are exact (Dekker)."""
    quotient = high / divisor
    product = quotient * divisor
    part = quotient * _SPLIT
    q_high = part - (part - quotient)
    q_low = quotient - q_high
    part = divisor * _SPLIT
    d_high = part - (part - divisor)
    d_low = divisor - d_high
    error = ((q_high * d_high - product) + q_high * d_low + q_low * d_high) + q_low * d_low
    return quotient, (((high - product) - error) + low) / divisor


@_compiled
def _quotient(mantissa: Any, power: int, tens: _F64) -> Any:
    """(mantissa * 10^power rounded to nearest, whether that is certain)."""
    small = mantissa < np.uint64(1 << 53)
    if mantissa == np.uint64(0):
        return 0.0, True
    if power >= 0:
        if power == 0 or (small and power <= 22):
            return np.float64(mantissa) * tens[power], True
        return 0.0, False
    if power < -44:
        return 0.0, False
    high = np.float64(mantissa)
    if small and power >= -22:
        return high / tens[-power], True
    # Two words: what the rounding of the mantissa left over is carried through the divisions.
    low = np.float64(np.int64(mantissa - np.uint64(high)))
    if power < -22:
        first, rest = _divided(high, low, tens[22])
        high = first + rest
        low = rest - (high - first)
        power += 22
    first, rest = _divided(high, low, tens[-power])
    value = first + rest
    slack = abs(rest) * _MARGIN
    return value, first + (rest + slack) == value and first + (rest - slack) == value


@_compiled
def _number(data: _U8, at: int, tens: _F64) -> Any:
    """(value, where it ends or -1, whether it is whole) of the JSON number at `at`; the data ends with a newline."""
    negative = data[at] == _MINUS
    if negative:
        at += 1
    mantissa, digits, power, whole = np.uint64(0), 0, 0, True
    first = at
    while _ZERO <= data[at] <= _NINE:
        mantissa = mantissa * np.uint64(10) + np.uint64(data[at] - _ZERO)
        digits += mantissa != np.uint64(0)  # zeros in front are none
        at += 1
    if at == first or (data[first] == _ZERO and at > first + 1):
        return 0.0, -1, False
    if data[at] == _POINT:
        at += 1
        whole = False
        first = at
        while _ZERO <= data[at] <= _NINE:
            mantissa = mantissa * np.uint64(10) + np.uint64(data[at] - _ZERO)
            digits += mantissa != np.uint64(0)
            power -= 1
            at += 1
        if at == first:
            return 0.0, -1, False
    if data[at] == _SMALL_E or data[at] == _LARGE_E:
        whole = False
        at += 1
        below = data[at] == _MINUS
        if below or data[at] == _PLUS:
            at += 1
        first, exponent = at, 0
        while _ZERO <= data[at] <= _NINE and at < first + 4:
            exponent = exponent * 10 + (data[at] - _ZERO)
            at += 1
        if at == first:
            return 0.0, -1, False
        power += -exponent if below else exponent
    if digits > _MOST_DIGITS:
        return 0.0, -1, False
    value, certain = _quotient(mantissa, power, tens)
    return (-value if negative else value), (at if certain else -1), whole

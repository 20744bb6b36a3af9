"""Run lengths to masks, as COCO and CVAT write them.

Sources: COCO's data format and its maskApi (counts column by column, zeros first; the string form has 5 bits a
character from code 48 on, bit 5 for "more follows", two's complement, differences to the count before last from the
fourth count on); CVAT's XML format, "Run-length encoding" (row by row within a box, zeros first).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_LONGEST = 7
"""Characters of one count: 35 bits, more than the pixels of any picture."""


class BadRunsError(ValueError):
    """Run lengths that describe no mask; the text says why."""


def counts_of_string(text: str) -> Counts:
    """Counts of COCO's string form. Raises BadRunsError."""
    try:
        codes = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError as error:
        raise BadRunsError("the run lengths hold a character that is none of theirs") from error
    if not len(codes):
        return np.zeros(0, np.int64)
    if codes.min() < 0 or codes.max() > 63:
        raise BadRunsError("the run lengths hold a character that is none of theirs")
    last = (codes & 32) == 0
    if not last[-1]:
        raise BadRunsError("the run lengths are cut off")
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > _LONGEST:
        raise BadRunsError("a run length is beyond any picture")
    places = np.arange(len(codes)) - np.repeat(starts, lengths)
    counts = np.add.reduceat((codes & 31) << (5 * places), starts)
    counts -= ((codes[ends] >> 4) & 1) << (5 * lengths)
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    return counts


def counts_of_list(values: Sequence[object]) -> Counts:
    """Counts from plain numbers. Raises BadRunsError."""
    for value in values:
        if type(value) is not int or not 0 <= value < 1 << 32:
            raise BadRunsError(f"a run length is {value!r:.40}, expected a whole number")
    return np.array(values, np.int64)


def mask_of(counts: Counts, height: int, width: int, *, by_column: bool = True) -> Mask:
    """The mask (height, width) of counts that start with zeros. Raises BadRunsError when they do not fill it."""
    if len(counts) and counts.min() < 0:
        raise BadRunsError("a run length is negative")
    if int(counts.sum()) != height * width or len(counts) > height * width + 2:
        raise BadRunsError(f"the run lengths are of {int(counts.sum())} pixels, expected {width} x {height}")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(width, height).T if by_column else flat.reshape(height, width)


def area_of(counts: Counts) -> int:
    """Pixels of the mask."""
    return int(counts[1::2].sum())

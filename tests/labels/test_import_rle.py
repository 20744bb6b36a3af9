from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mseg_studio.labels.import_rle import BadRunsError, area_of, counts_of_list, counts_of_string, mask_of
from tests.labels.importers.writers import runs_of, string_of_runs

MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 30), st.integers(1, 30)))


@given(MASKS, st.booleans())
def test_masks_come_back(mask: np.ndarray, by_column: bool) -> None:
    counts = counts_of_list(runs_of(mask, by_column=by_column))
    np.testing.assert_array_equal(mask_of(counts, *mask.shape, by_column=by_column), mask)
    assert area_of(counts) == int(mask.sum())


@given(st.lists(st.integers(0, (1 << 32) - 1), max_size=60))
def test_strings_come_back(counts: list[int]) -> None:
    assert counts_of_string(string_of_runs(counts)).tolist() == counts


@pytest.mark.parametrize(
    ("counts", "text"), [([0, 6, 1, 3], "061M"), ([0, 6, 1, 6], "0610"), ([0, 1024], "0PP1"), ([], "")]
)
def test_strings_as_the_format_has_them(counts: list[int], text: str) -> None:
    assert counts_of_string(text).tolist() == counts
    assert string_of_runs(counts) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("06 1", "a character that is none of theirs"),
        ("06\x7f", "a character that is none of theirs"),
        ("06\u00e4", "a character that is none of theirs"),
        ("06P", "cut off"),
        ("P" * 40 + "0", "beyond any picture"),
    ],
)
def test_broken_strings(text: str, message: str) -> None:
    with pytest.raises(BadRunsError, match=message):
        counts_of_string(text)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([3], "of 3 pixels, expected 2 x 2"),
        ([2, 3], "of 5 pixels"),
        ([0] * 9 + [4], "of 4 pixels"),
        ([], "of 0 pixels"),
    ],
)
def test_counts_that_do_not_fill_the_mask(counts: list[int], message: str) -> None:
    with pytest.raises(BadRunsError, match=message):
        mask_of(np.array(counts, np.int64), 2, 2)


def test_negative_counts_are_refused() -> None:
    with pytest.raises(BadRunsError, match="negative"):
        mask_of(counts_of_string(string_of_runs([2, 3, 1, -2])), 2, 2)


@pytest.mark.parametrize("value", [-1, 1.0, True, "3", None, 1 << 40])
def test_a_list_holds_whole_numbers(value: object) -> None:
    with pytest.raises(BadRunsError, match="expected a whole number"):
        counts_of_list([2, value])

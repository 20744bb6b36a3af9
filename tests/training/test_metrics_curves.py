"""Decimation keeps every peak, smoothing is the recurrence it says it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mseg_studio.training.metrics_curves import Curve, decimated, smoothed

values = st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))), max_size=400)


@given(values, st.floats(0, 0.999))
def test_smoothing_is_the_recurrence(found: list[float], weight: float) -> None:
    expected, total, count = [], 0.0, 0
    for value in found:
        if value != value:
            expected.append(value)
            continue
        count += 1
        total = weight * total + (1 - weight) * value
        expected.append(total / (1 - weight**count))
    np.testing.assert_allclose(smoothed(np.array(found), weight=weight), expected, rtol=1e-6, atol=1e-6)


def test_a_constant_stays_what_it_is_from_the_first_point() -> None:
    assert smoothed(np.full(10_000, 3.0), weight=0.99) == pytest.approx(3.0)


@pytest.mark.parametrize("weight", [-0.1, 1.0, float("nan")])
def test_another_weight_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="expected 0 to below 1"):
        smoothed(np.zeros(3), weight=weight)


@given(values, st.integers(1, 20), st.integers(-5, 405), st.integers(0, 405))
def test_decimation_loses_no_extreme_and_invents_no_point(
    found: list[float], pieces: int, low: int, width: int
) -> None:
    x, y = np.arange(len(found), dtype=float), np.array(found, dtype=float)
    some_x, some_y = decimated(x, y, low=low, high=low + width, pieces=pieces)
    assert len(some_x) <= 2 * pieces + 4
    assert np.all(np.diff(some_x) > 0)
    np.testing.assert_array_equal(y[some_x.astype(int)], some_y)
    inside = y[(x >= low) & (x <= low + width)]
    inside = inside[~np.isnan(inside)]
    if len(inside):
        assert np.nanmin(some_y) <= inside.min() and np.nanmax(some_y) >= inside.max()


@pytest.mark.parametrize("width", [30, 3_000, 200_000, 1_000_000])
def test_a_curve_shows_every_peak_at_any_zoom(width: int) -> None:
    x = np.arange(1_000_000, dtype=float)
    y = np.sin(x / 1000)
    y[500_010] = 9.0
    y[:1000] = np.nan
    some_x, some_y = Curve.of(x, y).part(500_000, 500_000 + width, pieces=400)
    assert np.nanmax(some_y) == 9.0 and len(some_x) <= 2 * 400 + 4
    assert some_x[0] <= 500_000 and some_x[-1] >= min(500_000 + width, 999_999)


def test_a_curve_without_numbers_says_so() -> None:
    assert not Curve.of(np.arange(3.0), np.full(3, np.nan)).has_numbers
    assert not Curve.of(np.empty(0), np.empty(0)).has_numbers
    assert Curve.of(np.arange(2.0), np.array([np.nan, 2.0]), scale=100).y[1] == 200

from __future__ import annotations

import math

import numpy as np
import pytest

from mseg_studio.evaluation.confusion import ConfusionMatrix
from mseg_studio.evaluation.metrics import harmonic_mean, metrics
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy

FOUR = Taxonomy("four", tuple(ClassInfo(i, name, (0, 0, 0)) for i, name in enumerate("abcd")))
# a: 6 of 10 right, 1 more claimed; b: 3 of 4; c: true but never found; d: in neither
COUNTS = np.array([[6, 1, 0, 0], [1, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], np.int64)
MISSED = np.array([3, 0, 2, 0], np.int64)
MATRIX = ConfusionMatrix(COUNTS, MISSED, FOUR)


def test_absent_classes_count_as_zero_by_default() -> None:
    result = metrics(MATRIX)
    expected = {"a": 6 / 11, "b": 3 / 5, "c": 0.0, "d": 0.0}
    assert result.iou == pytest.approx(expected)
    assert result.miou == pytest.approx(sum(expected.values()) / 4)
    assert result.macc == pytest.approx((6 / 10 + 3 / 4 + 0 + 0) / 4)
    assert result.allacc == pytest.approx(9 / 16)
    assert result.absent == ("d",)


def test_absent_classes_can_be_left_out() -> None:
    result = metrics(MATRIX, absent="skip")
    assert result.miou == pytest.approx((6 / 11 + 3 / 5 + 0) / 3)
    assert result.macc == pytest.approx((6 / 10 + 3 / 4 + 0) / 3)
    assert result.allacc == pytest.approx(9 / 16)
    assert math.isnan(result.iou["d"])


def test_means_over_some_classes() -> None:
    result = metrics(MATRIX, classes=("b", "a"))
    assert list(result.iou) == ["a", "b"]
    assert result.miou == pytest.approx((6 / 11 + 3 / 5) / 2)
    assert result.absent == ()
    for wrong in ((), ("a", "z")):
        with pytest.raises(ValueError, match="classes must be some of four"):
            metrics(MATRIX, classes=wrong)


def test_nothing_counted() -> None:
    for absent in ("zero", "skip"):
        result = metrics(ConfusionMatrix.empty(FOUR), absent=absent)
        assert (result.miou, result.macc, result.allacc) == (0, 0, 0)
        assert result.absent == ("a", "b", "c", "d")
    with pytest.raises(ValueError, match="zero or skip"):
        metrics(MATRIX, absent="other")  # type: ignore[arg-type]


def test_the_golden_example() -> None:
    # By hand: 2 x 3 pixels, one of them not scored.
    perfect = ConfusionMatrix(np.diag([2, 1, 1, 1]).astype(np.int64), np.zeros(4, np.int64), FOUR)
    result = metrics(perfect)
    assert result.miou == pytest.approx(1, abs=1e-9)
    assert result.allacc == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("values", "mean"), [([0.5], 0.5), ([1, 0.5], 2 / 3), ([0.8, 0.4, 0.2], 3 / 8.75), ([0.9, 0], 0.0)]
)
def test_harmonic_mean(values: list[float], mean: float) -> None:
    assert harmonic_mean(values) == pytest.approx(mean)


@pytest.mark.parametrize("values", [[], [-1.0], [math.nan], [math.inf]])
def test_no_harmonic_mean(values: list[float]) -> None:
    with pytest.raises(ValueError, match="expected numbers"):
        harmonic_mean(values)

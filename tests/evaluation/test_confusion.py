from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.evaluation.confusion import ConfusionMatrix
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy


def make_taxonomy(ids: list[int], name: str = "t") -> Taxonomy:
    return Taxonomy(
        name, tuple(ClassInfo(i, f"c{i}", (0, 0, 0)) for i in ids), ignore_id=255 if ids[-1] < 255 else 65535
    )


THREE = make_taxonomy([0, 1, 2])


def labels(rows: list[list[int]], taxonomy: Taxonomy = THREE) -> LabelMap:
    return LabelMap(np.array(rows).astype(taxonomy.id_dtype), taxonomy)


def test_rows_are_truth_and_ignored_truth_does_not_count() -> None:
    matrix = ConfusionMatrix.of(labels([[0, 0, 1, 2, 255, 255]]), labels([[0, 1, 1, 0, 0, 255]]))
    assert matrix.counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert matrix.missed.tolist() == [0, 0, 0]
    assert matrix.truth.tolist() == [2, 1, 1]
    assert matrix.predicted.tolist() == [2, 2, 0]
    assert matrix.intersection.tolist() == [1, 1, 0]
    assert matrix.union.tolist() == [3, 2, 1]


def test_a_prediction_without_class_is_a_miss_and_never_the_last_class() -> None:
    # Counting with a histogram whose last bin is closed, an id of n lands in class n - 1 (parity.md 2.6).
    last = make_taxonomy(list(range(255)))
    truth, nothing = labels([[254, 254, 253]], last), labels([[255, 254, 255]], last)
    matrix = ConfusionMatrix.of(truth, nothing)
    assert matrix.counts[254, 254] == 1
    assert matrix.counts.sum() == 1
    assert matrix.missed[254] == 1
    assert matrix.missed[253] == 1
    assert matrix.union[254] == 2
    assert matrix.intersection[253] == 0


def test_ids_with_holes_and_above_255() -> None:
    wide = make_taxonomy([3, 300])
    matrix = ConfusionMatrix.of(labels([[3, 300, 65535]], wide), labels([[300, 300, 3]], wide))
    assert matrix.counts.tolist() == [[0, 1], [0, 1]]


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
@settings(deadline=None)
def test_shards_add_up_in_any_order(seed: int, cuts: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.array([0, 1, 2, 255], np.uint8)
    truth, guess = rng.choice(values, (12, 5)), rng.choice(values, (12, 5))
    whole = ConfusionMatrix.of(LabelMap(truth, THREE), LabelMap(guess, THREE))
    parts = [
        ConfusionMatrix.of(LabelMap(t, THREE), LabelMap(g, THREE))
        for t, g in zip(np.array_split(truth, cuts), np.array_split(guess, cuts), strict=True)
    ]
    rng.shuffle(parts)  # type: ignore[arg-type]
    total = ConfusionMatrix.empty(THREE)
    for part in parts:
        total = total + part
    np.testing.assert_array_equal(total.counts, whole.counts)
    np.testing.assert_array_equal(total.missed, whole.missed)
    assert total.counts.sum() + total.missed.sum() == (truth != 255).sum()


def test_misuse_is_refused() -> None:
    other = make_taxonomy([0, 1], "other")
    with pytest.raises(ValueError, match="the prediction in other"):
        ConfusionMatrix.of(labels([[0]]), labels([[0]], other))
    with pytest.raises(ValueError, match="truth is"):
        ConfusionMatrix.of(labels([[0]]), labels([[0, 1]]))
    with pytest.raises(ValueError, match="do not add"):
        ConfusionMatrix.empty(THREE) + ConfusionMatrix.empty(other)
    with pytest.raises(ValueError, match="int64"):
        ConfusionMatrix(np.zeros((3, 3), np.int32), np.zeros(3, np.int32), THREE)
    with pytest.raises(ValueError, match=r"\(3, 3\)"):
        ConfusionMatrix(np.zeros((2, 2), np.int64), np.zeros(2, np.int64), THREE)

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.inference import plain
from mseg_studio.inference.cost import Cost
from mseg_studio.inference.grids import GridScores
from mseg_studio.inference.tiling import half_pixel_taps
from mseg_studio.labels.score_map import ScoreMap
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.taxonomy.projection import Projection, identity
from tests.factories import make_projection, make_taxonomy

NO_COST = Cost(0, 0, 0.0)


def make_dense(sizes, height, width, *, classes=12, seed=0) -> GridScores:
    rng = np.random.default_rng(seed)
    parts = []
    for h, w in sizes:
        scores = rng.random((h * w, classes), np.float32) ** 6
        parts.append(scores / scores.sum(axis=1, keepdims=True))
    return GridScores(torch.from_numpy(np.concatenate(parts)), tuple(sizes), height, width, NO_COST)


def native_by_cv2(dense: GridScores) -> np.ndarray:
    """(H, W, C): every channel resized by cv2, summed in the order of the scales, divided: the published way."""
    total = np.zeros((dense.height, dense.width, dense.num_channels), np.float32)
    for index in range(len(dense.grid_sizes)):
        grid = dense.grid(index).numpy()
        for c in range(dense.num_channels):
            plane = np.ascontiguousarray(grid[..., c])
            total[..., c] += cv2.resize(plane, (dense.width, dense.height), interpolation=cv2.INTER_LINEAR)
    return total / len(dense.grid_sizes)


def native_by_torch(dense: GridScores) -> np.ndarray:
    grids = [dense.grid(index) for index in range(len(dense.grid_sizes))]
    rows = [half_pixel_taps(height, dense.height) for height, _ in dense.grid_sizes]
    return plain.native_scores(
        grids, rows, [half_pixel_taps(width, dense.width) for _, width in dense.grid_sizes]
    ).numpy()


def is_argmax(labels_HW: np.ndarray, scores_HWC: np.ndarray) -> None:
    """Every label is a class whose score is the largest but for rounding."""
    chosen = np.take_along_axis(scores_HWC, labels_HW[..., None].astype(int), axis=2)[..., 0]
    assert (chosen >= scores_HWC.max(axis=2) - 1e-6).all()


sizes = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 40)), min_size=1, max_size=4)


@settings(max_examples=30, deadline=None)
@given(sizes, st.integers(1, 150), st.integers(1, 60), st.integers(1, 40))
def test_labels_are_the_argmax_of_the_resized_mean(grid_sizes, height, width, classes):
    dense = make_dense(grid_sizes, height, width, classes=classes, seed=height)
    labels = dense.labels(identity(make_taxonomy(num_classes=classes)))
    expected = native_by_cv2(dense)
    np.testing.assert_allclose(native_by_torch(dense), expected, atol=1e-6)
    is_argmax(labels.ids_HW, expected)
    assert labels.mapping == "projected"


@settings(max_examples=20, deadline=None)
@given(sizes, st.integers(1, 140), st.integers(1, 50), st.integers(1, 5))
def test_projecting_late_equals_projecting_before_the_resize(grid_sizes, height, width, groups):
    dense = make_dense(grid_sizes, height, width, seed=width)
    projection = make_projection(make_taxonomy(num_classes=12), groups=groups)
    labels = dense.labels(projection)
    expected = native_by_cv2(dense) @ projection.weights.T
    is_argmax(labels.ids_HW, expected)


def test_a_large_map_agrees_with_the_argmax_everywhere():
    dense = make_dense([(90, 160), (45, 80)], 270, 480, classes=60)
    labels = dense.labels(identity(make_taxonomy(num_classes=60)))
    assert (labels.ids_HW == native_by_cv2(dense).argmax(axis=2)).mean() >= 0.9999


def test_where_nothing_maps_the_first_class_is_the_answer():
    dense = make_dense([(6, 8)], 12, 16, classes=4)
    source = make_taxonomy(num_classes=4)
    target = Taxonomy("late", (ClassInfo(3, "three", (0, 0, 0)), ClassInfo(9, "nine", (9, 9, 9))))
    nothing = Projection(source, target, np.zeros((10, 4), np.float32))
    assert (dense.labels(nothing).ids_HW == 3).all()


def test_holes_of_a_taxonomy_never_win():
    classes = tuple(ClassInfo(i, f"class {i}", (i, i, i)) for i in (0, 1, 4, 5))
    taxonomy = Taxonomy("holes", classes)
    dense = make_dense([(10, 10)], 20, 20, classes=6)
    dense.probabilities_PC[:, 2:4] = 5
    assert set(np.unique(dense.labels(identity(taxonomy)).ids_HW)) <= {0, 1, 4, 5}


def test_more_than_255_classes_give_16_bit_ids():
    taxonomy = make_taxonomy(num_classes=300)
    dense = make_dense([(8, 9)], 16, 18, classes=300)
    labels = dense.labels(identity(taxonomy))
    assert labels.ids_HW.dtype == np.uint16
    is_argmax(labels.ids_HW, native_by_cv2(dense))


@pytest.mark.parametrize("k", [1, 4, 12, 40])
def test_top_k_are_the_largest_and_the_rest(k):
    taxonomy = make_taxonomy(num_classes=12)
    dense = make_dense([(20, 30), (10, 15)], 150, 70)
    found = dense.top_k(taxonomy, k=k, recipe_hash="r", model_sha256="m")
    expected = ScoreMap.from_dense(native_by_cv2(dense).transpose(2, 0, 1), taxonomy=taxonomy, k=k)
    assert (found.class_ids_HWk == expected.class_ids_HWk).mean() > 0.999
    np.testing.assert_allclose(
        found.probabilities_HWk.astype(float), expected.probabilities_HWk.astype(float), atol=1e-3
    )
    np.testing.assert_allclose(found.residual_HW.astype(float), expected.residual_HW.astype(float), atol=1e-3)
    assert (found.recipe_hash, found.model_sha256) == ("r", "m")


def test_the_probe_reads_one_pixel():
    dense = make_dense([(20, 30), (10, 15)], 50, 70)
    expected = native_by_cv2(dense)
    for x, y in [(0, 0), (69, 49), (31, 17)]:
        np.testing.assert_allclose(dense.probe(x, y), expected[y, x], atol=1e-6)
    with pytest.raises(ValueError, match="outside"):
        dense.probe(70, 0)


def test_another_number_of_classes_is_refused():
    dense = make_dense([(4, 4)], 8, 8)
    with pytest.raises(ValueError, match="12 channels"):
        dense.labels(identity(make_taxonomy(num_classes=5)))
    with pytest.raises(ValueError, match="scores are"):
        GridScores(torch.zeros((5, 3)), ((2, 2),), 8, 8, NO_COST)


def test_another_size_is_read_from_the_grids_at_once():
    dense = make_dense([(20, 30), (10, 15)], 50, 70)
    other = dense.at_size(33, 41)
    expected = make_dense([(20, 30), (10, 15)], 33, 41)
    taxonomy = identity(make_taxonomy(num_classes=12))
    np.testing.assert_array_equal(other.labels(taxonomy).ids_HW, expected.labels(taxonomy).ids_HW)

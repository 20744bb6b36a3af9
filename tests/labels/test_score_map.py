from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.labels.measures import CERTIFICATION_MARGIN
from mseg_studio.labels.score_map import ScoreMap
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.projection import Projection, identity
from tests.labels.factories import make_dense, make_projection, make_score_map, make_taxonomy, scenes


def dense_labels(projection: Projection, dense: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Argmax over the classes of the target, and best minus second best."""
    ids = np.array([info.id for info in projection.target.classes])
    scores = projection.project(dense)[ids].astype(np.float64)
    ordered = np.sort(np.concatenate([np.zeros_like(scores[:1]), scores]), axis=0)
    return ids[scores.argmax(axis=0)], ordered[-1] - ordered[-2]


@given(scenes(), st.integers(1, 24))
@settings(max_examples=40, deadline=None)
def test_top_k_sums_to_one_and_descends(scene: tuple[Taxonomy, Projection, np.ndarray], k: int) -> None:
    source, _, dense = scene
    scores = ScoreMap.from_dense(dense, taxonomy=source, k=k)
    assert scores.k == min(k, len(source))
    total = scores.probabilities_HWk.astype(np.float64).sum(axis=2) + scores.residual_HW
    assert np.abs(total - 1).max() < 1e-3
    assert (np.diff(scores.probabilities_HWk.astype(np.float64), axis=2) <= 0).all()
    taken = np.take_along_axis(dense.transpose(1, 2, 0), scores.class_ids_HWk.astype(np.intp), axis=2)
    np.testing.assert_array_equal(taken.astype(np.float16), scores.probabilities_HWk)
    assert all(len(set(row)) == scores.k for row in scores.class_ids_HWk.reshape(-1, scores.k).tolist())


@given(scenes())
@settings(max_examples=40, deadline=None)
def test_with_all_classes_the_projection_is_the_dense_argmax(scene: tuple[Taxonomy, Projection, np.ndarray]) -> None:
    source, projection, dense = scene
    scores = ScoreMap.from_dense(dense, taxonomy=source, k=64)
    assert (scores.residual_HW == 0).all()
    labels, _ = scores.project(projection)
    expected, lead = dense_labels(projection, dense)
    clear = lead > CERTIFICATION_MARGIN
    np.testing.assert_array_equal(labels.ids_HW[clear], expected[clear])


@given(scenes(), st.integers(1, 6))
@settings(max_examples=80, deadline=None)
def test_certified_pixels_are_always_right(scene: tuple[Taxonomy, Projection, np.ndarray], k: int) -> None:
    source, projection, dense = scene
    labels, certified = ScoreMap.from_dense(dense, taxonomy=source, k=k).project(projection)
    expected, _ = dense_labels(projection, dense)
    np.testing.assert_array_equal(labels.ids_HW[certified], expected[certified])


@given(scenes())
@settings(max_examples=30, deadline=None)
def test_what_is_clear_with_all_classes_is_certified(scene: tuple[Taxonomy, Projection, np.ndarray]) -> None:
    source, projection, dense = scene
    _, certified = ScoreMap.from_dense(dense, taxonomy=source, k=64).project(projection)
    _, lead = dense_labels(projection, dense)
    assert certified[lead > 3 * CERTIFICATION_MARGIN].all()


def test_sums_change_winners() -> None:
    source = make_taxonomy("source", classes=3)
    target = make_taxonomy("target", classes=2)
    projection = make_projection(source, target, {0: 0, 1: 1, 2: 1})
    dense = np.array([0.4, 0.3, 0.3], np.float32).reshape(3, 1, 1)
    labels, certified = ScoreMap.from_dense(dense, taxonomy=source).project(projection)
    assert labels.ids_HW[0, 0] == 1
    assert labels.mapping == "projected"
    assert certified[0, 0]


def test_dropped_mass_takes_the_certificate_away() -> None:
    source = make_taxonomy("source", classes=4)
    projection = make_projection(source, make_taxonomy("target", classes=2), {0: 0, 1: 1, 2: 1, 3: 1})
    dense = np.array([0.4, 0.3, 0.2, 0.1], np.float32).reshape(4, 1, 1)
    labels, certified = ScoreMap.from_dense(dense, taxonomy=source, k=2).project(projection)
    assert labels.ids_HW[0, 0] == 0, "what the kept classes say"
    assert not certified[0, 0]


def test_a_pixel_without_any_target_gets_the_first_class_and_no_certificate() -> None:
    source = make_taxonomy("source", classes=3)
    projection = make_projection(source, make_taxonomy("target", [4, 7]), {2: 7})
    dense = np.array([0.7, 0.3, 0.0], np.float32).reshape(3, 1, 1)
    labels, certified = ScoreMap.from_dense(dense, taxonomy=source).project(projection)
    assert labels.ids_HW[0, 0] == 4
    assert not certified[0, 0]


def test_ties_go_to_the_smaller_id_as_in_a_dense_argmax() -> None:
    source = make_taxonomy("source", classes=30)
    dense = np.full((30, 2, 2), 1 / 30, np.float32)
    scores = ScoreMap.from_dense(dense, taxonomy=source, k=4)
    assert scores.class_ids_HWk[0, 0].tolist() == [0, 1, 2, 3]
    target = make_taxonomy("target", classes=3)
    projection = make_projection(source, target, {0: 2, 1: 1, 2: 0, 3: 0, 4: 1, 5: 2})
    labels, _ = ScoreMap.from_dense(dense, taxonomy=source, k=30).project(projection)
    assert (labels.ids_HW == 0).all()


def test_without_a_mapping_the_first_class_is_the_answer() -> None:
    source = make_taxonomy("source", classes=30)
    dense = make_dense(source, 6, 5, sharpness=0.2)
    labels, certified = ScoreMap.from_dense(dense, taxonomy=source, k=2).project(identity(source))
    np.testing.assert_array_equal(labels.ids_HW, dense.argmax(axis=0))
    assert certified.all()


def test_ids_above_255() -> None:
    source = make_taxonomy("source", [0, 254, 300])
    dense = make_dense(source, 4, 4)
    scores = ScoreMap.from_dense(dense, taxonomy=source)
    assert scores.class_ids_HWk.dtype == np.uint16
    target = make_taxonomy("target", [1, 400])
    labels, _ = scores.project(make_projection(source, target, {0: 1, 254: 400, 300: 400}))
    assert labels.ids_HW.dtype == np.uint16
    assert set(np.unique(labels.ids_HW)) <= {1, 400}


def test_bands_give_the_same_as_the_whole() -> None:
    source = make_taxonomy("source", classes=9)
    dense = make_dense(source, 11, 6)
    whole = ScoreMap.from_dense(dense, taxonomy=source, k=4)
    bands = ScoreMap.from_bands((dense[:, a:b] for a, b in ((0, 3), (3, 4), (4, 11))), taxonomy=source, k=4)
    np.testing.assert_array_equal(whole.class_ids_HWk, bands.class_ids_HWk)
    np.testing.assert_array_equal(whole.residual_HW, bands.residual_HW)


def test_an_image_larger_than_a_band() -> None:
    source = make_taxonomy("source", classes=4)
    target = make_taxonomy("target", classes=2)
    projection = make_projection(source, target, {0: 0, 1: 1, 2: 1})
    dense = make_dense(source, 700, 400, sharpness=0.5)
    labels, _ = ScoreMap.from_dense(dense, taxonomy=source).project(projection)
    expected, lead = dense_labels(projection, dense)
    clear = lead > CERTIFICATION_MARGIN
    np.testing.assert_array_equal(labels.ids_HW[clear], expected[clear])


F16 = np.float16


@pytest.mark.parametrize(
    ("ids", "probabilities", "residual", "message"),
    [
        (np.zeros((1, 1, 2), np.uint16), np.zeros((1, 1, 2), F16), np.zeros((1, 1), F16), "uint8"),
        (np.zeros((1, 1), np.uint8), np.zeros((1, 1), F16), np.zeros((1, 1), F16), r"\(H, W, k\)"),
        (np.zeros((1, 1, 2), np.uint8), np.zeros((1, 1, 2), np.float32), np.zeros((1, 1), F16), "float16"),
        (np.zeros((1, 1, 2), np.uint8), np.zeros((1, 1, 2), F16), np.zeros((1, 2), F16), "residual"),
        (np.array([[[0, 9]]], np.uint8), np.array([[[1, 0]]], F16), np.zeros((1, 1), F16), "class id 9"),
        (np.array([[[0, 1]]], np.uint8), np.array([[[0.5, 0]]], F16), np.zeros((1, 1), F16), "sum to 1"),
        (np.array([[[0, 1]]], np.uint8), np.array([[[np.nan, 0]]], F16), np.zeros((1, 1), F16), "sum to 1"),
        (np.array([[[0, 1]]], np.uint8), np.array([[[0.2, 0.8]]], F16), np.zeros((1, 1), F16), "increase"),
        (np.array([[[0, 1]]], np.uint8), np.array([[[1.5, -0.5]]], F16), np.zeros((1, 1), F16), "negative"),
    ],
)
def test_wrong_arrays_are_refused(
    ids: np.ndarray, probabilities: np.ndarray, residual: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ScoreMap(ids, probabilities, residual, make_taxonomy())


@pytest.mark.parametrize(
    "dense",
    [
        np.full((5, 2, 2), 0.3, np.float32),
        np.full((5, 2, 2), np.nan, np.float32),
        np.full((4, 2, 2), 0.25, np.float32),
        np.array([1.5, -0.5, 0, 0, 0], np.float32).reshape(5, 1, 1),
    ],
)
def test_dense_scores_that_are_no_probabilities_are_refused(dense: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"scores (are no|have 4)"):
        ScoreMap.from_dense(dense, taxonomy=make_taxonomy())


def test_a_projection_from_another_taxonomy_is_refused() -> None:
    other = make_taxonomy("other")
    with pytest.raises(ValueError, match="projection is from other"):
        make_score_map(make_taxonomy()).project(identity(other))

"""Projecting probabilities against mapping the winner: on full probabilities, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mseg_studio.errors import TaxonomyError
from mseg_studio.labels.comparison import Comparison, Pair, compare
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.score_map import ScoreMap
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.taxonomy.projection import Projection, identity
from tests.factories import make_projection, make_taxonomy


def make_scores(probabilities_CHW: np.ndarray, taxonomy) -> ScoreMap:
    return ScoreMap.from_dense(probabilities_CHW, taxonomy=taxonomy, k=len(taxonomy))


def random_scores(classes: int, *, height: int = 9, width: int = 7, seed: int = 0, spread: float = 2.0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, spread, (classes, height, width))
    exps = np.exp(logits)
    return (exps / exps.sum(axis=0)).astype(np.float32)


def kept(scores: ScoreMap) -> np.ndarray:
    """(C, H, W): what float16 left of the probabilities."""
    dense = np.zeros((scores.taxonomy.num_channels, scores.height, scores.width), np.float64)
    rows, columns = np.mgrid[: scores.height, : scores.width]
    for place in range(scores.k):
        dense[scores.class_ids_HWk[..., place], rows, columns] = scores.probabilities_HWk[..., place]
    return dense


def expected(dense_CHW: np.ndarray, projection: Projection, only: tuple[int, ...]):
    """(projected, mapped, probability without a target) in plain numpy."""
    part = sorted(only or projection.class_ids)
    sums = np.stack([dense_CHW[projection.weights[k] > 0].sum(axis=0) for k in part])
    projected = np.array(part)[sums.argmax(axis=0)]
    leads = {info.id: projection.target.ignore_id for info in projection.source.classes}
    for k in part:
        leads.update(dict.fromkeys(np.flatnonzero(projection.weights[k]).tolist(), k))
    mapped = np.vectorize(leads.get)(dense_CHW.argmax(axis=0))
    lost = [i for i, k in leads.items() if k == projection.target.ignore_id]
    return projected, mapped, dense_CHW[lost].sum(axis=0) / dense_CHW.sum(axis=0)


@settings(max_examples=60, deadline=None)
@example(seed=225, classes=3, groups=1, drop=1, only=())
@given(
    st.integers(0, 999), st.integers(2, 12), st.integers(1, 5), st.integers(0, 2), st.sampled_from([(), (0,), (0, 1)])
)
def test_both_ways_are_those_of_plain_numpy(seed, classes, groups, drop, only):
    taxonomy = make_taxonomy(num_classes=classes)
    projection = make_projection(taxonomy, groups=groups, drop=min(drop, classes - 1))
    only = tuple(class_id for class_id in only if class_id < groups)
    scores = make_scores(random_scores(classes, seed=seed), taxonomy)
    found = compare(scores, projection, only=only)
    projected, mapped, lost = expected(kept(scores), projection, only)
    part = list(only or projection.class_ids)
    sums = np.sort(projection.weights[part] @ kept(scores).reshape(classes, -1), axis=0)
    clear = np.ones(projected.size, bool) if len(part) < 2 else sums[-1] - sums[-2] > 1e-6
    assert (found.projected.ids_HW == projected).ravel()[clear].all()
    best = np.sort(kept(scores), axis=0)
    alone = best[-1] > best[-2]  # two that float16 made equal have no winner that plain numpy knows
    np.testing.assert_array_equal(found.mapped.ids_HW[alone], mapped[alone])
    assert np.abs(found.no_target_HW / 255 - lost).max() <= 0.5 / 255 + 1e-4
    assert found.no_target_share == pytest.approx(lost.mean(), abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(1, 12))
def test_into_the_own_taxonomy_nothing_differs_and_nothing_is_lost(seed, classes):
    taxonomy = make_taxonomy(num_classes=classes)
    found = compare(make_scores(random_scores(classes, seed=seed), taxonomy), identity(taxonomy))
    assert (found.pairs, found.differing_share, found.lost_share, found.no_target_share) == ((), 0, 0, 0)
    assert not found.differing_HW.any() and not found.no_target_HW.any()
    assert sum(found.own_shares.values()) == pytest.approx(1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(2, 12), st.integers(1, 5), st.integers(0, 3))
def test_the_table_adds_up_to_the_mask(seed, classes, groups, drop):
    taxonomy = make_taxonomy(num_classes=classes)
    projection = make_projection(taxonomy, groups=groups, drop=min(drop, classes - 1))
    found = compare(make_scores(random_scores(classes, seed=seed), taxonomy), projection)
    differing = found.differing_HW
    assert found.differing_share == pytest.approx(differing.mean())
    assert found.lost_share == pytest.approx((found.mapped.ids_HW == 255).mean())
    assert sum(one.differing for one in found.by_class()) == differing.sum()
    for one in found.by_class():
        of_class = found.projected.ids_HW == one.info.id
        assert (one.pixels, one.differing) == (of_class.sum(), (of_class & differing).sum())
        assert 0 < one.share <= 1
    for pair in found.pairs:
        where = (found.projected.ids_HW == pair.projected) & (found.mapped.ids_HW == pair.mapped)
        assert pair.pixels == where.sum() > 0
    counts = [pair.pixels for pair in found.pairs]
    assert counts == sorted(counts, reverse=True)


def test_two_riders_beat_a_person_only_where_probabilities_are_projected():
    catalog = default_catalog()
    universal = catalog.taxonomy("universal")
    projection = catalog.projection("universal", "cityscapes-19")
    dense = np.zeros((universal.num_channels, 1, 3), np.float32)
    person, bicyclist, motorcyclist = (universal.id_of(name) for name in ("person", "bicyclist", "motorcyclist"))
    dense[[person, bicyclist, motorcyclist], 0, 0] = 0.4, 0.3, 0.3
    dense[person, 0, 1] = 1
    dense[bicyclist, 0, 2] = 1
    found = compare(make_scores(dense, universal), projection)
    target = projection.target
    assert found.differing_HW.tolist() == [[True, False, False]]
    assert found.pairs == (Pair(target.id_of("rider"), target.id_of("person"), 1),)
    [rider] = found.by_class()
    assert (rider.info.name, rider.pixels, rider.differing, rider.share) == ("rider", 2, 1, 0.5)
    assert found.no_target_share == 0
    assert {name: round(share, 4) for name, share in found.own_shares.items()} == {
        "person": 0.6667,
        "bicyclist": 0.3333,
    }


def test_a_winner_without_a_target_is_mapped_to_no_class():
    taxonomy = make_taxonomy(num_classes=3)
    projection = make_projection(taxonomy, groups=2, drop=1)
    dense = np.array([0.3, 0.1, 0.6], np.float32)[:, None, None]
    found = compare(make_scores(dense, taxonomy), projection)
    assert found.pairs == (Pair(0, 255, 1),)
    assert (found.differing_share, found.lost_share) == (1, 1)
    assert found.no_target_HW.item() == round(0.6 * 255)


def test_what_leads_to_a_class_left_out_has_no_target():
    taxonomy = make_taxonomy(num_classes=3)
    projection = make_projection(taxonomy, groups=3, drop=0)
    dense = np.array([0.2, 0.1, 0.7], np.float32)[:, None, None]
    found = compare(make_scores(dense, taxonomy), projection, only=(0, 1))
    assert found.pairs == (Pair(0, 255, 1),)
    assert found.no_target_share == pytest.approx(0.7, abs=1e-3)
    with pytest.raises(TaxonomyError, match="no class with id 9"):
        compare(make_scores(dense, taxonomy), projection, only=(9,))


def test_ids_of_16_bits():
    taxonomy = make_taxonomy(num_classes=300)
    projection = make_projection(taxonomy, groups=290, name="many", drop=10)
    scores = make_scores(random_scores(300, height=4, width=5, spread=6), taxonomy)
    found = compare(scores, projection)
    projected, mapped, _lost = expected(kept(scores), projection, ())
    np.testing.assert_array_equal(found.projected.ids_HW, projected)
    np.testing.assert_array_equal(found.mapped.ids_HW, mapped)
    assert found.mapped.ids_HW.dtype == np.uint16


def test_parts_that_do_not_fit_are_refused():
    three, five = make_taxonomy(num_classes=3), make_taxonomy("five")
    ids = np.zeros((2, 2), np.uint8)
    labels, mass = LabelMap(ids, three), np.zeros((2, 2), np.uint8)
    with pytest.raises(ValueError, match="one taxonomy and size"):
        Comparison(labels, LabelMap(ids, five), mass, 0, three, (), ())
    with pytest.raises(ValueError, match="uint8"):
        Comparison(labels, labels, mass.astype(np.uint16), 0, three, (), ())

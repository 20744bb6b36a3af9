"""Projections are sums of probabilities and lookups of ids, and the two are not the same."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.errors import TaxonomyError
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.taxonomy.projection import Projection, identity


def make_taxonomy(name: str, ids: list[int]) -> Taxonomy:
    classes = tuple(ClassInfo(number, f"class {number}", (number % 256, 0, 0)) for number in ids)
    return Taxonomy(name, classes, 255 if ids[-1] < 255 else 65535)


@st.composite
def projections(draw: st.DrawFn) -> Projection:
    """Any two taxonomies, with holes, of 8 or 16 bits, with every class mapped to one class or nowhere."""
    largest = draw(st.sampled_from([12, 254, 300, 700]))
    source, target = (
        make_taxonomy(name, sorted(draw(st.sets(st.integers(0, largest), min_size=1, max_size=8))))
        for name in ("source", "target")
    )
    choices = st.none() | st.sampled_from([info.id for info in target.classes])
    weights = np.zeros((target.num_channels, source.num_channels), np.float32)
    for info in source.classes:
        goal = draw(choices)
        if goal is not None:
            weights[goal, info.id] = 1
    return Projection(source, target, weights)


def random_scores(projection: Projection, seed: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).random((projection.source.num_channels, 3, 2), np.float32)


@given(projections(), st.integers(0, 99), st.floats(0, 4))
@settings(deadline=None, max_examples=60)
def test_projecting_is_linear(projection: Projection, seed: int, factor: float) -> None:
    first, second = random_scores(projection, seed), random_scores(projection, seed + 1)
    together = projection.project(first + np.float32(factor) * second)
    apart = projection.project(first) + np.float32(factor) * projection.project(second)
    np.testing.assert_allclose(together, apart, rtol=1e-5, atol=1e-5)


@given(projections(), st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_projecting_sums_groups(projection: Projection, seed: int) -> None:
    scores = random_scores(projection, seed)
    projected = projection.project(scores)
    assert projected.shape == (projection.target.num_channels, 3, 2)
    for channel, group in enumerate(projection.groups):
        np.testing.assert_allclose(projected[channel], scores[group].sum(axis=0), rtol=1e-5, atol=1e-6)
    mapped = [info.id for info in projection.source.classes if info.id not in projection.unmapped]
    np.testing.assert_allclose(projected.sum(axis=0), scores[mapped].sum(axis=0), rtol=1e-5, atol=1e-5)


@given(projections())
@settings(deadline=None, max_examples=60)
def test_lookup_agrees_with_weights(projection: Projection) -> None:
    ids = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    mapped = projection.project_ids(ids)
    assert mapped.dtype == projection.target.id_dtype
    expected = np.full(65536, projection.target.ignore_id)
    targets, sources = np.nonzero(projection.weights)
    expected[sources] = targets
    np.testing.assert_array_equal(mapped.ravel(), expected)


@given(st.sets(st.integers(0, 700), min_size=1, max_size=9), st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_identity_changes_nothing(ids: set[int], seed: int) -> None:
    taxonomy = make_taxonomy("any", sorted(ids))
    projection = identity(taxonomy)
    assert projection.is_identity
    assert projection.unmapped == ()
    own = np.array(sorted(ids), taxonomy.id_dtype)
    np.testing.assert_array_equal(projection.project_ids(own), own)
    scores = random_scores(projection, seed)
    np.testing.assert_array_equal(projection.project(scores)[own], scores[own])


def test_riders_together_beat_a_person(catalog: Catalog) -> None:
    """The reason for projecting late: sums change winners (architecture.md 2)."""
    projection = catalog.projection("universal", "kitti-19")
    source, target = projection.source, projection.target
    scores = np.zeros((194, 1, 1), np.float32)
    for name, probability in (("bicyclist", 0.3), ("motorcyclist", 0.3), ("person", 0.4)):
        scores[source.id_of(name)] = probability
    summed = projection.project(scores)
    assert target.names[int(summed.argmax())] == "rider"
    assert summed[target.id_of("rider"), 0, 0] == pytest.approx(0.6)
    hard = projection.project_ids(scores.argmax(axis=0).astype(np.uint8))
    assert target.names[int(hard[0, 0])] == "person"


def test_dropped_probability_is_not_shared_out(catalog: Catalog) -> None:
    projection = catalog.projection("universal", "camvid-11")
    uniform = np.full((194, 1, 1), 1 / 194, np.float32)
    assert projection.project(uniform).sum() == pytest.approx(12 / 194)
    assert projection.project_ids(np.array([[0, 98, 255]], np.uint8)).tolist() == [
        [255, projection.target.id_of("Road"), 255]
    ]


def test_sixteen_bit_ids_end_in_eight(catalog: Catalog) -> None:
    projection = catalog.projection("pascal-context-460", "pascal-context-60")
    ids = np.array([[0, 459, 65535, 460]], np.uint16)
    mapped = projection.project_ids(ids)
    assert mapped.dtype == np.uint8
    assert mapped[0, 2:].tolist() == [255, 255]
    assert identity(projection.source).project_ids(ids).tolist() == [[0, 459, 65535, 65535]]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.eye(2, dtype=np.float64), "a -> b: weights are float64 (2, 2), expected float32 (2, 2)"),
        (np.zeros((2, 3), np.float32), "a -> b: weights are float32 (2, 3), expected float32 (2, 2)"),
        (np.ones((2, 2), np.float32), "a -> b: a class is mapped twice"),
        (-np.eye(2, dtype=np.float32), "a -> b: a class is mapped twice"),
    ],
)
def test_wrong_weights_are_refused(weights: npt.NDArray[np.float32], message: str) -> None:
    with pytest.raises(TaxonomyError) as caught:
        Projection(make_taxonomy("a", [0, 1]), make_taxonomy("b", [0, 1]), weights)
    assert str(caught.value) == message


def test_scores_of_another_taxonomy_are_refused(catalog: Catalog) -> None:
    with pytest.raises(ValueError, match="scores have 19 channels, universal has 194"):
        catalog.projection("universal", "voc2012").project(np.zeros((19, 1, 1), np.float32))


def test_what_is_shared_cannot_be_written(catalog: Catalog) -> None:
    projection = catalog.projection("universal", "voc2012")
    for array in (projection.weights, projection.lookup):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1

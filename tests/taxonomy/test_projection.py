"""Projections: linear, summed, and not the same as mapping the winner."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mseg_studio.errors import TaxonomyError
from mseg_studio.settings import resource_folder
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.taxonomy.projection import Projection
from tests.taxonomy.published import TESTS

TARGETS = (*TESTS, "cityscapes-19", "ade20k-150", "idd-39-relabeled")
SHIPPED = Catalog([resource_folder("taxonomies")])
SCORES = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).dirichlet(np.full(194, 0.1), (3, 2)).transpose(2, 0, 1).astype(np.float32)
)


def make(ids: list[int], name: str = "t") -> Taxonomy:
    ignore_id = 255 if max(ids) < 255 else 65535
    return Taxonomy(name, tuple(ClassInfo(i, f"c{i}", (0, 0, 0)) for i in ids), ignore_id)


@settings(max_examples=20, deadline=None)
@given(SCORES, SCORES, st.floats(0, 1), st.sampled_from(TARGETS))
def test_projecting_is_linear(a: np.ndarray, b: np.ndarray, share: float, target: str) -> None:
    projection = SHIPPED.projection("universal", target)
    share = np.float32(share)
    together = projection.project(share * a + (1 - share) * b)
    apart = share * projection.project(a) + (1 - share) * projection.project(b)
    np.testing.assert_allclose(together, apart, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(SCORES, st.sampled_from(TARGETS))
def test_projecting_sums_the_links_of_every_pixel(scores: np.ndarray, target: str) -> None:
    table, projection = SHIPPED.table(target), SHIPPED.projection("universal", target)
    universal = SHIPPED.taxonomy("universal")
    expected = np.zeros((len(projection.target), 3, 2))
    for source, name in (table.from_universal or {}).items():
        expected[projection.target.id_of(name)] += scores[universal.id_of(source)]
    np.testing.assert_allclose(projection.project(scores), expected, atol=1e-6)
    lost = scores[list(projection.unmapped)].sum(axis=0)
    np.testing.assert_allclose(projection.project(scores).sum(axis=0) + lost, 1, atol=1e-5)
    for target_id, group in enumerate(projection.groups):
        np.testing.assert_allclose(scores[group].sum(axis=0), expected[target_id], atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint16, (4, 5), elements=st.integers(0, 65535)), st.sampled_from(TARGETS))
def test_the_lookup_is_the_matrix_column_by_column(ids_HW: np.ndarray, target: str) -> None:
    projection = SHIPPED.projection("universal", target)
    found = projection.project_ids(ids_HW)
    assert found.dtype == projection.target.id_dtype
    for source, value in zip(ids_HW.flat, found.flat, strict=True):
        column = projection.weights[:, source] if source < 194 else np.zeros(1)
        assert value == (column.argmax() if column.any() else projection.target.ignore_id)


@settings(max_examples=30, deadline=None)
@given(
    st.sets(st.integers(0, 400), min_size=1, max_size=12),
    st.sets(st.integers(0, 400), min_size=1, max_size=12),
    st.data(),
)
def test_holes_of_either_side_stay_empty(source_ids: set[int], target_ids: set[int], data: st.DataObject) -> None:
    source, target = make(sorted(source_ids), "a"), make(sorted(target_ids), "b")
    weights = np.zeros((target.num_channels, source.num_channels), np.float32)
    links = data.draw(st.dictionaries(st.sampled_from(sorted(source_ids)), st.sampled_from(sorted(target_ids))))
    for key, value in links.items():
        weights[value, key] = 1
    projection = Projection(source, target, weights)
    every_id = np.arange(65536, dtype=np.uint16)
    mapped = projection.project_ids(every_id)
    assert {int(i): int(v) for i, v in zip(every_id, mapped, strict=True) if v != target.ignore_id} == links
    assert projection.unmapped == tuple(sorted(source_ids - set(links)))


@pytest.mark.parametrize("target", ["kitti-19", "wilddash-19", "cityscapes-19"])
def test_mapping_the_winner_is_another_thing(target: str) -> None:
    """0.3 bicyclist + 0.3 motorcyclist are a rider with 0.6; the universal winner is a person with 0.4."""
    universal, projection = SHIPPED.taxonomy("universal"), SHIPPED.projection("universal", target)
    scores_CHW = np.zeros((194, 1, 1), np.float32)
    for name, share in (("bicyclist", 0.3), ("motorcyclist", 0.3), ("person", 0.4)):
        scores_CHW[universal.id_of(name)] = share
    late = projection.project(scores_CHW).argmax(axis=0)
    hard = projection.project_ids(scores_CHW.argmax(axis=0).astype(np.uint8))
    assert projection.target.classes[int(late[0, 0])].name == "rider"
    assert projection.target.classes[int(hard[0, 0])].name == "person"


def test_a_projection_checks_what_it_is_given() -> None:
    source, target = make([0, 1, 2], "a"), make([0, 1], "b")
    with pytest.raises(TaxonomyError, match=r"^a -> b: weights are float32 \(3, 2\), expected float32 \(2, 3\)$"):
        Projection(source, target, np.zeros((3, 2), np.float32))
    with pytest.raises(TaxonomyError, match=r"^a -> b: weights are float64 \(2, 3\), expected float32 \(2, 3\)$"):
        Projection(source, target, np.zeros((2, 3)))
    with pytest.raises(TaxonomyError, match=r"^a -> b: a class is mapped twice$"):
        Projection(source, target, np.ones((2, 3), np.float32))
    projection = Projection(source, target, np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="read-only"):
        projection.weights[0, 0] = 1
    with pytest.raises(ValueError, match="scores have 2 channels, a has 3"):
        projection.project(np.zeros((2, 1, 1), np.float32))


@pytest.mark.parametrize(
    ("ids", "ignore_id", "message"),
    [
        ([], 255, "taxonomy 't' has no classes"),
        ([0, 0], 255, "taxonomy 't': ids must increase from class to class"),
        ([0, 254], 65535, "taxonomy 't': ignore id is 65535, expected 255"),
        ([0, 256], 255, "taxonomy 't': ignore id is 255, expected 65535"),
    ],
)
def test_a_taxonomy_checks_what_it_is_given(ids: list[int], ignore_id: int, message: str) -> None:
    with pytest.raises(TaxonomyError) as caught:
        Taxonomy("t", tuple(ClassInfo(i, f"c{n}", (0, 0, 0)) for n, i in enumerate(ids)), ignore_id)
    assert str(caught.value) == message


@settings(max_examples=30, deadline=None)
@given(SCORES, st.sampled_from(TARGETS), st.data())
def test_only_leaves_out_classes_and_shares_nothing_out(scores: np.ndarray, target: str, data: st.DataObject) -> None:
    whole = SHIPPED.projection("universal", target)
    ids = [info.id for info in whole.target.classes]
    chosen = data.draw(st.lists(st.sampled_from(ids), min_size=1))
    part = whole.only(chosen)
    assert part.class_ids == tuple(sorted(set(chosen)))
    expected = np.zeros((whole.target.num_channels, 3, 2), np.float32)
    expected[list(part.class_ids)] = whole.project(scores)[list(part.class_ids)]
    np.testing.assert_array_equal(part.project(scores), expected)
    for class_id, group in zip(part.class_ids, part.groups_of_parts, strict=True):
        np.testing.assert_array_equal(group, whole.groups[class_id])
    labels = part.project_ids(np.arange(194, dtype=np.uint8))
    assert set(labels.tolist()) <= {*chosen, part.target.ignore_id}
    assert part.only(chosen).class_ids == part.class_ids


def test_only_nothing_means_all() -> None:
    whole = SHIPPED.projection("universal", "camvid-11")
    assert whole.class_ids == tuple(range(11))
    assert whole.only(()) is whole
    assert len(whole.groups_of_parts) == 11


def test_a_restricted_identity_is_none() -> None:
    whole = SHIPPED.projection("universal", "universal")
    assert whole.is_identity
    assert whole.only(range(194)).is_identity
    assert not whole.only([3]).is_identity


def test_only_names_the_taxonomy_of_an_id_it_does_not_have() -> None:
    whole = SHIPPED.projection("universal", "camvid-11")
    with pytest.raises(TaxonomyError, match=r"^taxonomy 'camvid-11' has no class with id 11$"):
        whole.only([3, 11])
    with pytest.raises(TaxonomyError, match=r"^taxonomy 'camvid-11' leaves out 'Building', id 0$"):
        whole.only([3]).only([0])


def test_what_takes_part_is_checked() -> None:
    source, target = make([0, 1, 2], "a"), make([0, 1], "b")
    weights = np.zeros((2, 3), np.float32)
    weights[1, 2] = 1
    for ids, words in (((2,), "no class with id 2"), ((1, 0), "must increase"), ((0,), "takes no part has")):
        with pytest.raises(TaxonomyError, match=words):
            Projection(source, target, weights.copy(), class_ids=ids)


def test_16_bit_ids() -> None:
    context = SHIPPED.projection("pascal-context-460", "pascal-context-60")
    assert context.source.id_dtype == np.uint16
    assert context.target.id_dtype == np.uint8
    back = SHIPPED.projection("pascal-context-460", "pascal-context-460").project_ids(np.array([[0, 459, 460, 65535]]))
    assert back.dtype == np.uint16
    assert back.tolist() == [[0, 459, 65535, 65535]]

"""The report of a pair says what the program does."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.errors import TaxonomyError
from mseg_studio.settings import resource_folder
from mseg_studio.taxonomy.catalog import Catalog, UnknownTaxonomyError
from mseg_studio.taxonomy.compare import compare
from tests.taxonomy.published import LARGER, LINKS_ONLY, RELABELED, SHIPPED, TESTS, Published, ids

CATALOG = Catalog([resource_folder("taxonomies")])
TAXONOMIES = st.sampled_from(SHIPPED)


@settings(max_examples=120, deadline=None)
@given(TAXONOMIES, TAXONOMIES)
def test_a_report_never_disagrees_with_the_projection(source: str, target: str) -> None:
    try:
        projection = CATALOG.projection(source, target)
    except TaxonomyError as error:
        with pytest.raises(TaxonomyError) as caught:
            compare(CATALOG, source, target)
        assert str(caught.value) == str(error)
        return
    report = compare(CATALOG, source, target)
    assert (report.source, report.target, report.quality) == (source, target, projection.links)
    linked = [info for info in projection.source.classes if projection.weights[:, info.id].any()]
    assert [name for name, _target in report.links] == [info.name for info in linked]
    if len(set(projection.source.names)) == len(projection.source):
        assert dict(report.links) == ids(projection)
        assert {*report.unmapped, *dict(report.links)} == set(projection.source.names)
    groups = {info.name: projection.weights[info.id].sum() for info in projection.target.classes}
    assert {name: len(sources) for name, sources in report.merges.items()} == {
        name: count for name, count in groups.items() if count > 1
    }
    assert list(report.unreached) == [name for name, count in groups.items() if count == 0]
    assert report.coverage == pytest.approx(len(linked) / len(projection.source))
    assert (report.through is None) == (
        source == target or "universal" in (source, target) or target in CATALOG.table(source).to
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_a_taxonomy_and_itself(name: str) -> None:
    report = compare(CATALOG, name, name)
    assert (report.coverage, report.quality, report.through) == (1, "exact", None)
    assert not report.unmapped
    assert not report.unreached


def test_universal_to_cityscapes() -> None:
    report = compare(CATALOG, "universal", "cityscapes-19")
    assert len(report.links) == 23
    assert report.merges == {
        "pole": ("streetlight", "pole"),
        "rider": ("rider_other", "bicyclist", "motorcyclist"),
        "motorcycle": ("autorickshaw", "motorcycle"),
    }
    assert (len(report.unmapped), report.unreached, report.splits) == (171, (), {})
    assert report.coverage == pytest.approx(23 / 194)


def test_a_class_that_stands_for_several_is_split() -> None:
    report = compare(CATALOG, "cityscapes-19", "universal")
    assert report.splits == {
        "pole": ("streetlight", "pole"),
        "rider": ("rider_other", "bicyclist", "motorcyclist"),
        "motorcycle": ("autorickshaw", "motorcycle"),
    }
    assert dict(report.links)["rider"] == "bicyclist"
    assert len(report.unreached) == 194 - 19


def test_flower_and_wood_of_pascal_context_are_never_reached() -> None:
    report = compare(CATALOG, "universal", "pascal-context-60")
    assert report.unreached == ("flower", "wood")
    assert len(report.merges["background"]) == 94
    assert report.coverage == 1
    naive = compare(CATALOG, "naive", "pascal-context-60")
    assert "flower" not in naive.unreached
    assert "wood" in naive.unreached


def test_a_pair_without_published_links_is_composed_and_says_so() -> None:
    report = compare(CATALOG, "cityscapes-19", "camvid-11")
    assert (report.through, report.quality) == ("universal", "approximate")
    assert dict(report.links)["rider"] == "Bicyclist"
    assert report.merges == {"Bicyclist": ("rider", "bicycle")}
    assert report.unmapped == ("wall", "traffic light", "terrain", "truck", "bus", "train", "motorcycle")
    assert report.via["wall"] == "wall", "it gets as far as that"
    assert len(report.via) == 19


def test_a_published_table_is_preferred_to_a_composition() -> None:
    report = compare(CATALOG, "cityscapes-34", "cityscapes-19")
    assert (report.through, report.quality, len(report.links)) == (None, "exact", 19)
    assert report.via == {}


def test_links_that_lead_the_other_way_only_are_told_apart_from_none() -> None:
    with pytest.raises(TaxonomyError, match="no links lead from taxonomy 'voc2012' to 'universal'"):
        compare(CATALOG, "voc2012", "universal")
    with pytest.raises(UnknownTaxonomyError, match="did you mean voc2012"):
        compare(CATALOG, "voc2021", "universal")


@pytest.mark.parametrize(("source", "target"), [*itertools.product(LINKS_ONLY[:2], ("universal", "voc2012", "idd-39"))])
def test_columns_with_links_only_lead_somewhere(source: str, target: str) -> None:
    report = compare(CATALOG, source, target)
    assert "table" in report.unmapped, "the published row `unlabeled` holds it"
    assert report.through == (None if target == "universal" else "universal")
    assert report.quality == ("exact" if target == "universal" else "approximate")
    onward = dict(compare(CATALOG, "universal", target).links) if target != "universal" else None
    first = dict(compare(CATALOG, source, "universal").links)
    assert dict(report.links) == (first if onward is None else {a: onward[b] for a, b in first.items() if b in onward})


def test_a_test_column_with_links_only() -> None:
    report = compare(CATALOG, "universal", "test-nyudepthv2-37")
    assert (len(report.links), report.unreached, report.through, report.quality) == (44, (), None, "exact")
    assert report.merges["chair"] == ("chair_other", "armchair", "swivel_chair", "stool", "seat")
    assert compare(CATALOG, "sunrgbd-37", "test-nyudepthv2-37").through == "universal"
    with pytest.raises(TaxonomyError, match="no links lead from 'test-nyudepthv2-37' to 'universal'"):
        compare(CATALOG, "test-nyudepthv2-37", "universal")
    own = compare(CATALOG, "scannet-37", "scannet-37")
    assert (own.coverage, own.through, len(own.links)) == (1, None, 37)


@pytest.mark.parametrize("name", [*TESTS, *RELABELED])
def test_links_are_the_published_cells(shared: Path, name: str) -> None:
    published = Published(shared / "data" / "mseg").cells(name)
    expected = {(universal, cell[0]) for universal, cell in published.items() if cell and universal != "unlabeled"}
    assert set(compare(CATALOG, "universal", name).links) == expected
    counts = Counter(target for _source, target in expected)
    assert {key: len(members) for key, members in compare(CATALOG, "universal", name).merges.items()} == {
        key: count for key, count in counts.items() if count > 1
    }


@pytest.mark.parametrize(("source", "target"), [*LARGER.items()])
def test_larger_sets_lead_to_their_smaller_one_alone(source: str, target: str) -> None:
    assert compare(CATALOG, source, target).through is None
    with pytest.raises(TaxonomyError, match="no links lead"):
        compare(CATALOG, source, "universal")


def test_two_rows_called_unlabeled_are_counted_and_named_once() -> None:
    report = compare(CATALOG, "coco-panoptic-201", "coco-panoptic-133")
    assert report.unmapped.count("unlabeled") == 1
    projection = CATALOG.projection("coco-panoptic-201", "coco-panoptic-133")
    assert report.coverage == pytest.approx(np.count_nonzero(projection.weights.any(axis=0)) / 201)

"""Finding a class by what a person types."""

from __future__ import annotations

import pytest

from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.model import UNLABELED
from mseg_studio.taxonomy.search import search
from tests.taxonomy.published import ALL


@pytest.mark.parametrize("name", ALL)
def test_every_class_is_found_by_name_and_id(catalog: Catalog, name: str) -> None:
    taxonomy = catalog.taxonomy(name)
    for info in taxonomy.classes:
        assert search(taxonomy, str(info.id), 1) == [info]
        if info.name != UNLABELED:
            for query in (info.name, info.name.upper(), f"  {info.name.replace('_', ' ')} "):
                assert search(taxonomy, query, 1) == [info]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("vegitation", "vegetation"),
        ("bicyclest", "bicyclist"),
        ("trafic ligth", "traffic_light"),
        ("bilding", "building"),
        ("sidwalk", "sidewalk_pavement"),
        ("persn", "person"),
        ("swiming", "swimming_pool"),
        ("airplne", "airplane"),
        ("chiar", "chair_other"),
        ("window blnd", "window_blind"),
        ("cellphone", "cell phone"),
        ("motorbike", "motorcycle"),
        ("sofa", "couch"),
        ("tree", "vegetation"),
        ("tv", "television"),
        ("side", "sidewalk_pavement"),
        ("walk pave", "sidewalk_pavement"),
    ],
)
def test_slips_of_the_fingers_and_other_words(catalog: Catalog, query: str, first: str) -> None:
    assert [info.name for info in search(catalog.taxonomy("universal"), query, 1)] == [first]


def test_better_matches_come_first(catalog: Catalog) -> None:
    universal = catalog.taxonomy("universal")
    assert [info.name for info in search(universal, "ca", 4)] == ["cat", "car", "case", "cake"]
    assert [info.name for info in search(universal, "light", 2)] == ["light_other", "traffic_light"]
    assert [info.name for info in search(universal, "98", 5)] == ["road"]


def test_a_parent_finds_its_children(catalog: Catalog) -> None:
    universal = catalog.taxonomy("universal")
    vehicles = {info.name for info in universal.classes if info.parent == "vehicle"}
    assert {info.name for info in search(universal, "vehicle", 194)} >= vehicles
    assert search(universal, "animal", 1)[0].name == "animal_other"


@pytest.mark.parametrize("query", ["zzzz", "qqq", "1234", "-1", "\u2603", "rode xyz"])
def test_nothing_is_found_for_nonsense(catalog: Catalog, query: str) -> None:
    assert search(catalog.taxonomy("universal"), query) == []


def test_limits_and_an_empty_query(catalog: Catalog) -> None:
    universal = catalog.taxonomy("universal")
    assert search(universal, " ", 3) == list(universal.classes[:3])
    assert len(search(universal, "a")) == 20
    assert len(search(universal, "a", 5)) == 5

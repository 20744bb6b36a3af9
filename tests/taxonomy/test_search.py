"""Finding a class by name, id or alias."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.errors import TaxonomyError
from mseg_studio.settings import resource_folder
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.model import UNLABELED, ClassInfo, Taxonomy
from mseg_studio.taxonomy.search import class_ids, search
from tests.taxonomy.published import SHIPPED

UNIVERSAL = Catalog([resource_folder("taxonomies")]).taxonomy("universal")


@pytest.mark.parametrize("info", UNIVERSAL.classes, ids=lambda info: info.name)
def test_every_class_is_found_by_its_id_and_name(info) -> None:
    assert search(UNIVERSAL, str(info.id), 1) == [info]
    assert search(UNIVERSAL, info.name, 1) == [info]
    assert search(UNIVERSAL, info.name.upper().replace("_", " "), 1) == [info]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_class_of_every_taxonomy_is_found(catalog: Catalog, name: str) -> None:
    taxonomy = catalog.taxonomy(name)
    for info in taxonomy.classes:
        assert search(taxonomy, str(info.id), 1) == [info]
        if info.name != UNLABELED:
            assert search(taxonomy, info.name, 1) == [info]


@pytest.mark.parametrize("info", [info for info in UNIVERSAL.classes if info.aliases], ids=lambda info: info.name)
def test_every_alias_leads_to_its_class(info) -> None:
    for alias in info.aliases:
        assert search(UNIVERSAL, alias, 1) == [info], alias


def test_aliases_are_unambiguous() -> None:
    names = Counter(name for info in UNIVERSAL.classes for name in info.aliases)
    assert not [name for name, count in names.items() if count > 1]
    own = {info.name.replace("_", " ") for info in UNIVERSAL.classes}
    assert not own & set(names)


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("sofa", "couch"),
        ("tree", "vegetation"),
        ("pedestrian", "person"),
        ("street", "road"),
        ("tv", "television"),
        ("vegitation", "vegetation"),
        ("bycicle", "bicycle"),
        ("bicyclest", "bicyclist"),
        ("trafic ligth", "traffic_light"),
        ("swiming", "swimming_pool"),
        ("chiar", "chair_other"),
        ("window blnd", "window_blind"),
        ("walk pave", "sidewalk_pavement"),
        ("ca", "cat"),
        ("traffic l", "traffic_light"),
        ("  SKY ", "sky"),
        ("phone", "cell phone"),
    ],
)
def test_what_people_type(query: str, first: str) -> None:
    assert search(UNIVERSAL, query, 5)[0].name == first


def test_a_parent_finds_its_children() -> None:
    vehicles = {info.name for info in UNIVERSAL.classes if info.parent == "vehicle"}
    assert len(vehicles) > 8
    assert {info.name for info in search(UNIVERSAL, "vehicle", 194)} >= vehicles
    assert search(UNIVERSAL, "animal", 1)[0].name == "animal_other"


def test_nothing_is_found_for_nonsense() -> None:
    assert search(UNIVERSAL, "qqqqzzzz", 5) == []
    assert search(UNIVERSAL, "9999", 5) == []


def test_an_empty_query_lists_the_first() -> None:
    assert [info.id for info in search(UNIVERSAL, " ", 3)] == [0, 1, 2]


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=12), st.integers(1, 8))
def test_any_text_is_a_query(query: str, limit: int) -> None:
    found = search(UNIVERSAL, query, limit)
    assert len(found) <= limit
    assert len({info.id for info in found}) == len(found)


@pytest.mark.parametrize("info", UNIVERSAL.classes, ids=lambda info: info.name)
def test_a_class_is_meant_by_id_name_or_alias(info) -> None:
    words = (info.id, str(info.id), info.name, info.name.upper().replace("_", " "), *info.aliases)
    assert set(class_ids(UNIVERSAL, words)) == {info.id}


def test_words_that_mean_no_class_or_several() -> None:
    small = Taxonomy(
        "small",
        (
            ClassInfo(0, "car", (0, 0, 0), aliases=("vehicle",)),
            ClassInfo(1, "bus", (0, 0, 0), aliases=("vehicle", "Car")),
            ClassInfo(4, UNLABELED, (0, 0, 0)),
            ClassInfo(5, UNLABELED, (0, 0, 0)),
        ),
    )
    assert class_ids(small, ["car"]) == (0,), "a name goes before an alias"
    for word, message in (
        ("vehicle", r"taxonomy 'small' has several classes 'vehicle'; choose an id of 0, 1"),
        (UNLABELED, r"several classes 'unlabeled'; choose an id of 4, 5"),
        ("cra", r"taxonomy 'small' has no class 'cra'; did you mean car"),
        ("2", r"taxonomy 'small' has no class with id 2"),
        (-1, r"no class with id -1"),
        (np.int64(2), r"no class with id 2$"),
    ):
        with pytest.raises(TaxonomyError, match=message):
            class_ids(small, [word])


def test_ids_may_come_from_a_label_map() -> None:
    ids_HW = np.array([[98, 142]], np.uint8)
    assert class_ids(UNIVERSAL, np.unique(ids_HW)) == (98, 142)
    with pytest.raises(TypeError, match="integer"):
        class_ids(UNIVERSAL, [1.0])  # type: ignore[list-item]


def test_a_word_like_no_class_does_not_bring_all_of_them() -> None:
    with pytest.raises(TaxonomyError, match=r"no class 'xqzw'; none of \d{3} known names resembles it$"):
        class_ids(UNIVERSAL, ["xqzw"])

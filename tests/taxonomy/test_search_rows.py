"""Finding rows of the table by anything that stands in them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.settings import resource_folder
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.master import master_table, search_rows
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.taxonomy.search import NameIndex, search, wordnet_ids

TABLE = master_table(Catalog([resource_folder("taxonomies")]))


def names(query: str, limit: int = 194) -> list[str]:
    return [row.info.name for row in search_rows(TABLE, query, limit)]


@pytest.mark.parametrize("row", TABLE.rows, ids=lambda row: row.info.name)
def test_every_row_is_found_by_all_that_names_it(row) -> None:
    info = row.info
    for word in (str(info.id), info.name, info.name.upper().replace("_", " "), *info.aliases):
        assert names(word, 1) == [info.name], word
    for synset in wordnet_ids(info):
        found = names(synset)
        meant = {other.info.name for other in TABLE.rows if synset in wordnet_ids(other.info)}
        assert info.name in meant
        assert set(found[: len(meant)]) == meant
    for column in TABLE.columns:
        for name in row.cells[column.name]:
            assert info.name in names(name), (column.name, name)


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("skyscraper", "building"),
        ("Crosswalk - Plain", "road"),
        ("grandstand", "building"),
        ("tvmonitor", "television"),
        ("bycicle", "bicycle"),
        ("window blnd", "window_blind"),
        ("swiming", "swimming_pool"),
        ("beef", "cow"),
        ("Richardrich", "bicyclist"),
        ("  98 ", "road"),
    ],
)
def test_what_people_type(query: str, first: str) -> None:
    assert names(query)[0] == first


def test_a_parent_brings_its_rows_after_its_namesakes() -> None:
    assert set(names("vehicle")) >= {row.info.name for row in TABLE.rows if row.info.parent == "vehicle"}
    assert names("animal")[0] == "animal_other"


def test_numbers_are_ids_and_nothing_else() -> None:
    assert names("1") == ["umbrella"]
    assert names("01") == []
    assert names("194") == []
    assert names("n.01") == []


def test_an_empty_query_gives_the_rows_in_order() -> None:
    assert [row.info.id for row in search_rows(TABLE, "  ")] == list(range(194))
    assert [row.info.id for row in search_rows(TABLE, "", 3)] == [0, 1, 2]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=12), st.integers(1, 200))
def test_any_text_is_a_query(query: str, limit: int) -> None:
    found = search_rows(TABLE, query, limit)
    assert len(found) <= limit
    assert len({row.info.id for row in found}) == len(found)


def test_resembling_names_are_asked_only_when_none_holds_the_query() -> None:
    index = NameIndex([(0, "road", 0), (1, "toad", 0), (2, "Broad Way", 1), (2, "lane", 0), (3, "road", 5)])
    assert index.find("road") == {0: 500, 2: pytest.approx(190), 3: 495}
    assert set(index.find("lanne")) == {2}
    assert index.find("lan") == {2: pytest.approx(396)}
    assert index.find("zzz") == {}


def test_one_taxonomy_is_searched_by_wordnet_ids_too() -> None:
    universal = Catalog([resource_folder("taxonomies")]).taxonomy("universal")
    assert search(universal, "beef.n.01", 1)[0].name == "cow"
    small = Taxonomy("small", (ClassInfo(0, "beef", (0, 0, 0)), ClassInfo(1, "cow", (0, 0, 0), wordnet="beef.n.01")))
    assert [info.name for info in search(small, "beef")] == ["beef", "cow"]
    assert search(small, "1") == [small.classes[1]]
    assert search(small, "01") == []

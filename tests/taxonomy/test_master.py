"""The table as the browser shows it: every cell of MSeg's master table, read off what was built."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mseg_studio.errors import TaxonomyError
from mseg_studio.settings import resource_folder
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.link_table import link_table, link_tables, read_links
from mseg_studio.taxonomy.master import KINDS, MasterTable, master_table
from tests.taxonomy.published import LINKS_ONLY, PLAIN, RELABELED, TESTS, Published

TABLE_SHA256 = "9019a1293fc066af35bd9cb4a184443c1126e12161db475f2a279da6b6d72c52"


@pytest.fixture(scope="module")
def table(catalog: Catalog) -> MasterTable:
    return master_table(catalog)


@pytest.fixture(scope="module")
def published(shared: Path) -> Published:
    return Published(shared / "data" / "mseg")


def test_every_published_column_is_there_and_naive(table: MasterTable) -> None:
    kinds = {column.name: column.kind for column in table.columns}
    assert kinds == {
        **dict.fromkeys((*PLAIN, "naive"), "training"),
        **dict.fromkeys(RELABELED, "relabeled"),
        **dict.fromkeys(TESTS, "test"),
        **dict.fromkeys(LINKS_ONLY, "links only"),
    }
    assert [column.kind for column in table.columns] == sorted(kinds.values(), key=KINDS.index)
    assert [column.name for column in table.columns if column.num_classes is None] == list(LINKS_ONLY)


def test_every_cell_is_the_published_one(table: MasterTable, published: Published) -> None:
    """All rows, the last one, `unlabeled`, included, and all columns of classes."""
    master = published.master()
    described = {"Parent Category", "universal", "WordNet 3.1 Synset", "Modification of WordNet Node"}
    names = [name for name in master[0] if name not in described and not name.startswith("Defn")]
    assert set(names) == {column.name for column in table.columns} - {"naive"}
    compared = 0
    for name in names:
        cells = published.cells(name)
        column = table.column(name)
        assert column is not None
        for row, source in zip(table.rows, master, strict=False):
            assert row.info.name == source["universal"]
            assert (row.info.parent or "") == source["Parent Category"]
            assert sorted(row.cells[name]) == sorted(cells[row.info.name]), (name, row.info.name)
            compared += 1
        assert sorted(column.unlabeled) == sorted(cells["unlabeled"])
    assert compared == 194 * 25


def test_the_table_has_the_fixed_fingerprint(table: MasterTable) -> None:
    """The same where the published table is not at hand."""
    lines = "".join(
        f"{row.info.id} {column.name} {', '.join(sorted(row.cells[column.name]))}\n"
        for column in table.columns
        for row in table.rows
    )
    unlabeled = "".join(f"{column.name} {', '.join(sorted(column.unlabeled))}\n" for column in table.columns)
    assert hashlib.sha256((lines + unlabeled).encode()).hexdigest() == TABLE_SHA256


def test_rows_are_in_order_of_id_and_parents_in_order_of_rows(table: MasterTable) -> None:
    assert [row.info.id for row in table.rows] == list(range(194))
    assert table.parents[:3] == ("accessory", "animal", "appliance")
    assert set(table.parents) == {row.info.parent for row in table.rows} - {None}


def test_classes_of_a_cell_are_in_the_order_of_their_taxonomy(table: MasterTable, catalog: Catalog) -> None:
    order = catalog.taxonomy("mapillary-public65").names
    assert table.rows[98].info.name == "road"
    cell = table.rows[98].cells["mapillary-public65"]
    assert len(cell) == 8
    assert [name for name in order if name in cell] == list(cell)


def test_a_test_column_leaves_its_unreached_classes_out(table: MasterTable) -> None:
    shown = {name for row in table.rows for name in row.cells["pascal-context-60"]}
    assert not {"flower", "wood"} & shown
    assert len(shown) == 58


OWN = """
format: 1
name: own
ignore_id: 255
classes:
- {{id: 0, name: people, rgb: [220, 20, 60]}}
- {{id: 1, name: rest, rgb: [0, 0, 0]}}
{links}
"""


@pytest.mark.parametrize(
    ("links", "person", "road", "unlabeled", "is_output"),
    [
        ("from_universal: {person: people, bicyclist: people}", ("people",), (), (), True),
        ("to_universal: {people: person}", ("people",), (), ("rest",), False),
        ("from_universal: {road: rest}\nto_universal: {people: person}", (), ("rest",), (), True),
    ],
)
def test_a_taxonomy_of_the_user_has_a_column(tmp_path: Path, links, person, road, unlabeled, is_output) -> None:
    (tmp_path / "own.yaml").write_text(OWN.format(links=links))
    table = master_table(Catalog([resource_folder("taxonomies"), tmp_path]))
    column = table.columns[-1]
    assert (column.name, column.kind, column.num_classes) == ("own", "yours", 2)
    assert (column.unlabeled, column.is_output) == (unlabeled, is_output)
    assert (table.rows[125].cells["own"], table.rows[98].cells["own"]) == (person, road)


@pytest.mark.parametrize("links", ["", "from_universal: {pearson: people}", "to: {camvid-11: {people: Pedestrian}}"])
def test_without_links_or_with_broken_ones_there_is_no_column(tmp_path: Path, links: str) -> None:
    (tmp_path / "own.yaml").write_text(OWN.format(links=links))
    (tmp_path / "torn.yaml").write_text("format: 1\nname")
    table = master_table(Catalog([resource_folder("taxonomies"), tmp_path]))
    assert table.column("own") is None
    assert table.column("torn") is None


def test_a_taxonomy_of_the_user_hides_links_of_the_same_name(tmp_path: Path) -> None:
    text = OWN.format(links="from_universal: {person: people}").replace("name: own", "name: scannet-37")
    (tmp_path / "scannet-37.yaml").write_text(text)
    table = master_table(Catalog([resource_folder("taxonomies"), tmp_path]))
    assert [column.kind for column in table.columns if column.name == "scannet-37"] == ["yours"]


def test_columns_with_links_only_are_no_taxonomies(catalog: Catalog) -> None:
    assert [found.name for found in link_tables()] == list(LINKS_ONLY)
    assert not set(LINKS_ONLY) & set(catalog.names())
    assert not set(LINKS_ONLY) & {choice.name for choice in catalog.outputs("universal")}
    assert link_table("voc2012") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "expected `key: value` lines"),
        ("format: 2\nname: x\nto_universal: {a: road}", "format is 2, expected 1"),
        ("format: 1\nname: y\nto_universal: {a: road}", "name is 'y', expected the file's name, 'x'"),
        ("format: 1\nname: x", "expected either to_universal or from_universal"),
        ("format: 1\nname: x\nto_universal: {a: [road]}", "to_universal: expected `class: class` lines"),
        ("format: 1\nname: x\nunlabeled: a\nto_universal: {a: road}", "unlabeled: expected a list of class names"),
        ("format: 1\nname: x\nto_univers: {a: road}", "unknown key 'to_univers'; did you mean to_universal"),
        ("format: 1\nformat: 1", "not YAML: line 2: 'format' is given twice"),
    ],
)
def test_a_mistake_in_a_file_of_links_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(TaxonomyError) as caught:
        read_links(path)
    assert str(caught.value).startswith(f"{path}: {message}")

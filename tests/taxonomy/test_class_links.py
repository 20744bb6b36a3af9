"""Links of one class, both ways."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from mseg_studio.errors import TaxonomyError
from mseg_studio.settings import resource_folder
from mseg_studio.taxonomy.catalog import Catalog, UnknownTaxonomyError
from mseg_studio.taxonomy.class_links import Link, class_links
from mseg_studio.taxonomy.link_table import link_tables
from tests.taxonomy.published import ids


def by_taxonomy(links: tuple[Link, ...]) -> dict[str, Link]:
    return {link.taxonomy: link for link in links}


def test_a_universal_class_has_sources_and_targets(catalog: Catalog) -> None:
    links = class_links(catalog, "universal", "bicyclist")
    incoming, outgoing = by_taxonomy(links.incoming), by_taxonomy(links.outgoing)
    assert incoming["mapillary-public65"] == Link("mapillary-public65", "Bicyclist", "one", "exact")
    assert incoming["cityscapes-19"] == Link("cityscapes-19", "rider", "split", "exact")
    assert incoming["nyudepthv2-37"].class_name == "Richardrich"
    assert "voc2012" not in incoming
    assert outgoing["kitti-19"] == Link("kitti-19", "rider", "merge", "exact")
    assert outgoing["camvid-11"] == Link("camvid-11", "Bicyclist", "merge", "exact")
    assert outgoing["cityscapes-34"].links == "approximate"
    assert outgoing["scannet-20"] == Link("scannet-20", None, "none", "exact")
    assert outgoing["test-nyudepthv2-37"].kind == "none"
    kinds = [link.kind == "none" for link in links.outgoing]
    assert kinds == sorted(kinds), "those without a target come last"


def test_all_sources_of_a_merged_cell_come_in(catalog: Catalog) -> None:
    incoming = [link for link in class_links(catalog, "universal", "road").incoming if link.taxonomy == "idd-39"]
    assert {link.class_name for link in incoming} == {"road", "parking", "drivable fallback"}
    assert {link.kind for link in incoming} == {"merge"}


def test_a_class_of_a_dataset(catalog: Catalog) -> None:
    links = class_links(catalog, "cityscapes-19", "rider")
    assert by_taxonomy(links.incoming)["cityscapes-34"].class_name == "rider"
    universal = [link for link in links.incoming if link.taxonomy == "universal"]
    assert [link.class_name for link in universal] == ["rider_other", "bicyclist", "motorcyclist"]
    assert {link.kind for link in universal} == {"merge"}
    outgoing = by_taxonomy(links.outgoing)
    assert outgoing["universal"] == Link("universal", "bicyclist", "split", "exact")
    assert outgoing["naive"].class_name == "rider"


def test_a_class_that_leads_nowhere(catalog: Catalog) -> None:
    assert by_taxonomy(class_links(catalog, "ade20k-150", "monitor").outgoing)["universal"].kind == "none"
    links = class_links(catalog, "pascal-context-60", "flower")
    assert by_taxonomy(links.incoming).keys() == {"naive", "pascal-context-460"}
    assert links.outgoing == ()


@pytest.mark.parametrize("taxonomy", ["universal", "voc2012", "idd-39", "pascal-context-460", "camvid-32", "naive"])
def test_links_are_those_of_the_projections(catalog: Catalog, taxonomy: str) -> None:
    """Every direct link of every class, from both ends."""
    found = {name: class_links(catalog, taxonomy, name) for name in catalog.taxonomy(taxonomy).names}
    for other in catalog.names():
        for source, target in ((taxonomy, other), (other, taxonomy)):
            direct = "universal" in (source, target) or target in catalog.table(source).to
            expected: set[tuple[str, str]] = set()
            if direct and source != target:
                with contextlib.suppress(TaxonomyError):  # nothing leads in this direction
                    expected = set(ids(catalog.projection(source, target)).items())
            if source == taxonomy:
                pairs = [(name, link) for name, links in found.items() for link in links.outgoing]
            else:
                pairs = [(name, link) for name, links in found.items() for link in links.incoming]
            mine = [(name, link) for name, link in pairs if link.taxonomy == other and link.class_name is not None]
            shown = {(name, link.class_name) if source == taxonomy else (link.class_name, name) for name, link in mine}
            if source != target:
                assert shown == expected, (source, target)
                if expected:
                    assert {link.links for _name, link in mine} == {catalog.projection(source, target).links}


def test_every_class_can_be_walked_to(catalog: Catalog) -> None:
    """What is at the other end of a link is a class with links of its own that lead back."""
    for start in ("person", "table", "sky"):
        links = class_links(catalog, "universal", start)
        for link in links.incoming:
            back = class_links(catalog, link.taxonomy, str(link.class_name))
            assert ("universal", start) in {(one.taxonomy, one.class_name) for one in back.outgoing}
        for link in links.outgoing:
            if link.class_name is not None:
                back = class_links(catalog, link.taxonomy, link.class_name)
                assert ("universal", start) in {(one.taxonomy, one.class_name) for one in back.incoming}


def test_columns_with_links_only_can_be_walked_to(catalog: Catalog) -> None:
    for table in link_tables():
        for name in table.names:
            links = class_links(catalog, table.name, name)
            assert {link.taxonomy for link in (*links.incoming, *links.outgoing)} == {"universal"}


def test_a_taxonomy_of_the_user_takes_part(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "format: 1\nname: own\nignore_id: 255\nclasses:\n- {id: 0, name: people, rgb: [1, 2, 3]}\n"
        "from_universal: {person: people, bicyclist: people}\n"
    )
    both = Catalog([resource_folder("taxonomies"), tmp_path])
    assert by_taxonomy(class_links(both, "universal", "person").outgoing)["own"].kind == "merge"
    assert len(class_links(both, "own", "people").incoming) == 2
    (tmp_path / "own.yaml").write_text("format: 1")
    assert "own" not in by_taxonomy(class_links(both, "universal", "person").outgoing)
    with pytest.raises(TaxonomyError, match=r"own\.yaml: key 'name' is missing"):
        class_links(both, "own", "people")


def test_unknown_names(catalog: Catalog) -> None:
    with pytest.raises(UnknownTaxonomyError, match="did you mean voc2012"):
        class_links(catalog, "voc2013", "person")
    with pytest.raises(TaxonomyError, match="taxonomy 'universal' has no class 'pearson'; did you mean person"):
        class_links(catalog, "universal", "pearson")

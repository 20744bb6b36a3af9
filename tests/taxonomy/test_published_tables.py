"""The shipped taxonomies are MSeg's: against the tables themselves where they are, against fingerprints always."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from mseg_studio.taxonomy.catalog import Catalog
from tests.taxonomy.published import ALL, LARGER, PLAIN, RELABELED, SHIPPED, TESTS, Published, fingerprint, ids

FINGERPRINTS = json.loads((Path(__file__).parent / "fingerprints.json").read_text())

# Cells of several classes without a namesake of the universal class: who stands for the others.
REPRESENTATIVES = {
    "ade20k-150": {
        "boat_ship": "boat",
        "mountain_hill": "mountain",
        "railing_banister": "railing",
        "river_lake": "river",
        "sidewalk_pavement": "sidewalk",
        "terrain": "grass",
        "vegetation": "tree",
    },
    "coco-panoptic-133": {
        "building": "building-other-merged",
        "floor": "floor-other-merged",
        "table": "table-merged",
        "terrain": "grass-merged",
        "vegetation": "tree-merged",
        "wall": "wall-other-merged",
    },
    "idd-39": {"sidewalk_pavement": "sidewalk"},
    "mapillary-public65": {"sidewalk_pavement": "Sidewalk", "traffic_sign": "Traffic Sign (Front)"},
}


@pytest.fixture(scope="session")
def published(shared: Path) -> Published:
    return Published(shared / "data" / "mseg")


def test_exactly_the_published_taxonomies_ship(catalog: Catalog) -> None:
    assert set(catalog.names()) == set(SHIPPED) == set(FINGERPRINTS)


@pytest.mark.parametrize("name", SHIPPED)
def test_classes_and_matrices_have_the_fixed_fingerprint(catalog: Catalog, name: str) -> None:
    assert list(fingerprint(catalog, name)) == FINGERPRINTS[name]


@pytest.mark.parametrize("name", ALL)
def test_ids_are_positions_in_the_published_order(catalog: Catalog, published: Published, name: str) -> None:
    taxonomy = catalog.taxonomy(name)
    assert list(taxonomy.names) == (published.universal() if name == "universal" else published.names(name))
    assert [info.id for info in taxonomy.classes] == list(range(len(taxonomy)))
    assert taxonomy.ignore_id == (65535 if name == "pascal-context-460" else 255)


def test_universal_parents_and_wordnet_ids(catalog: Catalog, published: Published) -> None:
    for info, row in zip(catalog.taxonomy("universal").classes, published.master(), strict=False):
        assert (info.parent or "") == row["Parent Category"]
        synsets = re.findall(r"\b[a-z_]+\.n\.\d\d", row["WordNet 3.1 Synset"].split("[")[0])
        assert (info.wordnet or "") == ("" if "?" in row["WordNet 3.1 Synset"] else ", ".join(synsets))


def test_no_definition_text_is_shipped(catalog: Catalog, published: Published) -> None:
    text = catalog.table("universal").path.read_text(encoding="utf-8")
    column = next(key for key in published.master()[0] if key.startswith("Defn"))
    definitions = [row[column] for row in published.master() if len(row[column]) > 12]
    assert len(definitions) > 100
    assert not [definition for definition in definitions if definition in text]


@pytest.mark.parametrize("name", TESTS)
def test_test_taxonomies_have_the_published_matrix(catalog: Catalog, published: Published, name: str) -> None:
    expected = np.zeros((len(published.names(name)), 194), np.float32)
    for column, (universal, cell) in enumerate(published.cells(name).items()):
        for target in cell:
            assert universal != "unlabeled"
            expected[published.names(name).index(target), column] = 1
    np.testing.assert_array_equal(catalog.projection("universal", name).weights, expected)


@pytest.mark.parametrize("name", [*PLAIN, *RELABELED])
def test_training_taxonomies_have_the_published_links(catalog: Catalog, published: Published, name: str) -> None:
    cells = published.cells(name)
    expected = {member: universal for universal, cell in cells.items() for member in cell}
    assert set(expected) == set(published.names(name)), "every class is declared in the master table"
    unlabeled = {member for member, universal in expected.items() if universal == "unlabeled"}
    projection = catalog.projection(name, "universal")
    assert ids(projection) == {a: b for a, b in expected.items() if b != "unlabeled"}
    assert {projection.source.classes[index].name for index in projection.unmapped} == unlabeled


@pytest.mark.parametrize("name", RELABELED)
def test_relabeled_taxonomies_invert_one_to_one(catalog: Catalog, name: str) -> None:
    forward, back = catalog.projection(name, "universal"), catalog.projection("universal", name)
    np.testing.assert_array_equal(back.weights, forward.weights.T)
    assert back.links == "exact"
    assert len(ids(back)) == len(back.target)


@pytest.mark.parametrize("name", [name for name in PLAIN if name not in ("cityscapes-19", "bdd")])
def test_plain_training_taxonomies_pick_a_representative(catalog: Catalog, published: Published, name: str) -> None:
    projection = catalog.projection("universal", name)
    assert projection.links == "approximate"
    expected = {}
    for universal, cell in published.cells(name).items():
        if universal == "unlabeled" or not cell:
            continue
        namesakes = [member for member in cell if member.lower() == universal.replace("_", " ")]
        chosen = REPRESENTATIVES.get(name, {}).get(universal)
        expected[universal] = chosen or (cell[0] if len(cell) == 1 else namesakes[0])
        assert expected[universal] in cell
    assert ids(projection) == expected


@pytest.mark.parametrize("name", ["cityscapes-19", "bdd"])
def test_cityscapes_is_an_output_through_wilddash(catalog: Catalog, name: str) -> None:
    projection = catalog.projection("universal", name)
    np.testing.assert_array_equal(projection.weights, catalog.projection("universal", "wilddash-19").weights)
    assert projection.target.names == catalog.taxonomy("wilddash-19").names
    assert "wilddash-19" in projection.target.source
    assert "wilddash-19" in catalog.table(name).note


@pytest.mark.parametrize(
    ("source", "target"),
    [*LARGER.items(), *((plain, f"{plain}-relabeled") for plain in PLAIN), ("cityscapes-34", "cityscapes-19")],
)
def test_remapping_files(catalog: Catalog, published: Published, source: str, target: str) -> None:
    names = set(published.names(target))
    expected = {a: b for a, b in published.remap(source, target).items() if b in names}
    assert ids(catalog.projection(source, target)) == expected


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("ade20k-150", "ade20k-151"),
        ("bdd", "bdd"),
        ("camvid-32", "camvid-32"),
        ("camvid-11", "camvid-32"),
        ("cityscapes-19", "cityscapes-19"),
        ("coco-panoptic-133", "coco-panoptic-133"),
        ("kitti-19", "kitti-19"),
        ("kitti-34", "kitti-19"),
        ("mapillary-public65", "mapillary-public66"),
        ("mapillary-public66", "mapillary-public66"),
    ],
)
def test_published_colours_by_class_name(catalog: Catalog, published: Published, name: str, order: str) -> None:
    """ade20k-150's colour file follows the order of ade20k-151 (wall, building, ...), not its own."""
    file = {"ade20k-151": "ade20k-150", "bdd": "bddsemseg"}.get(order, order)
    names = [entry for entry in published.names(order) if entry != "unlabeled"]
    colours = dict(zip(names, published.colours(file), strict=True))
    shown = {info.name: info.rgb for info in catalog.taxonomy(name).classes}
    assert {key: shown[key] for key in colours if key in shown} == {
        key: colours[key] for key in colours if key in shown
    }
    assert set(colours) & set(shown)


@pytest.mark.parametrize(
    ("name", "unmapped"), [("camvid-11", 182), ("kitti-19", 172), ("wilddash-19", 171), ("scannet-20", 157)]
)
def test_how_many_universal_classes_map_nowhere(catalog: Catalog, name: str, unmapped: int) -> None:
    assert len(catalog.projection("universal", name).unmapped) == unmapped


@pytest.mark.parametrize(("name", "covered"), [("ade20k-150", 117), ("coco-panoptic-133", 122)])
def test_how_many_universal_classes_a_training_set_covers(catalog: Catalog, name: str, covered: int) -> None:
    projection = catalog.projection("universal", name)
    assert len(projection.source) - len(projection.unmapped) == covered


def test_autorickshaws_tell_wilddash_from_kitti(catalog: Catalog) -> None:
    kitti, wilddash = (ids(catalog.projection("universal", name)) for name in ("kitti-19", "wilddash-19"))
    assert dict(set(wilddash.items()) ^ set(kitti.items())) == {"autorickshaw": "motorcycle"}


def test_backgrounds(catalog: Catalog) -> None:
    voc, context = (catalog.projection("universal", name) for name in ("voc2012", "pascal-context-60"))
    assert (voc.target.classes[0].name, int(voc.weights[0].sum())) == ("background", 167)
    assert (context.target.classes[1].name, int(context.weights[1].sum())) == ("background", 94)
    without = [info.name for info in context.target.classes if not context.weights[info.id].any()]
    assert without == ["flower", "wood"]
    assert not voc.unmapped
    assert not context.unmapped


@pytest.mark.parametrize(
    ("taxonomy", "road"),
    [
        ("universal", 98),
        ("cityscapes-19", 0),
        ("wilddash-19", 0),
        ("kitti-19", 0),
        ("bdd", 0),
        ("idd-39", 0),
        ("idd-39-relabeled", 19),
        ("cityscapes-34", 7),
        ("ade20k-151", 7),
        ("cityscapes-19-relabeled", 11),
        ("bdd-relabeled", 11),
    ],
)
def test_which_integer_is_road(catalog: Catalog, taxonomy: str, road: int) -> None:
    assert catalog.taxonomy(taxonomy).id_of("road") == road


@pytest.mark.parametrize(
    ("name", "class_id"), [("backpack", 0), ("building", 35), ("person", 125), ("sky", 142), ("window_blind", 193)]
)
def test_well_known_universal_ids(catalog: Catalog, name: str, class_id: int) -> None:
    assert catalog.taxonomy("universal").id_of(name) == class_id

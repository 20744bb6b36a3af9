"""Colours: told apart, recognised, and in the tables that painting reads."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.taxonomy.palette import color_table, palette_rgb
from tests.taxonomy.published import RELABELED, SHIPPED

COLOURS_SHA256 = "6913c6bde65cbc2ae72f84be6ea8e3a3a3e537e4d416045730a6a4c0d1c49f0a"


def lab(catalog: Catalog, name: str) -> np.ndarray:
    colours = np.array([info.rgb for info in catalog.taxonomy(name).classes if info.name != "unlabeled"])
    return rgb2lab(colours[:, None] / 255)[:, 0]


def distances(lab_n3: np.ndarray) -> np.ndarray:
    found = deltaE_ciede2000(lab_n3[:, None], lab_n3[None])
    return found[np.triu_indices(len(lab_n3), 1)]


def test_194_colours_can_be_told_apart(catalog: Catalog) -> None:
    """9.4 is the least CIEDE2000 distance of any two; 2.3 is just noticeable side by side."""
    assert distances(lab(catalog, "universal")).min() > 9


def test_194_colours_differ_by_the_older_measure_too(catalog: Catalog) -> None:
    """8.03 is the least CIE76 distance of any two: stairs and gravel."""
    colours = lab(catalog, "universal")
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=2)[np.triu_indices(194, 1)]
    assert apart.min() > 8
    assert len({info.rgb for info in catalog.taxonomy("universal").classes}) == 194


@pytest.mark.parametrize("name", RELABELED)
def test_relabeled_colours_can_be_told_apart(catalog: Catalog, name: str) -> None:
    assert distances(lab(catalog, name)).min() > 5
    assert len({info.rgb for info in catalog.taxonomy(name).classes}) == len(catalog.taxonomy(name))


def test_colours_are_fixed(catalog: Catalog) -> None:
    """All of them, where the published tables are not at hand: a class keeps its colour from version to version."""
    lines = "".join(f"{name} {c.id} {c.rgb}\n" for name in catalog.names() for c in catalog.taxonomy(name).classes)
    assert hashlib.sha256(lines.encode()).hexdigest() == COLOURS_SHA256


def test_no_class_is_nearly_black_or_white(catalog: Catalog) -> None:
    lightness = lab(catalog, "universal")[:, 0]
    assert lightness.min() > 24
    assert lightness.max() < 92


@pytest.mark.parametrize(
    "name",
    ["pascal-context-60", "pascal-context-460", "sunrgbd-37", "ade20k-150-relabeled", "idd-39-relabeled", "naive"],
)
def test_derived_colours_differ_within_a_taxonomy(catalog: Catalog, name: str) -> None:
    assert distances(lab(catalog, name)).min() > {"pascal-context-460": 2, "naive": 3.9}.get(name, 5)


def hue(rgb: tuple[int, int, int]) -> str:
    return "RGB"[int(np.argmax(rgb))]


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("sky", "B"),
        ("sea", "B"),
        ("vegetation", "G"),
        ("terrain", "G"),
        ("person", "R"),
        ("car", "B"),
        ("fire_hydrant", "R"),
    ],
)
def test_hues_that_everybody_expects(catalog: Catalog, name: str, channel: str) -> None:
    universal = catalog.taxonomy("universal")
    info = universal.get(universal.id_of(name))
    assert info is not None
    assert hue(info.rgb) == channel


def test_road_sidewalk_sky_and_person_look_as_in_cityscapes(catalog: Catalog) -> None:
    universal, cityscapes = catalog.taxonomy("universal"), catalog.taxonomy("cityscapes-19")
    for name, other in (("road", "road"), ("sidewalk_pavement", "sidewalk"), ("sky", "sky"), ("person", "person")):
        assert universal.classes[universal.id_of(name)].rgb == cityscapes.classes[cityscapes.id_of(other)].rgb


@pytest.mark.parametrize("name", SHIPPED)
def test_tables_have_a_row_for_every_id(catalog: Catalog, name: str) -> None:
    taxonomy = catalog.taxonomy(name)
    length = 65536 if name in ("pascal-context-460", "naive") else 256
    argb, rgb = color_table(taxonomy), palette_rgb(taxonomy)
    assert (argb.shape, argb.dtype) == ((length,), np.uint32)
    assert (rgb.shape, rgb.dtype) == ((length, 3), np.uint8)
    for info in taxonomy.classes:
        red, green, blue = info.rgb
        assert argb[info.id] == 0xFF000000 + red * 65536 + green * 256 + blue
        assert tuple(rgb[info.id]) == info.rgb
    others = np.setdiff1d(np.arange(length), [info.id for info in taxonomy.classes])
    assert not argb[others].any(), "ids that are no class are transparent"
    assert not rgb[others].any()


def test_hidden_classes_are_transparent(catalog: Catalog) -> None:
    taxonomy = catalog.taxonomy("camvid-11")
    table = color_table(taxonomy, hidden=frozenset({0, 5, 200}))
    assert table[0] == table[5] == 0
    np.testing.assert_array_equal(np.delete(table, [0, 5]), np.delete(color_table(taxonomy), [0, 5]))


def test_holes_are_transparent() -> None:
    taxonomy = Taxonomy("holes", (ClassInfo(1, "a", (255, 128, 0)), ClassInfo(3, "b", (1, 2, 3))))
    assert color_table(taxonomy)[:5].tolist() == [0, 0xFFFF8000, 0, 0xFF010203, 0]
    assert palette_rgb(taxonomy)[:5].tolist() == [[0, 0, 0], [255, 128, 0], [0, 0, 0], [1, 2, 3], [0, 0, 0]]

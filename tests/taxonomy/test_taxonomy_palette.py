"""Colours: every universal class can be told from every other, and tables hold what is painted."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import numpy.typing as npt
import pytest

from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.taxonomy.palette import color_table, palette_rgb
from tests.taxonomy.published import RELABELED

COLOURS_SHA256 = "?"


def cie_lab(rgb_n3: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """(n, 3) sRGB to CIE L*a*b*, D65 white, by the formulas of IEC 61966-2-1 and CIE 15."""
    value = rgb_n3 / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    ratio = xyz / (0.95047, 1.0, 1.08883)
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def colours(taxonomy: Taxonomy) -> npt.NDArray[np.uint8]:
    return np.array([info.rgb for info in taxonomy.classes], np.uint8)


def test_lab_of_known_colours() -> None:
    lab = cie_lab(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]], np.uint8))
    np.testing.assert_allclose(lab, [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20]], atol=0.05)


@pytest.mark.parametrize("name", ["universal", *RELABELED])
def test_universal_classes_can_be_told_apart(catalog: Catalog, name: str) -> None:
    """At least 8 apart in CIE76 (just noticeable: 2.3); the closest two, stairs and gravel, are 8.03 apart."""
    taxonomy = catalog.taxonomy(name)
    lab = cie_lab(colours(taxonomy))
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    a, b = np.unravel_index(distance.argmin(), distance.shape)
    assert distance.min() >= 8, f"{taxonomy.names[a]} and {taxonomy.names[b]}"
    assert len({info.rgb for info in taxonomy.classes}) == len(taxonomy)


def test_no_universal_class_looks_like_nothing(catalog: Catalog) -> None:
    """Black is for pixels that are no class; white drowns in skies."""
    lightness = cie_lab(colours(catalog.taxonomy("universal")))[:, 0]
    assert lightness.min() > 20
    assert lightness.max() < 93


@pytest.mark.parametrize("name", RELABELED)
def test_a_class_keeps_its_universal_colour(catalog: Catalog, name: str) -> None:
    """Switching between universal and relabeled taxonomies repaints nothing, but for colours Cityscapes publishes."""
    universal = catalog.taxonomy("universal")
    by_name = {info.name: info.rgb for info in universal.classes}
    links = catalog.table(name).to_universal or {}
    changed = [info.name for info in catalog.taxonomy(name).classes if info.rgb != by_name[links[info.name]]]
    assert changed == []


def test_fixed_colours(catalog: Catalog) -> None:
    lines = "".join(
        f"{name} {info.id} {info.rgb}\n" for name in catalog.names() for info in catalog.taxonomy(name).classes
    )
    assert hashlib.sha256(lines.encode()).hexdigest() == COLOURS_SHA256


def test_published_colours_of_cityscapes(catalog: Catalog) -> None:
    table = palette_rgb(catalog.taxonomy("cityscapes-19"))
    assert table[0].tolist() == [128, 64, 128]
    assert table[13].tolist() == [0, 0, 142]


@pytest.mark.parametrize(("name", "length"), [("universal", 256), ("voc2012", 256), ("pascal-context-460", 65536)])
def test_tables_have_a_row_for_every_id(catalog: Catalog, name: str, length: int) -> None:
    taxonomy = catalog.taxonomy(name)
    rgb, argb = palette_rgb(taxonomy), color_table(taxonomy)
    assert (rgb.shape, rgb.dtype) == ((length, 3), np.uint8)
    assert (argb.shape, argb.dtype) == ((length,), np.uint32)
    for info in taxonomy.classes:
        assert tuple(rgb[info.id]) == info.rgb
        assert int(argb[info.id]) == 0xFF000000 + info.rgb[0] * 65536 + info.rgb[1] * 256 + info.rgb[2]
    assert not argb[len(taxonomy) :].any()
    assert not rgb[len(taxonomy) :].any()


def test_holes_and_hidden_classes_are_transparent() -> None:
    taxonomy = Taxonomy("holes", (ClassInfo(1, "a", (255, 128, 0)), ClassInfo(3, "b", (1, 2, 3))))
    assert [int(colour) for colour in color_table(taxonomy)[:4]] == [0, 0xFFFF8000, 0, 0xFF010203]
    assert [int(colour) for colour in color_table(taxonomy, hidden={1})[:4]] == [0, 0, 0, 0xFF010203]
    assert all(int(colour) == 0 for colour in itertools.islice(color_table(taxonomy, hidden=frozenset({1, 3})), 256))

"""A catalog of three taxonomies and a dataset of a few pixels."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np

from mseg_studio.errors import TaxonomyError
from mseg_studio.media.image import write_ids_png, write_rgb_png
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.taxonomy.projection import Links, Projection, identity

STREET = Taxonomy(
    "street", tuple(ClassInfo(i, n, (i, i, i)) for i, n in enumerate(("road", "car", "sky"))), source="test"
)
UNIVERSAL = Taxonomy(
    "universal",
    tuple(ClassInfo(i, n, (i, i, i)) for i, n in enumerate(("sky", "truck", "car", "road", "tree"))),
)
OTHER = Taxonomy("other", (ClassInfo(0, "thing", (0, 0, 0)),))


def link(source: Taxonomy, target: Taxonomy, names: dict[str, str], *, links: Links = "exact") -> Projection:
    weights = np.zeros((target.num_channels, source.num_channels), np.float32)
    for one, two in names.items():
        weights[target.id_of(two), source.id_of(one)] = 1
    return Projection(source, target, weights, links)


class FakeCatalog:
    """The part of Catalog that datasets and evaluation use."""

    def __init__(self) -> None:
        self._taxonomies = {t.name: t for t in (STREET, UNIVERSAL, OTHER)}
        merged = {"sky": "sky", "truck": "car", "car": "car", "road": "road"}
        self._projections = {
            ("universal", "street"): link(UNIVERSAL, STREET, merged),
            ("universal", "other"): link(UNIVERSAL, OTHER, {"tree": "thing"}, links="approximate"),
        }

    def taxonomy(self, name: str) -> Taxonomy:
        if name not in self._taxonomies:
            raise TaxonomyError(f"unknown taxonomy '{name}'; did you mean street?")
        return self._taxonomies[name]

    def projection(self, source: str, target: str) -> Projection:
        if source == target:
            return identity(self.taxonomy(source))
        if (source, target) not in self._projections:
            raise TaxonomyError(f"no projection from {source} to {target}")
        return self._projections[source, target]


def fake_catalog() -> Catalog:
    return cast(Catalog, FakeCatalog())


DESCRIPTION = """
format: 1
name: tiny
taxonomy: street
splits:
  val: {images: images, labels: labels, image_suffix: .png, label_suffix: _ids.png}
  listed: {list: list.txt, root: .}
id_map: {0: sky, 1: road, 7: car, 9: ignore}
to_universal: {sky: sky, road: road, car: car}
"""


def write_dataset(folder: Path, *, images: int = 3, size: tuple[int, int] = (4, 6), seed: int = 0) -> Path:
    """Images, ids in the dataset's own numbers and a description; gives the YAML's path."""
    rng = np.random.default_rng(seed)
    (folder / "images" / "sub").mkdir(parents=True, exist_ok=True)
    (folder / "labels" / "sub").mkdir(parents=True, exist_ok=True)
    for number in range(images):
        stem = f"sub/{number}" if number % 2 else f"{number}"
        write_rgb_png(folder / "images" / f"{stem}.png", rng.integers(0, 256, (*size, 3), np.uint8))
        ids = rng.choice(np.array([0, 1, 7, 9], np.uint8), size)
        write_ids_png(folder / "labels" / f"{stem}_ids.png", ids, None)
    (folder / "list.txt").write_text("# image label\nimages/0.png labels/0_ids.png\n")
    path = folder / "tiny.yaml"
    path.write_text(DESCRIPTION)
    return path

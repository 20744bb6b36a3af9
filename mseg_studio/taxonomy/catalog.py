"""Find taxonomies and the projections between them by name: the shipped ones and the user's own."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mseg_studio.errors import TaxonomyError, nearest
from mseg_studio.settings import resource_folder, user_folder
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.projection import Links, Projection, identity
from mseg_studio.taxonomy.table import TaxonomyTable, read_table

UNIVERSAL = "universal"
_TESTS = ("camvid-11", "cityscapes-19", "kitti-19", "pascal-context-60", "scannet-20", "voc2012", "wilddash-19")


@dataclass(frozen=True, slots=True)
class OutputChoice:
    """A taxonomy that labels can be shown in."""

    name: str
    links: Links
    num_classes: int
    note: str


class Catalog:
    """Taxonomies by name, from folders of YAML files. A file is read when it is first asked for."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Later folders add names. Raises TaxonomyError when two files carry one name."""
        self._paths: dict[str, Path] = {}
        for folder in folders:
            for path in sorted(folder.glob("*.yaml")) if folder.is_dir() else ():
                if path.stem in self._paths:
                    raise TaxonomyError(f"another file defines this taxonomy: {self._paths[path.stem]}", path=path)
                self._paths[path.stem] = path
        self._tables: dict[str, TaxonomyTable] = {}
        self._projections: dict[tuple[str, str], Projection] = {}

    def names(self) -> tuple[str, ...]:
        """All names, universal first, then in alphabetical order."""
        return tuple(sorted(self._paths, key=lambda name: (name != UNIVERSAL, name)))

    def table(self, name: str) -> TaxonomyTable:
        """What the file of taxonomy `name` says. Raises TaxonomyError."""
        if name not in self._paths:
            raise TaxonomyError(f"unknown taxonomy '{name}'{nearest(name, self._paths)}")
        if name not in self._tables:
            self._tables[name] = read_table(self._paths[name])
        return self._tables[name]

    def taxonomy(self, name: str) -> Taxonomy:
        """The taxonomy `name`. Raises TaxonomyError with the nearest names."""
        return self.table(name).taxonomy

    def projection(self, source: str, target: str) -> Projection:
        """The projection from one taxonomy to another. Raises TaxonomyError when no link is known."""
        key = (source, target)
        if key not in self._projections:
            self._projections[key] = self._build(source, target)
        return self._projections[key]

    def outputs(self, source: str) -> tuple[OutputChoice, ...]:
        """What a model in taxonomy `source` can be shown in: itself, the published tests, then the others.

        A broken file in the user's folder is left out here; asking for it by name tells what is wrong.
        """
        found = []
        for name in self.names():
            try:
                table = self.table(name)
            except TaxonomyError:
                if self._paths[name].parent == resource_folder("taxonomies"):
                    raise
                continue
            if self._links(source, name) is not None:
                links: Links = "exact" if name == source else table.links
                found.append(OutputChoice(name, links, len(table.taxonomy), table.note))
        rank = {name: place for place, name in enumerate((source, *_TESTS))}
        return tuple(sorted(found, key=lambda choice: (rank.get(choice.name, 99), choice.links, choice.name)))

    def _links(self, source: str, target: str) -> Mapping[str, str] | None:
        """Source class -> target class; None when no link is known. An empty mapping never is one."""
        if source == target:
            return {name: name for name in self.taxonomy(source).names}
        if source == UNIVERSAL:
            return self.table(target).from_universal
        table = self.table(source)
        if target == UNIVERSAL:
            return table.to_universal
        return table.to.get(target)

    def _build(self, source: str, target: str) -> Projection:
        source_taxonomy, target_taxonomy = self.taxonomy(source), self.taxonomy(target)
        if source == target:
            return identity(source_taxonomy)
        links = self._links(source, target)
        if links is None:
            raise TaxonomyError(f"no link from taxonomy '{source}' to '{target}' is known")
        weights = np.zeros((target_taxonomy.num_channels, source_taxonomy.num_channels), np.float32)
        for source_class, target_class in links.items():
            weights[target_taxonomy.id_of(target_class), source_taxonomy.id_of(source_class)] = 1
        approximate = source == UNIVERSAL and self.table(target).links == "approximate"
        return Projection(source_taxonomy, target_taxonomy, weights, "approximate" if approximate else "exact")


def default_catalog() -> Catalog:
    """The shipped taxonomies and those in the user's folder; read anew when the user's folder is another one."""
    return _catalog(resource_folder("taxonomies"), user_folder("taxonomies"))


@functools.lru_cache(maxsize=4)
def _catalog(shipped: Path, own: Path) -> Catalog:
    return Catalog((shipped, own))

"""Taxonomies and the projections between them, found by name in the shipped folder and the user's."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mseg_studio.errors import TaxonomyError, nearest, printable
from mseg_studio.settings import resource_folder, user_folder
from mseg_studio.taxonomy.head import TableHead, head_of, read_head
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.projection import Links, Projection, identity
from mseg_studio.taxonomy.table import TaxonomyTable, read_table
from mseg_studio.taxonomy.table_nodes import no_class

UNIVERSAL = "universal"
"""The taxonomy that all links lead through."""

_FIRST_OUTPUTS = ("camvid-11", "cityscapes-19", "kitti-19", "pascal-context-60", "scannet-20", "voc2012", "wilddash-19")
"""What MSeg publishes as outputs, and Cityscapes: offered before everything else."""
_SUFFIX = ".yaml"
_Files = Mapping[str, Sequence[Path]]
_THROUGH = "Through the universal taxonomy: no links of its own are published."


class UnknownTaxonomyError(TaxonomyError):
    """No taxonomy has this name; the message offers the nearest ones."""


@dataclass(frozen=True, slots=True)
class OutputChoice:
    """A taxonomy that results of a model can be shown in without running it again."""

    name: str
    links: Links
    num_classes: int
    note: str = ""


class Catalog:
    """All taxonomies of several folders, the shipped one first.

    No later file changes what a shipped name means: such a file is not used, and `problems` says so. A file is read
    when it is first asked for and again only after it changed on disk, so a taxonomy saved a moment ago is there. What
    is handed out is immutable; threads that ask at the same time at worst read a file twice.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self._tables: dict[Path, tuple[tuple[int, int, int], TaxonomyTable]] = {}
        self._heads: dict[Path, TableHead] = {}
        self._projections: dict[tuple[str, str], tuple[TaxonomyTable, TaxonomyTable, Projection]] = {}

    def names(self) -> tuple[str, ...]:
        """Names of all taxonomies: the universal one first, the others in alphabetical order."""
        return _in_order(self._files())

    def taxonomy(self, name: str) -> Taxonomy:
        """The taxonomy called `name`. Raises TaxonomyError: unknown (with the nearest names) or broken."""
        return self.table(name).taxonomy

    def table(self, name: str) -> TaxonomyTable:
        """The whole file of a taxonomy: classes, links and where it lies. Raises TaxonomyError as `taxonomy` does."""
        return self._load(_path(self._files(), name))

    def tables(self) -> tuple[TaxonomyTable, ...]:
        """Every taxonomy that can be used, in order of `names`; `problems` tells why others cannot."""
        files, found = self._files(), []
        for name in _in_order(files):
            path = files[name][0]
            try:
                table = self._load(path)
                if path.parent != self._folders[0]:
                    self._check_links(table, files)
            except TaxonomyError:
                continue
            found.append(table)
        return tuple(found)

    def path(self, name: str) -> Path:
        """The file of the taxonomy called `name`, broken or not. Raises UnknownTaxonomyError."""
        return _path(self._files(), name)

    def own(self) -> frozenset[str]:
        """Names of the taxonomies that did not come with the program."""
        return frozenset(name for name, paths in self._files().items() if paths[0].parent != self._folders[0])

    def is_shipped(self, name: str) -> bool:
        """Whether the taxonomy came with the program; the others lie in the user's folder."""
        paths = self._files().get(name)
        return paths is not None and paths[0].parent == self._folders[0]

    def projection(self, source: str, target: str) -> Projection:
        """The projection from one taxonomy to another; cached.

        Identity for one and the same; published links where a file has them (`to`, `to_universal`, `from_universal`);
        otherwise both steps through the universal taxonomy, called approximate. Raises TaxonomyError where no links
        are known or a link names a class that does not exist.
        """
        files = self._files()
        source_table, target_table = self._load(_path(files, source)), self._load(_path(files, target))
        cached = self._projections.get((source, target))
        if cached is not None and cached[0] is source_table and cached[1] is target_table:
            return cached[2]
        projection = self._build(source_table, target_table, files)
        self._projections[source, target] = (source_table, target_table, projection)
        return projection

    def outputs(self, source: str) -> tuple[OutputChoice, ...]:
        """What results of a model in taxonomy `source` can be shown in: itself, the published ones, the others.

        Files of the user that cannot be read are left out; `problems` tells why.
        """
        files, found = self._files(), []
        own = self._load(_path(files, source))
        for name, paths in files.items():
            head = None if name == source else self._sound_head(paths[0], files)
            if head is not None and _linked(own, head):
                found.append(_choice(own, head))
        rank = {name: place for place, name in enumerate((UNIVERSAL, *_FIRST_OUTPUTS))}
        found.sort(key=lambda choice: (rank.get(choice.name, len(rank)), choice.links != "exact", choice.name))
        return (OutputChoice(source, "exact", len(own.taxonomy), "The model's own classes."), *found)

    def problems(self) -> tuple[TaxonomyError, ...]:
        """One error for every file that is broken, links to what does not exist, or takes a shipped name."""
        files, found = self._files(), list[TaxonomyError]()
        for name, paths in sorted(files.items()):
            try:
                self._check_links(self._load(paths[0]), files)
            except TaxonomyError as error:
                found.append(error)
            reason = f"is not used: MSeg Studio's own '{name}' stays; rename this file and its 'name'"
            found.extend(TaxonomyError(reason, path=path) for path in paths[1:])
        return tuple(found)

    def _files(self) -> _Files:
        """Paths by name, in order of the folders, listed once a question. One that cannot be read holds nothing."""
        files: dict[str, list[Path]] = {}
        for folder in self._folders:
            for name in _yaml_names(folder):
                files.setdefault(name.removesuffix(_SUFFIX), []).append(folder / name)
        return files

    def _load(self, path: Path) -> TaxonomyTable:
        try:
            status = path.stat()
        except OSError as error:
            raise TaxonomyError(f"cannot be read: {error.strerror}", path=path) from error
        # The number of the file tells two saves of one size within a tick of the clock apart.
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = self._tables.get(path)
        if known is None or known[0] != stamp:
            known = self._tables[path] = (stamp, read_table(path))
        return known[1]

    def _sound_head(self, path: Path, files: _Files) -> TableHead | None:
        """What the list of outputs shows of the taxonomy in `path`; None for one that cannot be used."""
        if path.parent == self._folders[0]:
            if path not in self._heads:
                self._heads[path] = read_head(path)
            return self._heads[path]
        try:
            table = self._load(path)
            self._check_links(table, files)
        except TaxonomyError:
            return None
        return head_of(table)

    def _check_links(self, table: TaxonomyTable, files: _Files) -> None:
        """Raise TaxonomyError when a link of `table` names a class or taxonomy that does not exist."""
        if table.to_universal is not None or table.from_universal is not None:
            universal = self._load(_path(files, UNIVERSAL)).taxonomy
            _require(universal, (table.to_universal or {}).values(), "to_universal", table.path)
            _require(universal, table.from_universal or {}, "from_universal", table.path)
        for name, links in table.to.items():
            try:
                target = self._load(_path(files, name)).taxonomy
            except TaxonomyError as error:
                raise TaxonomyError(f"to: {error}", path=table.path) from error
            _require(target, links.values(), f"to {name}", table.path)

    def _build(self, source: TaxonomyTable, target: TaxonomyTable, files: _Files) -> Projection:
        if source is target:
            return identity(source.taxonomy)
        name = target.taxonomy.name
        if not _linked(source, head_of(target)):
            raise TaxonomyError(f"no links lead from taxonomy '{source.taxonomy.name}' to '{name}'")
        self._check_links(source, files)
        self._check_links(target, files)
        if name in source.to:
            return _projection(source.taxonomy, target.taxonomy, source.to[name])
        if source.taxonomy.name == UNIVERSAL:
            return _projection(source.taxonomy, target.taxonomy, target.from_universal or {}, quality=target.links)
        if name == UNIVERSAL:
            return _projection(source.taxonomy, target.taxonomy, source.to_universal or {})
        first, second = source.to_universal or {}, target.from_universal or {}
        through = {key: second[middle] for key, middle in first.items() if middle in second}
        return _projection(source.taxonomy, target.taxonomy, through, quality="approximate")


def _in_order(files: _Files) -> tuple[str, ...]:
    return tuple(sorted(files, key=lambda name: (name != UNIVERSAL, name)))


def _path(files: _Files, name: str) -> Path:
    """The file that counts. Raises UnknownTaxonomyError."""
    if name not in files:
        raise UnknownTaxonomyError(f"unknown taxonomy '{printable(name)}'{nearest(name, files)}")
    return files[name][0]


def _yaml_names(folder: Path) -> list[str]:
    """File names of taxonomies in order; hidden files belong to editors, systems and writers that were killed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if e.name.endswith(_SUFFIX) and e.name[0] != "." and e.is_file())
    except OSError:
        return []


def default_catalog() -> Catalog:
    """The shipped taxonomies and those in the user's folder. One object for as long as the folders stay the same."""
    return _catalog((resource_folder("taxonomies"), user_folder("taxonomies")))


@functools.lru_cache(maxsize=8)
def _catalog(folders: tuple[Path, ...]) -> Catalog:
    return Catalog(folders)


def _linked(source: TaxonomyTable, target: TableHead) -> bool:
    """Whether links lead from one to the other, in one step or through the universal taxonomy."""
    if target.name in source.to:
        return True
    leaves = source.taxonomy.name == UNIVERSAL or source.to_universal is not None
    return leaves and (target.name == UNIVERSAL or target.is_output)


def _choice(source: TaxonomyTable, target: TableHead) -> OutputChoice:
    if target.name in source.to or target.name == UNIVERSAL:
        return OutputChoice(target.name, "exact", target.num_classes)
    if source.taxonomy.name == UNIVERSAL:
        return OutputChoice(target.name, target.links, target.num_classes, target.note)
    return OutputChoice(target.name, "approximate", target.num_classes, _THROUGH)


def _projection(
    source: Taxonomy, target: Taxonomy, links: Mapping[str, str], *, quality: Links = "exact"
) -> Projection:
    """A projection whose weights are 1 where `links` leads from class to class and 0 elsewhere."""
    source_ids = {info.name: info.id for info in source.classes}
    target_ids = {info.name: info.id for info in target.classes}
    weights = np.zeros((target.num_channels, source.num_channels), np.float32)
    for key, value in links.items():
        weights[target_ids[value], source_ids[key]] = 1
    return Projection(source, target, weights, quality)


def _require(taxonomy: Taxonomy, names: Iterable[str], key: str, path: Path) -> None:
    known = set(taxonomy.names)
    for name in names:
        if name not in known:
            raise TaxonomyError(f"{key}: {no_class(taxonomy.name, name, known)}", path=path)

"""Find taxonomies and the projections between them by name: the shipped ones and the user's own."""

from __future__ import annotations

import functools
import os
import threading
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
SUFFIX = ".yaml"
_TESTS = ("camvid-11", "cityscapes-19", "kitti-19", "pascal-context-60", "scannet-20", "voc2012", "wilddash-19")


@dataclass(frozen=True, slots=True)
class OutputChoice:
    """A taxonomy that labels can be shown in."""

    name: str
    links: Links
    num_classes: int
    note: str


@dataclass(frozen=True, slots=True)
class _Read:
    """What reading a file gave, and by what a later version of the file is told from it."""

    version: tuple[int, int, int]
    table: TaxonomyTable | None
    reason: str = ""


class Catalog:
    """Taxonomies by name, from folders of YAML files; may be asked from several threads.

    A file is read when it is first asked for and again when it has changed, so a taxonomy saved while the program
    runs is there at once. When a changed file is broken or gone, the version read before stays in use: labels on the
    screen keep their meaning.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        """Names of earlier folders win: no file of the user's changes what a shipped name means (see `shadowed`)."""
        self._folders = tuple(folders)
        self._lock = threading.RLock()
        self._paths: dict[str, Path] = {}
        self._shadowed: tuple[TaxonomyError, ...] = ()
        self._reads: dict[str, _Read] = {}
        self._projections: dict[tuple[str, str], tuple[TaxonomyTable, TaxonomyTable, Projection]] = {}
        self._scan()

    def names(self) -> tuple[str, ...]:
        """All names in the folders now, universal first, then in alphabetical order; broken files are among them."""
        with self._lock:
            self._scan()
            return tuple(sorted(self._paths, key=lambda name: (name != UNIVERSAL, name)))

    def shadowed(self) -> tuple[TaxonomyError, ...]:
        """One error for every file that is not used because an earlier folder has its name."""
        with self._lock:
            self._scan()
            return self._shadowed

    def path(self, name: str) -> Path:
        """The file of taxonomy `name`, broken or not. Raises TaxonomyError with the nearest names."""
        with self._lock:
            if name not in self._paths:
                self._scan()
            if name not in self._paths:
                raise TaxonomyError(f"unknown taxonomy '{name}'{nearest(name, self._paths)}")
            return self._paths[name]

    def table(self, name: str) -> TaxonomyTable:
        """What the file of taxonomy `name` says. Raises TaxonomyError, always the same one for the same broken file."""
        with self._lock:
            read = self._reads.get(name)
            if read is not None and read.table is not None and name not in self._paths:
                return read.table  # the file is gone
            path, version = self.path(name), _version(self.path(name))
            if read is None or (version is not None and version != read.version):
                read = self._reads[name] = self._read(name, path, version, before=read)
            if read.table is None:
                raise TaxonomyError(read.reason, path=path)
            return read.table

    def taxonomy(self, name: str) -> Taxonomy:
        """The taxonomy `name`. Raises TaxonomyError with the nearest names."""
        return self.table(name).taxonomy

    def projection(self, source: str, target: str) -> Projection:
        """The projection from one taxonomy to another. Raises TaxonomyError when no link is known."""
        with self._lock:
            tables = self.table(source), self.table(target)
            known = self._projections.get((source, target))
            if known is None or known[0] is not tables[0] or known[1] is not tables[1]:
                known = self._projections[source, target] = (*tables, _build(*tables))
            return known[2]

    def outputs(self, source: str) -> tuple[OutputChoice, ...]:
        """What a model in taxonomy `source` can be shown in: itself, the published tests, then the others.

        A broken file is left out here; asking for it by name tells what is wrong.
        """
        with self._lock:
            own, found = self.table(source), []
            for name in self.names():
                try:
                    table = self.table(name)
                except TaxonomyError:
                    continue
                if name == source or _links(own, table) is not None:
                    found.append(OutputChoice(name, _quality(own, table), len(table.taxonomy), table.note))
        rank = {name: place for place, name in enumerate((source, *_TESTS))}
        return tuple(sorted(found, key=lambda c: (rank.get(c.name, len(rank)), c.links == "approximate", c.name)))

    def _scan(self) -> None:
        """List the folders. A folder that is not there or cannot be read holds nothing."""
        paths: dict[str, Path] = {}
        shadowed = []
        for folder in self._folders:
            for path in _files(folder):
                if path.stem in paths:
                    problem = f"is not used: {paths[path.stem]} has this name; rename the file and its 'name:'"
                    shadowed.append(TaxonomyError(problem, path=path))
                else:
                    paths[path.stem] = path
        self._paths, self._shadowed = paths, tuple(shadowed)

    def _read(self, name: str, path: Path, version: tuple[int, int, int] | None, *, before: _Read | None) -> _Read:
        universal = self.taxonomy(UNIVERSAL) if name != UNIVERSAL and UNIVERSAL in self._paths else None
        try:
            return _Read(version or (0, 0, 0), read_table(path, universal=universal))
        except TaxonomyError as error:
            return _Read(version or (0, 0, 0), before.table if before is not None else None, error.reason)


def _files(folder: Path) -> list[Path]:
    """Taxonomy files in order of name; hidden files are editors' and systems' own."""
    try:
        entries = list(os.scandir(folder))
        return sorted(
            Path(entry.path)
            for entry in entries
            if entry.name.endswith(SUFFIX) and not entry.name.startswith(".") and entry.is_file()
        )
    except OSError:
        return []


def _version(path: Path) -> tuple[int, int, int] | None:
    """Changes when the file is written or replaced; None when it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _links(source: TaxonomyTable, target: TaxonomyTable) -> Mapping[str, str] | None:
    """Source class -> target class between two taxonomies; None when no link is known."""
    if source.taxonomy.name == UNIVERSAL:
        return target.from_universal
    if target.taxonomy.name == UNIVERSAL:
        return source.to_universal
    return source.to.get(target.taxonomy.name)


def _quality(source: TaxonomyTable, target: TaxonomyTable) -> Links:
    """Only reading a taxonomy's links backwards, from universal, can be approximate."""
    return target.links if source.taxonomy.name == UNIVERSAL and target is not source else "exact"


def _build(source: TaxonomyTable, target: TaxonomyTable) -> Projection:
    if source is target:
        return identity(source.taxonomy)
    links = _links(source, target)
    if links is None:
        raise TaxonomyError(f"no link from taxonomy '{source.taxonomy.name}' to '{target.taxonomy.name}' is known")
    weights = np.zeros((target.taxonomy.num_channels, source.taxonomy.num_channels), np.float32)
    try:
        for source_class, target_class in links.items():
            weights[target.taxonomy.id_of(target_class), source.taxonomy.id_of(source_class)] = 1
    except TaxonomyError as error:  # reading a file checks all but `to`, whose targets are other files
        raise TaxonomyError(f"to {target.taxonomy.name}: {error.reason}", path=source.path) from error
    return Projection(source.taxonomy, target.taxonomy, weights, _quality(source, target))


def default_catalog() -> Catalog:
    """The shipped taxonomies and those in the user's folder; another catalog when the user's folder is another one."""
    return _catalog(resource_folder("taxonomies"), user_folder("taxonomies"))


@functools.lru_cache(maxsize=4)
def _catalog(shipped: Path, own: Path) -> Catalog:
    return Catalog((shipped, own))

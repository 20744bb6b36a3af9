"""The whole table: a row for every universal class, a column for every taxonomy that has links with it."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog
from mseg_studio.taxonomy.link_table import LinkTable, link_tables
from mseg_studio.taxonomy.model import ClassInfo
from mseg_studio.taxonomy.projection import Links
from mseg_studio.taxonomy.search import WORDNET_LESS, NameIndex, wordnet_ids
from mseg_studio.taxonomy.table import TaxonomyTable

Kind = Literal["training", "relabeled", "test", "links only", "yours"]
KINDS: tuple[Kind, ...] = ("training", "relabeled", "test", "links only", "yours")
"""In the order in which the columns stand."""

_RELABELED = "-relabeled"
_PARENT_LESS = 300.0
"""Taken off the score of a parent's name: its rows come after those with the word in their own."""


@dataclass(frozen=True)
class Column:
    """One taxonomy of the table."""

    name: str
    kind: Kind
    num_classes: int | None
    """None where no order of classes is published."""
    links: Links
    """Whether the links from the universal taxonomy to this one are exact; `exact` where there are none."""
    note: str = ""
    unlabeled: tuple[str, ...] = ()
    """Classes that lead to no universal class: the cell of MSeg's row `unlabeled`. Empty for what is read as output."""
    is_output: bool = False
    """Whether cells hold the class that the universal one leads to; otherwise the classes that lead to it."""


@dataclass(frozen=True)
class Row:
    """One universal class."""

    info: ClassInfo
    cells: Mapping[str, tuple[str, ...]]
    """By name of the column; an empty tuple is a blank cell."""


@dataclass(frozen=True, eq=False)
class MasterTable:
    """Columns grouped by kind, rows in order of id."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    parents: tuple[str, ...]
    """In the order in which the rows first name them; some rows have none."""

    def column(self, name: str) -> Column | None:
        """The column called `name`, None for no such column."""
        return next((column for column in self.columns if column.name == name), None)

    def find(self, query: str) -> dict[int, float]:
        """Positions of the rows that `query` may mean, with how well each fits."""
        exact = {place: 1.0 for place, row in enumerate(self.rows) if str(row.info.id) == query}
        return exact | self._index.find(query)

    @functools.cached_property
    def _index(self) -> NameIndex:
        return NameIndex(_searched(self.rows))


def master_table(catalog: Catalog) -> MasterTable:
    """The table of all taxonomies of `catalog` that have links with the universal one, and the columns with links only.

    A cell of a training or relabeled column holds the classes that lead to the row's class, as MSeg publishes them; one
    of a test column the class that the row's class leads to. The user's own are read as outputs where they are ones.
    Taxonomies that cannot be used are left out; `Catalog.problems` tells why.
    """
    universal, own = catalog.taxonomy(UNIVERSAL), catalog.own()
    found = [_column(table, own) for table in catalog.tables() if table.taxonomy.name != UNIVERSAL]
    taken = {entry[0].name for entry in found if entry is not None}
    found += [_links_only(table) for table in link_tables() if table.name not in taken]
    entries = sorted((entry for entry in found if entry is not None), key=lambda entry: _place(entry[0]))
    rows = tuple(
        Row(info, MappingProxyType({column.name: cells.get(info.name, ()) for column, cells in entries}))
        for info in universal.classes
    )
    parents = dict.fromkeys(info.parent for info in universal.classes if info.parent is not None)
    return MasterTable(tuple(column for column, _cells in entries), rows, tuple(parents))


def search_rows(table: MasterTable, query: str, limit: int = 194) -> list[Row]:
    """Rows for `query`, best first: the exact id, then names, aliases, classes in the row's cells and WordNet ids.

    Names that are the query come first, then those that start with it and contain it, then all rows under a parent that
    starts so; if there is none, names that resemble it. Case, underscores and spaces do not matter. An empty query
    gives the rows in order of id.
    """
    wanted = query.strip()
    if not wanted:
        return list(table.rows[:limit])
    found = table.find(wanted)
    best = sorted(found, key=lambda place: (str(table.rows[place].info.id) != wanted, -found[place], place))
    return [table.rows[place] for place in best[:limit]]


_Cells = Mapping[str, tuple[str, ...]]


def _column(table: TaxonomyTable, own: Collection[str]) -> tuple[Column, _Cells] | None:
    """A taxonomy's column and its cells by universal class; None for one without links to the universal taxonomy."""
    taxonomy, into, out = table.taxonomy, table.to_universal, table.from_universal
    if into is None and out is None:
        return None
    kind: Kind
    if taxonomy.name in own:
        kind = "yours"
    elif into is None:
        kind = "test"
    else:
        kind = "relabeled" if taxonomy.name.endswith(_RELABELED) else "training"
    is_output = out is not None and kind in ("test", "yours")
    unlabeled = () if is_output else tuple(name for name in taxonomy.names if name not in (into or {}))
    column = Column(taxonomy.name, kind, len(taxonomy), table.links, table.note, unlabeled, is_output)
    return column, _outputs(out or {}) if is_output else _members(into or {}, taxonomy.names)


def _links_only(table: LinkTable) -> tuple[Column, _Cells]:
    is_output = table.from_universal is not None
    column = Column(table.name, "links only", None, "exact", table.note, table.unlabeled, is_output)
    return column, _outputs(table.from_universal or {}) if is_output else _members(
        table.to_universal or {}, tuple(table.to_universal or {})
    )


def _outputs(from_universal: Mapping[str, str]) -> _Cells:
    return {universal: (name,) for universal, name in from_universal.items()}


def _members(to_universal: Mapping[str, str], order: tuple[str, ...]) -> _Cells:
    cells: dict[str, tuple[str, ...]] = {}
    for name in dict.fromkeys(order):
        if name in to_universal:
            universal = to_universal[name]
            cells[universal] = (*cells.get(universal, ()), name)
    return cells


def _searched(rows: Sequence[Row]) -> Iterator[tuple[int, str, float]]:
    """Every name that leads to a row, by its position, and what is taken off its score."""
    for place, row in enumerate(rows):
        info = row.info
        yield place, info.name, 0.0
        yield from ((place, alias, 1.0) for alias in info.aliases)
        yield from ((place, name, 2.0) for names in row.cells.values() for name in names)
        yield from ((place, synset, WORDNET_LESS) for synset in wordnet_ids(info))
        if info.parent is not None:
            yield place, info.parent, _PARENT_LESS


def _place(column: Column) -> tuple[int, str]:
    return KINDS.index(column.kind), column.name

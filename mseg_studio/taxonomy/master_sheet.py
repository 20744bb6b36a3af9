"""Tables in the layout of MSeg's master table: a row a universal class, a column a taxonomy.

Columns come in two kinds. In one, cells hold the classes that lead to the row's universal class, several in braces, and
a class stands once in the column: the label space of a training set. In the other, cells hold the one class that the
row's universal class leads to, which may stand in many rows: an output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mseg_studio.errors import nearest
from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog
from mseg_studio.taxonomy.finding import Findings
from mseg_studio.taxonomy.model import UNLABELED, Taxonomy
from mseg_studio.taxonomy.pair_sheet import good_name, no_universal
from mseg_studio.taxonomy.sheet import SheetRow, members, stripped

FACTS = ("parent category", "wordnet", "defn", "modification of wordnet")
"""How headers of columns start that are about the universal class itself."""


@dataclass(frozen=True, slots=True)
class SheetColumn:
    """One taxonomy of a table: what stands in the row of every universal class."""

    name: str
    cells: Mapping[str, tuple[str, ...]]
    """Universal class or `unlabeled` -> classes in its cell; rows with an empty cell are left out."""
    rows: Mapping[str, int]
    """Class -> the first row that it stands in, in order of the rows."""
    universals: frozenset[str]
    """Universal classes that have a row, whatever stands in it."""
    leads_in: bool
    """Whether classes lead to the universal one (a training set's labels); otherwise it leads to them (an output)."""


@dataclass(frozen=True, slots=True)
class MasterSheet:
    """A whole table: the columns that are taxonomies, in order."""

    columns: tuple[SheetColumn, ...]


def is_master(rows: Sequence[SheetRow]) -> bool:
    """Whether the first row is the header of such a table: more than two columns, one of them `universal`."""
    return bool(rows) and len(rows[0].cells) > 2 and UNIVERSAL in [cell.strip() for cell in rows[0].cells]


def is_facts(header: str) -> bool:
    """Whether a column is about the universal class itself and no taxonomy."""
    return header.lower().startswith(FACTS)


def read_master(rows: Sequence[SheetRow], catalog: Catalog, found: Findings) -> MasterSheet:
    """What the rows, the header first, say; every mistake is told to `found`."""
    universal = catalog.taxonomy(UNIVERSAL)
    headers = _headers(rows[0], found)
    at = headers.index(UNIVERSAL)
    body = []
    for row in rows[1:]:
        if len(row.cells) == len(headers):
            body.append(row)
        else:
            reason = f"has {len(row.cells)} cells, expected {len(headers)} as in the header"
            found.error(reason, row=row.row, code="cells")
    names = _row_names(body, at, universal, found)
    columns = []
    for index, header in enumerate(headers):
        if index == at or not header or is_facts(header):
            continue
        if any(is_prose(row.cells[index]) for row, _name in names) and not catalog.is_shipped(header):
            found.warning("holds sentences: it is read as notes, not as a taxonomy", column=header, code="column")
        else:
            columns.append(_column(header, index, names, catalog, found))
    return MasterSheet(tuple(columns))


def _headers(row: SheetRow, found: Findings) -> list[str]:
    headers = [stripped(cell, found, row=row.row, column=cell.strip()) for cell in row.cells]
    for index, header in enumerate(headers):
        if not header:
            found.error(f"column {index + 1} has no header", row=row.row, code="column")
        elif header in headers[:index]:
            found.error(f"the header '{header}' stands twice", row=row.row, column=header, code="column")
    return headers


def _row_names(body: Sequence[SheetRow], at: int, universal: Taxonomy, found: Findings) -> list[tuple[SheetRow, str]]:
    """Rows with the universal class that they are about; those with a mistake there are left out."""
    known, seen, named = {*universal.names, UNLABELED}, dict[str, int](), []
    for row in body:
        name = stripped(row.cells[at], found, row=row.row, column=UNIVERSAL)
        if not name:
            found.error("the universal class is missing", row=row.row, column=UNIVERSAL, code="empty")
        elif "{" in name or "}" in name:
            reason = "expected one universal class a row; to merge some, give them one class in a column of your own"
            found.error(reason, row=row.row, column=UNIVERSAL, code="braces")
        elif name not in known:
            found.error(no_universal(name, known), row=row.row, column=UNIVERSAL, code="unknown class")
        elif name in seen:
            reason = f"'{name}' stands in row {seen[name]} already"
            found.error(reason, row=row.row, column=UNIVERSAL, code="twice")
        else:
            named.append((row, name))
        seen.setdefault(name, row.row)
    missing = [name for name in universal.names if name not in seen]
    if missing:
        found.warning(f"universal classes without a row: {_listed(missing)}", column=UNIVERSAL, code="uncovered")
    return named


def _column(
    header: str, index: int, named: Sequence[tuple[SheetRow, str]], catalog: Catalog, found: Findings
) -> SheetColumn:
    cells: dict[str, tuple[str, ...]] = {}
    places: dict[str, list[int]] = {}
    braces = False
    for row, universal in named:
        names = members(row.cells[index], found, row=row.row, column=header)
        braces = braces or row.cells[index].strip().startswith("{")
        names = tuple(name for name in names if good_name(name, found, row=row.row, column=header))
        if names:
            cells[universal] = names
        for name in names:
            places.setdefault(name, []).append(row.row)
    published = header in catalog.names() and catalog.is_shipped(header)
    leads_in = catalog.table(header).to_universal is not None if published else braces
    if leads_in:
        _check_once(header, places, found)
    else:
        _check_single(header, cells, found, {universal: row.row for row, universal in named})
    if published:
        _check_known(header, places, catalog.taxonomy(header), found)
    return SheetColumn(
        header,
        cells,
        {name: rows[0] for name, rows in places.items()},
        frozenset(universal for _row, universal in named),
        leads_in,
    )


def _check_single(header: str, cells: Mapping[str, Sequence[str]], found: Findings, rows: Mapping[str, int]) -> None:
    for universal, names in cells.items():
        if len(names) > 1:
            reason = f"'{universal}' is mapped twice: to '{names[0]}' and to '{names[1]}'"
            found.error(reason, row=rows[universal], column=header, code="mapped twice")


def is_prose(cell: str) -> bool:
    """Whether a cell holds sentences: a column of notes is no taxonomy."""
    return len(cell.split()) > 12 and "{" not in cell


def _check_once(header: str, places: Mapping[str, Sequence[int]], found: Findings) -> None:
    for name, rows in places.items():
        for row in rows[1:]:
            reason = f"'{name}' is mapped twice: it stands in row {rows[0]} already"
            found.error(reason, row=row, column=header, code="mapped twice")


def _check_known(header: str, places: Mapping[str, Sequence[int]], taxonomy: Taxonomy, found: Findings) -> None:
    for name, rows in places.items():
        if name not in taxonomy.names:
            reason = f"taxonomy '{header}' has no class '{name}'{nearest(name, taxonomy.names)}"
            found.error(reason, row=rows[0], column=header, code="unknown class")
    missing = [name for name in taxonomy.names if name not in places and name != UNLABELED]
    if missing:
        found.warning(f"classes of '{header}' in no row: {_listed(missing)}", column=header, code="uncovered")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 9 else ""
    return ", ".join(names[:8] if more else names) + more

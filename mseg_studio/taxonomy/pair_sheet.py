"""The simplest table of a taxonomy: two columns, a class and a universal class that belongs to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mseg_studio.errors import TaxonomyError
from mseg_studio.taxonomy.catalog import UNIVERSAL
from mseg_studio.taxonomy.finding import Findings
from mseg_studio.taxonomy.model import MAX_NAME, ClassInfo, Taxonomy
from mseg_studio.taxonomy.sheet import SheetRow, shown, stripped
from mseg_studio.taxonomy.table_nodes import no_class

_CLASS, _UNIVERSAL_CLASS = "class", "universal class"
_UNIVERSAL_HEADERS = frozenset(["universal", "universal class", "universal name", "universal classes", "mseg"])
_CLASS_HEADERS = frozenset(["class", "classes", "name", "class name", "my class", "label", "target"])


@dataclass(frozen=True, slots=True)
class PairSheet:
    """Classes in the order in which they first stand, each with its universal classes."""

    classes: tuple[tuple[str, tuple[str, ...]], ...]


def read_pairs(rows: tuple[SheetRow, ...], universal: Taxonomy, found: Findings) -> PairSheet:
    """What the rows say. The first may be a header, which may name the columns the other way round.

    A row without a universal class is a class that nothing leads to; one without a class leaves a universal class
    without a target.
    """
    header = [_plain(cell) for cell in rows[0].cells] if rows else []
    swapped = len(header) == 2 and header[0] in _UNIVERSAL_HEADERS
    is_header = swapped or (len(header) == 2 and header[1] in _UNIVERSAL_HEADERS and _is_title(header[0], universal))
    sheet = _Pairs(universal, found)
    for row in rows[1:] if is_header else rows:
        if len(row.cells) != 2:
            reason = f"has {_cells(len(row.cells))}, expected 2: a class and a universal class"
            found.error(reason, row=row.row, code="cells")
            continue
        sheet.add(row.row, *(row.cells[::-1] if swapped else row.cells))
    return sheet.done()


class _Pairs:
    def __init__(self, universal: Taxonomy, found: Findings) -> None:
        self._known = frozenset(universal.names)
        self._found = found
        self._members: dict[str, list[str]] = {}
        self._rows: dict[str, int] = {}
        self._owner: dict[str, tuple[str, int]] = {}

    def add(self, row: int, class_cell: str, universal_cell: str) -> None:
        name = stripped(class_cell, self._found, row=row, column=_CLASS)
        member = stripped(universal_cell, self._found, row=row, column=_UNIVERSAL_CLASS)
        if name and not good_name(name, self._found, row=row, column=_CLASS):
            return
        if member and member not in self._known:
            self._found.error(no_universal(member, self._known), row=row, column=_UNIVERSAL_CLASS, code="unknown class")
            return
        if name:
            self._members.setdefault(name, [])
            self._rows.setdefault(name, row)
        if not member or not name:
            return
        owner, first = self._owner.setdefault(member, (name, row))
        if first == row:
            self._members[name].append(member)
        elif owner == name:
            self._found.warning(f"'{name}' and '{member}' stand in row {first} already", row=row, code="twice")
        else:
            reason = f"'{member}' is mapped twice: to '{owner}' in row {first} and to '{name}'"
            self._found.error(reason, row=row, column=_UNIVERSAL_CLASS, code="mapped twice")

    def done(self) -> PairSheet:
        for name, members in self._members.items():
            if not members and not self._found.errors:
                reason = f"no universal class leads to '{name}'"
                self._found.warning(reason, row=self._rows[name], column=_CLASS, code="uncovered")
        if not self._found.errors and not self._owner:
            self._found.error("links no class with a universal class", code="empty")
        return PairSheet(tuple((name, tuple(members)) for name, members in self._members.items()))


def good_name(name: str, found: Findings, *, row: int, column: str) -> bool:
    """Whether a class may be called so; says so if not."""
    try:
        ClassInfo(0, name, (0, 0, 0))
    except TaxonomyError:
        found.error(f"{shown(name)} is no name of a class", row=row, column=column, code="white space")
        return False
    if len(name) > MAX_NAME:
        reason = f"{shown(name)} has {len(name)} letters, expected at most {MAX_NAME}"
        found.error(reason, row=row, column=column, code="value")
        return False
    return True


def no_universal(name: str, known: Iterable[str]) -> str:
    """What is said of a name that is no universal class."""
    return no_class(UNIVERSAL, name if len(name) <= 60 else f"{name[:57]}...", known)


def _is_title(cell: str, universal: Taxonomy) -> bool:
    return cell in _CLASS_HEADERS or cell not in {_plain(name) for name in universal.names}


def _plain(cell: str) -> str:
    return " ".join(cell.lower().replace("_", " ").split())


def _cells(count: int) -> str:
    return f"{count} cell{'' if count == 1 else 's'}"

"""The linter: every mistake of a taxonomy file or of a table of classes in one line, with the row and the column.

It reads taxonomies in YAML, tables in the layout of MSeg's master table, and tables of two columns. Errors keep a file
from being used or imported; warnings do not.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog
from mseg_studio.taxonomy.finding import Finding, Findings, TooManyFindingsError
from mseg_studio.taxonomy.lint_yaml import lint_yaml
from mseg_studio.taxonomy.master_sheet import MasterSheet, is_master, read_master
from mseg_studio.taxonomy.pair_sheet import PairSheet, read_pairs
from mseg_studio.taxonomy.sheet import SheetRow, file_text, sheet_rows

__all__ = ["Finding", "Table", "is_yaml", "lint", "read_sheet"]

_YAML = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Table:
    """A table that was read, and what is wrong with it."""

    findings: tuple[Finding, ...]
    sheet: MasterSheet | PairSheet | None
    """None for one that cannot be read at all."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that keep it from being used."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


def lint(path: Path, catalog: Catalog) -> tuple[Finding, ...]:
    """What is wrong with the file at `path`, in order of its rows; empty for a clean one.

    Whatever the file holds, nothing is raised for it; one that cannot be read is a finding.
    """
    if not is_yaml(path):
        return read_sheet(path, catalog).findings
    found = Findings(path)
    text = file_text(path, found)
    if text is not None:
        with contextlib.suppress(TooManyFindingsError):
            lint_yaml(text, catalog, found)
    return found.sorted()


def is_yaml(path: Path) -> bool:
    """Whether the name of the file says that it is a taxonomy in YAML; anything else is a table."""
    return path.suffix.lower() in _YAML


def read_sheet(path: Path, catalog: Catalog) -> Table:
    """The table in the text file at `path`: cells between tabs, semicolons or commas, in either layout."""
    found = Findings(path)
    text = file_text(path, found)
    if text is None:
        return Table(found.sorted(), None)
    sheet = None
    with contextlib.suppress(TooManyFindingsError):
        sheet = _sheet(sheet_rows(text, found), catalog, found)
    return Table(found.sorted(), sheet)


def _sheet(rows: tuple[SheetRow, ...], catalog: Catalog, found: Findings) -> MasterSheet | PairSheet | None:
    if not rows:
        if not found.errors:
            found.error("is empty, expected a table of classes", code="empty")
        return None
    if is_master(rows):
        return read_master(rows, catalog, found)
    width = len(rows[0].cells)
    if width == 1:
        reason = "has one column, expected two: a class and a universal class"
        found.error(reason, row=rows[0].row, code="column")
        return None
    if width > 2:
        reason = f"no column is called '{UNIVERSAL}'; expected one in a table of {width} columns"
        found.error(reason, row=rows[0].row, code="column")
        return None
    return read_pairs(rows, catalog.taxonomy(UNIVERSAL), found)

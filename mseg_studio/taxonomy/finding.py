"""What the linter says of a file: one line for every mistake, with the row and the column."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mseg_studio.errors import printable

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake, or one thing worth a look."""

    path: Path
    row: int | None
    """Line of the file from 1, the header included; None for the whole file."""
    column: str
    """Header of the column in a table, key in YAML; empty for the whole row."""
    severity: Severity
    """A file with errors cannot be used; warnings are oddities."""
    code: str
    """What kind of mistake: encoding, yaml, key, value, name, empty, id, twice, unknown class, mapped twice, uncovered,
    white space, braces, column, cells, quotes."""
    message: str

    def line(self) -> str:
        """One line: file, row, column, what is wrong."""
        where = [] if self.row is None else [f"row {self.row}"]
        if self.column:
            where.append(f"column {self.column}")
        middle = f"{', '.join(where)}: " if where else ""
        return printable(f"{self.path}: {middle}{'' if self.severity == 'error' else 'warning: '}{self.message}")


class Findings:
    """Findings of one file, in the order in which they are made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found: list[Finding] = []

    def error(self, message: str, *, row: int | None = None, column: str = "", code: str) -> None:
        """Add a mistake that keeps the file from being used."""
        self._found.append(Finding(self.path, row, column, "error", code, printable(message)))

    def warning(self, message: str, *, row: int | None = None, column: str = "", code: str) -> None:
        """Add an oddity."""
        self._found.append(Finding(self.path, row, column, "warning", code, printable(message)))

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Mistakes that keep the file from being used, in the order in which they were made."""
        return tuple(finding for finding in self._found if finding.severity == "error")

    def sorted(self) -> tuple[Finding, ...]:
        """In order of the rows; what is about the whole file comes first, equal ones once."""
        return tuple(sorted(dict.fromkeys(self._found), key=lambda finding: finding.row or 0))

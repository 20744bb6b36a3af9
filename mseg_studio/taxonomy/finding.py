"""What the linter says of a file: one line for every mistake, with the row and the column."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mseg_studio.errors import TaxonomyError, printable

Severity = Literal["error", "warning"]
MAX_FINDINGS = 500
"""More of them say that the file is something else altogether."""
_MAX_LETTERS = 1000
"""Of a message; names in a file can have any length."""


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


class TooManyFindingsError(TaxonomyError):
    """Checking ends here: the last finding says so."""


class Findings:
    """Findings of one file, in the order in which they are made; at `MAX_FINDINGS` TooManyFindingsError is raised."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found: list[Finding] = []

    def error(self, message: str, *, row: int | None = None, column: str = "", code: str) -> None:
        """Add a mistake that keeps the file from being used."""
        self._add(Finding(self.path, row, column, "error", code, _short(message)))

    def warning(self, message: str, *, row: int | None = None, column: str = "", code: str) -> None:
        """Add an oddity."""
        self._add(Finding(self.path, row, column, "warning", code, _short(message)))

    def _add(self, finding: Finding) -> None:
        if len(self._found) == MAX_FINDINGS:
            reason = f"has more than {MAX_FINDINGS} mistakes; what follows was not checked"
            self._found.append(Finding(self.path, finding.row, "", "error", "value", reason))
            raise TooManyFindingsError(reason, path=self.path)
        self._found.append(finding)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Mistakes that keep the file from being used, in the order in which they were made."""
        return tuple(finding for finding in self._found if finding.severity == "error")

    def sorted(self) -> tuple[Finding, ...]:
        """In order of the rows; what is about the whole file comes first, equal ones once."""
        return tuple(sorted(dict.fromkeys(self._found), key=lambda finding: finding.row or 0))


def _short(message: str) -> str:
    return printable(message if len(message) <= _MAX_LETTERS else f"{message[: _MAX_LETTERS - 3]}...")

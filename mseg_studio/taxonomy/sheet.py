"""Tables that people keep in spreadsheets: text to rows of cells, whatever separates them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mseg_studio.taxonomy.finding import Findings
from mseg_studio.taxonomy.table import MAX_BYTES

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class SheetRow:
    """The cells of one line."""

    row: int
    """Number of the line from 1."""
    cells: tuple[str, ...]
    """As they are, outer white space included."""


def file_text(path: Path, found: Findings) -> str | None:
    """The text of the file at `path`, with its line ends; None, and a finding, for one that is no text."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        found.error(f"cannot be read: {error.strerror or error}", code="encoding")
        return None
    if len(data) > MAX_BYTES:
        found.error(f"is larger than {MAX_BYTES // 2**20} MiB, expected a table of classes", code="encoding")
        return None
    if data[:2] in _UTF16:
        found.error("is UTF-16, expected UTF-8: save it as UTF-8 text", code="encoding")
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        found.error(f"byte {error.start} of the file is not UTF-8", row=row, code="encoding")
        return None
    if text.startswith("\ufeff"):
        found.warning("a byte order mark stands before the first character", row=1, code="encoding")
        text = text[1:]
    _check_line_ends(text, found)
    return text


def sheet_rows(text: str, found: Findings) -> tuple[SheetRow, ...]:
    """Rows of cells between tabs, semicolons or commas, whichever the first line has; empty lines are left out.

    A cell in double quotes may hold the separator. A line whose quotes do not fit is a finding and left out.
    """
    lines = [line.rstrip("\r") for line in text.split("\n")]
    delimiter = _delimiter(next((line for line in lines if line.strip()), ""))
    rows = []
    for row, line in enumerate(lines, 1):
        if not line.strip(" \t,;"):
            if line:
                found.warning("the row is empty", row=row, code="empty")
            continue
        try:
            cells = next(csv.reader([line], delimiter=delimiter, strict=True), [])
        except csv.Error as error:
            why = "a quote is opened and not closed" if "end of data" in str(error) else "quotes stand inside a cell"
            found.error(why, row=row, code="quotes")
            continue
        rows.append(SheetRow(row, tuple(cells)))
    return tuple(rows)


def stripped(cell: str, found: Findings, *, row: int, column: str) -> str:
    """The cell without outer white space, which is a warning; what cannot be shown on one line is an error."""
    text = cell.strip()
    if text != cell:
        found.warning(f"{shown(cell)} has white space around it", row=row, column=column, code="white space")
    if not text.isprintable():
        found.error(f"{shown(text)} has control characters", row=row, column=column, code="white space")
        return ""
    return text


def members(cell: str, found: Findings, *, row: int, column: str) -> tuple[str, ...]:
    """Names in a cell: `a`, or `{a, b}`. Braces that do not fit are a finding, and such a cell is empty."""
    text = stripped(cell, found, row=row, column=column)
    if "{" not in text and "}" not in text:
        return (text,) if text else ()
    reason = _brace_mistake(text)
    if reason is not None:
        found.error(f"{shown(text)}: {reason}", row=row, column=column, code="braces")
        return ()
    names = tuple(part.strip() for part in text[1:-1].split(","))
    for name in names:
        if names.count(name) > 1:
            found.error(f"'{name}' stands twice in the braces", row=row, column=column, code="twice")
            return ()
    return names


def shown(text: str) -> str:
    """A cell in a message: short whatever it holds."""
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}...")


def _brace_mistake(text: str) -> str | None:
    if text.count("{") != text.count("}"):
        lacks = "closing" if text.count("{") > text.count("}") else "opening"
        return f"the {lacks} brace is missing"
    if text.count("{") > 1 or text[0] != "{" or text[-1] != "}":
        return "expected one pair of braces around the whole cell"
    if not text[1:-1].strip():
        return "nothing stands between the braces"
    if not all(part.strip() for part in text[1:-1].split(",")):
        return "a name is missing beside a comma"
    return None


def _delimiter(line: str) -> str:
    if "\t" in line:
        return "\t"
    return ";" if line.count(";") > line.count(",") else ","


def _check_line_ends(text: str, found: Findings) -> None:
    windows = text.count("\r\n")
    if text.count("\r") > windows:
        row = text.count("\n", 0, next(_lone_returns(text))) + 1
        found.warning("a carriage return stands alone; expected line ends of one kind", row=row, code="encoding")
    elif 0 < windows < text.count("\n"):
        ends = f"{windows} of {text.count(chr(10))} lines"
        found.warning(f"{ends} end with CRLF, the others with LF", code="encoding")


def _lone_returns(text: str) -> Iterator[int]:
    return (at for at, letter in enumerate(text) if letter == "\r" and text[at + 1 : at + 2] != "\n")

"""The last lines of a run's logs, followed while they grow. No Qt: it is read in the background."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mseg_studio.errors import printable

MOST_LINES = 5000
"""Lines of a rank that are kept; earlier ones stay in the file."""
_AT_ONCE_BYTES = 1 << 20
"""Of a file that is longer, or grew by more, only the end is read."""
_LONGEST = 2000
_DATED = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) (.*)")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line."""

    source: str
    """`rank 0`, or `launcher`."""
    when: str
    """Date and time as written; a line without one has that of the line before it."""
    text: str

    def words(self) -> str:
        """`12:41:07 rank 0 text`."""
        clock = self.when[11:] or " " * 8
        return f"{clock} {self.source} {self.text}"


class _File:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.source = path.stem.replace("rank", "rank ") if path.stem.startswith("rank") else path.stem
        self.lines: list[LogLine] = []
        self._offset, self._rest, self._when = 0, b"", ""
        self._inode = 0

    def poll(self) -> bool:
        try:
            with self.path.open("rb") as stream:
                return self._read(stream)
        except OSError:
            return False  # gone, or not there yet

    def _read(self, stream: BinaryIO) -> bool:
        facts = os.fstat(stream.fileno())
        if facts.st_ino != self._inode or facts.st_size < self._offset:
            self._inode, self._offset, self._rest, self._when, self.lines = facts.st_ino, 0, b"", "", []
        skip = facts.st_size - self._offset > _AT_ONCE_BYTES
        if skip:
            self._offset, self._rest = facts.st_size - _AT_ONCE_BYTES, b""
        stream.seek(self._offset)
        data = stream.read()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-_LONGEST:]
        for raw in lines[1 if skip else 0 :][-MOST_LINES:]:
            self._take(raw.decode("utf-8", "replace").rstrip("\r"))
        del self.lines[:-MOST_LINES]
        return bool(lines)

    def _take(self, text: str) -> None:
        # Progress bars draw over themselves: what they end with is what counts.
        text = printable(text.rsplit("\r", 1)[-1].replace("\t", "    "))[:_LONGEST]
        if not text:
            return
        dated = _DATED.match(text)
        if dated is not None:
            self._when, text = f"{dated[1]} {dated[2]}", dated[3]
        self.lines.append(LogLine(self.source, self._when, text))


class LogTail:
    """The logs of one run. Belongs to one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[Path, _File] = {}
        self._lines: tuple[LogLine, ...] = ()

    def poll(self) -> tuple[LogLine, ...]:
        """All lines that are kept, in the order of their times; the same object when nothing came."""
        changed = False
        try:
            paths = sorted(self._folder.glob("*.txt"), key=_order)
        except OSError:
            paths = []
        for path in paths:
            if path not in self._files:
                self._files[path] = _File(path)
        for path in list(self._files):
            changed |= self._files[path].poll()
        if changed:
            every = [line for file in self._files.values() for line in file.lines]
            self._lines = tuple(sorted(every, key=lambda line: line.when)[-MOST_LINES:])
        return self._lines

    @property
    def sources(self) -> tuple[str, ...]:
        """Whose logs there are: ranks in their order, then the launcher."""
        return tuple(file.source for file in self._files.values())


def _order(path: Path) -> tuple[bool, int, str]:
    number = path.stem.removeprefix("rank")
    return (not number.isdigit(), int(number) if number.isdigit() else 0, path.stem)

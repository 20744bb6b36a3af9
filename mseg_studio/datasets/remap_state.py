"""Which label files of an output folder are done: one line a file, so that a stopped run goes on where it was.

A line is written after its file is in place; after SIGKILL at worst the files under way are made once more. A file
counts as done when its source, its mapping and the file itself are as they were then. Label files are flushed to the
disk together, before the description that leads to them; a checksum tells those that a power cut took before that.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

from mseg_studio.errors import DatasetError

FORMAT = 1
STATE_FILE = "remap-state.jsonl"


class RemapState:
    """The record of one output folder. One thread at a time; `close` when done."""

    def __init__(self, folder: Path, *, forget: bool = False) -> None:
        """Read the record in `folder`, or start one; with `forget` nothing counts as done.

        Raises DatasetError for a record of a newer version, OSError.
        """
        self._folder = folder
        self._path = folder / STATE_FILE
        self._done: dict[str, list[Any]] = {}
        kept = b"" if forget else self._read()
        # What a killed process left half written is cut off, or the next line would be part of it.
        self._stream = self._path.open("r+b" if kept else "wb")
        self._stream.truncate(len(kept))
        self._stream.seek(len(kept))
        if not kept:
            self._append({"format": FORMAT})

    def is_done(self, source: Path, output: Path, key: str) -> bool:
        """Whether `output` was made from `source` as it is now, under the mapping `key`, and is still there."""
        known = self._done.get(self._name(output))
        if known is None:
            return False
        try:
            same = known[:-1] == [key, *_stamp(source), *_stamp(output)]
            return same and known[-1] == zlib.crc32(output.read_bytes())
        except OSError:
            return False

    def add(self, source: Path, output: Path, key: str, checksum: int) -> None:
        """Remember that `output`, whose content has this CRC-32, is done. Raises OSError."""
        entry = [key, *_stamp(source), *_stamp(output), checksum]
        self._done[self._name(output)] = entry
        self._append({"output": self._name(output), "done": entry})

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _name(self, output: Path) -> str:
        return output.relative_to(self._folder).as_posix()

    def _append(self, value: dict[str, Any]) -> None:
        self._stream.write((json.dumps(value) + "\n").encode())
        self._stream.flush()

    def _read(self) -> bytes:
        """Remember what the file says; gives its whole lines, empty when there are none or they are not of this."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return b""
        whole = data[: data.rfind(b"\n") + 1]
        lines = whole.splitlines()
        try:
            number = json.loads(lines[0])["format"] if lines else FORMAT
            if isinstance(number, int) and number > FORMAT:
                raise DatasetError(f"format is {number}, written by a newer MSeg Studio", path=self._path)
            for line in lines[1:]:
                value = json.loads(line)
                self._done[str(value["output"])] = list(value["done"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self._done.clear()
            return b""
        return whole


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns

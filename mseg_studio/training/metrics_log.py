"""metrics.jsonl: one JSON line an event, written by one process, read while it grows. Torch-free."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

MAX_LINE_BYTES = 4096
"""A line this short reaches the file in one write."""


class MetricsLog:
    """Appends lines {event, step, time, ...}. One writer a file."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        self._end_torn_line()

    def append(self, event: dict[str, Any]) -> None:
        """Write one event. Raises ValueError when its line is longer than MAX_LINE_BYTES, OSError on a full disk."""
        line = json.dumps(event, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        if len(line) > MAX_LINE_BYTES:
            raise ValueError(f"a line of metrics has {len(line)} bytes, expected at most {MAX_LINE_BYTES}")
        os.write(self._descriptor, line)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _end_torn_line(self) -> None:
        """A killed writer may leave half a line; what follows must not be glued to it."""
        size = os.fstat(self._descriptor).st_size
        if size == 0:
            return
        os.lseek(self._descriptor, size - 1, os.SEEK_SET)
        if os.read(self._descriptor, 1) != b"\n":
            os.write(self._descriptor, b"\n")


class MetricsReader:
    """Follows a file that may still grow: `poll` gives what is new."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset, self._rest = path, 0, b""
        self.events: list[dict[str, Any]] = []
        """All events in order; those that a resume made void are dropped."""

    def poll(self) -> list[dict[str, Any]]:
        """New events since the last call. A torn last line waits; a broken one is passed over; no file is no event."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read()
        except FileNotFoundError:
            return []
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        fresh = [event for event in map(_parse, lines) if event is not None]
        for event in fresh:
            if event.get("event") == "resume":
                step = event["step"]
                self.events = [old for old in self.events if old["step"] <= step]
            self.events.append(event)
        return fresh


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All valid events of a file."""
    reader = MetricsReader(path)
    reader.poll()
    return reader.events


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("step"), int) else None

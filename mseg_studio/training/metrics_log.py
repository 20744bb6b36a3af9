"""metrics.jsonl: one JSON line an event, written by one process, read while it grows. Torch-free."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MAX_LINE_BYTES = 4096
"""A line this short reaches the file in one write."""

_ROOM = MAX_LINE_BYTES - 512
"""Bytes of a line for what is long: the rest holds the event's name, step, time and scores."""


class MetricsLog:
    """Appends lines {event, step, time, ...}. One writer a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        self._end_torn_line()

    def append(self, event: dict[str, Any]) -> None:
        """Write one event. Raises ValueError when its line is longer than MAX_LINE_BYTES, OSError on a full disk."""
        text = json.dumps(event, ensure_ascii=False, allow_nan=False)
        line = text.encode(errors="backslashreplace") + b"\n"  # names that are no UTF-8 become JSON's own escapes
        if len(line) > MAX_LINE_BYTES:
            raise ValueError(f"a line of metrics has {len(line)} bytes, expected at most {MAX_LINE_BYTES}")
        self._write(line)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever written."""
        return os.fstat(self._descriptor).st_size == 0

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
            self._write(b"\n")

    def _write(self, line: bytes) -> None:
        """All of it or nothing: a disk that fills up takes a part without an error. Raises OSError naming the file."""
        before = os.fstat(self._descriptor).st_size
        try:
            written = os.write(self._descriptor, line)
            if written < len(line):
                os.ftruncate(self._descriptor, before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error


def validation_events(
    *, loss: float, miou: float, by_dataset: Mapping[str, Mapping[str, float]], iou: Mapping[str, float]
) -> list[dict[str, Any]]:
    """What to append for one validation: its line with every class's IoU, where a line is too short for those `iou`
    lines before it. Numbers are rounded to five digits; what is NaN is left out.
    """
    head: dict[str, Any] = {"event": "validation", **_finite({"loss": loss, "miou": miou})}
    mious = _finite({name: scores["miou"] for name, scores in by_dataset.items()})
    rounded = _finite(iou)
    if len(mious) > 1:
        head["miou_by_dataset"] = mious
    if _bytes(head) + _bytes(rounded) < _ROOM:
        return [{**head, "iou": rounded}]
    return [*({"event": "iou", "iou": part} for part in _parts(rounded)), head]


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    """JSON has no NaN: what is not known is left out."""
    return {name: round(value, 5) for name, value in values.items() if math.isfinite(value)}


def _parts(iou: dict[str, float]) -> Iterator[dict[str, float]]:
    part: dict[str, float] = {}
    size = 0
    for name, value in iou.items():
        added = _bytes({name: value})
        if part and size + added > _ROOM:
            yield part
            part, size = {}, 0
        part[name] = value
        size += added
    if part:
        yield part


def _bytes(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace"))


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

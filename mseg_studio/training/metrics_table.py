"""metrics.jsonl as columns of numbers: quick for a million lines, and read on from where it ended. Torch-free."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.float64]

_CHUNK_BYTES = 4 << 20
_QUICK_BYTES = 128 << 10
"""Less than this is read line by line: what reads many at once takes a while to load."""
_ROWS = 4096
_LARGEST_STEP = 2**53
"""Larger ones, in a damaged file, are no floats of their own."""
_MOST_COLUMNS = 96
"""More kinds of numbers than any run has are not kept."""
BY_DATASET = "loss_by_dataset/"
"""Begins the name of the column of a dataset's loss."""


@dataclass(frozen=True, slots=True)
class Validated:
    """One validation."""

    step: int
    time: float
    loss: float
    miou: float
    miou_by_dataset: Mapping[str, float] = field(default_factory=dict)
    iou: Mapping[str, float] = field(default_factory=dict)
    """IoU (0 to 1) by class; NaN where a class was not there."""


@dataclass(frozen=True, slots=True, eq=False)
class Metrics:
    """What a log held at one moment. Nothing in it changes any more."""

    step: Column = field(default_factory=lambda: np.empty(0))
    """Step of every logged step, (N,)."""
    columns: Mapping[str, Column] = field(default_factory=dict)
    """The other numbers of these lines by key, (N,) each, NaN where a line has none; a mapping's are `key/name`."""
    validations: tuple[Validated, ...] = ()
    others: tuple[dict[str, Any], ...] = ()
    """The events that are neither steps nor validations, as they stand in the file."""

    def column(self, name: str) -> Column:
        """A column, NaN throughout when no line has it."""
        found = self.columns.get(name)
        return np.full(len(self.step), np.nan) if found is None else found

    @property
    def datasets(self) -> tuple[str, ...]:
        """Datasets with a loss of their own."""
        return tuple(name.removeprefix(BY_DATASET) for name in self.columns if name.startswith(BY_DATASET))

    @property
    def best(self) -> Validated | None:
        """The validation with the highest mIoU, the earlier of equals."""
        scored = [one for one in self.validations if one.miou == one.miou]
        return max(scored, key=lambda one: (one.miou, -one.step), default=None)


class MetricsTable:
    """Follows a log that may still grow. `poll` and `metrics` belong to one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._forget()

    def _forget(self) -> None:
        self._offset, self._rest = 0, b""
        self._identity: tuple[int, int] | None = None
        self._count, self._capacity = 0, _ROWS
        self._step = np.empty(_ROWS)
        self._columns: dict[str, Column] = {}
        self._events: list[dict[str, Any]] = []
        self._shape: Any = None

    def poll(self) -> bool:
        """Read what is new; gives whether there was anything. A torn last line waits, a broken one is passed over.

        No file is nothing new; another file in its place is read from its start. Raises OSError.
        """
        try:
            stream = self._path.open("rb")
        except FileNotFoundError:
            return False
        with stream:
            changed = self._is_another(stream.fileno())
            stream.seek(self._offset)
            while data := stream.read(_CHUNK_BYTES):
                self._offset += len(data)
                end = data.rfind(b"\n") + 1
                if end == 0:
                    # Far longer than any line: no log, and it must not fill the memory.
                    self._rest = self._rest + data if len(self._rest) < _CHUNK_BYTES else b""
                    continue
                whole, self._rest = self._rest + data[:end], data[end:]
                self._take(whole)
                changed = True
        return changed

    def metrics(self) -> Metrics:
        """All there is, without copying the columns."""
        count = self._count
        columns = {name: column[:count] for name, column in self._columns.items()}
        validations, others = _validations(self._events)
        return Metrics(self._step[:count], columns, validations, others)

    def _is_another(self, descriptor: int) -> bool:
        """Whether the file is not the one that was read before; all of that is then forgotten."""
        facts = os.fstat(descriptor)
        identity, known = (facts.st_dev, facts.st_ino), self._identity
        another = known is not None and (known != identity or facts.st_size < self._offset)
        if another:
            self._forget()
        self._identity = identity
        return another

    # -- lines ---------------------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        if len(data) < _QUICK_BYTES:
            for line in data.split(b"\n"):
                self._take_line(line)
            return
        from mseg_studio.training.metrics_lines import read_alike, shape_of

        buffer = np.frombuffer(data, np.uint8)
        at = 0
        while at < len(data):
            if self._shape is not None:
                room = np.empty((_ROWS, len(self._shape.columns)))
                rows, at = read_alike(buffer, at, self._shape, room)
                if rows:
                    self._append(self._shape.columns, room[:rows])
                if rows == _ROWS:
                    continue
            end = data.find(b"\n", at)
            if end < 0:
                return
            line = data[at:end]
            event = self._take_line(line)
            if event is not None and event.get("event") == "step":
                self._shape = shape_of(event, line) or self._shape
            at = end + 1

    def _take_line(self, line: bytes) -> dict[str, Any] | None:
        event = _parse(line)
        if event is None:
            return None
        if event.get("event") == "step":
            numbers = dict(_numbers(event))
            self._append(tuple(numbers), np.array([list(numbers.values())]))
            return event
        if event.get("event") == "resume":
            self._drop_after(event["step"])
        self._events.append(event)
        return event

    def _append(self, names: tuple[str, ...], rows: Column) -> None:
        start, stop = self._count, self._count + len(rows)
        if stop > self._capacity:
            self._capacity = max(2 * self._capacity, stop)
            self._step = _grown(self._step, start, self._capacity)
            self._columns = {name: _grown(old, start, self._capacity) for name, old in self._columns.items()}
        seen = set(names)
        for name in names:
            if name != "step" and name not in self._columns and len(self._columns) < _MOST_COLUMNS:
                self._columns[name] = np.full(self._capacity, np.nan)
        for name, column in self._columns.items():
            column[start:stop] = rows[:, names.index(name)] if name in seen else np.nan
        self._step[start:stop] = rows[:, names.index("step")]
        self._count = stop

    def _drop_after(self, step: int) -> None:
        """What came after `step` was computed again. New arrays: those handed out stay as they are."""
        keep = self._step[: self._count] <= min(step, _LARGEST_STEP)
        kept, capacity = int(keep.sum()), self._capacity
        self._step = _grown(self._step[: self._count][keep], kept, capacity)
        self._columns = {name: _grown(old[: self._count][keep], kept, capacity) for name, old in self._columns.items()}
        self._count = kept
        self._events = [old for old in self._events if old["step"] <= step]


def _grown(old: Column, count: int, capacity: int) -> Column:
    new = np.full(capacity, np.nan)
    new[:count] = old[:count]
    return new


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("step"), int) else None


def _numbers(event: Mapping[str, Any]) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for key, value in event.items():
        if isinstance(value, dict):
            found += [(f"{key}/{name}", _float(part)) for name, part in value.items() if _is_number(part)]
        elif _is_number(value) or key == "step":
            found.append((key, _float(value)))
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _validations(events: list[dict[str, Any]]) -> tuple[tuple[Validated, ...], tuple[dict[str, Any], ...]]:
    found: list[Validated] = []
    others: list[dict[str, Any]] = []
    apart: dict[int, dict[str, float]] = {}
    for event in events:
        kind, step = event.get("event"), event["step"]
        if kind == "iou" and not event.get("dataset"):
            # A line of many classes: the validation line that follows had no room for them.
            apart.setdefault(step, {}).update(_fractions(event.get("iou")))
        elif kind == "validation":
            iou = _fractions(event.get("iou")) or apart.pop(step, {})
            by_dataset = _fractions(event.get("miou_by_dataset"))
            time, loss, miou = (_number_or_nan(event.get(key)) for key in ("time", "loss", "miou"))
            found.append(Validated(step, time, loss, miou, by_dataset, iou))
        else:
            others.append(event)
    return tuple(found), tuple(others)


def _fractions(value: object) -> dict[str, float]:
    if not isinstance(value, dict):
        return {}
    return {str(name): _number_or_nan(part) for name, part in value.items()}


def _number_or_nan(value: object) -> float:
    return _float(value) if _is_number(value) else float("nan")

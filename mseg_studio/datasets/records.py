"""Relabeling records: this segment of this image is of another class, says somebody.

A file of records is JSON lines: first `{"format": 1, "kind": "relabeling"}`, then one record a line (docs/datasets.md).
Files only grow: a record is appended in one write, and a line that a crash cut off is none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mseg_studio.errors import DatasetError, nearest

FORMAT = 1
KIND = "relabeling"
MAX_BYTES = 1 << 28
"""Larger than all published lists together."""

Point = tuple[float, float]

_KEYS = ("image", "segment", "from", "to", "split", "who", "when", "note")
_SEGMENT_KEYS = ("mask", "id", "polygon", "box")


@dataclass(frozen=True, slots=True)
class Segment:
    """The pixels a record is about, said in one of four ways."""

    mask: str | None = None
    """Path of a picture below the folder of masks: pixels that are not 0."""
    segment_id: int | None = None
    """Number in the dataset's own picture (or polygon file) of segments."""
    polygon: tuple[Point, ...] | None = None
    """Corners (x, y) in pixels, at least three; the edge belongs to it."""
    box: tuple[int, int, int, int] | None = None
    """Left, top, width and height in pixels."""

    def __post_init__(self) -> None:
        given = [value for value in (self.mask, self.segment_id, self.polygon, self.box) if value is not None]
        if len(given) != 1:
            raise DatasetError("a segment is one of mask, id, polygon and box")
        if self.mask is not None and (not self.mask or "\0" in self.mask or _leaves(self.mask)):
            raise DatasetError(f"mask {self.mask!r:.80} is no path below the folder of masks")
        if self.segment_id is not None and not 0 <= self.segment_id < 1 << 32:
            raise DatasetError(f"segment id {self.segment_id} is no whole number from 0 to {(1 << 32) - 1}")
        if self.polygon is not None and len(self.polygon) < 3:
            raise DatasetError(f"a polygon has at least three corners, got {len(self.polygon)}")
        if self.polygon is not None and any(not abs(value) < 1 << 20 for corner in self.polygon for value in corner):
            raise DatasetError("a corner of the polygon lies far outside of any image")
        if self.box is not None and (min(self.box) < 0 or max(self.box) > 1 << 20 or 0 in self.box[2:]):
            raise DatasetError(f"box {list(self.box)} is not left, top, width and height of an area in an image")

    def as_dict(self) -> dict[str, Any]:
        """The value of `segment`."""
        if self.mask is not None:
            return {"mask": self.mask}
        if self.segment_id is not None:
            return {"id": self.segment_id}
        if self.polygon is not None:
            return {"polygon": [list(corner) for corner in self.polygon]}
        return {"box": list(self.box or ())}


@dataclass(frozen=True, slots=True)
class Record:
    """One decision. Classes are names of the taxonomy of the labels, or `ignore` for pixels of no class."""

    image: str
    """The end of the image's path, folders as far as they are needed; its suffix may be left out."""
    segment: Segment
    from_class: str
    """Only pixels of this class change."""
    to_class: str
    """The same as `from_class` where somebody looked and it is right."""
    split: str = ""
    """Split of the image, where its name alone does not say."""
    who: str = ""
    when: str = ""
    """ISO 8601."""
    note: str = ""

    def __post_init__(self) -> None:
        for key, value in (("image", self.image), ("from", self.from_class), ("to", self.to_class)):
            if not value.strip():
                raise DatasetError(f"'{key}' is empty")

    def as_dict(self) -> dict[str, Any]:
        """One line of a file; texts that are empty are left out."""
        values: dict[str, Any] = {"image": self.image, "segment": self.segment.as_dict()}
        values |= {"from": self.from_class, "to": self.to_class}
        texts = {"split": self.split, "who": self.who, "when": self.when, "note": self.note}
        return values | {key: text for key, text in texts.items() if text}


def append_records(path: Path, records: Iterable[Record]) -> None:
    """Append records to the file at `path`, or start it; on disk when this returns, and all of them or none.

    Raises DatasetError for a file that holds something else or is of a newer version, OSError.
    """
    lines = b"".join(_line(record) for record in records)
    with path.open("ab+") as stream:
        stream.seek(0)
        head = stream.readline(4096)
        if head.endswith(b"\n"):
            _check_head(head, path)
            _cut_torn_line(stream)
        else:  # new, or killed before its first line was whole
            if head.strip() and not _HEAD.encode().startswith(head):
                raise DatasetError("holds no relabeling records", path=path)
            stream.truncate(0)
            lines = _HEAD.encode() + lines
        stream.write(lines)
        stream.flush()
        os.fsync(stream.fileno())


def read_file(path: Path, expected: str, *, most_bytes: int) -> bytes:
    """All of a file that holds `expected`. Raises DatasetError: missing, unreadable, or too large for that."""
    try:
        with path.open("rb") as stream:
            data = stream.read(most_bytes + 1)
    except FileNotFoundError as error:
        raise DatasetError("no such file of records", path=path) from error
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror}", path=path) from error
    if len(data) > most_bytes:
        raise DatasetError(f"is larger than {most_bytes >> 20} MiB, expected {expected}", path=path)
    return data


def read_records(path: Path) -> tuple[Record, ...]:
    """All records in order. Raises DatasetError naming the file and the line, also for a newer version."""
    data = read_file(path, "records", most_bytes=MAX_BYTES)
    lines = data[: data.rfind(b"\n") + 1].split(b"\n")
    _check_head(lines[0], path)
    found = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        try:
            found.append(_record(json.loads(line)))
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"line {number}: no JSON", path=path) from error
        except DatasetError as error:
            raise DatasetError(f"line {number}: {error.reason}", path=path) from error
    return tuple(found)


def is_record_file(path: Path) -> bool:
    """Whether the file begins as a file of records does; False when it cannot be read."""
    try:
        with path.open("rb") as stream:
            head = json.loads(stream.readline(4096))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(head, dict) and head.get("kind") == KIND


_HEAD = json.dumps({"format": FORMAT, "kind": KIND}) + "\n"


def _line(record: Record) -> bytes:
    """One line; in ASCII where a file name holds stray bytes."""
    values = record.as_dict()
    try:
        return (json.dumps(values, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(values) + "\n").encode()


def _check_head(line: bytes, path: Path) -> None:
    try:
        head = json.loads(line)
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict) or head.get("kind") != KIND:
        raise DatasetError("holds no relabeling records", path=path)
    number = head.get("format")
    if type(number) is not int or number < 1:
        raise DatasetError(f"format is {number!r:.40}, expected {FORMAT}", path=path)
    if number > FORMAT:
        raise DatasetError(f"format is {number}, written by a newer MSeg Studio; this one reads {FORMAT}", path=path)


def _cut_torn_line(stream: Any) -> None:
    """Take away what follows the last line break: a write that a crash cut off."""
    end = stream.seek(0, os.SEEK_END)
    while end:
        size = min(end, 1 << 16)
        stream.seek(end - size)
        last = stream.read(size).rfind(b"\n")
        if last >= 0:
            stream.truncate(end - size + last + 1)
            return
        end -= size


def _record(value: Any) -> Record:
    values = _object(value, "a record", allowed=_KEYS)
    for key in ("image", "segment", "from", "to"):
        if key not in values:
            raise DatasetError(f"'{key}' is missing")
    texts = {key: _text(values.get(key, ""), key) for key in _KEYS if key != "segment"}
    texts["from_class"], texts["to_class"] = texts.pop("from"), texts.pop("to")
    return Record(segment=_segment(values["segment"]), **texts)


def _segment(value: Any) -> Segment:
    values = _object(value, "segment", allowed=_SEGMENT_KEYS)
    polygon, number = values.get("polygon"), values.get("id")
    box: Any = values.get("box")
    if number is not None and type(number) is not int:
        raise DatasetError(f"segment id {number!r:.40} is no whole number")
    if box is not None and (not isinstance(box, list) or len(box) != 4 or any(type(side) is not int for side in box)):
        raise DatasetError(f"box is {box!r:.60}, expected [left, top, width, height]")
    return Segment(
        mask=None if values.get("mask") is None else _text(values["mask"], "mask"),
        segment_id=number,
        polygon=None if polygon is None else _corners(polygon),
        box=None if box is None else (box[0], box[1], box[2], box[3]),
    )


def _corners(value: Any) -> tuple[Point, ...]:
    corners: list[Any] = value if isinstance(value, list) else [None]
    for corner in corners:
        if not isinstance(corner, list) or len(corner) != 2 or any(type(side) not in (int, float) for side in corner):
            raise DatasetError(f"polygon: {corner!r:.60} is no corner, expected [x, y]")
    return tuple((corner[0], corner[1]) for corner in corners)


def _object(value: Any, what: str, *, allowed: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DatasetError(f"{what} is {value!r:.60}, expected an object")
    for key in value:
        if key not in allowed:
            raise DatasetError(f"{what} has an unknown key '{key}'{nearest(key, allowed)}")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise DatasetError(f"{what} is {value!r:.60}, expected text")
    return value


def _leaves(path: str) -> bool:
    return Path(path).is_absolute() or ".." in Path(path).parts

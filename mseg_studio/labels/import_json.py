"""JSON files of strangers: bounded, strict, and large ones without holding all of them as Python objects."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any, NoReturn, TypeVar

from mseg_studio.errors import DatasetError
from mseg_studio.media.regular_file import check_regular, read_regular

MAX_BYTES = 1 << 28
"""Annotations of one image; labelme embeds the picture."""

_SPACE = re.compile(r"[ \t\n\r]*")
_Value = TypeVar("_Value")


def read_json(path: Path, *, encodings: tuple[str, ...] = ("utf-8-sig",)) -> dict[str, Any]:
    """The object in a JSON file. Raises DatasetError: no such file, too large, not JSON, no object."""
    size = check_regular(path, DatasetError)
    if size > MAX_BYTES:
        raise DatasetError(f"{size} bytes are more than the {MAX_BYTES} of annotations of an image", path=path)
    try:
        value = json.loads(_text(path, encodings), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"not JSON: {_reason(error)}", path=path) from error
    if not isinstance(value, dict):
        raise DatasetError(f"expected a JSON object, got {_kind(value)}", path=path)
    return value


def scan_json(path: Path, on_item: Mapping[str, Callable[[Any], None]]) -> dict[str, Any]:
    """Walk through a large JSON object: items of the lists named in `on_item` are handed over one at a time.

    Gives the other keys with their values. Raises DatasetError as `read_json` does, and what `on_item` raises.
    """
    text, decoder = _text(path, ("utf-8-sig",)), json.JSONDecoder(parse_constant=_refuse)
    found: dict[str, Any] = {}
    try:
        at = _expect(text, 0, "{")
        while not text.startswith("}", at):
            key, at = decoder.raw_decode(text, at)
            if not isinstance(key, str):
                raise ValueError("a key of the object is no text")
            at = _expect(text, _skip(text, at), ":")
            if key in on_item:
                at = _walk(text, at, decoder, on_item[key])
            else:
                found[key], at = decoder.raw_decode(text, at)
            at = _skip(text, at)
            if text.startswith(",", at):
                at = _skip(text, at + 1)
            elif not text.startswith("}", at):
                raise ValueError(f"expected , or }} at character {at}")
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"not JSON: {_reason(error)}", path=path) from error
    return found


def value_of(item: Any, key: str, kind: type[_Value], where: str, path: Path) -> _Value:
    """`item[key]`, which must be of `kind`. Raises DatasetError naming `where`."""
    if not isinstance(item, dict):
        raise DatasetError(f"{where}: expected an object, got {_kind(item)}", path=path)
    value = item.get(key)
    if type(value) is not kind:
        words = {int: "a whole number", str: "text", list: "a list", dict: "an object"}
        got = "nothing" if value is None else _kind(value)
        raise DatasetError(f"{where}: '{key}' is {got}, expected {words[kind]}", path=path)
    return value


class ByFile(dict[str, _Value]):
    """Entries of an annotation file by the image's (or label's) name in it."""

    def put(self, name: str, value: _Value, path: Path) -> None:
        """Add an entry of the annotation file at `path`. Raises DatasetError for a name that is there."""
        key = _key(name)
        if key in self:
            raise DatasetError(f"'{name}' is listed twice", path=path)
        self[key] = value

    def of(self, file: Path, annotations: Path) -> _Value:
        """The entry of a file: the one that names most of its path. Raises DatasetError when there is none."""
        parts = PurePath(file).parts
        for start in range(len(parts)):
            key = "/".join(parts[start:])
            if key in self:
                return self[key]
        raise DatasetError(f"'{file.name}' is not listed in {annotations}", path=file)


def _key(name: str) -> str:
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def _walk(text: str, at: int, decoder: json.JSONDecoder, take: Callable[[Any], None]) -> int:
    """Hand over the items of the list at `at`; gives the place behind it."""
    at = _expect(text, at, "[")
    while not text.startswith("]", at):
        item, at = decoder.raw_decode(text, at)
        take(item)
        at = _skip(text, at)
        if text.startswith(",", at):
            at = _skip(text, at + 1)
        elif not text.startswith("]", at):
            raise ValueError(f"expected , or ] at character {at}")
    return at + 1


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _expect(text: str, at: int, sign: str) -> int:
    at = _skip(text, at)
    if not text.startswith(sign, at):
        raise ValueError(f"expected {sign} at character {at}, got {text[at : at + 20]!r}")
    return _skip(text, at + 1)


def _text(path: Path, encodings: tuple[str, ...]) -> str:
    data = read_regular(path, DatasetError)
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError as error:
            problem = error
    raise DatasetError(f"not JSON: byte {problem.start} is not UTF-8", path=path)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _reason(error: Exception) -> str:
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)


def _kind(value: Any) -> str:
    words = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a whole number"}
    if isinstance(value, dict | list):
        return words[type(value)]
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{words.get(type(value), 'something')} {shown[:30]}..."

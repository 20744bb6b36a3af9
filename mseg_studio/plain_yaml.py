"""YAML files that people write and strangers send: read without running, unfolding or guessing anything.

PyYAML's own composer recurses without a limit (in the C version a file of brackets ends the process), takes the last of
two equal keys, and lets a few lines of aliases unfold into gigabytes. This reader knows how deep a file may be, and has
one line for every mistake.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from mseg_studio.errors import ConfigError, printable

MAX_DEPTH = 8
"""Collections within one another; no file of this program needs more than four."""
MAX_BYTES = 4 << 20
"""Larger than any description, configuration or taxonomy."""

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_UNTAGGED = "?"
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(_TAG + kind for kind in ("null", "bool", "int", "float"))


class TooDeepError(yaml.MarkedYAMLError):
    """Collections are nested deeper than in any file of this program."""


def read_yaml(path: Path) -> Any:
    """The content of the file at `path` as `parse_yaml` gives it. Raises ConfigError, also when it cannot be read."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError("no such file", path=path) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be read: {getattr(error, 'strerror', None) or error}", path=path) from error
    return parse_yaml(data, path)


def parse_yaml(data: bytes, path: Path) -> Any:
    """Dicts, lists, text, numbers, booleans and None; a list that is a key (a colour) becomes a tuple.

    What YAML calls a date is text. Aliases, tags and keys given twice are mistakes. Raises ConfigError, one line, with
    the file `path` and the number of the line.
    """
    if len(data) > MAX_BYTES:
        raise ConfigError(f"is larger than {MAX_BYTES >> 20} MiB, expected a file of settings", path=path)
    try:
        return _Values().of(compose(data.decode("utf-8-sig"), aliases=False))
    except UnicodeDecodeError as error:
        raise ConfigError(f"not YAML: byte {error.start} is not UTF-8", path=path) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"not YAML: {yaml_reason(error)}", path=path) from error


def compose(text: str, *, aliases: bool = True) -> yaml.Node | None:
    """The root node of the one document in `text`, None for an empty one; scalars are not interpreted.

    An alias is the node it names, once more: nothing is copied. Raises yaml.YAMLError.
    """
    parser = _LOADER(text)
    try:
        return _Composer(parser, aliases=aliases).document()
    finally:
        parser.dispose()


def yaml_reason(error: yaml.YAMLError) -> str:
    """What PyYAML says over several lines, in one with the number of the line."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    where = f"line {mark.line + 1}: " if mark is not None else ""
    return where + printable(" ".join(str(problem).split()))


class _Composer:
    """One pass over the events of one document."""

    def __init__(self, parser: Any, *, aliases: bool) -> None:
        self._parser = parser
        self._aliases = aliases
        self._anchors: dict[str, yaml.Node] = {}

    def document(self) -> yaml.Node | None:
        parser = self._parser
        parser.get_event()  # start of the stream
        if parser.check_event(yaml.StreamEndEvent):
            return None
        parser.get_event()  # start of the document
        root = self._node(parser.get_event(), depth=0)
        parser.get_event()  # end of the document
        event = parser.get_event()
        if not isinstance(event, yaml.StreamEndEvent):
            raise _mistake("a second document starts, expected one", event.start_mark)
        return root

    def _node(self, event: Any, depth: int) -> yaml.Node:
        start: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            if not self._aliases:
                raise _mistake("aliases are not allowed", start)
            if event.anchor not in self._anchors:
                raise _mistake(f"alias '{event.anchor}' is used before it is defined", start)
            return self._anchors[event.anchor]
        tag = event.tag or _UNTAGGED
        if isinstance(event, yaml.ScalarEvent):
            node: yaml.Node = yaml.ScalarNode(tag, event.value, start, style=event.style or None)
        elif depth == MAX_DEPTH:
            raise TooDeepError(problem=f"more than {MAX_DEPTH} levels of nesting", problem_mark=start)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = yaml.SequenceNode(tag, self._items(yaml.SequenceEndEvent, depth), start)
        else:
            parts = self._items(yaml.MappingEndEvent, depth)
            node = yaml.MappingNode(tag, list(zip(parts[::2], parts[1::2], strict=True)), start)
        if event.anchor is not None:
            # Known only once complete: a node cannot hold itself.
            self._anchors[event.anchor] = node
        return node

    def _items(self, end: type[yaml.Event], depth: int) -> list[yaml.Node]:
        items = []
        while not isinstance(event := self._parser.get_event(), end):
            items.append(self._node(event, depth + 1))
        return items


class _Values:
    """Nodes to plain values, by the rules that PyYAML writes with: what `yaml.safe_dump` wrote comes back equal."""

    def __init__(self) -> None:
        self._resolver, self._constructor = Resolver(), SafeConstructor()

    def of(self, node: yaml.Node | None) -> Any:
        if node is None:
            return None
        if node.tag != _UNTAGGED:
            raise _mistake(f"the tag '{node.tag[:80]}' is not allowed", node.start_mark)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.of(item) for item in node.value]
        return self._mapping(node)

    def _mapping(self, node: yaml.Node) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.of(key_node)
            key = tuple(key) if isinstance(key, list) else key
            try:
                twice = key in found
            except TypeError:
                raise _mistake("a key is text, a number or a plain list of them", key_node.start_mark) from None
            if twice:
                raise _mistake(f"'{str(key)[:80]}' is given twice", key_node.start_mark)
            found[key] = self.of(value_node)
        return found

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        if node.style is not None:
            return node.value
        tag = self._resolver.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]
        if tag not in _PLAIN_TAGS:
            return node.value
        try:
            return self._constructor.construct_object(yaml.ScalarNode(tag, node.value, node.start_mark))
        except ValueError:  # thousands of digits, or a prefix without any
            raise _mistake(f"'{node.value[:40]}' is no number that can be read", node.start_mark) from None


def _mistake(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)

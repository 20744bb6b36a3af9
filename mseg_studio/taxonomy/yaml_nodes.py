"""YAML text to nodes, for files that somebody else wrote.

PyYAML's own composer recurses without a limit: in the C version a file of brackets ends the process. This one knows how
deep a file may be, and leaves tags alone: what a scalar means is for the reader to say.
"""

from __future__ import annotations

from typing import Any

import yaml

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_TAG = "tag:yaml.org,2002:"
MAX_DEPTH = 8
"""Collections within one another; a taxonomy needs four."""


class TooDeepError(yaml.MarkedYAMLError):
    """Collections are nested deeper than any file of this program."""


def compose(text: str) -> yaml.Node | None:
    """The root node of the one document in `text`, None for an empty one.

    An alias is the node it names, once more: nothing is copied. Raises yaml.YAMLError.
    """
    parser = _LOADER(text)
    try:
        return _Composer(parser).document()
    finally:
        parser.dispose()


class _Composer:
    """One pass over the events of one document."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser
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
            raise yaml.MarkedYAMLError(problem="a second document starts, expected one", problem_mark=event.start_mark)
        return root

    def _node(self, event: Any, depth: int) -> yaml.Node:
        start: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise yaml.MarkedYAMLError(
                    problem=f"alias '{event.anchor}' is used before it is defined", problem_mark=start
                )
            return self._anchors[event.anchor]
        if isinstance(event, yaml.ScalarEvent):
            node: yaml.Node = yaml.ScalarNode(f"{_TAG}str", event.value, start, style=event.style or None)
        elif depth == MAX_DEPTH:
            raise TooDeepError(problem=f"more than {MAX_DEPTH} levels of nesting", problem_mark=start)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = yaml.SequenceNode(f"{_TAG}seq", self._items(yaml.SequenceEndEvent, depth), start)
        else:
            parts = self._items(yaml.MappingEndEvent, depth)
            node = yaml.MappingNode(f"{_TAG}map", list(zip(parts[::2], parts[1::2], strict=True)), start)
        if event.anchor is not None:
            # Known only once complete: a node cannot hold itself.
            self._anchors[event.anchor] = node
        return node

    def _items(self, end: type[yaml.Event], depth: int) -> list[yaml.Node]:
        items = []
        while not isinstance(event := self._parser.get_event(), end):
            items.append(self._node(event, depth + 1))
        return items

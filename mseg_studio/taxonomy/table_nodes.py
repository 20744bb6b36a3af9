"""Nodes of a taxonomy file as values, each mistake with its line and key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import yaml

from mseg_studio.errors import TaxonomyError, nearest, printable

_NULLS = ("", "~", "null")


class TableError(TaxonomyError):
    """One mistake in a file, before the file's name is known."""

    def __init__(self, text: str, *, node: yaml.Node | None = None, column: str = "", code: str = "value") -> None:
        self.row = None if node is None else line_of(node)
        """Line, from 1; None for the whole file."""
        self.column = column
        """Key that the mistake is about."""
        self.kind = code
        """What kind of mistake it is, in one word, as findings of the linter have it."""
        self.text = text
        """The message without the line."""
        super().__init__(text if self.row is None else f"line {self.row}: {text}")


Report = Callable[[TableError], None]
"""Hears of a mistake; raises it to stop there."""


def no_class(taxonomy: str, name: str, known: Iterable[str]) -> str:
    """What is said of a class that a taxonomy lacks: the nearest that it has."""
    return f"taxonomy '{taxonomy}' has no class '{printable(name)}'{nearest(name, set(known))}"


def line_of(node: yaml.Node) -> int:
    """Number of the line, from 1, on which a node starts."""
    return int(node.start_mark.line) + 1


def names_of(items: list[yaml.Node]) -> Iterator[str]:
    """Names of classes, right or wrong in other respects: links to a class with a mistake are none."""
    for item in items:
        for key, value in item.value if isinstance(item, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value == "name" and isinstance(value, yaml.ScalarNode):
                yield value.value
                break


def items_of(node: yaml.Node, what: str) -> list[yaml.Node]:
    """Items of a list, `what` in the mistake that anything else is."""
    if not isinstance(node, yaml.SequenceNode):
        raise mistake_at(node, f"{what} is {shown(node)}, expected a list", column=what)
    return list(node.value)


def text_of(node: yaml.Node, what: str) -> str:
    """Text of a scalar, whatever YAML would take it for; raises TableError for anything else and for nothing."""
    if not isinstance(node, yaml.ScalarNode) or _is_null(node):
        raise mistake_at(node, f"{what} is {shown(node)}, expected text", column=what)
    return str(node.value)


def optional_text_of(nodes: Mapping[str, yaml.Node], key: str) -> str | None:
    """Text under `key`; None where the key is missing or has no value."""
    node = nodes.get(key)
    return None if node is None or _is_null(node) else text_of(node, key)


def number_of(node: yaml.Node, what: str) -> int:
    """A whole number from 0, at most nine digits. Raises TableError."""
    if not isinstance(node, yaml.ScalarNode) or not re.fullmatch("[0-9]{1,9}", node.value):
        code = "id" if what == "id" else "value"
        raise mistake_at(node, f"{what} is {shown(node)}, expected a whole number", column=what, code=code)
    return int(node.value)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.style and node.value in _NULLS


def shown(node: yaml.Node | None) -> str:
    """A node in a message: short whatever it holds."""
    if node is None or _is_null(node):
        return "nothing"
    if isinstance(node, yaml.ScalarNode):
        return f"'{printable(node.value[:40])}'"
    return f"a {'list' if isinstance(node, yaml.SequenceNode) else 'mapping'} of {len(node.value)}"


def mistake_at(node: yaml.Node | None, text: str, *, column: str, code: str = "value") -> TableError:
    """The error to raise for a node."""
    return TableError(text, node=node, column=column, code=code)

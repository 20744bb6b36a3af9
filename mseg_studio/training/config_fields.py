"""Every setting of a configuration as a value: its path, type, choices, default and help. Torch-free.

Forms, the command line and the documents are made from it. The help is the docstring below each attribute in the
source: written once, where the setting is defined.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from mseg_studio.training.config import DatasetConfig, TrainConfig

Kind = Literal["text", "whole", "number", "yes_no", "choice", "texts", "numbers", "map"]
"""text, whole number, number, yes or no, one of `choices`, list of texts, list of numbers, mapping of texts."""

MAIN = "main"
"""Group of the settings that stand in no group of their own."""

_KINDS: dict[Any, Kind] = {str: "text", int: "whole", float: "number", bool: "yes_no"}


@dataclass(frozen=True, slots=True)
class ConfigField:
    """One setting."""

    path: str
    """As in `--set`: `steps`, `optim.lr`."""
    group: str
    """`main`, or the part of the configuration it stands in: augment, loss, optim."""
    kind: Kind
    default: Any
    """As a plain YAML value; None also where there is none (`required`)."""
    help: str
    """What it means, first sentence first."""
    choices: tuple[str, ...] = ()
    optional: bool = False
    """Whether None is a value of it."""
    required: bool = False
    """Whether a configuration without it is refused."""
    count: int | None = None
    """How many values a list has; None: any number."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]


@lru_cache(maxsize=1)
def config_fields() -> tuple[ConfigField, ...]:
    """All settings of TrainConfig in the order of the source, without its datasets (`dataset_fields`)."""
    return tuple(field for field in fields_of(TrainConfig) if field.path != "datasets")


@lru_cache(maxsize=1)
def dataset_fields() -> tuple[ConfigField, ...]:
    """All settings of one dataset of a configuration."""
    return fields_of(DatasetConfig)


def fields_of(kind: type[Any], *, group: str = "") -> tuple[ConfigField, ...]:
    """The settings of a frozen dataclass whose attributes have docstrings, groups in it included."""
    return tuple(_fields(kind, group))


def attribute_help(kind: type[Any]) -> Mapping[str, str]:
    """The docstring below every attribute of a class, in one line each; empty without the source."""
    try:
        source = textwrap.dedent(inspect.getsource(kind))
    except (OSError, TypeError):
        return types.MappingProxyType({})  # a program without its sources: forms go without help
    (definition,) = ast.parse(source).body
    found: dict[str, str] = {}
    attribute = ""
    for statement in getattr(definition, "body", []):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            attribute = statement.target.id
            continue
        value = statement.value if isinstance(statement, ast.Expr) else None
        if attribute and isinstance(value, ast.Constant) and isinstance(value.value, str):
            found[attribute] = " ".join(value.value.split())
        attribute = ""
    return types.MappingProxyType(found)


def value_at(values: Mapping[str, Any], path: str) -> Any:
    """The value at a path in the plain values of a configuration. Raises KeyError."""
    place: Any = values
    for part in path.split("."):
        place = place[part]
    return place


def with_value(values: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The same plain values with another one at `path`; what was given stays as it is."""
    first, dot, rest = path.partition(".")
    within = values.get(first)
    inner = with_value(within if isinstance(within, Mapping) else {}, rest, value) if dot else value
    return {**values, first: inner}


def _fields(kind: type[Any], group: str) -> Iterator[ConfigField]:
    hints, texts = typing.get_type_hints(kind), attribute_help(kind)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from _fields(hint, f"{group}.{field.name}" if group else field.name)
            continue
        path = f"{group}.{field.name}" if group else field.name
        yield _field(field, hint, path, group or MAIN, texts.get(field.name, ""))


def _field(field: dataclasses.Field[Any], hint: Any, path: str, group: str, text: str) -> ConfigField:
    required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    default: Any = None
    if field.default is not dataclasses.MISSING:
        default = field.default
    elif field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    default = list(default) if isinstance(default, tuple) else default
    optional = typing.get_origin(hint) is types.UnionType
    if optional:
        hint = typing.get_args(hint)[0]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    choices: tuple[str, ...] = ()
    count: int | None = None
    if origin is Literal:
        kind: Kind = "choice"
        choices = tuple(str(choice) for choice in arguments)
    elif origin is tuple:
        kind = "numbers" if arguments[0] is float else "texts"
        count = None if arguments[-1] is Ellipsis else len(arguments)
    elif origin is dict:
        kind = "map"
    else:
        kind = _KINDS.get(hint, "text")
    return ConfigField(path, group, kind, default, text, choices, optional, required, count)

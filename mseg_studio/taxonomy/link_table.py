"""Columns of MSeg's table that have links and no published order of classes: good to look at, no taxonomies."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mseg_studio.errors import ConfigError, TaxonomyError, nearest, printable
from mseg_studio.plain_yaml import read_yaml
from mseg_studio.settings import resource_folder

FORMAT = 1

_KEYS = ("format", "name", "source", "note", "to_universal", "from_universal", "unlabeled")


@dataclass(frozen=True)
class LinkTable:
    """What one file of resources/links says. Nobody can tell which integer is which of these classes."""

    name: str
    path: Path
    note: str = ""
    to_universal: Mapping[str, str] | None = None
    from_universal: Mapping[str, str] | None = None
    unlabeled: tuple[str, ...] = ()
    """Classes that the table lists and leads nowhere."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every class that the links name, in the order of the file."""
        linked = self.to_universal if self.to_universal is not None else (self.from_universal or {}).values()
        return tuple(dict.fromkeys((*linked, *self.unlabeled)))


@functools.cache
def link_tables() -> tuple[LinkTable, ...]:
    """The shipped ones, in alphabetical order of their names."""
    return tuple(read_links(path) for path in sorted(resource_folder("links").glob("*.yaml")))


def link_table(name: str) -> LinkTable | None:
    """The one called `name`, None for none."""
    return next((table for table in link_tables() if table.name == name), None)


def read_links(path: Path) -> LinkTable:
    """The links in the YAML file `path`. Raises TaxonomyError: file, key, what was expected and what came."""
    try:
        values = read_yaml(path)
    except ConfigError as error:
        raise TaxonomyError(error.reason, path=path) from error
    try:
        return _table(values, path)
    except TaxonomyError as error:
        raise TaxonomyError(error.reason, path=path) from error


def _table(values: Any, path: Path) -> LinkTable:
    if not isinstance(values, dict):
        raise TaxonomyError("expected `key: value` lines")
    for key in values:
        if key not in _KEYS:
            raise TaxonomyError(f"unknown key '{printable(str(key))}'{nearest(str(key), _KEYS)}")
    if values.get("format") != FORMAT:
        raise TaxonomyError(f"format is {values.get('format')}, expected {FORMAT}")
    if values.get("name") != path.stem:
        raise TaxonomyError(f"name is '{values.get('name')}', expected the file's name, '{path.stem}'")
    unlabeled = values.get("unlabeled", [])
    if not isinstance(unlabeled, list) or not all(isinstance(name, str) for name in unlabeled):
        raise TaxonomyError("unlabeled: expected a list of class names")
    into, out = (_links(values.get(key), key) for key in ("to_universal", "from_universal"))
    if (into is None) == (out is None):
        raise TaxonomyError("expected either to_universal or from_universal")
    return LinkTable(path.stem, path, str(values.get("note", "")), into, out, tuple(unlabeled))


def _links(value: Any, what: str) -> Mapping[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(name, str) for pair in value.items() for name in pair):
        raise TaxonomyError(f"{what}: expected `class: class` lines")
    return MappingProxyType(value)

"""The whole table, or some of its columns, as text for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import yaml

from mseg_studio.errors import TaxonomyError, nearest, printable
from mseg_studio.taxonomy.master import Column, MasterTable
from mseg_studio.taxonomy.model import UNLABELED

_HEAD = ("id", "universal", "parent", "wordnet", "aliases")


def to_csv(table: MasterTable, columns: Sequence[str] = ()) -> str:
    """One line a universal class: id, name, parent, WordNet id, aliases, then the columns; all of them when empty.

    Several names in a cell are written `{a, b}`, as MSeg does. The last line, `unlabeled`, holds the classes that lead
    nowhere. Lines end with a line feed. Raises TaxonomyError for an unknown column, with the nearest names.
    """
    chosen = _chosen(table, columns)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_HEAD, *(column.name for column in chosen)])
    for row in table.rows:
        info = row.info
        head = (info.id, info.name, info.parent or "", info.wordnet or "", _cell(info.aliases))
        writer.writerow([*head, *(_cell(row.cells[column.name]) for column in chosen)])
    writer.writerow(["", UNLABELED, "", "", "", *(_cell(column.unlabeled) for column in chosen)])
    return text.getvalue()


def to_yaml(table: MasterTable, columns: Sequence[str] = ()) -> str:
    """The same as YAML: what each column is, and for every universal class the cells that are not blank.

    Raises TaxonomyError for an unknown column, with the nearest names.
    """
    chosen = _chosen(table, columns)
    value = {
        "format": 1,
        "columns": [_described(column) for column in chosen],
        "classes": [
            {
                "id": row.info.id,
                "name": row.info.name,
                "parent": row.info.parent,
                "wordnet": row.info.wordnet,
                "aliases": list(row.info.aliases),
                "cells": {column.name: list(row.cells[column.name]) for column in chosen if row.cells[column.name]},
            }
            for row in table.rows
        ],
    }
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=None, width=10_000)


def _chosen(table: MasterTable, names: Sequence[str]) -> tuple[Column, ...]:
    known = {column.name: column for column in table.columns}
    for name in names:
        if name not in known:
            raise TaxonomyError(f"the table has no column '{printable(name)}'{nearest(name, known)}")
    return tuple(known[name] for name in dict.fromkeys(names)) or table.columns


def _cell(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{{{', '.join(names)}}}" if names else ""


def _described(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "kind": column.kind,
        "num_classes": column.num_classes,
        "links": column.links,
        "unlabeled": list(column.unlabeled),
    }

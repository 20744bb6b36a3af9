"""The little that a list of taxonomies shows, read without building thousands of classes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from mseg_studio.taxonomy.projection import Links
from mseg_studio.taxonomy.table import TaxonomyTable, read_table

_TOP_LEVEL = re.compile(r"^([a-z_]+):(.*)$", re.MULTILINE)
_QUOTED = re.compile(r' "([^"\\]*)"')


@dataclass(frozen=True, slots=True)
class TableHead:
    """What the list of outputs says of one taxonomy file."""

    name: str
    links: Links
    num_classes: int
    note: str
    is_output: bool
    """Whether the universal taxonomy has links to it."""


def read_head(path: Path) -> TableHead:
    """The head of a file in the layout of the shipped ones, 50 times faster than reading it whole (0.1 ms).

    That layout has one class a line and every top-level key at the start of a line; any other is read whole.
    Raises TaxonomyError as `read_table` does.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return head_of(read_table(path))
    keys = {match[1]: match for match in _TOP_LEVEL.finditer(text)}
    note = _QUOTED.fullmatch(keys["note"][2]) if "note" in keys else None
    links = keys["links"][2].strip() if "links" in keys else "exact"
    num_classes = text.count("\n- {id: ")
    name = keys["name"][2].strip() if "name" in keys else ""
    plain = name == path.stem and links in ("exact", "approximate") and num_classes and (note or "note" not in keys)
    if not plain:
        return head_of(read_table(path))
    return TableHead(name, cast(Links, links), num_classes, note[1] if note else "", "from_universal" in keys)


def head_of(table: TaxonomyTable) -> TableHead:
    """The head of a table that was read."""
    taxonomy = table.taxonomy
    return TableHead(taxonomy.name, table.links, len(taxonomy), table.note, table.from_universal is not None)

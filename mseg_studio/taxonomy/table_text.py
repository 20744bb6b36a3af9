"""A taxonomy as the text of its file: one class a line, in the layout of the shipped ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from mseg_studio.taxonomy.model import ClassInfo
from mseg_studio.taxonomy.table import FORMAT, TaxonomyTable

_PLAIN = re.compile(r"[A-Za-z]([A-Za-z0-9 _./()&+-]*[A-Za-z0-9_)])?")
_GUESSED = frozenset(["null", "true", "false", "yes", "no", "on", "off", "y", "n"])
"""Words that other readers of YAML take for something else than text."""


def table_text(table: TaxonomyTable) -> str:
    """The file of `table` (contracts.md, "Taxonomy"); `read_table` gives an equal one back."""
    taxonomy = table.taxonomy
    lines = [f"format: {FORMAT}", f"name: {_scalar(taxonomy.name)}", f"ignore_id: {taxonomy.ignore_id}"]
    for key, text in (("source", taxonomy.source), ("note", table.note)):
        if text:
            lines.append(f"{key}: {_quoted(text)}")
    lines.append(f"links: {table.links}")
    lines.append("classes:")
    lines += [_class_line(info) for info in taxonomy.classes]
    for key, links in (("to_universal", table.to_universal), ("from_universal", table.from_universal)):
        if links:
            lines += [f"{key}:", *_links(links, "  ")]
    if table.to:
        lines.append("to:")
        for name, links in table.to.items():
            lines += [f"  {_scalar(name)}:", *_links(links, "    ")]
    return "\n".join(lines) + "\n"


def _class_line(info: ClassInfo) -> str:
    parts = [f"id: {info.id}", f"name: {_scalar(info.name)}", f"rgb: [{', '.join(map(str, info.rgb))}]"]
    for key, text in (("parent", info.parent), ("wordnet", info.wordnet)):
        if text:
            parts.append(f"{key}: {_scalar(text)}")
    if info.aliases:
        parts.append(f"aliases: [{', '.join(map(_scalar, info.aliases))}]")
    return f"- {{{', '.join(parts)}}}"


def _links(links: Mapping[str, str], indent: str) -> Iterator[str]:
    return (f"{indent}{_scalar(key)}: {_scalar(value)}" for key, value in links.items())


def _scalar(text: str) -> str:
    return text if _PLAIN.fullmatch(text) and text.lower() not in _GUESSED else _quoted(text)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'

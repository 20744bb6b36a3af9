"""Where the links of one class lead, in both directions, across all taxonomies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from mseg_studio.errors import TaxonomyError
from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog
from mseg_studio.taxonomy.link_table import LinkTable, link_tables
from mseg_studio.taxonomy.projection import Links
from mseg_studio.taxonomy.table import TaxonomyTable
from mseg_studio.taxonomy.table_nodes import no_class

LinkKind = Literal["one", "merge", "split", "none"]

_Names = Mapping[str, str]


@dataclass(frozen=True)
class Link:
    """One link, seen from the class that was asked for: the class at its other end."""

    taxonomy: str
    class_name: str | None
    """None: the class that was asked for has no target in that taxonomy."""
    kind: LinkKind
    """Of the way from its source to its target. merge: others of the source's taxonomy lead to the same target. split:
    several of the target's taxonomy lead back to the source. one: neither. none: no target."""
    links: Links


@dataclass(frozen=True)
class ClassLinks:
    """The published links of one class. Others are found by walking on, through the universal taxonomy."""

    taxonomy: str
    class_name: str
    incoming: tuple[Link, ...]
    """Classes that lead to it."""
    outgoing: tuple[Link, ...]
    """Classes it leads to, one a taxonomy, those without a target last."""


@dataclass(frozen=True)
class _Node:
    """A taxonomy, or a column with links only, as far as its links go."""

    name: str
    classes: tuple[str, ...]
    to: Mapping[str, _Names]
    back: _Names | None
    """From the universal taxonomy."""
    quality: Links


def class_links(catalog: Catalog, taxonomy: str, class_name: str) -> ClassLinks:
    """Published links of the class called `class_name`, to and from every taxonomy.

    Raises TaxonomyError for an unknown taxonomy or class, with the nearest names.
    """
    nodes = _nodes(catalog)
    own = nodes.get(taxonomy)
    if own is None:
        own = _node(catalog.table(taxonomy))  # not usable: say why, or that there is none
    if class_name not in own.classes:
        raise TaxonomyError(no_class(taxonomy, class_name, own.classes))
    others = [node for node in nodes.values() if node.name != taxonomy]
    incoming = [link for node in others for link in _incoming(node, own, class_name)]
    outgoing = [link for node in others for link in _outgoing(own, node, class_name)]
    outgoing.sort(key=lambda link: link.class_name is None)
    return ClassLinks(taxonomy, class_name, tuple(incoming), tuple(outgoing))


def _incoming(node: _Node, own: _Node, class_name: str) -> Iterator[Link]:
    links = _between(node, own)
    if links is not None:
        sources = [name for name, target in links.items() if target == class_name]
        for name in sources:
            yield Link(node.name, name, _kind(name, class_name, links, _between(own, node)), _quality(node, own))


def _outgoing(own: _Node, node: _Node, class_name: str) -> Iterator[Link]:
    links = _between(own, node)
    if links is not None:
        target = links.get(class_name)
        kind = "none" if target is None else _kind(class_name, target, links, _between(node, own))
        yield Link(node.name, target, kind, _quality(own, node))


def _kind(source: str, target: str, links: _Names, back: _Names | None) -> LinkKind:
    if Counter(links.values())[target] > 1:
        return "merge"
    return "split" if len([name for name, came in (back or {}).items() if came == source]) > 1 else "one"


def _between(source: _Node, target: _Node) -> _Names | None:
    """Published links from one to the other; the same choice as `Catalog.projection` makes."""
    if target.name in source.to:
        return source.to[target.name]
    return target.back if source.name == UNIVERSAL else None


def _quality(source: _Node, target: _Node) -> Links:
    return target.quality if source.name == UNIVERSAL and target.name not in source.to else "exact"


def _nodes(catalog: Catalog) -> dict[str, _Node]:
    """The universal taxonomy first."""
    found = {table.taxonomy.name: _node(table) for table in catalog.tables()}
    for table in link_tables():
        found.setdefault(table.name, _link_node(table))
    return found


def _node(table: TaxonomyTable) -> _Node:
    taxonomy = table.taxonomy
    to = dict(table.to)
    if table.to_universal is not None:
        to.setdefault(UNIVERSAL, table.to_universal)
    return _Node(taxonomy.name, taxonomy.names, to, table.from_universal, table.links)


def _link_node(table: LinkTable) -> _Node:
    to = {UNIVERSAL: table.to_universal} if table.to_universal is not None else {}
    return _Node(table.name, table.names, to, table.from_universal, "exact")

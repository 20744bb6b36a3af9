"""The linter for taxonomies in YAML: the checks of `read_table`, all of them, and of what links lead to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from mseg_studio.errors import TaxonomyError
from mseg_studio.plain_yaml import compose, yaml_reason
from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog
from mseg_studio.taxonomy.finding import Findings
from mseg_studio.taxonomy.table import TableReader, TaxonomyTable
from mseg_studio.taxonomy.table_nodes import TableError, line_of, no_class


def lint_yaml(text: str, catalog: Catalog, found: Findings) -> None:
    """Tell `found` every mistake in the text of a taxonomy file."""
    try:
        root = compose(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = yaml_reason(error).removeprefix(f"line {mark.line + 1}: " if mark is not None else "")
        found.error(f"is not YAML: {reason}", row=None if mark is None else mark.line + 1, code="yaml")
        return

    def tell(mistake: TableError) -> None:
        found.error(mistake.text, row=mistake.row, column=mistake.column, code=mistake.kind)

    table = None
    try:
        table = TableReader(found.path, tell).table(root)
    except TableError as mistake:
        if mistake.row is not None or not found.errors:
            tell(mistake)
    if isinstance(root, yaml.MappingNode):
        _check_targets(root, catalog, found)
        _check_shipped(found.path, table, catalog, found)
    if table is not None:
        _check_reached(table, root, found)


def _check_targets(root: yaml.MappingNode, catalog: Catalog, found: Findings) -> None:
    """Links must lead to classes and taxonomies that exist."""
    universal = frozenset(catalog.taxonomy(UNIVERSAL).names)
    for key, node in _pairs(root):
        if key == "to_universal":
            _check_names(UNIVERSAL, universal, ((value, value) for _, value in node_items(node)), key, found)
        elif key == "from_universal":
            _check_names(UNIVERSAL, universal, node_items(node), key, found)
        elif key == "to":
            for name_node, links in node_items(node):
                name = _scalar(name_node)
                try:
                    known = frozenset(catalog.taxonomy(name).names) if name is not None else None
                except TaxonomyError as error:
                    found.error(f"to: {error.reason}", row=line_of(name_node), column="to", code="unknown class")
                    known = None
                if name is not None and known is not None:
                    _check_names(name, known, ((value, value) for _, value in node_items(links)), f"to {name}", found)


def _check_names(
    taxonomy: str,
    known: frozenset[str],
    nodes: Iterable[tuple[yaml.Node, yaml.Node]],
    key: str,
    found: Findings,
) -> None:
    for node, _value in nodes:
        name = _scalar(node)
        if name is not None and name not in known:
            reason = f"{key}: {no_class(taxonomy, name, known)}"
            found.error(reason, row=line_of(node), column=key, code="unknown class")


def _check_shipped(path: Path, table: TaxonomyTable | None, catalog: Catalog, found: Findings) -> None:
    name = path.stem
    if not catalog.is_shipped(name) or (table is not None and _same(table, catalog.table(name))):
        return
    reason = f"is not used: MSeg Studio's own '{name}' stays; rename this file and its 'name'"
    found.error(reason, column="name", code="name")


def _same(a: TaxonomyTable, b: TaxonomyTable) -> bool:
    return (a.taxonomy, a.to_universal, a.from_universal, a.to) == (b.taxonomy, b.to_universal, b.from_universal, b.to)


def _check_reached(table: TaxonomyTable, root: yaml.Node | None, found: Findings) -> None:
    """In an output whose links are exact, a class that nothing leads to never appears."""
    if table.from_universal is None or table.links != "exact":
        return
    reached = {*table.from_universal.values(), *(table.to_universal or {})}
    lines = _class_lines(root)
    for info in table.taxonomy.classes:
        if info.name not in reached:
            reason = f"no universal class leads to class '{info.name}'"
            found.warning(reason, row=lines.get(info.name), column="from_universal", code="uncovered")


def _class_lines(root: yaml.Node | None) -> Mapping[str, int]:
    lines = {}
    for key, node in _pairs(root):
        if key == "classes" and isinstance(node, yaml.SequenceNode):
            for item in node.value:
                for name_key, name in _pairs(item):
                    if name_key == "name" and (text := _scalar(name)) is not None:
                        lines[text] = line_of(item)
    return lines


def _pairs(node: yaml.Node | None) -> Iterable[tuple[str | None, yaml.Node]]:
    return ((_scalar(key), value) for key, value in node_items(node))


def node_items(node: yaml.Node | None) -> list[tuple[yaml.Node, yaml.Node]]:
    """Keys and values of a mapping; none for anything else."""
    return list(node.value) if isinstance(node, yaml.MappingNode) else []


def _scalar(node: yaml.Node) -> str | None:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else None

"""`mseg-studio taxonomy`: which integer is which class, what leads where, and taxonomies of your own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mseg_studio.cli import taxonomy_import, taxonomy_lint, taxonomy_map, taxonomy_subset
from mseg_studio.cli.command import FAILED, OK, Command, UsageError, require_file
from mseg_studio.cli.terminal import ProgressLine, count_classes, print_json
from mseg_studio.errors import TaxonomyError, printable
from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog, UnknownTaxonomyError, default_catalog
from mseg_studio.taxonomy.draft import TaxonomyExistsError
from mseg_studio.taxonomy.link_table import link_tables
from mseg_studio.taxonomy.model import ClassInfo
from mseg_studio.taxonomy.table import TaxonomyTable, read_table

_SUFFIX = ".yaml"
_PARTS = (taxonomy_map, taxonomy_lint, taxonomy_subset, taxonomy_import)
"""Each adds its actions; an action sets `act`, which takes the arguments and a catalog and gives the exit code."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    part = actions.add_parser(
        "list",
        help="every taxonomy: shipped ones and those in your own folder",
        epilog="example: mseg-studio taxonomy list --json",
    )
    part.set_defaults(act=_list)
    part.add_argument("--json", action="store_true", help="one JSON object a taxonomy, then a summary")

    part = actions.add_parser(
        "show",
        help="the classes of a taxonomy: id, name, colour and the universal classes they are linked with",
        epilog="example: mseg-studio taxonomy show cityscapes-19",
    )
    part.set_defaults(act=_show)
    part.add_argument("name", metavar="T", help="name of the taxonomy, or a taxonomy file")
    part.add_argument("--json", action="store_true", help="one JSON object")
    for module in _PARTS:
        module.add_action(actions)


def _run(arguments: argparse.Namespace) -> int:
    try:
        code: int = arguments.act(arguments, default_catalog())
    except UnknownTaxonomyError as error:
        raise UsageError(error.reason) from error
    except TaxonomyExistsError as error:
        raise TaxonomyError("is there already; choose another name, or add --replace", path=error.path) from error
    return code


def _list(arguments: argparse.Namespace, catalog: Catalog) -> int:
    problems = catalog.problems()
    broken = {problem.path for problem in problems}
    tables = []
    for name in catalog.names():
        try:
            table = catalog.table(name)
        except TaxonomyError:
            continue  # among the problems
        if str(table.path) not in broken:
            tables.append(table)
    width = max((len(printable(table.taxonomy.name)) for table in tables), default=0)
    for table in tables:
        if arguments.json:
            print_json(_summary(table, catalog))
        else:
            print(f"{printable(table.taxonomy.name):{width}}  {_line(table, catalog)}")
    line = ProgressLine()
    for problem in problems:
        line.message(f"mseg-studio: error: {problem}")
    if arguments.json:
        print_json({"summary": {"done": len(tables), "skipped": 0, "failed": len(problems)}})
    return FAILED if problems else OK


def _show(arguments: argparse.Namespace, catalog: Catalog) -> int:
    table = _table(arguments.name, catalog)
    if arguments.json:
        print_json(_everything(table, catalog))
        return OK
    taxonomy = table.taxonomy
    print(f"{printable(taxonomy.name)}  {_line(table, catalog)}")
    for label, text in (("source", taxonomy.source), ("note", table.note), ("ignore id", str(taxonomy.ignore_id))):
        if text:
            print(f"  {label:10}{printable(text)}")
    width = max(len(printable(name)) for name in taxonomy.names)
    for info in taxonomy.classes:
        colour = "#{:02x}{:02x}{:02x}".format(*info.rgb)
        about = printable(_about(info, table))
        print(f"{info.id:5}  {colour}  {printable(info.name):{width}}  {about}".rstrip())
    return OK


def _table(name: str, catalog: Catalog) -> TaxonomyTable:
    """By name, or by the path of a YAML file that need not be installed; any other file is no taxonomy."""
    path = Path(name)
    if name not in catalog.names():
        if path.suffix.lower() == _SUFFIX:
            require_file(path)
            return read_table(path)
        if name in {table.name for table in link_tables()}:
            raise UsageError(f"'{name}' has links and no published ids; `taxonomy map` shows its links")
    return catalog.table(name)


def _line(table: TaxonomyTable, catalog: Catalog) -> str:
    parts = [count_classes(len(table.taxonomy))]
    if table.from_universal is not None:
        parts.append(f"output of universal models ({table.links})")
    targets = [*([UNIVERSAL] if table.to_universal is not None else []), *table.to]
    if targets:
        parts.append(printable(f"links to {', '.join(targets)}"))
    if not _is_shipped(table, catalog):
        parts.append(f"yours: {printable(str(table.path))}")
    return "; ".join(parts)


def _is_shipped(table: TaxonomyTable, catalog: Catalog) -> bool:
    name = table.taxonomy.name
    return catalog.is_shipped(name) and catalog.path(name).resolve() == table.path.resolve()


def _about(info: ClassInfo, table: TaxonomyTable) -> str:
    """What is worth saying of a class: its parent and aliases, or the universal classes it is linked with."""
    if table.taxonomy.name == UNIVERSAL:
        return "; ".join(part for part in (info.parent or "", ", ".join(info.aliases)) if part)
    parts = []
    sources = [source for source, target in (table.from_universal or {}).items() if target == info.name]
    if sources:
        more = f" and {len(sources) - 6} more" if len(sources) > 7 else ""
        parts.append("<- " + ", ".join(sources if not more else sources[:6]) + more)
    target = (table.to_universal or {}).get(info.name)
    if target is not None and sources != [target]:
        parts.append(f"-> {target}")
    return "  ".join(parts)


def _summary(table: TaxonomyTable, catalog: Catalog) -> dict[str, Any]:
    taxonomy = table.taxonomy
    return {
        "name": taxonomy.name,
        "num_classes": len(taxonomy),
        "ignore_id": taxonomy.ignore_id,
        "links": table.links,
        "is_output": taxonomy.name == UNIVERSAL or table.from_universal is not None,
        "shipped": _is_shipped(table, catalog),
        "file": str(table.path),
        "source": taxonomy.source,
        "note": table.note,
    }


def _everything(table: TaxonomyTable, catalog: Catalog) -> dict[str, Any]:
    classes = [
        {
            "id": info.id,
            "name": info.name,
            "rgb": list(info.rgb),
            "parent": info.parent,
            "wordnet": info.wordnet,
            "aliases": list(info.aliases),
        }
        for info in table.taxonomy.classes
    ]
    return {
        **_summary(table, catalog),
        "classes": classes,
        "to_universal": None if table.to_universal is None else dict(table.to_universal),
        "from_universal": None if table.from_universal is None else dict(table.from_universal),
        "to": {name: dict(links) for name, links in table.to.items()},
    }


COMMAND = Command(
    name="taxonomy",
    help="which integer is which class, what leads where, and taxonomies of your own",
    add_arguments=_add_arguments,
    run=_run,
    example="mseg-studio taxonomy show cityscapes-19",
)

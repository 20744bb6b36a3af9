"""`mseg-studio taxonomy import`: tables of classes to taxonomies of your own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mseg_studio.cli.command import FAILED, OK, require_file
from mseg_studio.cli.taxonomy_lint import as_json
from mseg_studio.cli.terminal import ProgressLine, count_classes, print_json
from mseg_studio.errors import printable
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.lint import lint
from mseg_studio.taxonomy.table import read_table
from mseg_studio.taxonomy.table_import import FaultyTableError, import_table

if TYPE_CHECKING:
    _Actions = argparse._SubParsersAction[argparse.ArgumentParser]


def add_action(actions: _Actions) -> None:
    """Add `import`; it sets `act`, which takes the arguments and a catalog and gives the exit code."""
    part = actions.add_parser(
        "import",
        help="make taxonomies of your own from a table: MSeg's master layout, or `class,universal class`",
        description="The table is checked first; with a mistake in it nothing is written.",
        epilog="example: mseg-studio taxonomy import MSeg_master.tsv --column my-robot",
    )
    part.set_defaults(act=_import)
    part.add_argument("file", type=Path, metavar="FILE", help="a table between tabs, commas or semicolons, or a YAML")
    part.add_argument("--name", metavar="N", help="another name than the column's or the file's")
    part.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="C",
        help="only this column of a table in the master layout; again for more (default: all that are new or changed)",
    )
    part.add_argument("--replace", action="store_true", help="replace your taxonomies of these names")
    part.add_argument("--json", action="store_true", help="one JSON object a taxonomy, then a summary")


def _import(arguments: argparse.Namespace, catalog: Catalog) -> int:
    require_file(arguments.file)
    line = ProgressLine()
    try:
        paths = import_table(
            arguments.file, catalog, name=arguments.name, columns=arguments.column, replace=arguments.replace
        )
    except FaultyTableError as error:
        for finding in error.findings:
            if arguments.json:
                print_json(as_json(finding))
            else:
                line.message(f"mseg-studio: error: {finding.line()}")
        if arguments.json:
            print_json({"summary": {"done": 0, "skipped": 0, "failed": 1}})
        return FAILED
    for finding in lint(arguments.file, catalog):
        if finding.severity == "warning":
            line.message(f"mseg-studio: {finding.line()}")
    for path in paths:
        table = read_table(path)
        if arguments.json:
            facts = {"name": path.stem, "file": str(path), "num_classes": len(table.taxonomy), "links": table.links}
            print_json(facts)
        else:
            print(f"{printable(str(path))}: {count_classes(len(table.taxonomy))} ({table.links})")
    if arguments.json:
        print_json({"summary": {"done": len(paths), "skipped": 0, "failed": 0}})
    return OK

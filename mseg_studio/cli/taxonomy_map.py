"""`mseg-studio taxonomy map` and `taxonomy export`: what leads from one taxonomy to another, and the whole table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mseg_studio.cli.command import OK, UsageError
from mseg_studio.cli.terminal import print_json
from mseg_studio.errors import ExportError, TaxonomyError, nearest, printable
from mseg_studio.storage import write_atomic
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.compare import PairReport, compare
from mseg_studio.taxonomy.link_table import link_tables
from mseg_studio.taxonomy.master import master_table
from mseg_studio.taxonomy.table_export import to_csv, to_yaml

if TYPE_CHECKING:
    _Actions = argparse._SubParsersAction[argparse.ArgumentParser]


def add_action(actions: _Actions) -> None:
    """Add `map` and `export`; each sets `act`, which takes the arguments and a catalog and gives the exit code."""
    part = actions.add_parser(
        "map",
        help="what leads from taxonomy A to taxonomy B, what is merged and what is lost",
        epilog="example: mseg-studio taxonomy map universal cityscapes-19 --json",
    )
    part.set_defaults(act=_map)
    part.add_argument("source", metavar="A", help="taxonomy that labels or a model are in")
    part.add_argument("target", metavar="B", help="taxonomy that they are brought into")
    part.add_argument("--json", action="store_true", help="one JSON object")

    part = actions.add_parser(
        "export",
        help="the whole table: a line for every universal class, a column for every taxonomy",
        epilog="example: mseg-studio taxonomy export --format csv --columns ade20k-150,voc2012 --output table.csv",
    )
    part.set_defaults(act=_export)
    part.add_argument("--format", choices=("csv", "yaml"), default="csv", help="default: csv")
    part.add_argument("--columns", metavar="NAME,...", default="", help="some columns instead of all of them")
    part.add_argument("--output", metavar="FILE", type=Path, help="a file instead of standard output")


def _map(arguments: argparse.Namespace, catalog: Catalog) -> int:
    _check_names(catalog, arguments.source, arguments.target)
    try:
        report = compare(catalog, arguments.source, arguments.target)
    except TaxonomyError as error:
        raise TaxonomyError(error.reason + _hint(catalog, arguments), path=error.path) from error
    if arguments.json:
        print_json(as_json(report))
    else:
        print("\n".join(_lines(report)))
    return OK


def _hint(catalog: Catalog, arguments: argparse.Namespace) -> str:
    """What to ask instead, where links lead the other way only."""
    try:
        compare(catalog, arguments.target, arguments.source)
    except TaxonomyError:
        return ""
    other = printable(f"taxonomy map {arguments.target} {arguments.source}")
    return f", only the other way: mseg-studio {other}"


def as_json(report: PairReport) -> dict[str, object]:
    """`source`, `target`, `links` and `unmapped`, and what else the report says."""
    return {
        "source": report.source,
        "target": report.target,
        "links": [list(link) for link in report.links],
        "unmapped": list(report.unmapped),
        "unreached": list(report.unreached),
        "merges": {name: list(sources) for name, sources in report.merges.items()},
        "splits": {name: list(targets) for name, targets in report.splits.items()},
        "quality": report.quality,
        "through": report.through,
        "coverage": report.coverage,
    }


def _check_names(catalog: Catalog, *names: str) -> None:
    known = [*catalog.names(), *(table.name for table in link_tables())]
    for name in names:
        if name not in known:
            raise UsageError(f"unknown taxonomy '{printable(name)}'{nearest(name, known)}")


def _lines(report: PairReport) -> list[str]:
    """What a person reads: one line of facts, the links by target, then what is lost."""
    linked = {source for source, _target in report.links}
    total = len(linked) + len(report.unmapped)
    through = f", composed through {report.through}: no links of its own are published" if report.through else ""
    lines = [
        f"{printable(report.source)} -> {printable(report.target)}: {len(linked)} of {total} classes have a target; "
        f"{report.quality}{through}"
    ]
    by_target: dict[str, list[str]] = {}
    for source, target in report.links:
        by_target.setdefault(target, []).append(source)
    width = max((len(printable(target)) for target in by_target), default=0)
    lines += [f"  {printable(name):{width}}  <- {printable(', '.join(sources))}" for name, sources in by_target.items()]
    lines += _named("splits", report.splits)
    if report.unmapped:
        lines.append(f"no target ({len(report.unmapped)}): {printable(', '.join(report.unmapped))}")
    if report.unreached:
        lines.append(f"never reached ({len(report.unreached)}): {printable(', '.join(report.unreached))}")
    return lines


def _named(what: str, groups: Mapping[str, tuple[str, ...]]) -> list[str]:
    if not groups:
        return []
    return [f"{what}:", *(printable(f"  {name} -> {', '.join(members)}") for name, members in groups.items())]


def _export(arguments: argparse.Namespace, catalog: Catalog) -> int:
    table = master_table(catalog)
    columns = [name.strip() for name in arguments.columns.split(",") if name.strip()]
    write = to_csv if arguments.format == "csv" else to_yaml
    try:
        text = write(table, columns)
    except TaxonomyError as error:
        raise UsageError(error.reason) from error
    if arguments.output is None:
        sys.stdout.write(text)
        return OK
    try:
        write_atomic(arguments.output, text.encode())
    except OSError as error:
        raise ExportError(f"cannot be written: {error.strerror or error}", path=arguments.output) from error
    return OK

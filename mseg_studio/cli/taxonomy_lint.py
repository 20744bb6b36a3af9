"""`mseg-studio taxonomy lint`: every mistake of a taxonomy file or a table of classes, one line each."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mseg_studio.cli.command import FAILED, OK, UsageError
from mseg_studio.cli.terminal import print_json
from mseg_studio.errors import printable
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.lint import Finding, lint

if TYPE_CHECKING:
    _Actions = argparse._SubParsersAction[argparse.ArgumentParser]


def add_action(actions: _Actions) -> None:
    """Add `lint`; it sets `act`, which takes the arguments and a catalog and gives the exit code."""
    part = actions.add_parser(
        "lint",
        help="check a taxonomy (YAML) or a table of classes (master layout or two columns), a line for every mistake",
        description="Exit code 0 without errors (warnings are allowed), 1 with errors.",
        epilog="example: mseg-studio taxonomy lint MSeg_master.tsv mine.yaml",
    )
    part.set_defaults(act=_lint)
    part.add_argument("files", nargs="+", metavar="FILE", help="a file, or the name of an installed taxonomy")
    part.add_argument("--json", action="store_true", help="one JSON object a finding, then a summary")


def as_json(finding: Finding) -> dict[str, Any]:
    """A finding as printed with --json."""
    return {
        "file": str(finding.path),
        "row": finding.row,
        "column": finding.column,
        "severity": finding.severity,
        "code": finding.code,
        "message": finding.message,
    }


def _lint(arguments: argparse.Namespace, catalog: Catalog) -> int:
    paths = [_path(word, catalog) for word in arguments.files]
    failed = 0
    for path in paths:
        findings = lint(path, catalog)
        failed += any(finding.severity == "error" for finding in findings)
        for finding in findings:
            if arguments.json:
                print_json(as_json(finding))
            else:
                print(finding.line())
        if not findings and not arguments.json:
            print(f"{printable(str(path))}: clean")
    if arguments.json:
        print_json({"summary": {"done": len(paths) - failed, "skipped": 0, "failed": failed}})
    return FAILED if failed else OK


def _path(word: str, catalog: Catalog) -> Path:
    """The file that is meant. Raises UsageError for none."""
    path = Path(word)
    if path.is_file():
        return path
    if word in catalog.names():
        return catalog.path(word)
    if path.exists():
        raise UsageError(f"{printable(word)}: expected a file")
    raise UsageError(f"{printable(word)}: no such file or taxonomy")

"""`mseg-studio taxonomy subset`: a taxonomy of your own, cut from another."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mseg_studio.cli.command import OK, UsageError
from mseg_studio.cli.terminal import count_classes, print_json
from mseg_studio.errors import TaxonomyError, printable
from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog
from mseg_studio.taxonomy.draft import Draft, save_draft, subset

if TYPE_CHECKING:
    _Actions = argparse._SubParsersAction[argparse.ArgumentParser]


def add_action(actions: _Actions) -> None:
    """Add `subset`; it sets `act`, which takes the arguments and a catalog and gives the exit code."""
    part = actions.add_parser(
        "subset",
        help="cut a taxonomy to some of its classes and save it as your own",
        description="Ids follow the order in which classes are chosen. Classes that are not chosen have no target.",
        epilog="example: mseg-studio taxonomy subset people --classes parent:person --rest other",
    )
    part.set_defaults(act=_subset)
    part.add_argument("name", metavar="NAME", help="name of the new taxonomy, and so of its file")
    part.add_argument("--from", dest="source", default=UNIVERSAL, metavar="T", help="taxonomy to cut (universal)")
    part.add_argument(
        "--classes",
        nargs="+",
        required=True,
        metavar="CLASS,...",
        help="names, ids or aliases; parent:NAME; in:TAXONOMY (what has a target there); @FILE with one a line",
    )
    part.add_argument("--rest", metavar="CLASS", help="a class for everything else")
    part.add_argument("--output", type=Path, metavar="FILE", help="NAME.yaml elsewhere than in your taxonomies folder")
    part.add_argument("--replace", action="store_true", help="replace your taxonomy of this name")
    part.add_argument("--json", action="store_true", help="one JSON object")


def _subset(arguments: argparse.Namespace, catalog: Catalog) -> int:
    if arguments.output is not None and arguments.output.name != f"{arguments.name}.yaml":
        raise UsageError(f"--output: expected a file called '{arguments.name}.yaml', as the taxonomy is")
    words = [part for word in arguments.classes for part in _parts(word)]
    try:
        draft = subset(catalog, words, name=arguments.name, of=arguments.source, rest=arguments.rest)
    except TaxonomyError as error:
        raise UsageError(str(error)) from error
    folder = None if arguments.output is None else arguments.output.parent
    path = save_draft(draft, catalog, folder, replace=arguments.replace)
    left_out = draft.left_out(catalog.taxonomy(UNIVERSAL))
    if arguments.json:
        print_json(_as_json(draft, path, left_out))
        return OK
    print(f"{printable(str(path))}: {count_classes(len(draft.classes))} ({draft.links})")
    for index, item in enumerate(draft.classes):
        sources = "" if item.members == (item.name,) else f"  <- {_shown(item.members)}"
        print(f"{index:5}  {printable(item.name)}{sources}")
    if left_out:
        print(f"no target: {len(left_out)} of {len(catalog.taxonomy(UNIVERSAL))} universal classes")
    return OK


def _parts(word: str) -> list[str]:
    """Words between commas; the name of a file may hold some."""
    return [word] if word.startswith("@") else [part.strip() for part in word.split(",") if part.strip()]


def _shown(members: tuple[str, ...]) -> str:
    more = f" and {len(members) - 6} more" if len(members) > 7 else ""
    return ", ".join(members[:6] if more else members) + more


def _as_json(draft: Draft, path: Path, left_out: tuple[str, ...]) -> dict[str, object]:
    return {
        "name": draft.name,
        "file": str(path),
        "num_classes": len(draft.classes),
        "links": draft.links,
        "classes": [
            {"id": index, "name": item.name, "rgb": list(item.rgb), "universal": list(item.members)}
            for index, item in enumerate(draft.classes)
        ],
        "left_out": list(left_out),
    }

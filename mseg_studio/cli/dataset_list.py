"""`mseg-studio dataset list` and `show`: the descriptions that are known by name."""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING, Any

from mseg_studio.cli.command import FAILED, OK
from mseg_studio.cli.dataset_options import add_dataset_arguments, dataset_of
from mseg_studio.cli.terminal import ProgressLine, print_json
from mseg_studio.errors import MSegStudioError, printable

if TYPE_CHECKING:
    from mseg_studio.datasets.description import DatasetDescription

_WIDTH = 100


def add_action(actions: Any) -> None:
    """Add `list` and `show` to the actions of `mseg-studio dataset`."""
    part = actions.add_parser(
        "list",
        help="every ready description: shipped ones and those in your own folder",
        epilog="example: mseg-studio dataset list --json. Nothing is downloaded.",
    )
    part.set_defaults(act=_list)
    part.add_argument("--json", action="store_true", help="one JSON object a description, then a summary")
    part = actions.add_parser(
        "show",
        help="one description: folders, numbers and classes, what it needs and where people get it",
        epilog="example: mseg-studio dataset show cityscapes",
    )
    part.set_defaults(act=_show)
    add_dataset_arguments(part)
    part.add_argument("--json", action="store_true", help="one JSON object")


def _list(arguments: argparse.Namespace) -> int:
    from mseg_studio.datasets.description import load_dataset
    from mseg_studio.datasets.ready import ready_names

    found, problems = [], []
    for name in ready_names():
        try:
            found.append((name, load_dataset(name)))
        except MSegStudioError as error:
            problems.append(error)
    width = max((len(printable(name)) for name, _ in found), default=0)
    for name, dataset in found:
        if arguments.json:
            print_json(_summary(name, dataset))
        else:
            print(f"{printable(name):{width}}  {printable(dataset.title)} ({printable(dataset.taxonomy.name)})")
    line = ProgressLine()
    for problem in problems:
        line.message(f"mseg-studio: error: {problem}")
    if arguments.json:
        print_json({"summary": {"done": len(found), "skipped": 0, "failed": len(problems)}})
    return FAILED if problems else OK


def _show(arguments: argparse.Namespace) -> int:
    dataset = dataset_of(arguments)
    if arguments.json:
        print_json(_everything(dataset))
        return OK
    print(f"{printable(dataset.name)}  {printable(dataset.title)}".rstrip())
    facts = {
        "taxonomy": dataset.taxonomy.name,
        "needs": dataset.needs,
        "where": dataset.where,
        "licence": dataset.licence,
        "splits": ", ".join(dataset.splits),
        "root": ", ".join(str(root) for root in dataset.roots) or "not set: --root DIR",
        "file": str(dataset.path),
    }
    for label, text in facts.items():
        if text:
            lines = textwrap.wrap(printable(text), _WIDTH - 12, break_long_words=False, break_on_hyphens=False)
            print(f"  {label:10}" + ("\n" + " " * 12).join(lines))
    values = {str(list(rgb)): name for rgb, name in dataset.colour_map.items()} or dataset.id_map
    for value, name in values.items():
        print(f"{value!s:>16}  {printable(name)}")
    return OK


def _summary(name: str, dataset: DatasetDescription) -> dict[str, Any]:
    from mseg_studio.datasets.ready import is_shipped

    return {
        "name": name,
        "title": dataset.title,
        "taxonomy": dataset.taxonomy.name,
        "splits": list(dataset.splits),
        "needs": dataset.needs,
        "where": dataset.where,
        "licence": dataset.licence,
        "shipped": is_shipped(name),
        "file": str(dataset.path),
    }


def _everything(dataset: DatasetDescription) -> dict[str, Any]:
    return {
        **_summary(dataset.name, dataset),
        "roots": [str(root) for root in dataset.roots],
        "id_map": {str(number): name for number, name in dataset.id_map.items()},
        "colour_map": [[*rgb, name] for rgb, name in dataset.colour_map.items()],
        "to_universal": dict(dataset.to_universal),
    }

"""`mseg-studio dataset`: look at datasets on disk, check them, bring their labels into another taxonomy."""

from __future__ import annotations

import argparse

from mseg_studio.cli import dataset_check, dataset_convert, dataset_list, dataset_relabel, dataset_remap
from mseg_studio.cli.command import Command

_PARTS = (dataset_list, dataset_check, dataset_remap, dataset_relabel, dataset_convert)
"""Each adds its actions; an action sets `act`, which gives the exit code."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for part in _PARTS:
        part.add_action(actions)


def _run(arguments: argparse.Namespace) -> int:
    code: int = arguments.act(arguments)
    return code


COMMAND = Command(
    name="dataset",
    help="list, show, check, remap, relabel and convert labelled datasets",
    add_arguments=_add_arguments,
    run=_run,
    example="mseg-studio dataset check cityscapes --root /data/cityscapes",
)

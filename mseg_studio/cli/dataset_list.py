"""`mseg-studio dataset list` and `show`: the descriptions that are known by name."""

from __future__ import annotations

import argparse
from typing import Any


def add_action(actions: Any) -> None:
    """Add `list` to the actions of `mseg-studio dataset`."""
    part = actions.add_parser("list", help="every ready description: shipped ones and those in your own folder")
    part.set_defaults(act=_list)


def _list(arguments: argparse.Namespace) -> int:
    from mseg_studio.datasets.ready import ready_names

    for name in ready_names():
        print(name)
    return 0

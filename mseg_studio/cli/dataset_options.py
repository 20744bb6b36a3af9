"""Arguments that the actions of `mseg-studio dataset` share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mseg_studio.datasets.description import DatasetDescription


def add_dataset_arguments(part: argparse.ArgumentParser) -> None:
    """The description and where its data is."""
    part.add_argument("dataset", metavar="DESC", help="dataset description: a YAML file, or the name of a ready one")
    part.add_argument(
        "--root",
        action="append",
        type=Path,
        metavar="DIR",
        help="folder that holds the data, in place of the description's; several: the first that has a file counts",
    )


def dataset_of(arguments: argparse.Namespace) -> DatasetDescription:
    """The description that was asked for. Raises ConfigError."""
    from mseg_studio.datasets.description import load_dataset

    return load_dataset(arguments.dataset, root=arguments.root)

"""What `mseg-studio train` is told of a run: arguments, and the configuration and plan that they mean."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from mseg_studio.cli.command import UsageError

if TYPE_CHECKING:
    from mseg_studio.training.config import DatasetConfig, TrainConfig
    from mseg_studio.training.launcher import LaunchPlan


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """What is trained, on what."""
    parser.add_argument("recipe", nargs="?", metavar="RECIPE|CONFIG.yaml", help="a recipe's name, or a configuration")
    parser.add_argument(
        "--dataset",
        nargs="+",
        action="extend",
        default=[],
        metavar="DESC",
        help="description file, ready name, NAME=ROOT (where a ready one's data is) or NAME=DESCRIPTION.yaml",
    )
    parser.add_argument("--start", metavar="S", help="weights it begins with: random, an installed model, or a file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting, as in --set optim.lr=0.005; may be repeated",
    )
    parser.add_argument("--name", metavar="NAME", help="name of the run and of the model it makes")


def add_process_arguments(parser: argparse.ArgumentParser) -> None:
    """Which processes compute it, where."""
    parser.add_argument("--processes", type=int, metavar="N", help="processes here (default: one a GPU, else 1)")
    parser.add_argument("--devices", metavar="N,N,...", default="", help="numbers of the GPUs to use (default: all)")
    parser.add_argument("--nnodes", type=int, default=1, metavar="N", help="machines; call this on each (default: 1)")
    parser.add_argument("--node-rank", type=int, default=0, metavar="N", help="number of this machine, from 0")
    parser.add_argument("--rendezvous", default="", metavar="HOST:PORT", help="where machine 0 can be reached")
    parser.add_argument("--slurm", nargs="+", action="extend", metavar="KEY=VALUE", help="submit to Slurm instead")


def config_of(arguments: argparse.Namespace) -> TrainConfig:
    """The configuration that is asked for. Raises UsageError and ConfigError naming what is wrong."""
    from mseg_studio.training.config_file import load_config, with_settings
    from mseg_studio.training.recipes import load_recipe

    word = arguments.recipe
    if word is None:
        raise UsageError("the following arguments are required: RECIPE|CONFIG.yaml (--list shows the recipes)")
    datasets = [dataset_of_word(one) for one in arguments.dataset]
    start = None if arguments.start is None else _start(arguments.start)
    if not _is_file(word):
        recipe = load_recipe(word)
        name = arguments.name or "-".join(
            [recipe.name, *(one.name for one in datasets[:1] if not recipe.dataset_names)]
        )
        return _with_whole_paths(recipe.config(name=name, datasets=datasets, settings=arguments.set, start=start))
    if not Path(word).is_file():
        raise UsageError("no such file", path=word)
    config = load_config(Path(word))
    kept = [one for one in config.datasets if one.name not in {given.name for given in datasets}]
    config = dataclasses.replace(
        config,
        datasets=(*kept, *datasets),
        name=arguments.name or config.name,
        start=config.start if start is None else start,
    )
    return _with_whole_paths(with_settings(config, arguments.set))


def dataset_of_word(word: str) -> DatasetConfig:
    """The dataset that a word of the command line means. Raises UsageError and ConfigError."""
    from mseg_studio.datasets.description import load_dataset
    from mseg_studio.datasets.ready import find_description, ready_names
    from mseg_studio.training.config import DatasetConfig

    name, equals, place = word.partition("=")
    if equals and not Path(word).exists():
        path = Path(place).absolute()
        if not path.exists():
            raise UsageError("no such file or folder", path=place)
        if path.is_file():
            return DatasetConfig(str(path), name=name)
        find_description(name)  # says which names there are
        description = name if name in ready_names() else str(Path(name).absolute())
        return DatasetConfig(description, root=str(path), name=name if name in ready_names() else Path(name).stem)
    path = find_description(word)
    if word in ready_names() and not Path(word).is_file():
        return DatasetConfig(word, name=word)
    return DatasetConfig(str(path.absolute()), name=load_dataset(path).name)


def plan_of(arguments: argparse.Namespace, config: TrainConfig, folder: Path) -> LaunchPlan:
    """The processes that are asked for, or that suit this machine. Raises ConfigError, UsageError."""
    from mseg_studio.training.launcher import LaunchPlan, devices_here

    gpus = [device.number for device in devices_here() if device.kind == "cuda"]
    chosen = tuple(word.strip() for word in arguments.devices.split(",") if word.strip())
    unknown = [number for number in chosen if number not in gpus]
    if unknown:
        there = f"GPUs here: {', '.join(gpus)}" if gpus else "no GPU is seen here"
        raise UsageError(f"--devices: there is no GPU {unknown[0]}; {there}")
    several = len(chosen or gpus) if config.device in ("auto", "cuda") else 1
    processes = arguments.processes or max(1, min(several, config.batch // max(config.accumulate, 1)))
    if arguments.processes is not None and arguments.processes < 1:
        raise UsageError(f"--processes is {arguments.processes}, expected 1 or more")
    return LaunchPlan(
        folder,
        processes,
        nnodes=arguments.nnodes,
        node_rank=arguments.node_rank,
        rendezvous=arguments.rendezvous,
        devices=chosen,
    )


def _is_file(word: str) -> bool:
    path = Path(word)
    return path.suffix in (".yaml", ".yml") or len(path.parts) > 1 or path.is_file()


def _with_whole_paths(config: TrainConfig) -> TrainConfig:
    """What --set gave begins in the working folder; in the run's own configuration it would begin beside that."""
    return dataclasses.replace(
        config,
        start=_start(config.start),
        samples=tuple(str(Path(sample).absolute()) for sample in config.samples),
        datasets=tuple(
            dataclasses.replace(one, root=str(Path(one.root).absolute())) if one.root else one
            for one in config.datasets
        ),
    )


def _start(word: str) -> str:
    """A file by its whole path, since the run lies elsewhere; a name as it is."""
    from mseg_studio.training.config import RANDOM
    from mseg_studio.training.start_choice import is_file_start

    return str(Path(word).absolute()) if word != RANDOM and is_file_start(word) else word

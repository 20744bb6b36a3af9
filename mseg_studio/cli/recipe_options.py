"""The options of every command that runs a network: model, recipe and device."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from mseg_studio.cli.command import UsageError
from mseg_studio.inference.recipe import ENGINES, PRESETS, Recipe, preset
from mseg_studio.networks.catalog import InstalledModel, UnknownModelError, find_model


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --model, --recipe and what changes single values of it."""
    parser.add_argument("--model", default="street-small", metavar="M", help="installed model (default: street-small)")
    group = parser.add_argument_group("recipe")
    group.add_argument(
        "--recipe",
        default="balanced",
        choices=list(PRESETS),
        help="preset (default: balanced); live is approximate: the whole image at once, without a sliding window",
    )
    group.add_argument("--base-size", type=int, metavar="PX", help="short side at scale 1 (default: the model's)")
    group.add_argument("--crop", type=int, metavar="PX", help="side of the sliding window (default: the model's)")
    group.add_argument("--scales", type=_scales, metavar="S,S,...", help="scales to average, such as 0.75,1,1.25")
    group.add_argument("--no-flip", action="store_true", help="do not average with the mirrored image")
    group.add_argument("--precision", choices=("float32", "half", "int8", "auto"), help="number format of the network")
    group.add_argument("--device", metavar="D", help="auto, cpu, cuda, cuda:N or mps")
    group.add_argument("--engine", choices=ENGINES, help="what runs the network (default: the fastest that is there)")


def recipe_of(arguments: argparse.Namespace) -> Recipe:
    """The recipe that the options ask for. Raises ConfigError for a wrong value."""
    changes: dict[str, Any] = {
        "base_size": arguments.base_size,
        "crop_px": arguments.crop,
        "scales": arguments.scales,
        "precision": arguments.precision,
        "device": arguments.device,
        "engine": arguments.engine,
        "flip": False if arguments.no_flip else None,
    }
    chosen = preset(arguments.recipe)
    if chosen.whole and arguments.crop is not None:
        raise UsageError(f"recipe {arguments.recipe} has no sliding window: --crop means nothing to it")
    return dataclasses.replace(chosen, **{k: v for k, v in changes.items() if v is not None})


def model_of(arguments: argparse.Namespace) -> InstalledModel:
    """The installed model that --model names. Raises UsageError with the nearest names, CheckpointError when broken."""
    try:
        return find_model(arguments.model)
    except UnknownModelError as error:
        raise UsageError(str(error)) from error


def _scales(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of numbers such as 0.75,1,1.25") from None

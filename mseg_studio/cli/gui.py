"""`mseg-studio gui`: the window."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from mseg_studio.cli.command import Command, UsageError
from mseg_studio.errors import MSegStudioError, TaxonomyError
from mseg_studio.labels.comparison import VIEWS
from mseg_studio.settings import check_device

_WORKSPACES = ("segment", "taxonomy", "datasets", "train")
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", nargs="?", metavar="PATH", help="image, folder, video or camera:0 to open")
    parser.add_argument("--model", help="installed model (see `mseg-studio models list`)")
    parser.add_argument("--taxonomy", help="output taxonomy (see `mseg-studio taxonomy list`)")
    parser.add_argument("--recipe", choices=("live", "fast", "balanced", "paper"), help="recipe preset")
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--theme", choices=("system", "light", "dark"), help="colour scheme")
    parser.add_argument("--size", type=_size, metavar="WxH", help="size of the window in pixels")
    parser.add_argument("--workspace", choices=_WORKSPACES, help="what to show first")
    parser.add_argument("--run", dest="shown_run", metavar="RUN", help="name or folder of a training run to show")
    parser.add_argument("--class", dest="class_name", metavar="NAME", help="universal class to show in taxonomy")
    parser.add_argument("--pair", nargs=2, metavar=("SOURCE", "TARGET"), help="taxonomies to compare in taxonomy")
    shot = parser.add_argument_group("pictures of the window")
    shot.add_argument("--screenshot", type=Path, metavar="FILE.png", help="segment, save the window and exit")
    shot.add_argument("--frame", type=int, default=0, metavar="N", help="frame of the video, from 0")
    shot.add_argument("--layer", choices=VIEWS, help="what to show in place of the labels")
    shot.add_argument("--probe", type=_pixel, metavar="X,Y", help="pixel to show the probabilities of")


def _run(arguments: argparse.Namespace) -> int:
    path = arguments.path
    if path is not None and not Path(path).exists() and not path.startswith("camera:"):
        raise UsageError("there is no such file or folder", path=path)
    if arguments.device is not None:
        check_device(arguments.device)
    if arguments.screenshot is not None:
        # A picture is made the same on every machine, with or without a screen.
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    if sys.platform == "linux" and not any(os.environ.get(name) for name in _DISPLAYS):
        raise MSegStudioError("there is no display to open a window on; `mseg-studio segment` works without one")
    from mseg_studio.networks.catalog import UnknownModelError

    try:
        from mseg_studio.ui.app import WindowOptions, run_window
    except ImportError as error:
        if "lib" in str(error):
            raise MSegStudioError(
                f"Qt misses a system library ({error}); see the README for what to install"
            ) from error
        raise

    options = WindowOptions(
        path=path,
        model=arguments.model,
        taxonomy=arguments.taxonomy,
        recipe=arguments.recipe,
        device=arguments.device,
        theme=arguments.theme,
        size=arguments.size,
        screenshot=arguments.screenshot,
        frame=arguments.frame,
        probe=arguments.probe,
        layer=arguments.layer,
        workspace=arguments.workspace,
        run=None if arguments.shown_run is None else _run_folder(arguments.shown_run),
        class_name=arguments.class_name,
        pair=None if arguments.pair is None else (arguments.pair[0], arguments.pair[1]),
    )
    try:
        return run_window(options)
    except (TaxonomyError, UnknownModelError) as error:
        raise UsageError(str(error)) from error


def _run_folder(word: str) -> Path:
    """The run that was asked for. Raises ConfigError with the nearest names."""
    from mseg_studio.training.runs import find_run

    return find_run(word)


def _size(text: str) -> tuple[int, int]:
    width, height = _two_numbers(text.lower(), "x")
    if not (320 <= width <= 16384 and 240 <= height <= 16384):
        raise argparse.ArgumentTypeError(f"'{text}' is not between 320x240 and 16384x16384")
    return width, height


def _pixel(text: str) -> tuple[int, int]:
    return _two_numbers(text, ",")


def _two_numbers(text: str, between: str) -> tuple[int, int]:
    first, found, second = text.partition(between)
    if not (found and first.isascii() and first.isdigit() and second.isascii() and second.isdigit()):
        raise argparse.ArgumentTypeError(f"'{text}' is not two numbers with '{between}' between them")
    return int(first), int(second)


COMMAND = Command(
    name="gui",
    help="open the window",
    add_arguments=_add_arguments,
    run=_run,
    example="mseg-studio gui street.jpg --taxonomy cityscapes-19",
)

"""`mseg-studio gui`: the window."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mseg_studio.cli.command import Command, UsageError


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", nargs="?", metavar="PATH", help="image, folder or video to open")
    parser.add_argument("--model", help="installed model (see `mseg-studio models list`)")
    parser.add_argument("--taxonomy", help="output taxonomy (see `mseg-studio taxonomy list`)")
    parser.add_argument("--recipe", choices=("fast", "balanced", "paper"), help="recipe preset")
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--theme", choices=("system", "light", "dark"), help="colour scheme")
    parser.add_argument("--size", type=_pair("x"), metavar="WxH", help="size of the window in pixels")
    shot = parser.add_argument_group("pictures of the window")
    shot.add_argument("--screenshot", type=Path, metavar="FILE.png", help="segment, save the window and exit")
    shot.add_argument("--frame", type=int, default=0, metavar="N", help="frame of the video, from 0")
    shot.add_argument("--probe", type=_pair(","), metavar="X,Y", help="pixel to show the probabilities of")


def _run(arguments: argparse.Namespace) -> int:
    if arguments.path is not None and not Path(arguments.path).exists() and not arguments.path.startswith("camera"):
        raise UsageError("there is no such file or folder", path=arguments.path)
    if arguments.screenshot is not None:
        # A picture is made the same on every machine, with or without a screen.
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from mseg_studio.ui.app import WindowOptions, run_window

    return run_window(
        WindowOptions(
            path=arguments.path,
            model=arguments.model,
            taxonomy=arguments.taxonomy,
            recipe=arguments.recipe,
            device=arguments.device,
            theme=arguments.theme,
            size=arguments.size,
            screenshot=arguments.screenshot,
            frame=arguments.frame,
            probe=arguments.probe,
        )
    )


class _pair:  # noqa: N801 - named like the type it makes: argparse shows it
    def __init__(self, between: str) -> None:
        self._between = between

    def __call__(self, text: str) -> tuple[int, int]:
        first, second = text.lower().split(self._between)
        if not (first.isascii() and first.isdigit() and second.isascii() and second.isdigit()):
            raise ValueError(text)
        return int(first), int(second)

    def __repr__(self) -> str:
        return f"two numbers with '{self._between}' between them"


COMMAND = Command(
    name="gui",
    help="open the window",
    add_arguments=_add_arguments,
    run=_run,
    example="mseg-studio gui street.jpg --taxonomy cityscapes-19",
)

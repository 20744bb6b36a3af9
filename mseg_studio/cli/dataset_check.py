"""`mseg-studio dataset check`: the dataset doctor."""

from __future__ import annotations

import argparse
import time
from typing import Any

from mseg_studio.cli.command import FAILED, OK, UsageError
from mseg_studio.cli.dataset_options import add_dataset_arguments, dataset_of
from mseg_studio.cli.terminal import ProgressLine, cancel_on_signals, print_json
from mseg_studio.progress import Progress

_TELL_S = 0.1
"""Between two lines of progress for a program."""


def add_action(actions: Any) -> None:
    """Add `check` to the actions of `mseg-studio dataset`."""
    part = actions.add_parser(
        "check",
        help="read every file of a dataset and say what is wrong with it",
        epilog="example: mseg-studio dataset check cityscapes --root /data/cityscapes --json. "
        "The exit code is 1 when there are errors.",
    )
    part.set_defaults(act=_check)
    add_dataset_arguments(part)
    part.add_argument("--split", action="append", metavar="S", help="only this split; may be repeated (default: all)")
    part.add_argument("--threads", type=int, metavar="N", help="threads that read files (default: one for every core)")
    part.add_argument("--json", action="store_true", help="one JSON object")
    part.add_argument("--progress-json", action="store_true", help=argparse.SUPPRESS)


def _check(arguments: argparse.Namespace) -> int:
    from mseg_studio.datasets.doctor import check

    if arguments.threads is not None and arguments.threads < 1:
        raise UsageError(f"--threads is {arguments.threads}, expected 1 or more")
    dataset = dataset_of(arguments)
    line = ProgressLine()
    told_s = 0.0

    def show(progress: Progress) -> None:
        nonlocal told_s
        if not arguments.progress_json:
            line.show(progress)
        elif progress.done in (0, progress.total) or time.monotonic() - told_s >= _TELL_S:
            told_s = time.monotonic()
            left = progress.seconds_left
            print_json({"progress": {"done": progress.done, "total": progress.total, "seconds_left": left}})

    with cancel_on_signals() as cancel:
        try:
            report = check(dataset, splits=arguments.split, workers=arguments.threads, on_progress=show, cancel=cancel)
        finally:
            line.done()
    if arguments.json:
        print_json(report.as_json())
    else:
        print("\n".join(report.lines()))
    return FAILED if report.count("error") else OK

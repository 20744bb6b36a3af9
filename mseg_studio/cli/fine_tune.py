"""`mseg-studio fine-tune`: an installed model learns from labels at hand, and says what that changed."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mseg_studio.cli.command import OK, Command, UsageError
from mseg_studio.cli.terminal import ProgressLine, cancel_on_signals, print_json
from mseg_studio.progress import Progress

if TYPE_CHECKING:
    from mseg_studio.training.fine_tune import FineTunePlan

_TELL_S = 0.1
"""Between two lines of progress for a program."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="folder of exported labels, a dataset description or the name of a ready one; with --score the run",
    )
    parser.add_argument(
        "--model", default="street-small", metavar="M", help="model to start with (default: %(default)s)"
    )
    parser.add_argument("--name", default="", metavar="N", help="name of the run and of the model it makes")
    what = parser.add_argument_group("labels")
    what.add_argument("--images", type=Path, metavar="DIR", help="folder of the images, where the labels do not say it")
    what.add_argument("--taxonomy", metavar="T", help="taxonomy of label maps that have no JSON beside them")
    what.add_argument("--root", type=Path, metavar="DIR", help="folder that holds the data of a described dataset")
    what.add_argument("--split", metavar="S[,S]", help="split to learn from, and the one to score on")
    what.add_argument("--held-out", type=float, default=0.2, metavar="SHARE", help="share held out (default: 0.2)")
    what.add_argument("--only-changed", action="store_true", help="leave out labels that are exactly as exported")
    how = parser.add_argument_group("training")
    how.add_argument("--recipe", default="fine-tune", metavar="R", help="recipe (default: fine-tune)")
    how.add_argument("--steps", type=int, metavar="N", help="steps (default: the recipe's)")
    how.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="another setting, as optim.lr=0.001"
    )
    how.add_argument("--processes", type=int, default=1, metavar="N", help="processes on this machine (default: 1)")
    how.add_argument("--output", type=Path, metavar="RUN", help="folder of the run (default: a new one of its name)")
    act = parser.add_argument_group("instead of or after the whole")
    act.add_argument("--dry-run", action="store_true", help="say what would be done, and stop")
    act.add_argument("--detach", action="store_true", help="start it and come back; score it later with --score")
    act.add_argument("--score", action="store_true", help="SOURCE is a fine-tuning: score it before and after")
    act.add_argument("--use", action="store_true", help="install the model when it is scored")
    act.add_argument("--json", action="store_true", help="JSON objects, one a line")
    act.add_argument("--progress-json", action="store_true", help=argparse.SUPPRESS)


def _run(arguments: argparse.Namespace) -> int:
    from mseg_studio.cli.train_follow import follow

    if arguments.score:
        return _score(arguments, _run_of(arguments.source))
    plan = _plan(arguments)
    if arguments.json:
        print_json({"plan": plan.as_json()})
    else:
        print("\n".join([*plan.facts, *(f"note: {text}" for text in plan.warnings)]))
    if arguments.dry_run:
        return OK
    folder = _begin(arguments, plan)
    if arguments.detach:
        return OK
    code = follow(folder, as_json=arguments.json)
    return _score(arguments, folder) if code == OK else code


def _plan(arguments: argparse.Namespace) -> FineTunePlan:
    from mseg_studio.training.fine_tune import FineTuneWishes, plan_fine_tune
    from mseg_studio.training.fine_tune_source import find_labels

    steps = [] if arguments.steps is None else _step_settings(arguments.steps)
    wishes = FineTuneWishes(
        name=arguments.name,
        held_out=arguments.held_out,
        only_changed=arguments.only_changed,
        recipe=arguments.recipe,
        settings=(*steps, *arguments.set),
    )
    shown = _Shown(arguments)
    with cancel_on_signals() as cancel:
        source = find_labels(
            arguments.source,
            root=arguments.root,
            images=arguments.images,
            taxonomy=arguments.taxonomy,
            splits=_splits(arguments.split),
        )
        try:
            return plan_fine_tune(source, arguments.model, wishes, cancel=cancel, on_progress=shown.show)
        finally:
            shown.done()


def _step_settings(steps: int) -> list[str]:
    """Other steps, and validations that fit them: about ten."""
    if steps < 1:
        raise UsageError(f"--steps is {steps}, expected 1 or more")
    every = max(1, min(50, steps // 8))
    return [f"steps={steps}", f"validate_every={every}", f"save_every={every}", f"optim.warmup_steps={steps // 20}"]


def _splits(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    train, _, held_out = text.partition(",")
    return train.strip(), held_out.strip()


def _begin(arguments: argparse.Namespace, plan: FineTunePlan) -> Path:
    """Write the run and start it; gives its folder."""
    from mseg_studio.training.fine_tune import begin
    from mseg_studio.training.launcher import LaunchPlan, start
    from mseg_studio.training.runs import new_run_folder, register

    if arguments.processes < 1:
        raise UsageError(f"--processes is {arguments.processes}, expected 1 or more")
    folder: Path = arguments.output.resolve() if arguments.output is not None else new_run_folder(plan.config.name)
    begin(plan, folder)
    register(folder)
    start(LaunchPlan(folder, processes=arguments.processes))
    if arguments.json:
        print_json({"run": str(folder)})
    else:
        print(f"run: {folder}")
    return folder


def _run_of(word: str) -> Path:
    from mseg_studio.training.runs import find_run

    return find_run(word)


def _score(arguments: argparse.Namespace, folder: Path) -> int:
    from mseg_studio.training.before_after import score
    from mseg_studio.training.fine_tune_scores import as_text

    shown = _Shown(arguments)
    with cancel_on_signals() as cancel:
        try:
            scores = score(folder, cancel=cancel, on_progress=shown.show)
        finally:
            shown.done()
    if arguments.json:
        print_json({"scores": scores.as_json()})
    else:
        print(as_text(scores))
    return _use(arguments, folder)


def _use(arguments: argparse.Namespace, folder: Path) -> int:
    """Install the model, or say how."""
    from mseg_studio.training.run_folder import RunFolder

    name = RunFolder.open(folder).config().name
    if not arguments.use:
        if not arguments.json:
            print(f"to use it: mseg-studio runs use {folder.name}")
        return OK
    from mseg_studio.training.export import use_run

    installed = use_run(folder, name)
    if arguments.json:
        print_json({"model": installed.name})
    else:
        print(f"installed as model {installed.name}")
    return OK


class _Shown:
    """Progress for a person or for a program."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._line = None if arguments.progress_json else ProgressLine()
        self._told_s = 0.0

    def show(self, progress: Progress) -> None:
        """Tell it, a program at most ten times a second."""
        if self._line is not None:
            self._line.show(progress)
        elif progress.done in (0, progress.total) or time.monotonic() - self._told_s >= _TELL_S:
            self._told_s = time.monotonic()
            told = {"done": progress.done, "total": progress.total, "what": progress.what}
            print_json({"progress": {**told, "seconds_left": progress.seconds_left}})

    def done(self) -> None:
        """Clear the line."""
        if self._line is not None:
            self._line.done()


COMMAND = Command(
    name="fine-tune",
    help="let an installed model learn from your labels, and compare it before and after on images it did not see",
    add_arguments=_add_arguments,
    run=_run,
    example="mseg-studio fine-tune labels/ --model street-small --processes 2",
)

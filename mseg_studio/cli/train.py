"""`mseg-studio train`: train a network from a recipe or a configuration, in processes that outlive the terminal."""

from __future__ import annotations

import argparse
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mseg_studio.cli.command import OK, USAGE, Command, UsageError
from mseg_studio.cli.terminal import ProgressLine, cancel_on_signals, print_json
from mseg_studio.cli.train_options import add_process_arguments, add_run_arguments, config_of, plan_of
from mseg_studio.errors import MSegStudioError, printable

if TYPE_CHECKING:
    from mseg_studio.progress import Progress
    from mseg_studio.training.config import TrainConfig
    from mseg_studio.training.launcher import LaunchPlan
    from mseg_studio.training.run_checks import Checked

_TELL_S = 0.1
_JOIN_LIMIT_S = 600.0
"""How long a further machine waits for machine 0 to make the run's folder."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    add_process_arguments(parser)
    parser.add_argument("--output", type=Path, metavar="RUNFOLDER", help="folder of the run (default: your runs)")
    parser.add_argument("--list", action="store_true", help="list the recipes and end")
    parser.add_argument("--dry-run", action="store_true", help="measure the first steps: memory, time, disk; then end")
    parser.add_argument("--histogram", action="store_true", help="count the pixels of each class, and end")
    parser.add_argument("--detach", action="store_true", help="come back once it is started")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--progress-json", action="store_true", help=argparse.SUPPRESS)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.list:
        return _list(as_json=arguments.json)
    if arguments.node_rank:
        return _join(arguments)
    if arguments.histogram:
        return _histogram(arguments)
    config = config_of(arguments)
    if arguments.slurm is not None:
        from mseg_studio.training.slurm import SlurmOptions

        options = SlurmOptions.parse(arguments.slurm)
        arguments.processes, arguments.nnodes = options.processes, options.nodes
        arguments.rendezvous = "machine-0:29500"  # the job finds its own
    folder = _folder(arguments)
    plan = plan_of(arguments, config, folder or Path("RUNFOLDER"))
    checked = _checked(config, plan, arguments)
    if checked.problems:
        return USAGE
    if arguments.dry_run:
        from mseg_studio.cli.train_preflight import dry_run

        return dry_run(checked, plan, arguments)
    return _start(checked.config, plan, arguments, folder)


def _checked(config: TrainConfig, plan: LaunchPlan, arguments: argparse.Namespace) -> Checked:
    """All that is wrong, said at once."""
    from mseg_studio.training.run_checks import check_run
    from mseg_studio.training.runs import runs_folder

    is_far = arguments.slurm is not None
    checked = check_run(
        config,
        processes=plan.processes,
        nnodes=plan.nnodes,
        disk=arguments.output or runs_folder(),
        devices_here=not is_far,
    )
    line = ProgressLine()
    for text in checked.problems:
        line.message(f"mseg-studio: error: {text}")
    for text in _others_that_split(checked.config) if checked.problems else ():
        line.message(f"mseg-studio: {text}")
    if not arguments.dry_run:  # that tells them with what it measures
        for text in checked.warnings:
            line.message(f"mseg-studio: warning: {text}")
    return checked


def _others_that_split(config: TrainConfig) -> list[str]:
    """For ready datasets without the splits that are asked for: others of the family that have them."""
    from mseg_studio.datasets.description import load_dataset
    from mseg_studio.datasets.ready import ready_names, ready_path

    found = []
    for one in config.datasets:
        wanted = {one.train_split, one.val_split} - {""}
        family = [name for name in ready_names() if name.startswith(f"{one.description}-")]
        if one.description in ready_names() and not wanted <= set(load_dataset(ready_path(one.description)).splits):
            able = [name for name in family if wanted <= set(load_dataset(ready_path(name)).splits)]
            found += [f"perhaps you mean --dataset {name}=DIR, which has these splits" for name in able]
    return found


def _folder(arguments: argparse.Namespace) -> Path | None:
    """The folder that was given. Raises UsageError when something else is in it."""
    folder: Path | None = arguments.output
    if folder is None:
        return None
    if (folder / "config.yaml").exists():
        raise UsageError(
            "there is a run in this folder already; `mseg-studio runs resume` continues it, or choose another",
            path=folder,
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("expected a new or empty folder", path=folder)
    return folder.absolute()


def _start(config: TrainConfig, plan: LaunchPlan, arguments: argparse.Namespace, folder: Path | None) -> int:
    import dataclasses

    from mseg_studio.cli.train_follow import follow
    from mseg_studio.training import launcher
    from mseg_studio.training.run_folder import RunFolder
    from mseg_studio.training.runs import delete_run, new_run_folder, register

    path = folder or new_run_folder(config.name)
    RunFolder.create(path, config)
    register(path)
    if arguments.slurm is not None:
        return submit(path, arguments.slurm, as_json=arguments.json)
    plan = dataclasses.replace(plan, folder=path)
    try:
        launcher.start(plan)
    except (MSegStudioError, OSError):
        delete_run(path)  # nothing of it was computed
        raise
    say_started(path, plan, as_json=arguments.json)
    return OK if arguments.detach else follow(path, as_json=arguments.json)


def say_started(path: Path, plan: LaunchPlan, *, as_json: bool) -> None:
    """Tell where a run is and which command computes it."""
    if as_json:
        print_json({"run": str(path), "argv": plan.argv(), "processes": plan.world_size})
        return
    print(f"run {printable(path.name)} in {printable(str(path))}")
    print(f"  {printable(shlex.join(plan.argv()))}", flush=True)


def submit(path: Path, words: list[str], *, as_json: bool) -> int:
    """Hand a run to Slurm. Raises as `slurm.submit` does."""
    from mseg_studio.storage import write_json_atomic
    from mseg_studio.training import slurm

    job_id = slurm.submit(path, slurm.SlurmOptions.parse(words), name=path.name)
    write_json_atomic(path / "slurm.json", {"format": 1, "words": words})  # what resume submits with
    if as_json:
        print_json({"run": str(path), "job_id": job_id})
    else:
        print(f"job {job_id}: run {printable(path.name)} in {printable(str(path))}")
        print(f"  `mseg-studio runs show {printable(shlex.quote(path.name))}` says how far it is")
    return OK


def _join(arguments: argparse.Namespace) -> int:
    """A further machine of a run: it waits until machine 0 starts or continues it, and adds its processes."""
    from mseg_studio.training import launcher
    from mseg_studio.training.run_folder import RunFolder
    from mseg_studio.training.run_processes import read_json

    if arguments.output is None:
        raise UsageError("--node-rank needs --output: the run's folder, which all machines see")
    path: Path = arguments.output.absolute()
    deadline_s = time.monotonic() + _JOIN_LIMIT_S
    with cancel_on_signals() as cancel:
        while (path / "result.json").exists() or read_json(path / "launch.json").get("nnodes") != arguments.nnodes:
            cancel.raise_if_cancelled()
            if time.monotonic() > deadline_s:
                raise UsageError(f"machine 0 of {arguments.nnodes} has started no run here in ten minutes", path=path)
            time.sleep(0.5)
    plan = plan_of(arguments, RunFolder.open(path).config(), path)
    launcher.start(plan)
    say_started(path, plan, as_json=arguments.json)
    return OK


def _list(*, as_json: bool) -> int:
    from mseg_studio.training.recipes import load_recipe, recipe_names

    recipes = [load_recipe(name) for name in recipe_names()]
    width = max(len(recipe.name) for recipe in recipes)
    for recipe in recipes:
        if as_json:
            told: dict[str, Any] = {"name": recipe.name, "title": recipe.title, "about": recipe.about}
            print_json({**told, "datasets": list(recipe.dataset_names), "needs_start": recipe.needs_start})
        else:
            print(f"{recipe.name:{width}}  {recipe.title}")
    return OK


def _histogram(arguments: argparse.Namespace) -> int:
    from mseg_studio.training.class_pixels import histogram

    config = config_of(arguments)
    show = progress_teller(as_json=arguments.progress_json)
    with cancel_on_signals() as cancel:
        try:
            counted = histogram(config, cancel=cancel, on_progress=show)
        finally:
            show.done()
    if arguments.json:
        told = {"images": counted.images, "ignored_pixels": counted.ignored_pixels}
        print_json({"histogram": {"classes": dict(counted.classes), **told}})
        return OK
    total = max(1, sum(counted.classes.values()) + counted.ignored_pixels)
    for name, pixels in sorted(counted.classes.items(), key=lambda entry: -entry[1]):
        print(f"{pixels:14}  {pixels / total:8.4%}  {printable(name)}")
    print(f"{counted.ignored_pixels:14}  {counted.ignored_pixels / total:8.4%}  ignored")
    return OK


class progress_teller:  # noqa: N801 - called as a function is
    """Shows progress to a person, or tells it to a program as JSON lines."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json, self._line, self._told_s = as_json, ProgressLine(), 0.0

    def __call__(self, progress: Progress) -> None:
        """Show or tell, at most ten times a second."""
        if not self._as_json:
            self._line.show(progress)
        elif progress.done in (0, progress.total) or time.monotonic() - self._told_s >= _TELL_S:
            self._told_s = time.monotonic()
            told = {"what": progress.what, "done": progress.done, "total": progress.total}
            print_json({"progress": {**told, "seconds_left": progress.seconds_left}})

    def done(self) -> None:
        """Clear the line."""
        self._line.done()


COMMAND = Command(
    name="train",
    help="train a network: start it, follow it, or leave it running",
    add_arguments=_add_arguments,
    run=_run,
    example="mseg-studio train smoke --dataset camvid-480x360=/data/camvid --processes 2",
)

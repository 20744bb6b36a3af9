"""`mseg-studio runs`: list, show, stop, resume, compare, use and delete training runs."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mseg_studio.cli.command import FAILED, OK, Command, UsageError
from mseg_studio.cli.runs_show import as_line, as_lines, describe_run
from mseg_studio.cli.terminal import ProgressLine, cancel_on_signals, print_json
from mseg_studio.cli.train_options import add_process_arguments, plan_of
from mseg_studio.errors import printable

if TYPE_CHECKING:
    from mseg_studio.training.config import TrainConfig

_LOOK_S = 0.25


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="list|show|stop|resume|diff|use|delete", required=True)
    part = _action(actions, "list", _list, "every run, the newest first")

    part = _action(actions, "show", _show, "what a run is doing, and what is wrong with it")
    part.add_argument("which", metavar="RUN", help="name or folder of a run")

    part = _action(actions, "stop", _stop, "let runs save and stop", example="mseg-studio runs stop street")
    part.add_argument("runs", nargs="+", metavar="RUN", help="names or folders of runs")
    part.add_argument("--kill", action="store_true", help="at once, without saving")
    part.add_argument("--grace", type=float, metavar="S", help="seconds it may take to save (default: 60)")
    part.add_argument("--no-wait", action="store_true", help="do not wait for their end")

    part = _action(
        actions,
        "resume",
        _resume,
        "go on from the newest checkpoint, also with other processes",
        example="mseg-studio runs resume street --processes 2 --set steps=4000",
    )
    part.add_argument("which", metavar="RUN", help="name or folder of a run")
    part.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change steps, device, threads, ..."
    )
    part.add_argument("--detach", action="store_true", help="come back once it is started")
    add_process_arguments(part)

    part = _action(actions, "diff", _diff, "the settings in which two runs differ")
    part.add_argument("first", metavar="RUN")
    part.add_argument("second", metavar="OTHER")

    part = _action(actions, "use", _use, "install a run's best checkpoint as a model")
    part.add_argument("which", metavar="RUN", help="name or folder of a run")
    part.add_argument("--name", metavar="NAME", help="what to call the model (default: the run's name for it)")

    part = _action(actions, "delete", _delete, "delete runs that do not go on, with their checkpoints")
    part.add_argument("runs", nargs="+", metavar="RUN", help="names or folders of runs")


def _action(actions: Any, name: str, act: Any, words: str, *, example: str = "") -> argparse.ArgumentParser:
    part: argparse.ArgumentParser = actions.add_parser(
        name, help=words, description=words, epilog=f"example: {example}" if example else None
    )
    part.set_defaults(act=act)
    part.add_argument("--json", action="store_true", help="JSON instead of words")
    return part


def _run(arguments: argparse.Namespace) -> int:
    code: int = arguments.act(arguments)
    return code


def _list(arguments: argparse.Namespace) -> int:
    from mseg_studio.training.run_state import read_state
    from mseg_studio.training.runs import known_runs

    folders = known_runs()
    states = [read_state(folder) for folder in folders]
    if arguments.json:
        for folder, state in zip(folders, states, strict=True):
            print_json(describe_run(folder, state))
        bad = sum(state.state in ("failed", "lost") for state in states)
        print_json({"summary": {"done": len(states) - bad, "skipped": 0, "failed": bad}})
        return OK
    if not folders:
        print("there are no runs; `mseg-studio train RECIPE --dataset DESC` starts one")
        return OK
    width = max(len(printable(folder.name)) for folder in folders)
    for folder, state in zip(folders, states, strict=True):
        print(f"{printable(folder.name):{width}}  {as_line(state)}")
    return OK


def _show(arguments: argparse.Namespace) -> int:
    from mseg_studio.training.run_state import read_state
    from mseg_studio.training.runs import find_run

    folder = find_run(arguments.which)
    state = read_state(folder)
    if arguments.json:
        print_json(describe_run(folder, state))
    else:
        print("\n".join(as_lines(folder, state)))
    return OK


def _stop(arguments: argparse.Namespace) -> int:
    from mseg_studio.training.launcher import GRACE_S, stop
    from mseg_studio.training.run_state import read_state
    from mseg_studio.training.runs import find_run

    grace_s = GRACE_S if arguments.grace is None else arguments.grace
    if grace_s < 0:
        raise UsageError(f"--grace is {grace_s:g}, expected 0 or more seconds")
    folders = [find_run(word) for word in arguments.runs]
    asked = [folder for folder in folders if _must_end(folder)]
    for folder in asked:
        stop(folder, grace_s=grace_s, kill=arguments.kill)
    if not arguments.no_wait:
        _wait(asked)
    for folder in folders:
        state = read_state(folder)
        if arguments.json:
            print_json(describe_run(folder, state))
        else:
            print(f"{printable(folder.name)}  {as_line(state)}")
    return FAILED if any(read_state(folder).state in ("failed", "lost") for folder in asked) else OK


def _must_end(folder: Path) -> bool:
    from mseg_studio.training.run_state import read_state

    state = read_state(folder)
    return state.is_going or bool(state.pids)


def _wait(folders: list[Path]) -> None:
    line = ProgressLine()
    with cancel_on_signals() as cancel:
        while any(_must_end(folder) for folder in folders):
            cancel.raise_if_cancelled()
            from mseg_studio.progress import Progress

            line.show(Progress(sum(not _must_end(folder) for folder in folders), len(folders), "stopping"))
            time.sleep(_LOOK_S)
    line.done()


def _resume(arguments: argparse.Namespace) -> int:
    from mseg_studio.cli.train import say_started, submit
    from mseg_studio.cli.train_follow import follow, metrics_size
    from mseg_studio.training import launcher
    from mseg_studio.training.config_file import save_config
    from mseg_studio.training.run_folder import RunFolder
    from mseg_studio.training.run_processes import read_json
    from mseg_studio.training.run_state import read_state
    from mseg_studio.training.runs import find_run

    path = find_run(arguments.which)
    state = read_state(path)
    if state.is_going:
        raise UsageError(f"it goes on by itself ({state.state})", path=path)
    folder = RunFolder.open(path)
    config = _changed(folder.config(), arguments.set)
    if state.state == "finished" and state.step == config.steps:
        raise UsageError(
            f"all {config.steps} steps are done; --set steps={2 * config.steps} makes more of them", path=path
        )
    if state.step > config.steps:
        raise UsageError(
            f"{state.step} steps are done, more than --set steps={config.steps}: expected at least {state.step}",
            path=path,
        )
    launch = read_json(path / "launch.json")
    words = arguments.slurm or (read_json(path / "slurm.json").get("words") if state.engine == "slurm" else None)
    if words is None and arguments.processes is None and arguments.nnodes == 1 and launch.get("nnodes", 1) == 1:
        arguments.processes = state.processes or None
    plan = plan_of(arguments, config, path)
    _check(config, plan.processes, plan.nnodes, is_far=words is not None)
    if arguments.set:
        save_config(folder.config_file, config)
    after = metrics_size(path)
    if words is not None:
        return submit(path, list(map(str, words)), as_json=arguments.json)
    launcher.resume(path, plan)
    say_started(path, plan, as_json=arguments.json)
    return OK if arguments.detach else follow(path, as_json=arguments.json, after=after)


def _changed(config: TrainConfig, settings: list[str]) -> TrainConfig:
    """The configuration to go on with. Raises UsageError for what would make it another run."""
    from mseg_studio.training.config import MAY_CHANGE_ON_RESUME
    from mseg_studio.training.config_file import config_as_dict, with_settings

    changed = with_settings(config, settings)
    before, after = _flat(config_as_dict(config)), _flat(config_as_dict(changed))
    for key in {**before, **after}:
        if before.get(key) != after.get(key) and key.partition(".")[0] not in MAY_CHANGE_ON_RESUME:
            raise UsageError(
                f"--set {key}: that would be another run; start one with `mseg-studio train`. A resume may change "
                f"{', '.join(sorted(MAY_CHANGE_ON_RESUME))}"
            )
    return changed


def _check(config: TrainConfig, processes: int, nnodes: int, *, is_far: bool) -> None:
    """Raise UsageError for the first thing that is wrong, after telling the others."""
    from mseg_studio.training.run_checks import check_run

    problems = check_run(config, processes=processes, nnodes=nnodes, devices_here=not is_far).problems
    for text in problems[:-1]:
        print(f"mseg-studio: error: {text}", file=sys.stderr)
    if problems:
        raise UsageError(problems[-1])


def _diff(arguments: argparse.Namespace) -> int:
    from mseg_studio.training.config_file import config_as_dict
    from mseg_studio.training.run_folder import RunFolder
    from mseg_studio.training.runs import find_run

    folders = [find_run(arguments.first), find_run(arguments.second)]
    first, second = (_flat(config_as_dict(RunFolder.open(folder).config())) for folder in folders)
    keys = [key for key in {**first, **second} if first.get(key) != second.get(key)]
    if arguments.json:
        print_json({key: [first.get(key), second.get(key)] for key in keys})
        return OK
    if not keys:
        print("no difference")
    for key in keys:
        print(printable(f"{key}: {first.get(key, '-')} | {second.get(key, '-')}"))
    return OK


def _flat(values: Any, where: str = "") -> dict[str, Any]:
    """Nested values by their keys, as `optim.lr`."""
    entries = enumerate(values) if isinstance(values, list) else values.items()
    found: dict[str, Any] = {}
    for key, value in entries:
        nested = isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict))
        found |= _flat(value, f"{where}{key}.") if nested else {f"{where}{key}": value}
    return found


def _use(arguments: argparse.Namespace) -> int:
    from mseg_studio.training.export import use_run
    from mseg_studio.training.run_folder import RunFolder
    from mseg_studio.training.runs import find_run

    folder = find_run(arguments.which)
    model = use_run(folder, arguments.name or RunFolder.open(folder).config().name)
    if arguments.json:
        print_json({"name": model.name, "folder": str(model.folder), "card": model.card.as_dict()})
    else:
        print(f"model {printable(model.name)} in {printable(str(model.folder))}")
        print(f"  mseg-studio segment IMAGE --model {printable(model.name)} --output DIR")
    return OK


def _delete(arguments: argparse.Namespace) -> int:
    from mseg_studio.training.runs import delete_run, find_run

    folders = [find_run(word) for word in arguments.runs]  # all names are right before anything is deleted
    for folder in folders:
        delete_run(folder)
        if arguments.json:
            print_json({"run": str(folder), "deleted": True})
        else:
            print(f"deleted {printable(folder.name)}")
    return OK


COMMAND = Command(
    name="runs",
    help="list, show, stop, resume, compare, use and delete training runs",
    add_arguments=_add_arguments,
    run=_run,
    example="mseg-studio runs list",
)

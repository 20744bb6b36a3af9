"""From a finished form to a run: its folder is written, its processes start or its job is handed over. No widgets."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mseg_studio.errors import ConfigError, MSegStudioError
from mseg_studio.storage import write_atomic, write_json_atomic
from mseg_studio.training import launcher, slurm
from mseg_studio.training.config import TrainConfig
from mseg_studio.training.devices import Device, devices_here
from mseg_studio.training.launcher import LaunchPlan
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.runs import delete_run, new_run_folder, register, runs_folder
from mseg_studio.training.slurm_script import SCRIPT_NAME, SlurmOptions, script
from mseg_studio.ui.workspaces.train.new_run_origin import Origin, write_origin
from mseg_studio.ui.workspaces.train.new_run_where import SLURM, Where


def _submit(folder: Path, options: SlurmOptions, name: str) -> None:
    slurm.submit(folder, options, name=name)


@dataclass(frozen=True, slots=True)
class Engine:
    """What starts runs; tests put another in its place."""

    start: Callable[[LaunchPlan], None] = launcher.start
    submit: Callable[[Path, SlurmOptions, str], None] = _submit
    devices: Callable[[], Sequence[Device]] = devices_here
    has_slurm: Callable[[], bool] = slurm.has_slurm


@dataclass(frozen=True, slots=True)
class Order:
    """A run as it was chosen."""

    config: TrainConfig
    """Classes named: what the folder will hold."""
    folder: Path | None
    """Empty or new; None: a new one among the other runs."""
    where: Where
    options: SlurmOptions
    origin: Origin
    only_write: bool = False
    """Write the folder and start nothing: the command is for the person to run."""


def make_run(order: Order, engine: Engine) -> Path:
    """Write the run's folder and start it; takes seconds: for a background thread.

    Whatever fails, nothing half-made stays. Raises MSegStudioError, OSError.
    """
    existed = order.folder is not None and order.folder.exists()
    if order.folder is None:
        folder = new_run_folder(order.config.name)
    else:
        folder = order.folder.absolute()
        if existed and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError("the folder of a new run must be empty", path=folder)
    try:
        RunFolder.create(folder, order.config)
        write_origin(folder, order.origin)
        is_slurm = order.where.engine == SLURM
        if is_slurm:  # what a later part of the run is submitted with
            write_json_atomic(folder / "slurm.json", {"format": 1, "words": list(order.options.words())})
        if order.only_write and is_slurm:
            write_atomic(folder / SCRIPT_NAME, script(folder, order.options, name=order.config.name).encode())
        elif is_slurm:
            engine.submit(folder, order.options, order.config.name)
        elif not order.only_write:
            engine.start(plan_of(folder, order.where))
        register(folder)
    except BaseException:
        _undo(folder, keep=existed)
        raise
    return folder


def plan_of(folder: Path, where: Where) -> LaunchPlan:
    """The processes of a run on this machine. Raises ConfigError."""
    return LaunchPlan(folder, where.processes, where.nnodes, 0, where.rendezvous, where.devices)


def folder_for(name: str) -> Path:
    """Where a run called `name` would go now; nothing is made."""
    place, number = runs_folder(), 1
    safe = name or "run"
    while (place / (safe if number == 1 else f"{safe}-{number}")).exists():
        number += 1
    return place / (safe if number == 1 else f"{safe}-{number}")


def _undo(folder: Path, *, keep: bool) -> None:
    """Take away what was made; a run whose processes live after all is left to the list of runs."""
    with contextlib.suppress(MSegStudioError, OSError):
        if (folder / "config.yaml").exists():
            delete_run(folder)
        if folder.is_dir():
            shutil.rmtree(folder)
        if keep:
            folder.mkdir()

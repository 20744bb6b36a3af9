"""What a run is doing, from its files and a look at its processes: derived each time, never stored. Torch-free."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mseg_studio.training.run_processes import STOP_FILE, launched, rank_files, read_json, run_processes

State = Literal["new", "queued", "waiting", "starting", "running", "stopping", "finished", "stopped", "failed", "lost"]
GOING = frozenset({"queued", "waiting", "starting", "running", "stopping"})
"""States in which a run goes on by itself."""


@dataclass(frozen=True, slots=True)
class RunState:
    """One look at a run."""

    state: State
    """new: never started; queued: Slurm has not begun it; waiting: Slurm begins it again; lost: gone without a word."""
    phase: str = ""
    """loading, training, validating or saving."""
    step: int = 0
    steps: int = 0
    done: int = 0
    """Parts of the phase that are done: steps, or images of a validation."""
    total: int = 0
    seconds_left: float | None = None
    loss: float | None = None
    """Of the newest step line."""
    miou: float | None = None
    """The best so far, 0 to 1."""
    rank: int | None = None
    """The rank that failed first."""
    reason: str = ""
    """Why it ended, in plain words."""
    advice: str = ""
    """What to do."""
    pids: tuple[int, ...] = ()
    """Processes of the run that are alive on this machine."""
    processes: int = 0
    """Ranks of the run."""
    engine: str = ""
    """single, torchrun or slurm."""
    updated: float = 0.0
    """When the run last said something, seconds since 1970."""

    @property
    def is_going(self) -> bool:
        """Whether it goes on by itself."""
        return self.state in GOING


def read_state(folder: Path) -> RunState:
    """The state of the run in `folder`; a folder without a run is `new`. Never raises for what files hold."""
    progress, result = read_json(folder / "progress.json"), read_json(folder / "result.json")
    launch = read_json(folder / "launch.json")
    pids = tuple(process.pid for process in run_processes(folder))
    state: State = "new"
    if result.get("status") in ("finished", "stopped", "failed"):
        state = result["status"]
    elif (first := launched(folder)) is not None:
        state = "lost" if not first.alive else "running" if rank_files(folder) and progress else "starting"
        if state != "lost" and (folder / STOP_FILE).exists():
            state = "stopping"
    return RunState(
        state,
        phase=str(progress.get("phase", "")),
        step=int(result.get("step", progress.get("step", 0))),
        steps=int(progress.get("steps", 0)),
        reason=str(result.get("reason", "")),
        pids=pids,
        processes=int(launch.get("world_size", 0)),
        engine=str(launch.get("engine", "")),
        updated=float(progress.get("time", time.time())),
    )

"""Runs on a cluster: a thin driver of Slurm's own commands. Torch-free.

The state of a run is in its folder's files; Slurm is asked only for what they cannot say: whether the job waits, runs
or is gone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mseg_studio.errors import ConfigError, RunFailed
from mseg_studio.storage import write_atomic, write_json_atomic
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.run_processes import STOP_FILE, read_json
from mseg_studio.training.slurm_script import SCRIPT_NAME, SlurmOptions, sbatch_argv, script
from mseg_studio.training.slurm_state import JobState, SchedulerUnreachable, SlurmRefused, call, query

__all__ = [
    "JobState",
    "SchedulerUnreachable",
    "SlurmOptions",
    "SlurmRefused",
    "cancel",
    "has_slurm",
    "job_id_of",
    "job_state",
    "sbatch_argv",
    "script",
    "submit",
]

_SUBMIT_TIMEOUT_S = 60.0
_FILES_S = 30.0
"""How long a file that a node wrote may take until other machines see it (network file systems)."""


def has_slurm() -> bool:
    """Whether this machine can submit jobs."""
    return shutil.which("sbatch") is not None


def submit(folder: Path, options: SlurmOptions, *, name: str = "") -> str:
    """Hand the run in `folder` (its config.yaml is there) to Slurm; new or to be continued. Returns the job's number.

    Writes slurm.sh and launch.json. Raises ConfigError when the time limit leaves no time to train,
    SchedulerUnreachable, SlurmRefused (what sbatch said), RunFailed when a job of the run still waits or runs, OSError.
    """
    options.check_time()
    state = job_state(folder, max_age_s=0)
    if state is not None and state.alive:
        raise RunFailed(f"job {state.job_id} of this run is {state.phase} still; cancel it first", path=folder)
    (folder / "log").mkdir(parents=True, exist_ok=True)
    write_atomic(folder / SCRIPT_NAME, script(folder, options, name=name).encode())
    argv = sbatch_argv(folder)
    with _without_result(folder):
        job_id = call(argv, timeout_s=_SUBMIT_TIMEOUT_S).strip().split(";")[0]
    if not job_id.isdigit():
        raise SlurmRefused(f"sbatch gave '{job_id}', expected the number of a job")
    write_launch(folder, job_id=job_id, argv=argv, world_size=options.world, nnodes=options.nodes)
    return job_id


@contextlib.contextmanager
def _without_result(folder: Path) -> Iterator[None]:
    """What an earlier part of the run ended with goes before the job can start; it comes back when there is no job."""
    (folder / STOP_FILE).unlink(missing_ok=True)
    result = folder / "result.json"
    before = result.read_bytes() if result.exists() else None
    result.unlink(missing_ok=True)
    try:
        yield
    except BaseException:
        if before is not None:
            write_atomic(result, before)
        raise


def write_launch(folder: Path, *, job_id: str, argv: list[str], world_size: int, nnodes: int) -> None:
    """Say which job runs the folder. Raises OSError."""
    launch = {"format": 1, "engine": "slurm", "job_id": job_id, "argv": argv, "host": socket.gethostname()}
    launch |= {"world_size": world_size, "nnodes": nnodes, "start_time": time.time()}
    write_json_atomic(folder / "launch.json", launch)


def cancel(folder: Path, *, kill: bool = False, grace_s: float = 300.0) -> None:
    """Ask the job of a run to save and end; a job that waits is taken off the queue.

    Ranks that have not saved after `grace_s` are ended. With `kill` they are ended at once, and a second time Slurm
    ends the whole job, as it does within the cluster's KillWait. Returns at once: the run's files say when it has
    ended. Raises ConfigError when the run has no job, SchedulerUnreachable, SlurmRefused, OSError.
    """
    job_id = job_id_of(folder)
    if job_id is None:
        raise ConfigError("no job of Slurm belongs to this run", path=folder)
    state = query(job_id, max_age_s=0)
    if state.phase == "unreachable":
        raise SchedulerUnreachable(state.reason)
    if state.phase in ("ending", "gone"):
        return
    is_hard = state.phase == "waiting" or (kill and read_json(folder / STOP_FILE).get("kill") is True)
    wish = {"format": 1, "time": time.time(), "grace_s": 0.0 if kill else grace_s, "kill": kill}
    write_json_atomic(folder / STOP_FILE, wish)
    try:
        call(["scancel", *([] if is_hard else ["--batch", "--signal=TERM"]), job_id])
    except SlurmRefused:
        if query(job_id, max_age_s=0).phase not in ("ending", "gone"):
            raise  # else it ended by itself just now
    if is_hard:
        _tell_stopped(RunFolder(folder), was=state.phase)


def _tell_stopped(folder: RunFolder, *, was: str) -> None:
    """The result of a job that can write none: it never began again, or was killed."""
    if folder.result_file.exists():
        return
    step, best = saved_so_far(folder)
    saved = f"step {step} is saved" if step else "nothing was saved yet"
    reason = f"taken off the queue; {saved}" if was == "waiting" else f"ended at once; {saved}"
    folder.write_result("stopped", reason=reason, step=step, best=best)


def saved_so_far(folder: RunFolder) -> tuple[int, dict[str, Any] | None]:
    """The step of the newest checkpoint (0 without one), and the best validation that is kept (None without one)."""
    try:
        step = int((folder.checkpoints / "latest").read_text(encoding="ascii"))
    except (OSError, ValueError):
        step = 0
    best = read_json(folder.checkpoints / "best" / "state.json").get("best")
    return step, best if isinstance(best, dict) else None


def job_id_of(folder: Path) -> str | None:
    """The number of a run's job; None when it runs by other means or launch.json cannot be read."""
    launch = read_json(folder / "launch.json")
    job_id = launch.get("job_id") if launch.get("engine") == "slurm" else None
    return job_id if isinstance(job_id, str) and job_id.isdigit() else None


def job_state(folder: Path, *, max_age_s: float = 5.0) -> JobState | None:
    """What the scheduler says of a run's job, or said at most `max_age_s` ago; None when it has none.

    Waits for a scheduler that is away some ten seconds, every fifteen: not for the window's own thread.
    """
    job_id = job_id_of(folder)
    if job_id is None:
        return None
    state = query(job_id, max_age_s=max_age_s)
    is_fresh = state.ended is not None and time.time() - state.ended < _FILES_S
    if state.word in ("COMPLETED", "FAILED") and is_fresh and not RunFolder(folder).result_file.exists():
        return dataclasses.replace(state, phase="ending", reason="")
    return state

"""Start, stop and continue the processes of a run. Torch-free: the window calls it too.

A run is started detached: it outlives whoever started it, and everything known of it lies in its folder.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

from mseg_studio.errors import RunFailed, printable
from mseg_studio.storage import write_json_atomic
from mseg_studio.training import slurm
from mseg_studio.training.devices import Device, devices_here
from mseg_studio.training.launch_plan import GRACE_S, LaunchPlan, environment
from mseg_studio.training.run_processes import STOP_FILE, launched, run_processes
from mseg_studio.training.run_state import ENDED, read_state

__all__ = ["GRACE_S", "Device", "LaunchPlan", "devices_here", "environment", "resume", "start", "stop"]

_START_LIMIT_S = 60.0
_END_LIMIT_S = 20.0


def start(plan: LaunchPlan) -> None:
    """Start a run detached and come back once its supervisor runs, after about a second.

    Raises RunFailed when the run is going already or its supervisor does not start, OSError.
    """
    folder = plan.folder.absolute()
    if not folder.is_dir():
        raise RunFailed("no such folder", path=folder)
    command = [sys.executable, "-m", "mseg_studio.training.supervisor", "--detach", str(folder)]
    command += [f"--processes={plan.processes}", f"--nnodes={plan.nnodes}", f"--node-rank={plan.node_rank}"]
    command += [f"--rendezvous={plan.rendezvous}", f"--devices={','.join(plan.devices)}", f"--worker={plan.worker}"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_START_LIMIT_S,
            check=False,
            cwd=folder,
            env=environment(plan),
        )
    except subprocess.TimeoutExpired as error:
        raise RunFailed("the supervisor did not start within a minute", path=plan.folder) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise RunFailed(printable(said[-1]) if said else "the supervisor did not start", path=plan.folder)


def resume(folder: Path, plan: LaunchPlan) -> None:
    """Continue a run that stopped, failed or was lost, from its newest checkpoint, with the processes of `plan`.

    What still ends of it gets some seconds for that. Raises as `start` does.
    """
    deadline_s = time.monotonic() + _END_LIMIT_S
    while run_processes(folder) and read_state(folder).state in ENDED and time.monotonic() < deadline_s:
        time.sleep(0.2)
    start(dataclasses.replace(plan, folder=folder))


def stop(folder: Path, *, grace_s: float = GRACE_S, kill: bool = False) -> None:
    """Ask a run to save and stop, and come back at once; after `grace_s` seconds its supervisor kills what is left.

    `kill` ends it now, without saving. A run that does not go on is left as it is. Raises OSError, and for a run of
    Slurm SchedulerUnreachable and SlurmRefused.
    """
    if slurm.job_id_of(folder) is not None:
        slurm.cancel(folder, kill=kill, grace_s=grace_s)
        return
    first, alive = launched(folder), run_processes(folder)
    if not alive:
        return
    wish = {"format": 1, "time": time.time(), "grace_s": grace_s, "kill": kill}
    write_json_atomic(folder / STOP_FILE, wish)
    if first is not None and first.alive:
        first.ask_to_stop()
        return
    for process in alive:  # nobody watches over them
        if kill:
            process.kill()
        else:
            process.ask_to_stop()

"""Start, stop and continue the processes of a run. Torch-free: the window calls it too.

A run is started detached: it outlives whoever started it, and everything known of it lies in its folder.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mseg_studio.errors import ConfigError, RunFailed, printable
from mseg_studio.settings import available_cores
from mseg_studio.storage import write_json_atomic
from mseg_studio.training import slurm
from mseg_studio.training.run_processes import STOP_FILE, launched, run_processes
from mseg_studio.training.run_state import ENDED, read_state

GRACE_S = 60.0
"""How long a run that was asked to stop may take to save before it is killed, in seconds."""
_START_LIMIT_S = 60.0
_END_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """Which processes compute a run, on this machine and with which others."""

    folder: Path
    processes: int = 1
    """Processes on this machine; with GPUs, one a GPU."""
    nnodes: int = 1
    """Machines that take part."""
    node_rank: int = 0
    """Number of this machine, from 0."""
    rendezvous: str = ""
    """`host:port` of machine 0, with several machines."""
    devices: tuple[str, ...] = ()
    """Numbers of the GPUs to use; none given: all."""

    def __post_init__(self) -> None:
        if self.processes < 1 or self.nnodes < 1 or not 0 <= self.node_rank < self.nnodes:
            raise ConfigError(
                f"{self.processes} processes, machine {self.node_rank} of {self.nnodes}; "
                "expected at least one process and a machine's number below their count"
            )
        host, colon, port = self.rendezvous.rpartition(":")
        if self.nnodes > 1 and not (host and colon and port.isdigit()):
            raise ConfigError(f"rendezvous is '{self.rendezvous}', expected host:port of machine 0")

    @property
    def world_size(self) -> int:
        """Processes on all machines."""
        return self.processes * self.nnodes

    def argv(self) -> list[str]:
        """The command that computes the run: torchrun, or the worker itself where there is one process."""
        worker = ["-m", "mseg_studio.training.worker", str(self.folder)]
        if self.world_size == 1:
            return [sys.executable, *worker]
        where = ["--standalone"]
        if self.nnodes > 1:
            host, _, port = self.rendezvous.rpartition(":")
            where = [f"--nnodes={self.nnodes}", f"--node-rank={self.node_rank}"]
            where += [f"--master-addr={host}", f"--master-port={port}"]
        torchrun = ["-m", "torch.distributed.run", *where, f"--nproc-per-node={self.processes}"]
        return [sys.executable, *torchrun, *worker]


@dataclass(frozen=True, slots=True)
class Device:
    """Something that a process can compute on."""

    name: str
    memory_bytes: int | None = None
    """None for the cores of the CPU."""


def devices_here() -> tuple[Device, ...]:
    """The GPUs of this machine, in their driver's order; without any, the CPU once for each of its cores."""
    found = _nvidia_devices()
    return found or tuple(Device("CPU core") for _ in range(available_cores()))


def _nvidia_devices() -> tuple[Device, ...]:
    try:
        import pynvml
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()  # no driver, no card
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(n) for n in range(pynvml.nvmlDeviceGetCount())]
        return tuple(
            Device(str(pynvml.nvmlDeviceGetName(one)), int(pynvml.nvmlDeviceGetMemoryInfo(one).total))
            for one in handles
        )
    finally:
        pynvml.nvmlShutdown()


def start(plan: LaunchPlan) -> None:
    """Start a run detached and come back once its supervisor runs, after about a second.

    Raises RunFailed when the run is going already or its supervisor does not start, OSError.
    """
    command = [sys.executable, "-m", "mseg_studio.training.supervisor", "--detach", str(plan.folder)]
    command += [f"--processes={plan.processes}", f"--nnodes={plan.nnodes}", f"--node-rank={plan.node_rank}"]
    command += [f"--rendezvous={plan.rendezvous}", f"--devices={','.join(plan.devices)}"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_START_LIMIT_S, check=False
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
    wish = {"format": 1, "time": time.time(), "grace_s": grace_s, "kill": kill}
    if slurm.job_id_of(folder) is not None:
        write_json_atomic(folder / STOP_FILE, wish)
        slurm.cancel(folder, kill=kill)
        return
    first, alive = launched(folder), run_processes(folder)
    if not alive:
        return
    write_json_atomic(folder / STOP_FILE, wish)
    if first is not None and first.alive:
        first.ask_to_stop()
        return
    for process in alive:  # nobody watches over them
        if kill:
            process.kill()
        else:
            process.ask_to_stop()


def environment(plan: LaunchPlan) -> dict[str, str]:
    """Environment of a run's processes: no thread spins while it waits, and the CPU's cores are shared."""
    from mseg_studio.inference.openmp import ENVIRONMENT

    values = {**os.environ}
    for name, value in ENVIRONMENT.items():
        values.setdefault(name, value)
    if plan.processes > 1:
        values.setdefault("OMP_NUM_THREADS", str(max(1, available_cores() // plan.processes)))
    if plan.devices:
        values["CUDA_VISIBLE_DEVICES"] = ",".join(plan.devices)
    return values

"""Which processes compute a run, the command line that starts them, and the environment they get. Torch-free."""

from __future__ import annotations

import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from mseg_studio.errors import ConfigError
from mseg_studio.inference.openmp import ENVIRONMENT
from mseg_studio.settings import available_cores

GRACE_S = 60.0
"""How long a run that was asked to stop may take to save before it is killed, in seconds."""
WORKER = "mseg_studio.training.worker"


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
    """Numbers of the GPUs to use, as `devices_here` has them; none given: all."""
    worker: str = WORKER
    """Module that is one rank."""

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
        worker = ["-m", self.worker, str(self.folder.absolute())]
        if self.world_size == 1:
            return [sys.executable, *worker]
        where = ["--standalone"]
        if self.nnodes > 1:
            host, _, port = self.rendezvous.rpartition(":")
            where = [f"--nnodes={self.nnodes}", f"--node-rank={self.node_rank}"]
            where += [f"--master-addr={host}", f"--master-port={port}"]
        torchrun = ["-m", "torch.distributed.run", *where, f"--nproc-per-node={self.processes}"]
        return [sys.executable, *torchrun, *worker]


def environment(plan: LaunchPlan) -> dict[str, str]:
    """Environment of a run's processes: they find this code, no thread spins while it waits, cores and GPUs are shared.

    What the person has set is kept.
    """
    values = {**ENVIRONMENT, **os.environ}
    path = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part != _code_folder()]
    values["PYTHONPATH"] = os.pathsep.join(filter(None, (_code_folder(), *path)))
    if plan.processes > 1:
        values.setdefault("OMP_NUM_THREADS", str(max(1, available_cores() // plan.processes)))
    if plan.devices:
        values |= {"CUDA_VISIBLE_DEVICES": ",".join(plan.devices), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return values


def _code_folder() -> str:
    """The folder of a checkout, as the processes run elsewhere; empty for an installed package."""
    folder = Path(__file__).resolve().parents[2]
    return "" if str(folder) in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")} else str(folder)

"""The processes of one run: who this one is, and the few things they agree on.

Flags and small values go over gloo on every machine, also beside GPUs: a process that died closes its connections, so
the others notice within moments, where NCCL alone would wait for its time limit.
"""

from __future__ import annotations

import datetime
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from mseg_studio.errors import ConfigError, RunFailed
from mseg_studio.inference.devices import resolve_device

_TIME_LIMIT = datetime.timedelta(minutes=30)
"""How long a process waits for the others: longer than the slowest checkpoint or the slowest validation image."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """One process of a run among all of them. Every method but `close` must be called by all of them alike."""

    rank: int = 0
    """Number of this process, from 0."""
    world: int = 1
    """Number of processes, on all machines together."""
    local_rank: int = 0
    """Number of this process among those of its machine."""
    local_world: int = 1
    """Number of processes on this machine."""
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - a device is a value
    """Where this process computes."""

    @classmethod
    def start(cls, device: str = "auto") -> Ranks:
        """Join the other processes, as the environment that torchrun or srun made says; without one there is only this.

        `device` is the setting of the run: `auto` and `cuda` mean the GPU with this process's number on its machine.
        Raises ConfigError for a broken environment or a device that is not there, RunFailed when the others do not
        come.
        """
        rank, world, local_rank, local_world = _place(os.environ)
        own = _device_of(device, local_rank, local_world)
        if own.type == "cuda":
            torch.cuda.set_device(own)
        if world > 1:
            backend = "cpu:gloo,cuda:nccl" if own.type == "cuda" else "gloo"
            try:
                distributed.init_process_group(backend, rank=rank, world_size=world, timeout=_TIME_LIMIT)
            except (RuntimeError, ValueError) as error:
                raise RunFailed(f"rank {rank} of {world} could not join the others: {error}") from error
        return cls(rank, world, local_rank, local_world, own)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes what all share."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set in any process."""
        if self.world == 1:
            return flag
        flags = torch.tensor([int(flag)], dtype=torch.int32)
        distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return bool(flags.item())

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, as a new tensor on the same device; the same bits in every process."""
        total = tensor.detach().clone().contiguous()
        if self.world > 1:
            distributed.all_reduce(total)
        return total

    def gather(self, value: Any) -> list[Any]:
        """The JSON values of all processes in order of their ranks, in every process."""
        if self.world == 1:
            return [value]
        data = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.world)]
        distributed.all_gather(sizes, torch.tensor([len(data)]))
        longest = max(int(size) for size in sizes)
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(data)] = data
        parts = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.world)]
        distributed.all_gather(parts, padded)
        return [json.loads(bytes(part[: int(size)].tolist())) for part, size in zip(parts, sizes, strict=True)]

    def barrier(self) -> None:
        """Return when all processes have come here."""
        self.any(False)

    def close(self) -> None:
        """Leave the others. Whatever they do then, this process does not wait for them."""
        if self.world > 1 and distributed.is_initialized():
            distributed.destroy_process_group()


def _place(environment: Mapping[str, str]) -> tuple[int, int, int, int]:
    """(rank, world, local rank, local world) from torchrun's variables, else from Slurm's task, else one process.

    A Slurm allocation alone is no task of several: a shell inside one also sees its variables, so they count only
    where the script said where the processes meet (MASTER_ADDR).
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    elif "SLURM_PROCID" in environment and "MASTER_ADDR" in environment:
        names = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "")
    else:
        return 0, 1, 0, 1
    rank, world = (_number(environment, name) for name in names[:2])
    local_rank = _number(environment, names[2], rank)
    if names[3]:
        local_world = _number(environment, names[3], local_rank + 1)
    else:
        local_world = _slurm_tasks_here(environment) or local_rank + 1
    if not 0 <= rank < world:
        raise ConfigError(f"{names[0]}={rank} and {names[1]}={world}: expected a rank from 0 to {world - 1}")
    return rank, world, local_rank, local_world


def _slurm_tasks_here(environment: Mapping[str, str]) -> int:
    """Tasks of this step on this machine, from lists as `2(x3),1`; 0 where Slurm does not say."""
    counts: list[int] = []
    for part in environment.get("SLURM_STEP_TASKS_PER_NODE", "").split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if match is None:
            return 0
        counts += [int(match[1])] * int(match[2] or 1)
    node = int(environment.get("SLURM_NODEID", "0"))
    return counts[node] if node < len(counts) else 0


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name, "" if default is None else str(default))
    if not text.isdigit():
        raise ConfigError(
            f"the environment says {name}={text!r}, expected a number; start the run with torchrun or srun"
        )
    return int(text)


def _device_of(setting: str, local_rank: int, local_world: int) -> torch.device:
    """The device of one process: GPUs are dealt out by local rank, and never shared."""
    if local_world > 1 and setting == "mps":
        raise ConfigError(f"device mps serves one process, not {local_world}; try cpu")
    if local_world > 1 and setting.startswith("cuda:"):
        raise ConfigError(
            f"device {setting} is one GPU for {local_world} processes; say cuda, which gives each its own"
        )
    device = resolve_device(setting)
    if local_world > 1 and device.type == "mps":
        return torch.device("cpu")
    if device.type != "cuda" or ":" in setting:
        return device
    seen = torch.cuda.device_count()
    if seen == 1:  # srun --gpus-per-task shows every task its own GPU as number 0
        return torch.device("cuda", 0)
    if local_rank < seen:
        return torch.device("cuda", local_rank)
    raise ConfigError(
        f"{local_world} processes on this machine and {seen} GPUs: start at most {seen}, or set device: cpu"
    )

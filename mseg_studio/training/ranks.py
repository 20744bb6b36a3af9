"""The processes of one run: who this one is, and the few things they agree on.

Flags and small values go over gloo on every machine, also beside GPUs: a process that died closes its connections, so
the others notice within moments, where NCCL alone would wait for its time limit.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from mseg_studio.errors import ConfigError, MSegStudioError, RunFailed
from mseg_studio.inference.devices import resolve_device

_TIME_LIMIT = datetime.timedelta(minutes=30)
"""How long a process waits for the others: longer than the slowest checkpoint or the slowest validation image."""


class RankLost(RunFailed):
    """Another process is gone or does not answer: the cause is to be found there."""


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
        """Join the other processes, as the environment that torchrun made says; without one there is only this.

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
        with _together():
            distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return bool(flags.item())

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, as a new tensor on the same device; the same bits in every process."""
        total = tensor.detach().clone().contiguous()
        self.start_sum(total).wait()
        return total

    def start_sum(self, tensor: Tensor) -> PendingSum:
        """Begin to sum a contiguous tensor over all processes in place; it holds the sum once that was waited for."""
        if self.world == 1:
            return PendingSum(None)
        with _together():
            return PendingSum(distributed.all_reduce(tensor, async_op=True))

    def all_of(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all processes, of one shape, in order of their ranks."""
        if self.world == 1:
            return [tensor]
        parts = [torch.empty_like(tensor) for _ in range(self.world)]
        with _together():
            distributed.all_gather(parts, tensor.contiguous())
        return parts

    def copy_from_first(self, tensor: Tensor) -> None:
        """Give a contiguous tensor the first process's values, in place."""
        if self.world > 1:
            with _together():
                distributed.broadcast(tensor, src=0)

    def gather(self, value: Any) -> list[Any]:
        """The JSON values of all processes in order of their ranks, in every process."""
        if self.world == 1:
            return [value]
        data = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        sizes = [int(size) for size in self.all_of(torch.tensor([len(data)]))]
        padded = torch.zeros(max(sizes), dtype=torch.uint8)
        padded[: len(data)] = data
        parts = self.all_of(padded)
        return [json.loads(part[:size].numpy().tobytes()) for part, size in zip(parts, sizes, strict=True)]

    def first_tells(self, act: Callable[[], Any]) -> Any:
        """What `act` gives in the first process (a JSON value), in all of them. It runs in that one alone.

        Where it fails, all fail: the first with what was raised, the others with RunFailed.
        """
        value: Any = None
        error: MSegStudioError | OSError | None = None
        if self.is_first:
            try:
                value = act()
            except (MSegStudioError, OSError) as raised:
                error = raised
        told = self.gather({"value": value, "error": None if error is None else str(error)})[0]
        if error is not None:
            raise error
        if told["error"] is not None:
            raise RunFailed(f"rank 0 failed: {told['error']}")
        return told["value"]

    def barrier(self) -> None:
        """Return when all processes have come here."""
        self.any(False)

    def close(self) -> None:
        """Leave the others. Whatever they do then, this process does not wait for them."""
        if self.world > 1 and distributed.is_initialized():
            distributed.destroy_process_group()


@dataclass(frozen=True, slots=True)
class PendingSum:
    """A sum over processes that is under way."""

    _work: distributed.Work | None

    def wait(self) -> None:
        """Return when it is done. Raises RankLost."""
        if self._work is not None:
            with _together():
                self._work.wait()


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """What fails between processes, in words; torch raises RuntimeError for all of it."""
    try:
        yield
    except RuntimeError as error:
        raise RankLost(f"another process of the run is gone or does not answer ({_first_line(error)})") from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _place(environment: Mapping[str, str]) -> tuple[int, int, int, int]:
    """(rank, world, local rank, local world) from the variables that torchrun sets; without them one process."""
    if "RANK" not in environment and "WORLD_SIZE" not in environment:
        return 0, 1, 0, 1
    rank, world = _number(environment, "RANK"), _number(environment, "WORLD_SIZE")
    if not 0 <= rank < world:
        raise ConfigError(f"RANK={rank} and WORLD_SIZE={world}: expected a rank from 0 to {world - 1}")
    local_rank = _number(environment, "LOCAL_RANK", rank)
    return rank, world, local_rank, _number(environment, "LOCAL_WORLD_SIZE", local_rank + 1)


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
    if local_rank < seen:
        return torch.device("cuda", local_rank)
    if seen == 1 and "TORCHELASTIC_RUN_ID" not in os.environ:
        # srun --gpus-per-task shows every task its own GPU as number 0; torchrun shows all of its processes the same.
        return torch.device("cuda", 0)
    there = f"{seen} GPU{'' if seen == 1 else 's'}"
    raise ConfigError(f"{local_world} processes on this machine and {there}: start at most {seen}, or set device: cpu")

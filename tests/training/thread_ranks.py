"""Ranks that are threads of one process: what processes compute together, without starting any."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from mseg_studio.training.ranks import PendingSum, RankLost, Ranks

_T = TypeVar("_T")


class _Board:
    """Where the threads lay down what they exchange."""

    def __init__(self, world: int) -> None:
        self.barrier = threading.Barrier(world, timeout=60)
        self.values: list[Any] = [None] * world

    def exchange(self, rank: int, value: Any) -> list[Any]:
        try:
            self.values[rank] = value
            self.barrier.wait()
            found = list(self.values)
            self.barrier.wait()
        except threading.BrokenBarrierError as error:
            raise RankLost("another thread failed") from error
        return found


@dataclass(frozen=True)
class ThreadRanks(Ranks):
    """One thread's view."""

    board: _Board = field(default_factory=lambda: _Board(1))

    def any(self, flag: bool) -> bool:
        return any(self.board.exchange(self.rank, flag))

    def start_sum(self, tensor: Tensor) -> PendingSum:
        parts = self.board.exchange(self.rank, tensor.clone())
        tensor.copy_(torch.stack(parts).sum(0))
        return PendingSum(None)

    def copy_from_first(self, tensor: Tensor) -> None:
        tensor.copy_(self.board.exchange(self.rank, tensor.clone())[0])

    def all_of(self, tensor: Tensor) -> list[Tensor]:
        return [part.clone() for part in self.board.exchange(self.rank, tensor.clone())]


def in_threads(world: int, act: Callable[[Ranks], _T]) -> list[_T]:
    """What `act` gives in every rank; the first failure that is no follower's is raised."""
    board = _Board(world)

    def one(rank: int) -> _T:
        try:
            return act(ThreadRanks(rank=rank, world=world, local_rank=rank, local_world=world, board=board))
        except BaseException:
            board.barrier.abort()
            raise

    with ThreadPoolExecutor(world) as pool:
        futures = [pool.submit(one, rank) for rank in range(world)]
        errors = [future.exception() for future in futures]
    own = [error for error in errors if error is not None and not isinstance(error, RankLost)]
    for error in own or [error for error in errors if error is not None]:
        raise error
    return [future.result() for future in futures]

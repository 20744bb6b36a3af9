"""Which sample comes when: pure functions of (seed, dataset, n), so that nothing needs to be saved to resume exactly.

Draw n of a dataset is the same whatever the number of processes, workers or interruptions (training.md). A step has
`batch` slots, grouped by dataset in equal parts; a process takes a contiguous slice of them. So the samples of a step
are the same set in the same order on any number of processes, and only the slices' ends differ.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mseg_studio.errors import ConfigError
from mseg_studio.training.config import TrainConfig


@dataclass(frozen=True, slots=True, order=True)
class Draw:
    """One sample of one step."""

    slot: int
    """Its place in the step's batch, 0 to `batch` - 1."""
    dataset: int
    """Index in `config.trained`."""
    n: int
    """Number of the draw from its dataset: seeds its image and its random changes."""


def draws_of(config: TrainConfig, step: int, *, rank: int = 0, world: int = 1) -> tuple[tuple[Draw, ...], ...]:
    """What process `rank` of `world` computes in step `step` (from 0): `config.accumulate` parts in order of slots.

    Raises ConfigError where a process or part would have no sample.
    """
    check_batch(config, world=world)
    each = config.batch // len(config.trained)
    start, stop = _share(0, config.batch, rank, world)
    draws = tuple(
        Draw(slot, dataset, step * each + j)
        for slot, dataset, j in ((slot, *divmod(slot, each)) for slot in range(start, stop))
    )
    ends = [_share(0, len(draws), part, config.accumulate) for part in range(config.accumulate)]
    return tuple(draws[first:end] for first, end in ends)


def check_batch(config: TrainConfig, *, world: int) -> None:
    """Raise ConfigError unless every part of every process has a sample of each step."""
    parts = world * config.accumulate
    if config.batch < parts:
        processes = "1 process" if world == 1 else f"{world} processes"
        raise ConfigError(
            f"batch {config.batch} is too small for {processes} with accumulate {config.accumulate}: "
            f"every part needs a sample; take batch {parts} or more, fewer processes or a smaller accumulate"
        )


def draw_index(seed: int, dataset: str, *, n: int, size: int) -> int:
    """Index of the image that draw `n` takes from a dataset of `size` images: every image once in `size` draws."""
    if size < 1 or n < 0:
        raise ValueError(f"draw {n} of {size} images; expected at least one image and no negative draw")
    epoch, position = divmod(n, size)
    return int(_permutation(seed, dataset, epoch, size)[position])


def draw_random(seed: int, dataset: str, *, n: int) -> np.random.Generator:
    """The random numbers that change draw `n`: a stream of its own."""
    return _generator(seed, dataset, "augment", n)


def _share(start: int, stop: int, part: int, parts: int) -> tuple[int, int]:
    """Start and end of one of `parts` contiguous slices, whose lengths differ by at most one."""
    length = stop - start
    return start + length * part // parts, start + length * (part + 1) // parts


@functools.lru_cache(maxsize=64)
def _permutation(seed: int, dataset: str, epoch: int, size: int) -> npt.NDArray[np.int64]:
    return _generator(seed, dataset, "order", epoch).permutation(size)


def _generator(seed: int, dataset: str, purpose: str, number: int) -> np.random.Generator:
    """A Philox stream keyed by a stable hash; Python's own hash is salted per process."""
    digest = hashlib.sha256(f"{seed}/{dataset}/{purpose}/{number}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], np.uint64)))

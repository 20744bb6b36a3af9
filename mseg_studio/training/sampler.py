"""Which sample comes when: pure functions of (seed, dataset, n), so that nothing needs to be saved to resume exactly.

Draw n of a dataset is the same whatever the number of processes, workers or interruptions (training.md).
"""

from __future__ import annotations

import functools
import hashlib

import numpy as np
import numpy.typing as npt


def draw_index(seed: int, dataset: str, *, n: int, size: int) -> int:
    """Index of the image that draw `n` takes from a dataset of `size` images: every image once in `size` draws."""
    if size < 1 or n < 0:
        raise ValueError(f"draw {n} of {size} images; expected at least one image and no negative draw")
    epoch, position = divmod(n, size)
    return int(_permutation(seed, dataset, epoch, size)[position])


def draw_random(seed: int, dataset: str, *, n: int) -> np.random.Generator:
    """The random numbers that change draw `n`: a stream of its own."""
    return _generator(seed, dataset, "augment", n)


def batch_draws(step: int, batch: int) -> range:
    """Draws of step `step` (from 0)."""
    return range(step * batch, (step + 1) * batch)


@functools.lru_cache(maxsize=8)
def _permutation(seed: int, dataset: str, epoch: int, size: int) -> npt.NDArray[np.int64]:
    return _generator(seed, dataset, "order", epoch).permutation(size)


def _generator(seed: int, dataset: str, purpose: str, number: int) -> np.random.Generator:
    """A Philox stream keyed by a stable hash; Python's own hash is salted per process."""
    digest = hashlib.sha256(f"{seed}/{dataset}/{purpose}/{number}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], np.uint64)))

"""Decoded samples that are kept in memory, up to a number of bytes.

What is in stays in: every image comes once an epoch in another order, so throwing out the oldest to take in the newest
would find less than keeping any fixed part does.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mseg_studio.training.free_memory import free_memory_bytes

if TYPE_CHECKING:
    from mseg_studio.training.data import Sample

Key = tuple[int, int]
"""Index of the dataset and of the pair."""

_SHARE = 0.25
"""Of the memory that is free when a run starts."""


def default_cache_bytes(processes: int) -> int:
    """What each of `processes` on this machine may keep."""
    return int(free_memory_bytes() * _SHARE) // max(1, processes)


class SampleCache:
    """Samples by key, for any number of threads."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._samples: dict[Key, Sample] = {}
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """Memory that the samples take."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._samples)

    def get(self, key: Key) -> Sample | None:
        """The sample, None where it is not kept."""
        return self._samples.get(key)

    def offer(self, key: Key, sample: Sample) -> None:
        """Keep the sample if there is room."""
        with self._lock:
            if key not in self._samples and self._bytes + sample.bytes <= self._most_bytes:
                self._samples[key] = sample
                self._bytes += sample.bytes

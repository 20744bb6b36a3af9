"""Share the pixels of an image among threads: for compiled passes that release the interpreter lock."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_BAND_PX = 1 << 16
_MAX_THREADS = 8
"""More of them wait for memory."""


def over_pixels(work: Callable[[int, int], None], pixels: int) -> None:
    """Call `work(start, stop)` until all `pixels` are done. Raises what `work` raises."""
    if pixels <= _BAND_PX:
        work(0, pixels)
        return
    starts = range(0, pixels, _BAND_PX)
    for done in _pool().map(work, starts, (min(start + _BAND_PX, pixels) for start in starts)):
        del done


@functools.cache
def _pool() -> ThreadPoolExecutor:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ThreadPoolExecutor(min(cores, _MAX_THREADS), thread_name_prefix="pixels")

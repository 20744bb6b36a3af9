"""Share rows among threads: for compiled passes that release the interpreter lock."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

_CHUNKS_A_THREAD = 4


def over_rows(work: Callable[[int, int], None], rows: int, *, threads: int | None = None) -> None:
    """Call `work(start, stop)` until all of `rows` are done; `threads` defaults to torch's own number.

    The pieces are small enough that a thread that is held up does not hold up the others.
    """
    count = max(1, threads or torch.get_num_threads())
    step = max(1, -(-rows // (count * _CHUNKS_A_THREAD)))
    if count == 1 or step >= rows:
        work(0, rows)
        return
    starts = range(0, rows, step)
    for done in _pool(count).map(work, starts, (min(start + step, rows) for start in starts)):
        del done


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="rows")

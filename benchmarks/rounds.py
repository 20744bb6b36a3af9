"""Runs in turns, so that a busy moment of the machine slows all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Timed:
    """What one variant took, and what it gave last."""

    seconds: list[float] = field(default_factory=list)
    answer: Any = None

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return statistics.median(self.seconds)


class Deadline:
    """How much time is left for repeats; what is needed once is always run."""

    def __init__(self, seconds: float = float("inf"), *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._end = now() + seconds

    def allows(self, seconds: float) -> bool:
        """Whether something that takes `seconds` still fits in."""
        return self._now() + seconds <= self._end


def in_turns(
    variants: Mapping[str, Callable[[], Any]],
    *,
    rounds: int,
    deadline: Deadline | None = None,
    once: frozenset[str] = frozenset(),
) -> dict[str, Timed]:
    """Call every variant in every round, those in `once` only in the first one.

    From the second round on a variant is left out when it would end behind the deadline.
    """
    timed = {name: Timed() for name in variants}
    for number in range(rounds):
        for name, run in variants.items():
            one = timed[name]
            if number and (name in once or not (deadline is None or deadline.allows(one.median))):
                continue
            start = time.perf_counter()
            one.answer = run()
            one.seconds.append(time.perf_counter() - start)
    return timed

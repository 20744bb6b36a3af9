"""progress.json: what a run is doing right now, for whoever watches it. Torch-free."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Literal

from mseg_studio.storage import write_whole

Phase = Literal["loading", "training", "validating", "saving"]

INTERVAL_S = 0.5
"""Shortest time between two writes of one phase."""


class ProgressFile:
    """Says the phase of a run and how far it is, at most twice a second; a new phase is said at once. One writer."""

    def __init__(self, path: Path, *, steps: int) -> None:
        self._path, self._steps = path, steps
        self._phase: Phase | None = None
        self._written_s = -INTERVAL_S

    def update(self, phase: Phase, *, step: int, done: int, total: int, seconds_left: float | None = None) -> None:
        """`done` of `total` pieces of the phase (0: not known); `seconds_left` of the whole run.

        Raises OSError.
        """
        now_s = time.monotonic()
        if phase == self._phase and now_s - self._written_s < INTERVAL_S and done < total:
            return
        self._phase, self._written_s = phase, now_s
        left = None if seconds_left is None else round(seconds_left, 1)
        value = {"format": 1, "phase": phase, "step": step, "steps": self._steps, "done": done, "total": total}
        write_whole(self._path, json.dumps({**value, "seconds_left": left, "time": time.time()}).encode())

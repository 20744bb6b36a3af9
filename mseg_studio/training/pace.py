"""How fast a run goes, and how long it has still to go. Torch-free."""

from __future__ import annotations

import math
import time

from mseg_studio.training.config import TrainConfig

_SMOOTHING = 0.1
"""Share of the last step in the smoothed time of a step."""


class Pace:
    """Times steps and validations; what lies between them (saving) counts for neither."""

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._step_s: float | None = None
        self._validation_s: float | None = None
        self._seen, self._steps, self._work_s, self._wait_s = 0, 0, 0.0, 0.0
        self._mark_s = time.monotonic()

    def begin(self) -> None:
        """What is timed begins now."""
        self._mark_s = time.monotonic()

    def step_done(self, *, wait_s: float) -> None:
        """A step ended, `wait_s` of which was spent waiting for data."""
        took_s = self._took_s()
        # The first step also builds and allocates: it would spoil the estimate for long.
        self._seen += 1
        if self._step_s is None or self._seen == 2:
            self._step_s = took_s
        else:
            self._step_s += _SMOOTHING * (took_s - self._step_s)
        self._steps, self._work_s, self._wait_s = self._steps + 1, self._work_s + took_s, self._wait_s + wait_s

    def validation_done(self) -> None:
        """A validation ended."""
        self._validation_s = self._took_s()

    def lap(self) -> tuple[float, float]:
        """Images a second and the share of time waited for data, over the steps since the last lap."""
        rate = self._steps * self._config.batch / max(self._work_s, 1e-9)
        wait = min(1.0, self._wait_s / max(self._work_s, 1e-9))
        self._steps, self._work_s, self._wait_s = 0, 0.0, 0.0
        return rate, wait

    def seconds_left(self, step: int) -> float | None:
        """Of the whole run after `step` steps; None before anything is known."""
        if self._step_s is None:
            return None
        steps, every = self._config.steps, self._config.validate_every
        validations = math.ceil(steps / every) - step // every if step < steps else 0
        return (steps - step) * self._step_s + validations * (self._validation_s or 0.0)

    def _took_s(self) -> float:
        now_s = time.monotonic()
        took_s, self._mark_s = now_s - self._mark_s, now_s
        return took_s

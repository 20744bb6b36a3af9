"""The learning rate as a function of the step alone. Torch-free."""

from __future__ import annotations

import math

from mseg_studio.training.config import OptimConfig


def learning_rate(config: OptimConfig, *, step: int, steps: int) -> float:
    """Rate of step `step` (from 0) of `steps`: a function of the step alone."""
    rate = config.lr
    if step < config.warmup_steps:
        rate *= (step + 1) / config.warmup_steps
    if config.schedule == "poly":
        return float(rate * (1 - step / steps) ** 0.9)
    if config.schedule == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * step / steps))
    return rate * min(1.0, (1 - step / steps) / config.fall)


def is_falling(config: OptimConfig, *, step: int, steps: int) -> bool:
    """Whether the step lies in the last part of the schedule, `fall` of it."""
    return (1 - step / steps) <= config.fall

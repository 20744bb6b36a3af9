"""What the Train workspace says of runs and numbers, in a few words."""

from __future__ import annotations

import time

from mseg_studio.progress import duration
from mseg_studio.training.run_state import RunState

_DAY_S = 86_400.0


def grouped(number: float) -> str:
    """`12 400`: a whole number in groups of three."""
    return f"{round(number):,}".replace(",", " ")


def compact(value: float) -> str:
    """A number in at most seven characters, for an axis or a legend; a dash for NaN."""
    if value != value:
        return "–"
    size = abs(value)
    if size >= 10_000 and value == round(value):
        return grouped(value)
    if size and (size < 1e-3 or size >= 1e6):
        return f"{value:.2e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.3g}" if size >= 100 else f"{value:.3f}" if size < 10 else f"{value:.1f}"


def gigabytes(size: float) -> str:
    """`17.2 GB`."""
    return f"{size / 1e9:.1f} GB"


def steps_of(state: RunState) -> str:
    """`12 400 / 20 000`, or how far it is where the end is not known; empty before the first step."""
    if state.steps:
        return f"{grouped(state.step)} / {grouped(state.steps)}"
    return grouped(state.step) if state.step else ""


def left_of(state: RunState) -> str:
    """`41 min left`; empty when nobody knows."""
    if state.seconds_left is None or not state.is_going:
        return ""
    seconds = state.seconds_left
    if 600 <= seconds < 3600:
        return f"{seconds / 60:.0f} min left"
    return f"{duration(seconds)} left"


def phase_of(state: RunState) -> str:
    """`validating 40 / 101`; empty when training says all."""
    if not state.is_going or not state.phase:
        return ""
    if state.phase in ("validating", "saving") and state.total:
        return f"{state.phase} {state.done} / {state.total}"
    return state.phase


def second_line(state: RunState, *, now: float | None = None) -> str:
    """What stands under a run's name in the list."""
    if state.state in ("failed", "lost"):
        rank = f"rank {state.rank}: " if state.rank is not None else ""
        return rank + (state.reason or "it ended without a word")
    if state.state in ("queued", "waiting"):
        return state.reason or "waiting for the scheduler"
    steps = steps_of(state)
    parts = [f"step {steps}" if steps else "", left_of(state)]
    if not state.is_going:
        parts = [f"mIoU {state.miou:.3f}" if state.miou is not None else "", parts[0], ago(state.updated, now=now)]
        parts = [part for part in parts if part]
        return " · ".join(parts[:1] + parts[-1:]) if len(parts) > 2 else " · ".join(parts)
    return " · ".join(part for part in parts if part) or phase_of(state) or "starting"


def ago(moment: float, *, now: float | None = None) -> str:
    """`just now`, `12 min ago`, `yesterday`, `3 days ago`; empty for no moment."""
    if moment <= 0:
        return ""
    passed = (time.time() if now is None else now) - moment
    if passed < 90:
        return "just now"
    if passed < 3600:
        return f"{passed / 60:.0f} min ago"
    if passed < _DAY_S:
        return f"{passed / 3600:.0f} h ago"
    days = round(passed / _DAY_S)
    return "yesterday" if days == 1 else f"{days} days ago"

"""What a run will cost, said before it starts: crops, forward passes, seconds, memory. Corrected by the runs seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mseg_studio.inference.recipe import Recipe
from mseg_studio.progress import duration


@dataclass(frozen=True, slots=True)
class Estimate:
    """Predicted cost of one frame."""

    crops: int
    passes: int
    seconds: float
    memory_bytes: int = 0
    """Most memory that the run holds; 0 when it is not known."""
    free_bytes: int | None = None
    """Memory there is for it; None when it is not known."""

    def texts(self) -> tuple[str, ...]:
        """`2 crops · 4 passes · ~0.1 s · 0.6 GB`, and what is left of it where there is less and less room."""
        crops, passes, seconds = (
            counted(self.crops, "crop"),
            counted(self.passes, "pass"),
            f"~{short_duration(self.seconds)}",
        )
        memory = [_gigabytes(self.memory_bytes)] if self.memory_bytes else []
        parts = ([crops, passes, seconds, *memory], [crops, passes, seconds], [passes, seconds], [seconds])
        return tuple(" · ".join(part) for part in parts)

    @property
    def warning(self) -> str:
        """What to say when the memory will not do; empty when it will."""
        if self.free_bytes is None or self.memory_bytes <= self.free_bytes:
            return ""
        needed, free = _gigabytes(self.memory_bytes), _gigabytes(self.free_bytes)
        return f"This needs about {needed} of memory and {free} are free: it will be slow or fail."


Predict = Callable[[str, Recipe, int, int], Estimate]
"""From model name, recipe, height and width to the cost on this machine, as far as it is known."""
Learn = Callable[[Mapping[str, Any], tuple[int, int], float, bool], None]
"""Told the sidecar's facts of a run, height and width, seconds, and whether something was loaded for it."""


def learn_nothing(facts: Mapping[str, Any], size: tuple[int, int], seconds: float, first: bool) -> None:
    """A `Learn` for windows without a memory."""


class Estimator:
    """Predicts with `predict` and tells `learn` what runs took."""

    def __init__(self, predict: Predict, learn: Learn = learn_nothing) -> None:
        self._predict = predict
        self._learn = learn
        self._last: tuple[str, Recipe] | None = None

    def estimate(self, model: str, recipe: Recipe, height: int, width: int) -> Estimate:
        """Cost of one frame of this size. Raises MSegStudioError when the model is not installed."""
        return self._predict(model, recipe, height, width)

    def learn(
        self, model: str, recipe: Recipe, height: int, width: int, *, seconds: float, facts: Mapping[str, Any]
    ) -> None:
        """A run of this size took `seconds`; the first of a model and recipe also loads and compiles."""
        first = self._last != (model, recipe)
        self._last = (model, recipe)
        self._learn(facts, (height, width), seconds, first)

    def forget_process(self) -> None:
        """The process is a new one: its next run loads again."""
        self._last = None


def short_duration(seconds: float) -> str:
    """`0.1 s`, `12 s`, `3:05 min`, `2:10 h`."""
    if seconds < 9.95:
        return f"{max(seconds, 0.1):.1f} s"
    return duration(seconds)


def counted(number: int, noun: str) -> str:
    """`1 crop`, `2 crops`, `2 passes`, `1,200 images`."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + ("es" if noun.endswith("s") else "s")
    return f"{number:,} {noun if number == 1 else plural}"


def _gigabytes(count: int) -> str:
    return f"{max(count / 1e9, 0.1):.1f} GB"

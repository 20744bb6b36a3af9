"""What a run will cost, said before it starts: crops, forward passes, seconds. Corrected by the runs seen so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mseg_studio.inference.recipe import Recipe, preset
from mseg_studio.progress import duration


@dataclass(frozen=True, slots=True)
class Estimate:
    """Predicted cost of one frame."""

    crops: int
    passes: int
    seconds: float

    def words(self) -> str:
        """`2 crops · 4 passes · ~0.1 s`."""
        return f"{counted(self.crops, 'crop')} · {counted(self.passes, 'pass')} · ~{short_duration(self.seconds)}"


Predict = Callable[[str, Recipe, int, int], Estimate]
"""From model name, recipe, height and width to the cost on an average machine."""


class Estimator:
    """Predicts with `predict` and learns this machine's pace for every model."""

    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        self._pace: dict[str, float] = {}

    def estimate(self, model: str, recipe: str, height: int, width: int) -> Estimate:
        """Cost of one frame of this size. Raises MSegStudioError when the model is not installed."""
        plain = self._predict(model, preset(recipe), height, width)
        return Estimate(plain.crops, plain.passes, plain.seconds * self._pace.get(model, 1.0))

    def learn(self, model: str, recipe: str, height: int, width: int, *, seconds: float) -> None:
        """A run of this size took `seconds`."""
        plain = self._predict(model, preset(recipe), height, width)
        seen = seconds / max(plain.seconds, 1e-6)
        old = self._pace.get(model)
        self._pace[model] = seen if old is None else 0.5 * old + 0.5 * seen


def short_duration(seconds: float) -> str:
    """`0.1 s`, `12 s`, `3:05 min`, `2:10 h`."""
    if seconds < 9.95:
        return f"{max(seconds, 0.1):.1f} s"
    return duration(seconds)


def counted(number: int, noun: str) -> str:
    """`1 crop`, `2 crops`, `2 passes`, `1,200 images`."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + ("es" if noun.endswith("s") else "s")
    return f"{number:,} {noun if number == 1 else plural}"

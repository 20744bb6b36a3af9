"""What decides the labels of a picture, as chosen in the window."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mseg_studio.inference.recipe import Precision, Recipe, preset
from mseg_studio.labels.readout import Measure, Readout


@dataclass(frozen=True, slots=True)
class Choice:
    """Model, recipe, output taxonomy, and how labels are read from the scores. Hashable: results are kept under it."""

    model: str
    recipe: str
    """Name of the preset."""
    target: str
    """Output taxonomy."""
    only: tuple[int, ...] = ()
    """Ids of the output taxonomy's classes that take part; empty means all."""
    min_confidence: float = 0.0
    """Labels less sure than this, 0 to 1, are no class."""
    edition: int = 0
    """Which of the tables seen under the name `target` is meant: a file of the person's may change on disk."""
    engine: str = "auto"
    """auto, torch or openvino."""
    precision: Precision = "auto"

    def same_run(self, other: Choice) -> bool:
        """Whether one run of the network answers both."""
        return self._run == other._run

    def same_labels(self, other: Choice) -> bool:
        """Whether ids of the labels mean the same."""
        return (self.target, self.edition) == (other.target, other.edition)

    def readout(self, measure: Measure | None = None) -> Readout:
        """What is asked of the scores. Raises ConfigError for values that mean nothing."""
        return Readout(self.only, self.min_confidence, measure)

    def full_recipe(self, device: str) -> Recipe:
        """What is asked of the network. Raises ConfigError."""
        return replace(preset(self.recipe), device=device, engine=self.engine, precision=self.precision)

    @property
    def _run(self) -> tuple[str, ...]:
        return self.model, self.recipe, self.engine, self.precision

"""What the inference process knows between requests: the loaded model, and the scores of the current frame."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mseg_studio.errors import MSegStudioError
from mseg_studio.inference.dense import DenseScores
from mseg_studio.inference.devices import device_words
from mseg_studio.inference.loaded_model import LoadedModel, load_model
from mseg_studio.inference.predictor import Predictor
from mseg_studio.inference.recipe import Recipe
from mseg_studio.labels.comparison import Comparison, compared
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.readout import PLAIN, Reading, Readout
from mseg_studio.networks.catalog import find_model
from mseg_studio.progress import CancelToken, Progress
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.projection import Projection

_TOP = 5
_KEPT_ANSWERS = 8
"""Ways of reading one frame that are kept: a 4K frame has up to 24 MB each."""


class ScoresGoneError(MSegStudioError):
    """The scores of the frame asked about are not here: a newer frame took their place, or the process is new."""


@dataclass(frozen=True, eq=False, slots=True)
class CurrentFrame:
    """The last frame that was segmented. Its last readings are kept too: switching back costs nothing."""

    generation: int
    dense: DenseScores
    model: LoadedModel
    facts: dict[str, Any]
    readings: dict[tuple[str, Readout], tuple[Projection, Reading]] = field(default_factory=dict)
    """By taxonomy and readout, the one last asked for at the end; with the projection that it was made by."""

    def read(self, target: str, readout: Readout) -> Reading:
        """Labels in taxonomy `target` and the measure, from the kept scores. Raises TaxonomyError.

        What was read under a table that has changed on disk since is read anew.
        """
        projection = self.projection(target)
        made_by, reading = self.readings.pop((target, readout), (None, None))
        if reading is None or made_by is not projection:
            reading = self.dense.read(projection, readout)
        self.readings[target, readout] = projection, reading
        while len(self.readings) > _KEPT_ANSWERS:
            del self.readings[next(iter(self.readings))]
        return reading

    def compare(self, target: str, only: tuple[int, ...]) -> Comparison:
        """Projecting to `target` against mapping the own winner, among the classes `only`. Raises TaxonomyError."""
        part = self.projection(target).only(only)
        own = self.read(self.model.taxonomy.name, PLAIN).labels
        return compared(own, self.read(target, Readout(only)).labels, part, self.dense)

    def projection(self, target: str) -> Projection:
        """From the model's taxonomy; the same object for as long as both tables stay as they are."""
        return default_catalog().projection(self.model.taxonomy.name, target)


@dataclass(frozen=True, eq=False, slots=True)
class Answered:
    """A label map and how it came about."""

    labels: LabelMap
    measure_HW: npt.NDArray[np.uint8] | None
    """The measure of `readout` for the screen, (H, W): 255 is 1."""
    readout: Readout
    model: str
    facts: dict[str, Any]
    seconds: float


Top = list[tuple[int, str, float]]


class Session:
    """One model and one frame at a time. Not thread-safe."""

    def __init__(self) -> None:
        self._model: LoadedModel | None = None
        self._predictor: Predictor | None = None
        self._asked: Recipe | None = None
        self._current: CurrentFrame | None = None

    def segment(
        self,
        pixels_HW3: npt.NDArray[np.uint8],
        *,
        generation: int,
        model: str,
        recipe: Recipe,
        target: str,
        readout: Readout = PLAIN,
        on_progress: Callable[[Progress], None],
        cancel: CancelToken,
    ) -> Answered:
        """Segment an RGB frame (H, W, 3); its scores take the place of the last frame's.

        Raises MSegStudioError: unknown model, taxonomy or class, wrong recipe, no memory; Cancelled.
        """
        predictor, loaded = self._prepare(model, recipe, on_progress)
        # What is asked for must make sense before the network runs.
        default_catalog().projection(loaded.taxonomy.name, target).only(readout.only)
        cancel.raise_if_cancelled()
        self._current = None  # two frames' scores at once may be too much
        started_s = time.monotonic()
        dense = predictor.predict(pixels_HW3, on_tile=on_progress, cancel=cancel)
        self._current = CurrentFrame(generation, dense, loaded, loaded.facts(predictor))
        return _answered(self._current, target, readout, started_s)

    def project(self, target: str, readout: Readout = PLAIN, *, generation: int) -> Answered:
        """The frame of `generation` in another taxonomy or readout, without the network.

        Raises ScoresGoneError, TaxonomyError.
        """
        return _answered(self._frame(generation), target, readout, time.monotonic())

    def compare(self, target: str, only: tuple[int, ...] = (), *, generation: int) -> Comparison:
        """Both ways into taxonomy `target` on the frame of `generation`; see `labels/comparison.py`.

        Raises ScoresGoneError, TaxonomyError.
        """
        return self._frame(generation).compare(target, only)

    def probe(self, x: int, y: int, target: str, *, generation: int) -> tuple[Top, Top, float]:
        """(top five in the model's taxonomy, top five in `target`, probability of what has no target) of a pixel.

        Raises ScoresGoneError, also for a pixel outside the frame: the question was about another one.
        """
        current = self._frame(generation)
        if not (0 <= x < current.dense.width and 0 <= y < current.dense.height):
            raise ScoresGoneError(f"pixel ({x}, {y}) is outside the frame")
        probabilities_C = current.dense.probe(x, y)
        source = current.model.taxonomy
        projection = default_catalog().projection(source.name, target)
        mapped = projection.weights @ probabilities_C
        uncovered = sum(float(probabilities_C[class_id]) for class_id in projection.unmapped)
        return _top(probabilities_C, source), _top(mapped, projection.target), uncovered

    def release_device(self) -> None:
        """Give the device's memory back: the scores of the current frame go too."""
        self._current = None
        if self._predictor is not None:
            self._predictor.release_device()

    def badge(self) -> str:
        """What the last frame ran on, in words; empty before the first."""
        if self._predictor is None:
            return ""
        return badge(self._predictor)

    @property
    def device(self) -> str:
        """Where the last frame ran; empty before the first."""
        return "" if self._predictor is None else self._predictor.device

    def _frame(self, generation: int) -> CurrentFrame:
        if self._current is None or self._current.generation != generation:
            raise ScoresGoneError("the scores of this frame are no longer kept; segment it again")
        return self._current

    def _prepare(
        self, name: str, recipe: Recipe, on_progress: Callable[[Progress], None]
    ) -> tuple[Predictor, LoadedModel]:
        installed = find_model(name)
        model, predictor = self._model, self._predictor
        if model is None or model.installed.card != installed.card:
            self._model = self._predictor = self._current = model = None  # before the next one takes memory
            on_progress(Progress(0, 0, f"loading {name}"))
            self._model = model = load_model(installed)
            predictor = None
        if predictor is None or self._asked != recipe:
            self._predictor = predictor = model.predictor(recipe)
            self._asked = recipe
        return predictor, model


def _answered(current: CurrentFrame, target: str, readout: Readout, started_s: float) -> Answered:
    reading = current.read(target, readout)
    measure_HW = reading.measure_HW
    return Answered(
        labels=reading.labels,
        measure_HW=None if measure_HW is None else (measure_HW // 257).astype(np.uint8),
        readout=readout,
        model=current.model.installed.name,
        facts=current.facts | readout.facts(reading.labels.taxonomy),
        seconds=time.monotonic() - started_s,
    )


def badge(predictor: Predictor) -> str:
    """`CPU · torch · float32`, and what a lack of memory has cost."""
    words = [device_words(predictor.torch_device), predictor.engine_name, predictor.recipe.precision]
    return " · ".join(words + ([predictor.note] if predictor.note else []))


def _top(probabilities_C: npt.NDArray[np.float32], taxonomy: Taxonomy) -> Top:
    ids = [info.id for info in taxonomy.classes]
    best = sorted(ids, key=lambda class_id: (-probabilities_C[class_id], class_id))[:_TOP]
    found = ((taxonomy.get(class_id), float(probabilities_C[class_id])) for class_id in best)
    return [(info.id, info.name, share) for info, share in found if info is not None]

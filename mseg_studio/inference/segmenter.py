"""The Python API: load a model once, segment pictures, look at the answer in any taxonomy."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from mseg_studio.errors import ConfigError, ExportError
from mseg_studio.inference.dense import DenseScores
from mseg_studio.inference.loaded_model import load_model
from mseg_studio.inference.recipe import Recipe, preset
from mseg_studio.labels import sidecar
from mseg_studio.labels.comparison import Comparison, compare
from mseg_studio.labels.export_errors import export_errors
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.readout import MEASURE_STEPS, MEASURES, PLAIN, Measure, Readout
from mseg_studio.labels.score_map import ScoreMap
from mseg_studio.labels.score_store import ScoreStoreWriter
from mseg_studio.media.frame import Frame
from mseg_studio.media.image import read_image, write_ids_png
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.palette import palette_rgb
from mseg_studio.taxonomy.projection import Projection
from mseg_studio.taxonomy.search import class_ids


class Segmenter:
    """A model on a device under a recipe. Not thread-safe: one segmenter a thread.

    >>> from mseg_studio import Segmenter
    >>> result = Segmenter("street-small").segment("photo.jpg", taxonomy="cityscapes-19")
    >>> result.labels.shape == (result.height, result.width)
    True
    >>> result.save("photo_labels.png")
    """

    def __init__(
        self, model: str = "street-small", *, recipe: str | Recipe = "balanced", device: str | None = None
    ) -> None:
        """Load `model` (`mseg-studio models list` shows them).

        `recipe` is live (approximate: the whole image at once), fast, balanced, paper or a Recipe; `device` is auto,
        cpu, cuda, cuda:N or mps and overrides the recipe's. Raises CheckpointError (unknown model, damaged weights)
        and ConfigError (recipe, device).
        """
        chosen = preset(recipe) if isinstance(recipe, str) else recipe
        if not isinstance(chosen, Recipe):
            raise TypeError(f"a recipe is live, fast, balanced, paper or a Recipe, got {recipe!r}")
        if device is not None:
            chosen = dataclasses.replace(chosen, device=device)
        self._model = load_model(model)
        self._predictor = self._model.predictor(chosen)

    @property
    def recipe(self) -> Recipe:
        """The recipe with the model's sizes and the device's precision filled in."""
        return self._predictor.recipe

    @property
    def device(self) -> str:
        """Where it runs: cpu, cuda:0 or mps."""
        return self._predictor.device

    @property
    def taxonomy(self) -> Taxonomy:
        """The model's own taxonomy."""
        return self._model.taxonomy

    @property
    def taxonomies(self) -> tuple[str, ...]:
        """Names that `segment` and `project` take, the model's own first."""
        return tuple(choice.name for choice in default_catalog().outputs(self.taxonomy.name))

    def segment(
        self,
        image: str | PathLike[str] | npt.NDArray[np.uint8] | Frame,
        taxonomy: str = "universal",
        *,
        only: Iterable[str | SupportsIndex] = (),
        min_confidence: float = 0.0,
    ) -> Segmentation:
        """Segment a picture: a path, or RGB uint8 (H, W, 3).

        `only` names the classes of `taxonomy` that take part, by name, alias or id (none named: all; it is not faster);
        labels whose confidence is below `min_confidence`, 0 to 1, become the ignore id. Raises ImageReadError for a
        file that cannot be read, TaxonomyError for a taxonomy or class that the model cannot give, ConfigError for a
        confidence out of range, DeviceMemoryError, ValueError for an array that is no RGB picture, TypeError for
        anything else.
        """
        projection = default_catalog().projection(self.taxonomy.name, taxonomy)
        readout = _readout(projection, only, min_confidence)
        frame = _frame(image)
        dense = self._predictor.predict(frame.pixels_HW3)
        facts = self._model.facts(self._predictor) | readout.facts(projection.target)
        labels = dense.read(projection, readout).labels
        return Segmentation(frame, labels, dense, self.taxonomy, facts, readout)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Segmentation:
    """One segmented picture. It keeps the dense scores (4 bytes x classes x scaled pixels) as long as it lives."""

    frame: Frame
    label_map: LabelMap
    dense: DenseScores
    """Probabilities of every class of the model at the scales' own grids."""
    model_taxonomy: Taxonomy
    facts: dict[str, Any]
    """How it was made: the keys of the sidecar JSON that inference knows."""
    readout: Readout = PLAIN
    """Which classes took part and how sure a label had to be."""

    def __repr__(self) -> str:
        """One line: a prompt shows it, not every pixel."""
        model = self.facts["model"]["name"]
        return f"<Segmentation {self.width} x {self.height} in {self.taxonomy.name} by {model}>"

    @property
    def labels(self) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
        """Class ids (H, W) at the picture's own size, uint8 or uint16 as the taxonomy needs."""
        return self.label_map.ids_HW

    @property
    def taxonomy(self) -> Taxonomy:
        """What the ids mean."""
        return self.label_map.taxonomy

    @property
    def height(self) -> int:
        """Rows of the picture."""
        return self.frame.height

    @property
    def width(self) -> int:
        """Columns of the picture."""
        return self.frame.width

    @functools.cached_property
    def scores(self) -> ScoreMap:
        """The 16 most probable classes of every pixel in the model's taxonomy, made when first asked for."""
        return self.dense.top_k(
            self.model_taxonomy,
            recipe_hash=self.facts["recipe_hash"],
            model_sha256=self.facts["model"]["sha256"],
        )

    def project(
        self, taxonomy: str, *, only: Iterable[str | SupportsIndex] = (), min_confidence: float = 0.0
    ) -> Segmentation:
        """The same picture in another taxonomy, of other classes or surer, without the network.

        Arguments are those of `Segmenter.segment`, not of this segmentation. Raises TaxonomyError, ConfigError.
        """
        projection = default_catalog().projection(self.model_taxonomy.name, taxonomy)
        readout = _readout(projection, only, min_confidence)
        facts = {key: value for key, value in self.facts.items() if key != "readout"}
        return dataclasses.replace(
            self,
            label_map=self.dense.read(projection, readout).labels,
            facts=facts | readout.facts(projection.target),
            readout=readout,
        )

    def measure(self, name: Measure) -> npt.NDArray[np.float32]:
        """How sure the labels are, (H, W) from 0 to 1: "confidence", "margin" or "entropy" (the user guide says what).

        Raises ConfigError for another name.
        """
        projection = default_catalog().projection(self.model_taxonomy.name, self.taxonomy.name)
        measure_HW = self.dense.read(projection, dataclasses.replace(self.readout, measure=name)).measure_HW
        if measure_HW is None:
            raise ConfigError(f"no measure is named, expected {', '.join(MEASURES)}")
        return measure_HW.astype(np.float32) / np.float32(MEASURE_STEPS)

    def compare(self) -> Comparison:
        """The labels beside what mapping the model's own labels would give, and the probability without a target.

        Among the classes that take part; a least confidence is not applied (`labels/comparison.py`).
        """
        projection = default_catalog().projection(self.model_taxonomy.name, self.taxonomy.name)
        return compare(self.dense, projection, only=self.readout.only)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the ids as PNG with palette and a sidecar `.json` beside it, or the scores as `.h5`; gives the path.

        Raises ExportError for another suffix or when it cannot be written.
        """
        target = Path(path)
        if target.suffix.lower() == ".h5":
            with ScoreStoreWriter(target, self.facts) as store:
                store.append(self.scores)
            return target
        if target.suffix.lower() != ".png":
            raise ExportError("labels are written as .png, scores as .h5", path=target)
        beside = target.with_suffix(".json")
        sidecar.withdraw(beside)
        with export_errors(target):
            write_ids_png(target, self.labels, palette_rgb(self.taxonomy))
        sidecar.write_sidecar(beside, sidecar.build(self.label_map, self.facts, source=self._stamp(), outputs=("ids",)))
        return target

    def _stamp(self) -> sidecar.SourceStamp:
        return sidecar.SourceStamp("") if self.frame.ref is None else sidecar.SourceStamp.of(self.frame.ref.path)


def _readout(projection: Projection, only: Iterable[str | SupportsIndex], min_confidence: float) -> Readout:
    words = (only,) if isinstance(only, str) else only
    return Readout(class_ids(projection.target, words), min_confidence)


def _frame(image: str | PathLike[str] | npt.NDArray[np.uint8] | Frame) -> Frame:
    if isinstance(image, Frame):
        return image
    if isinstance(image, np.ndarray):
        return Frame(image)
    if not isinstance(image, str | PathLike):
        raise TypeError(f"a picture is a path, an RGB array (numpy.asarray makes one) or a Frame, got {image!r}")
    return read_image(Path(image))

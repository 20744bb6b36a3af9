"""How labels are read from class probabilities: which classes take part, how sure a label must be, what is measured.

Per pixel, q_k is the summed probability of output class k among those that take part and s the sum of all q:

- the label is the class of the largest q; between equal ones the smaller id
- confidence is max q / s, margin (max q - second q) / s, entropy -sum (q / s) ln(q / s) / ln(K) with K classes that
  take part; all lie in [0, 1], and K = 1 has no entropy. Where s < `NO_MASS` confidence and margin are 0, entropy 1.
- a label whose confidence, as it is kept (see `MEASURE_STEPS`), is below `min_confidence` becomes the ignore id:
  "unlabeled"

So leaving classes out renormalises. It does not make the network faster: nothing here runs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from mseg_studio.errors import ConfigError, TaxonomyError
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.projection import Projection

Measure = Literal["confidence", "margin", "entropy"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
NO_MASS = 1e-12
"""A pixel with less probability than this on the classes that take part has no label to be sure of."""
MEASURE_STEPS = 65535
"""A measure m is kept as round(65535 m)."""


@dataclass(frozen=True, slots=True)
class Readout:
    """What is asked of the scores beside the taxonomy. Raises ConfigError for values that mean nothing."""

    only: tuple[int, ...] = ()
    """Ids of the output taxonomy's classes that take part, increasing; empty means all."""
    min_confidence: float = 0.0
    """Labels less sure than this, 0 to 1, become the ignore id."""
    measure: Measure | None = None
    """What is measured beside the labels; None measures nothing."""

    def __post_init__(self) -> None:
        for class_id in self.only:
            if isinstance(class_id, bool) or not isinstance(class_id, int) or not 0 <= class_id <= 65534:
                raise ConfigError(f"a class to take part is {class_id!r}, expected an id from 0 to 65534")
        least = self.min_confidence
        if isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least <= 1:
            raise ConfigError(f"the least confidence is {least!r}, expected a number from 0 to 1")
        if self.measure is not None and self.measure not in MEASURES:
            raise ConfigError(f"unknown measure {self.measure!r}, expected {', '.join(MEASURES)}")
        # One way to write each readout: caches compare them.
        object.__setattr__(self, "only", tuple(sorted(set(self.only))))
        object.__setattr__(self, "min_confidence", float(least))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, for messages between processes."""
        return {"only": list(self.only), "min_confidence": self.min_confidence, "measure": self.measure}

    def facts(self, taxonomy: Taxonomy, *, smoothing: float = 0.0) -> dict[str, Any]:
        """The sidecar's key `readout`: all that made labels in `taxonomy` others than the plain ones; else nothing.

        `smoothing` is the weight of the past in a video. Raises TaxonomyError for a class that `taxonomy` lacks.
        """
        if not self.only and not self.min_confidence and not smoothing:
            return {}
        known = [(class_id, taxonomy.get(class_id)) for class_id in self.only]
        for class_id, info in known:
            if info is None:
                raise TaxonomyError(f"taxonomy '{taxonomy.name}' has no class with id {class_id}")
        only = [{"id": info.id, "name": info.name} for _, info in known if info is not None]
        return {"readout": {"only": only, "min_confidence": self.min_confidence, "smoothing": smoothing}}


PLAIN = Readout()
"""The labels of all classes and nothing else."""


def from_dict(values: Mapping[str, Any]) -> Readout:
    """The readout that `as_dict` gave; what is left out has its default. Raises ConfigError."""
    unknown = set(values) - {"only", "min_confidence", "measure"}
    if unknown:
        raise ConfigError(f"a readout has no {', '.join(sorted(map(str, unknown)))}")
    only = values.get("only", ())
    if not isinstance(only, list | tuple):
        raise ConfigError(f"classes to take part are {only!r}, expected a list of ids")
    return Readout(tuple(only), values.get("min_confidence", 0.0), values.get("measure"))


Measures = Mapping[Measure, npt.NDArray[np.uint16]]


@dataclass(frozen=True, eq=False, slots=True)
class Reading:
    """Labels read from scores, and the measure that was asked for."""

    labels: LabelMap
    measure_HW: npt.NDArray[np.uint16] | None = None
    """round(65535 x measure), (H, W) like the labels; None when the readout has no measure."""
    certified_share: float = 1.0
    """Share of pixels whose label is certainly the one that all scores give: 1 for labels made from dense scores."""

    def __post_init__(self) -> None:
        measure = self.measure_HW
        if measure is not None and (measure.dtype != np.uint16 or measure.shape != self.labels.ids_HW.shape):
            expected = f"uint16 {self.labels.ids_HW.shape}"
            raise ValueError(f"a measure is {expected}, got {measure.dtype} {measure.shape}")
        if not 0 <= self.certified_share <= 1:
            raise ValueError(f"the certified share is {self.certified_share}, expected 0 to 1")


class Scores(Protocol):
    """What labels are read from: all probabilities of an image, or the kept ones."""

    def read(self, projection: Projection, readout: Readout) -> Reading:
        """Labels under `readout` in `projection.target`, and its measure."""
        ...


def read_measures(
    scores: Scores, projection: Projection, readout: Readout, measures: Sequence[Measure]
) -> tuple[Reading, Measures]:
    """The labels that `readout` asks for, and several measures of them instead of its own."""
    readings = [scores.read(projection, replace(readout, measure=measure)) for measure in measures or (None,)]
    measured = ((measure, reading.measure_HW) for measure, reading in zip(measures, readings, strict=False))
    return readings[0], {measure: values_HW for measure, values_HW in measured if values_HW is not None}

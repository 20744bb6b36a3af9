"""Which class was taken for which, counted in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from mseg_studio.labels.label_map import LabelMap
from mseg_studio.taxonomy.model import Taxonomy

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class ConfusionMatrix:
    """Pixels by true and predicted class. Additive: images and shards can be counted apart and summed in any order.

    Rows and columns are the positions of the classes in the taxonomy. Pixels whose truth is the ignore id are not
    counted; where only the prediction is, the true class has missed a pixel (parity.md 2.6).
    """

    counts: Counts
    """(n, n): row = true class, column = predicted class."""
    missed: Counts
    """(n,): pixels of a true class for which no class was predicted."""
    taxonomy: Taxonomy

    def __post_init__(self) -> None:
        n = len(self.taxonomy)
        if self.counts.shape != (n, n) or self.missed.shape != (n,):
            raise ValueError(f"counts in {self.taxonomy.name} are ({n}, {n}), got {self.counts.shape}")
        if self.counts.dtype != np.int64 or self.missed.dtype != np.int64:
            raise ValueError(f"counts are int64, got {self.counts.dtype}")
        self.counts.setflags(write=False)
        self.missed.setflags(write=False)

    @classmethod
    def empty(cls, taxonomy: Taxonomy) -> Self:
        """Nothing counted yet."""
        n = len(taxonomy)
        return cls(np.zeros((n, n), np.int64), np.zeros(n, np.int64), taxonomy)

    @classmethod
    def of(cls, truth: LabelMap, prediction: LabelMap) -> Self:
        """The counts of one image. Raises ValueError when the two differ in taxonomy or size."""
        taxonomy = truth.taxonomy
        if prediction.taxonomy.name != taxonomy.name or prediction.taxonomy.names != taxonomy.names:
            raise ValueError(f"truth is in {taxonomy.name}, the prediction in {prediction.taxonomy.name}")
        if truth.ids_HW.shape != prediction.ids_HW.shape:
            raise ValueError(f"truth is {truth.ids_HW.shape}, the prediction {prediction.ids_HW.shape}")
        n = len(taxonomy)
        # The ignore id becomes position n. A label map holds no other ids, so none can slip into the last class, as
        # the closed last bin of a histogram lets it.
        place = np.full(65536, n, np.intp)
        place[[info.id for info in taxonomy.classes]] = np.arange(n)
        pairs = np.take(place, truth.ids_HW.ravel())
        pairs *= n + 1
        pairs += np.take(place, prediction.ids_HW.ravel())
        table = np.bincount(pairs, minlength=(n + 1) ** 2).astype(np.int64).reshape(n + 1, n + 1)
        return cls(table[:n, :n].copy(), table[:n, n].copy(), taxonomy)

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        if other.taxonomy.name != self.taxonomy.name or other.taxonomy.names != self.taxonomy.names:
            raise ValueError(f"counts in {self.taxonomy.name} and in {other.taxonomy.name} do not add")
        return ConfusionMatrix(self.counts + other.counts, self.missed + other.missed, self.taxonomy)

    @property
    def intersection(self) -> Counts:
        """(n,): pixels predicted right."""
        return np.diagonal(self.counts).copy()

    @property
    def truth(self) -> Counts:
        """(n,): pixels of every true class."""
        return np.asarray(self.counts.sum(axis=1) + self.missed)

    @property
    def predicted(self) -> Counts:
        """(n,): scored pixels that were given every class."""
        return np.asarray(self.counts.sum(axis=0))

    @property
    def union(self) -> Counts:
        """(n,): pixels that are or were predicted to be a class."""
        return self.truth + self.predicted - self.intersection

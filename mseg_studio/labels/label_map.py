"""A label map: one class id a pixel, and the taxonomy that says what the ids mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.taxonomy.projection import Projection

Mapping = Literal["projected", "hard"]
Ids = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

_EXACT_COUNT = 1 << 24
"""Pixels up to which OpenCV's histogram, in float32, counts exactly."""


def as_ids(values: npt.NDArray[np.integer], taxonomy: Taxonomy) -> Ids:
    """A contiguous copy of `values` in the id type of `taxonomy`."""
    return values.astype(np.uint8, order="C") if taxonomy.ignore_id == 255 else values.astype(np.uint16, order="C")


@dataclass(frozen=True, eq=False, slots=True)
class LabelMap:
    """Ids (H, W), uint8 or uint16 as the taxonomy needs; every id is a class of it or its ignore id."""

    ids_HW: Ids
    taxonomy: Taxonomy
    mapping: Mapping = "projected"
    """"projected" from probabilities or "hard" from other ids."""

    def __post_init__(self) -> None:
        ids = self.ids_HW
        if ids.ndim != 2 or ids.dtype != self.taxonomy.id_dtype:
            expected = f"{self.taxonomy.id_dtype} (H, W)"
            raise ValueError(f"a label map in {self.taxonomy.name} is {expected}, got {ids.dtype} {ids.shape}")
        unknown = [
            i
            for i in np.flatnonzero(self._histogram())
            if i != self.taxonomy.ignore_id and not self.taxonomy.get(int(i))
        ]
        if unknown:
            raise ValueError(f"ids {unknown[:8]} are no classes of {self.taxonomy.name}")

    def counts(self) -> list[tuple[ClassInfo, int]]:
        """Classes present with their pixels, largest first; ignored pixels are not listed."""
        pixels = self._histogram()
        present = [(info, int(pixels[info.id])) for info in self.taxonomy.classes if pixels[info.id]]
        return sorted(present, key=lambda item: -item[1])

    def mapped(self, projection: Projection) -> LabelMap:
        """The hard mapping of these ids into another taxonomy."""
        if projection.source.name != self.taxonomy.name:
            raise ValueError(f"projection is from {projection.source.name}, labels are in {self.taxonomy.name}")
        return LabelMap(projection.project_ids(self.ids_HW), projection.target, "hard")

    def _histogram(self) -> npt.NDArray[np.int64]:
        ids = self.ids_HW
        if ids.dtype == np.uint8 and 0 < ids.size <= _EXACT_COUNT:  # several times faster than numpy's
            counts: npt.NDArray[np.int64] = cv2.calcHist([ids], [0], None, [256], [0, 256])[:, 0].astype(np.int64)
            return counts
        return np.bincount(ids.ravel(), minlength=self.taxonomy.ignore_id + 1)

"""From one taxonomy to another: probabilities through a matrix, ids through a lookup table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from mseg_studio.errors import TaxonomyError
from mseg_studio.taxonomy.model import Taxonomy

Links = Literal["exact", "approximate"]


@dataclass(frozen=True, eq=False)
class Projection:
    """A linear map of probabilities, applied last: sums of source probabilities, never renormalised (parity.md 2.3)."""

    source: Taxonomy
    target: Taxonomy
    weights: npt.NDArray[np.float32]
    """(target.num_channels, source.num_channels), 0 or 1; rows and columns of holes are zero."""
    links: Links = "exact"
    lookup: npt.NDArray[np.uint16] = field(init=False, repr=False)
    """(65536,): source id to target id; unmapped and unknown ids give the target's ignore id."""

    def __post_init__(self) -> None:
        expected = (self.target.num_channels, self.source.num_channels)
        if self.weights.shape != expected or self.weights.dtype != np.float32:
            came = f"{self.weights.dtype} {self.weights.shape}"
            raise TaxonomyError(
                f"{self.source.name} -> {self.target.name}: weights are {came}, expected float32 {expected}"
            )
        if np.any(self.weights < 0) or np.any(self.weights.sum(axis=0) > 1 + 1e-6):
            raise TaxonomyError(f"{self.source.name} -> {self.target.name}: a class is mapped twice")
        self.weights.setflags(write=False)
        lookup = np.full(65536, self.target.ignore_id, np.uint16)
        mapped = np.flatnonzero(self.weights.any(axis=0))
        lookup[mapped] = self.weights[:, mapped].argmax(axis=0)
        lookup.setflags(write=False)
        object.__setattr__(self, "lookup", lookup)

    @property
    def is_identity(self) -> bool:
        """Whether source and target are the same taxonomy."""
        return self.source == self.target

    @property
    def groups(self) -> tuple[npt.NDArray[np.intp], ...]:
        """For every target channel the source channels that are summed into it."""
        return tuple(np.flatnonzero(row) for row in self.weights)

    @property
    def unmapped(self) -> tuple[int, ...]:
        """Source class ids that map nowhere: their probability is dropped."""
        return tuple(info.id for info in self.source.classes if not self.weights[:, info.id].any())

    def project(self, scores_CHW: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(source.num_channels, H, W) probabilities to (target.num_channels, H, W)."""
        channels, height, width = scores_CHW.shape
        if channels != self.source.num_channels:
            raise ValueError(f"scores have {channels} channels, {self.source.name} has {self.source.num_channels}")
        return (self.weights @ scores_CHW.reshape(channels, -1)).reshape(-1, height, width)

    def project_ids(self, ids_HW: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
        """Hard mapping of label ids, for maps that have no probabilities; unmapped ids become the ignore id."""
        if self.target.ignore_id == 255:
            small_HW: npt.NDArray[np.uint8] = self.lookup.astype(np.uint8)[ids_HW]
            return small_HW
        large_HW: npt.NDArray[np.uint16] = self.lookup[ids_HW]
        return large_HW


def identity(taxonomy: Taxonomy) -> Projection:
    """The projection of a taxonomy onto itself."""
    weights = np.zeros((taxonomy.num_channels, taxonomy.num_channels), np.float32)
    ids = [info.id for info in taxonomy.classes]
    weights[ids, ids] = 1
    return Projection(taxonomy, taxonomy, weights)

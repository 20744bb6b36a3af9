"""From one taxonomy to another: probabilities through a matrix, ids through a lookup table."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
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
    class_ids: tuple[int, ...] = ()
    """Ids of the target classes that take part, increasing; made all of the target's when empty. See `only`."""
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
        if not self.class_ids:
            object.__setattr__(self, "class_ids", tuple(info.id for info in self.target.classes))
        self._check_class_ids()
        self.weights.setflags(write=False)
        lookup = np.full(65536, self.target.ignore_id, np.uint16)
        mapped = np.flatnonzero(self.weights.any(axis=0))
        lookup[mapped] = self.weights[:, mapped].argmax(axis=0)
        lookup.setflags(write=False)
        object.__setattr__(self, "lookup", lookup)

    def _check_class_ids(self) -> None:
        for class_id in self.class_ids:
            if self.target.get(class_id) is None:
                raise TaxonomyError(f"taxonomy '{self.target.name}' has no class with id {class_id}")
        if any(a >= b for a, b in itertools.pairwise(self.class_ids)):
            raise TaxonomyError(f"{self.source.name} -> {self.target.name}: ids that take part must increase")
        outside = np.ones(len(self.weights), np.bool_)
        outside[list(self.class_ids)] = False
        if self.weights[outside].any():
            raise TaxonomyError(
                f"{self.source.name} -> {self.target.name}: a class that takes no part has probabilities mapped to it"
            )

    def only(self, class_ids: Iterable[int]) -> Projection:
        """The same projection with these target classes alone; empty leaves it as it is.

        What is mapped to the others is dropped, not shared out. Raises TaxonomyError for an id that the target does not
        have or that takes no part here.
        """
        chosen = tuple(sorted(set(class_ids)))
        if not chosen or chosen == self.class_ids:
            return self
        for class_id in chosen:
            if class_id not in self.class_ids:
                known = self.target.get(class_id)
                why = "has no class with id" if known is None else f"leaves out '{known.name}', id"
                raise TaxonomyError(f"taxonomy '{self.target.name}' {why} {class_id}")
        weights = np.zeros_like(self.weights)
        weights[list(chosen)] = self.weights[list(chosen)]
        return Projection(self.source, self.target, weights, self.links, chosen)

    @property
    def is_identity(self) -> bool:
        """Whether source and target are the same taxonomy and all of its classes take part."""
        return self.source == self.target and len(self.class_ids) == len(self.target)

    @property
    def groups(self) -> tuple[npt.NDArray[np.intp], ...]:
        """For every target channel the source channels that are summed into it."""
        return tuple(np.flatnonzero(row) for row in self.weights)

    @property
    def groups_of_parts(self) -> tuple[npt.NDArray[np.intp], ...]:
        """For every id in `class_ids` the source channels that are summed into it."""
        return tuple(np.flatnonzero(self.weights[class_id]) for class_id in self.class_ids)

    @property
    def unmapped(self) -> tuple[int, ...]:
        """Source class ids that map to no class that takes part: their probability is dropped."""
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

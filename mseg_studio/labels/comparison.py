"""Two ways into another taxonomy, side by side: project the probabilities, or map the most probable class.

Per pixel, the *projected* label is the winner of the projected probabilities and the *mapped* label is where the winner
of the model's own taxonomy leads; sums change winners, so they differ (0.3 bicyclist + 0.3 motorcyclist beats 0.4
person). Where the own winner leads nowhere the mapped label is the ignore id, which differs from any projected one.

Both are compared among the same classes that take part: a winner that leads to a class left out leads nowhere. A least
confidence is not applied, for the mapped label has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.readout import MEASURE_STEPS, MEASURES, PLAIN, Measure, Readout, Scores
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.taxonomy.projection import Projection, identity

Compared = Literal["difference", "no_target"]
"""What shows the projection at work: where mapping labels would differ, and what probability had no target."""
COMPARED: tuple[Compared, ...] = get_args(Compared)
View = Measure | Compared
"""What can be shown in place of labels."""
VIEWS: tuple[View, ...] = (*MEASURES, *COMPARED)
_KINDS = Taxonomy("targets", (ClassInfo(0, "has a target", (0, 0, 0)), ClassInfo(1, "has none", (0, 0, 0))))


@dataclass(frozen=True, slots=True)
class Pair:
    """Pixels with one projected and another mapped label."""

    projected: int
    """Class id of the target."""
    mapped: int
    """Class id of the target, or its ignore id where the own winner has no target."""
    pixels: int


@dataclass(frozen=True, slots=True)
class ClassDifference:
    """How many pixels of a projected class the mapping calls something else."""

    info: ClassInfo
    pixels: int
    differing: int

    @property
    def share(self) -> float:
        """Differing pixels of all of the class's."""
        return self.differing / self.pixels


@dataclass(frozen=True, eq=False, slots=True)
class Comparison:
    """The two label maps of one image, and the probability that has no target."""

    projected: LabelMap
    mapped: LabelMap
    no_target_HW: npt.NDArray[np.uint8]
    """Probability of the classes without a target that takes part (H, W): 255 is 1."""
    no_target_share: float
    """Its mean before it was rounded, 0 to 1."""
    source: Taxonomy
    """The model's own taxonomy."""
    own_counts: tuple[tuple[ClassInfo, int], ...]
    """Classes of `source` that win somewhere, with their pixels, largest first."""
    pairs: tuple[Pair, ...]
    """All pairs of different labels, commonest first."""

    def __post_init__(self) -> None:
        shape = self.projected.ids_HW.shape
        if self.mapped.taxonomy.name != self.projected.taxonomy.name or self.mapped.ids_HW.shape != shape:
            raise ValueError("the two label maps of a comparison are of one taxonomy and size")
        if self.no_target_HW.dtype != np.uint8 or self.no_target_HW.shape != shape:
            came = f"{self.no_target_HW.dtype} {self.no_target_HW.shape}"
            raise ValueError(f"the probability without a target is uint8 {shape}, got {came}")

    @property
    def differing_HW(self) -> npt.NDArray[np.bool_]:
        """Where the labels differ (H, W)."""
        differing_HW: npt.NDArray[np.bool_] = self.projected.ids_HW != self.mapped.ids_HW
        return differing_HW

    @property
    def differing_share(self) -> float:
        """Share of pixels whose labels differ, 0 to 1."""
        return self._share(sum(pair.pixels for pair in self.pairs))

    @property
    def lost_share(self) -> float:
        """Share of pixels whose own winner has no target, 0 to 1."""
        ignore_id = self.mapped.taxonomy.ignore_id
        return self._share(sum(pair.pixels for pair in self.pairs if pair.mapped == ignore_id))

    @property
    def own_shares(self) -> dict[str, float]:
        """Class of the model's own taxonomy -> share of pixels that it wins, 0 to 1."""
        return {info.name: self._share(pixels) for info, pixels in self.own_counts}

    def by_class(self) -> list[ClassDifference]:
        """Projected classes with differing pixels, most of them first."""
        differing: dict[int, int] = {}
        for pair in self.pairs:
            differing[pair.projected] = differing.get(pair.projected, 0) + pair.pixels
        found = [
            ClassDifference(info, pixels, differing[info.id])
            for info, pixels in self.projected.counts()
            if info.id in differing
        ]
        return sorted(found, key=lambda one: -one.differing)

    def _share(self, pixels: int) -> float:
        return pixels / max(1, self.projected.ids_HW.size)


def compare(scores: Scores, projection: Projection, *, only: tuple[int, ...] = ()) -> Comparison:
    """Compare both ways on the scores of an image; `only` as in `Readout`. Exact where `scores` are.

    Raises TaxonomyError for a class in `only` that the target does not have.
    """
    part = projection.only(only)
    own = scores.read(identity(projection.source), PLAIN).labels
    projected = own if part.is_identity else scores.read(part, PLAIN).labels
    return compared(own, projected, part, scores)


def compared(own: LabelMap, projected: LabelMap, part: Projection, scores: Scores) -> Comparison:
    """The same from labels that are there already: those of the model's taxonomy, and the projected ones.

    `part` is the projection with the classes that take part.
    """
    mapped = own.mapped(part)
    mass_HW = without_target(scores, part) if part.unmapped else np.zeros(own.ids_HW.shape, np.uint16)
    return Comparison(
        projected,
        mapped,
        np.round(mass_HW / (MEASURE_STEPS / 255)).astype(np.uint8),
        float(mass_HW.mean()) / MEASURE_STEPS if mass_HW.size else 0.0,
        part.source,
        tuple(own.counts()),
        _pairs(projected, mapped),
    )


def without_target(scores: Scores, part: Projection) -> npt.NDArray[np.uint16]:
    """Probability of the source classes that lead to no class that takes part, (H, W): round(65535 x probability).

    It is the projection onto two classes, with a target and without, read as a confidence.
    """
    weights = np.zeros((len(_KINDS), part.source.num_channels), np.float32)
    unmapped = list(part.unmapped)
    weights[0, [info.id for info in part.source.classes]] = 1
    weights[0, unmapped], weights[1, unmapped] = 0, 1
    reading = scores.read(Projection(part.source, _KINDS, weights), Readout(measure="confidence"))
    sure_HW = reading.measure_HW
    if sure_HW is None:
        raise ValueError("scores gave no confidence although it was asked for")
    return np.where(reading.labels.ids_HW == 1, sure_HW, MEASURE_STEPS - sure_HW).astype(np.uint16)


def _pairs(projected: LabelMap, mapped: LabelMap) -> tuple[Pair, ...]:
    differing_HW = projected.ids_HW != mapped.ids_HW
    bits = 8 * projected.ids_HW.itemsize
    codes = projected.ids_HW[differing_HW].astype(np.uint32) << bits | mapped.ids_HW[differing_HW]
    if bits == 8:  # a table of all pairs is small, and ten times faster than sorting
        counts = np.bincount(codes)
        found = np.flatnonzero(counts)
        counts = counts[found]
    else:
        found, counts = np.unique(codes, return_counts=True)
    low = (1 << bits) - 1
    pairs = [Pair(int(code) >> bits, int(code) & low, int(count)) for code, count in zip(found, counts, strict=True)]
    return tuple(sorted(pairs, key=lambda pair: (-pair.pixels, pair.projected, pair.mapped)))

"""Numbers from a confusion matrix, by the published arithmetic (parity.md 2.6)."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from mseg_studio.evaluation.confusion import ConfusionMatrix

Absent = Literal["zero", "skip"]
"""How a class without a pixel in truth and prediction counts: as 0 (the published way) or not at all (nanmean)."""

_EPSILON = 1e-10
"""The published guard against 0 / 0: an absent class comes out as 0."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Fractions from 0 to 1."""

    miou: float
    """Mean of `iou`."""
    macc: float
    """Mean over classes of the share of their pixels that was found."""
    allacc: float
    """Share of all scored pixels that is right."""
    iou: Mapping[str, float]
    """Intersection over union by class name; NaN where the class is absent and absent classes are skipped."""
    absent: tuple[str, ...]
    """Classes without a pixel in truth and prediction."""


def metrics(matrix: ConfusionMatrix, *, absent: Absent = "zero", classes: Collection[str] | None = None) -> Metrics:
    """mIoU, mAcc, allAcc and IoU by class.

    `classes` limits the means to these (a training set in the universal taxonomy has only some); pixels of the others
    count as misses of the true class all the same. Raises ValueError for an unknown name or an empty choice.
    """
    taxonomy = matrix.taxonomy
    if absent not in ("zero", "skip"):
        raise ValueError(f"absent is '{absent}', expected zero or skip")
    chosen = taxonomy.names if classes is None else tuple(name for name in taxonomy.names if name in set(classes))
    if not chosen or (classes is not None and not set(classes) <= set(taxonomy.names)):
        raise ValueError(f"classes must be some of {taxonomy.name}, got {classes}")
    at = np.array([place for place, name in enumerate(taxonomy.names) if name in set(chosen)])
    right, truth, union = matrix.intersection[at], matrix.truth[at], matrix.union[at]
    iou, accuracy = right / (union + _EPSILON), right / (truth + _EPSILON)
    if absent == "skip":
        iou[union == 0], accuracy[truth == 0] = np.nan, np.nan
    return Metrics(
        miou=_mean(iou),
        macc=_mean(accuracy),
        allacc=float(right.sum() / (truth.sum() + _EPSILON)),
        iou=MappingProxyType(dict(zip(chosen, iou.tolist(), strict=True))),
        absent=tuple(name for name, pixels in zip(chosen, union, strict=True) if not pixels),
    )


def harmonic_mean(values: Iterable[float]) -> float:
    """n / sum(1 / x): how the published tables join datasets; 0 when one is 0. Raises ValueError without numbers."""
    numbers = list(values)
    if not numbers or not all(math.isfinite(x) and x >= 0 for x in numbers):
        raise ValueError(f"expected numbers from 0, got {numbers}")
    return 0.0 if 0 in numbers else len(numbers) / sum(1 / x for x in numbers)


def _mean(values: npt.NDArray[np.float64]) -> float:
    """Mean without NaN; 0 when nothing is left."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0

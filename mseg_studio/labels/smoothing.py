"""Steadier labels of a video: an exponential mean over time of the kept probabilities of every pixel.

p'_t = a p'_{t-1} + (1 - a) p_t with a the weight of the past, class by class over all that either side kept. A class
that one side dropped counts as 0 there; the probability it may have had stays in the residual, so what is certified
after it is what the mean of all probabilities gives. A pixel is averaged with itself, motion is not followed: for
cameras that move slowly. It shows what the network said before, so it is for looking at videos and never part of an
evaluation.

At a scene cut it starts anew: where the mean total variation distance (half of the sum of absolute differences) between
two frames, over every 8th pixel of every 8th row, exceeds `CUT_DISTANCE`. Measured with street-small: frames of one
drive a second apart 0.13 to 0.39, frames of different drives 0.35 to 0.63, neighbouring frames of a video below 0.01.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mseg_studio.errors import ConfigError
from mseg_studio.labels.label_map import Ids
from mseg_studio.labels.pixel_threads import over_pixels
from mseg_studio.labels.score_map import ScoreMap

CUT_DISTANCE = 0.3
"""More than this share of the probability elsewhere from one frame to the next: another scene."""
_SAMPLE_STEP = 8


def check_weight(weight: float) -> float:
    """`weight` when it can be one of the past: between 0 and 1, both excluded. Raises ConfigError."""
    if not 0 < weight < 1:
        raise ConfigError(f"the weight of the past is {weight}, expected more than 0 and less than 1")
    return float(weight)


class Smoother:
    """Smooths the score maps of one video, given in order; keeps one map (5 or 6 bytes a kept class) between them."""

    def __init__(self, weight: float) -> None:
        """`weight` of the past, between 0 and 1: 0.6 forgets half of a frame in 1.4 frames, 0.9 in 6.6.

        Raises ConfigError for any other number.
        """
        self._weight = check_weight(weight)
        self._past: _Past | None = None
        self._sample_PC: npt.NDArray[np.float32] | None = None

    def next(self, scores: ScoreMap) -> ScoreMap:
        """The smoothed map of the next frame, with as many classes a pixel as `scores`."""
        sample_PC = _sample(scores)
        past, before_PC = self._past, self._sample_PC
        self._sample_PC = sample_PC
        if past is None or before_PC is None or not past.fits(scores) or distance(before_PC, sample_PC) > CUT_DISTANCE:
            self._past = _Past(scores)
            return scores
        return past.add(scores, self._weight)


class _Past:
    """The mean so far, in float32 so that small steps are not lost to rounding."""

    def __init__(self, scores: ScoreMap) -> None:
        self._taxonomy = scores.taxonomy
        self._ids_HWk = scores.class_ids_HWk.copy()
        self._values_HWk = scores.probabilities_HWk.astype(np.float32)
        self._residual_HW = scores.residual_HW.astype(np.float32)

    def fits(self, scores: ScoreMap) -> bool:
        """Whether `scores` can be the next frame of the same video."""
        return scores.class_ids_HWk.shape == self._ids_HWk.shape and scores.taxonomy == self._taxonomy

    def add(self, scores: ScoreMap, weight: float) -> ScoreMap:
        """Make it the mean that includes `scores`; gives that mean as a map of its own."""
        from mseg_studio.labels import compiled

        k = scores.k
        ids: Ids = np.empty_like(self._ids_HWk)
        values, residual = np.empty(ids.shape, np.float16), np.empty(ids.shape[:2], np.float16)
        ids_Pk, values_Pk = ids.reshape(-1, k), values.view(np.uint16).reshape(-1, k)
        residual_P1 = residual.view(np.uint16).reshape(-1, 1)
        flat = (self._ids_HWk.reshape(-1, k), self._values_HWk.reshape(-1, k), self._residual_HW.reshape(-1))
        now = (
            scores.class_ids_HWk.reshape(-1, k),
            scores.probabilities_HWk.view(np.uint16).reshape(-1, k),
            scores.residual_HW.view(np.uint16).reshape(-1),
        )
        arguments = (*flat, *now, compiled.HALF, scores.taxonomy.num_channels, np.float32(weight))

        def work(start: int, stop: int) -> None:
            compiled.smooth_pixels(*arguments, start, stop)
            ids_Pk[start:stop] = flat[0][start:stop]
            compiled.write_half(values_Pk, flat[1], start, stop)
            compiled.write_half(residual_P1, flat[2].reshape(-1, 1), start, stop)

        over_pixels(work, scores.height * scores.width)
        return ScoreMap(ids, values, residual, self._taxonomy, scores.recipe_hash, scores.model_sha256)


def distance(before_PC: npt.NDArray[np.float32], after_PC: npt.NDArray[np.float32]) -> float:
    """Mean total variation distance of distributions (P, C), 0 to 1."""
    return float(np.abs(before_PC - after_PC).sum(axis=1).mean()) / 2


def _sample(scores: ScoreMap) -> npt.NDArray[np.float32]:
    """(P, channels + 1): probabilities of some pixels of the image, what was dropped in the last column."""
    part = (slice(None, None, _SAMPLE_STEP), slice(None, None, _SAMPLE_STEP))
    ids_Pk = scores.class_ids_HWk[part].reshape(-1, scores.k).astype(np.intp)
    sample_PC = np.zeros((len(ids_Pk), scores.taxonomy.num_channels + 1), np.float32)
    np.put_along_axis(sample_PC, ids_Pk, scores.probabilities_HWk[part].reshape(-1, scores.k).astype(np.float32), 1)
    sample_PC[:, -1] = scores.residual_HW[part].ravel()
    return sample_PC

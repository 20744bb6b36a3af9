"""The most probable classes of every pixel: enough to make a label map in any taxonomy later, without the network."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mseg_studio.labels.label_map import Ids, LabelMap, as_ids
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.projection import Projection

DEFAULT_K = 16
CERTIFICATION_MARGIN = 1e-3
"""More than float16 rounding can move best - second - residual: 2^-11 of at most the whole probability mass."""

_SUM_TOLERANCE = 2e-3
_BAND_PX = 1 << 17
_CHUNK_PX = 1 << 15
_THREADS = 2

_Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False, slots=True)
class ScoreMap:
    """The k most probable classes of every pixel in the model's own taxonomy, never projected.

    Probabilities do not increase along the last axis and sum to 1 with the residual (within float16 rounding).
    """

    class_ids_HWk: Ids
    """Class ids, most probable first."""
    probabilities_HWk: npt.NDArray[np.float16]
    residual_HW: npt.NDArray[np.float16]
    """Probability of all classes that were dropped."""
    taxonomy: Taxonomy
    recipe_hash: str = ""
    model_sha256: str = ""

    def __repr__(self) -> str:
        """One line: the arrays themselves would fill a screen."""
        height, width, k = self.class_ids_HWk.shape
        return f"ScoreMap({width} x {height} pixels, {k} most probable classes of {self.taxonomy.name})"

    def __post_init__(self) -> None:
        ids, probabilities, residual = self.class_ids_HWk, self.probabilities_HWk, self.residual_HW
        if ids.ndim != 3 or 0 in ids.shape or ids.dtype != self.taxonomy.id_dtype:
            expected = f"{self.taxonomy.id_dtype} (H, W, k)"
            raise ValueError(f"class ids in {self.taxonomy.name} are {expected}, got {ids.dtype} {ids.shape}")
        if probabilities.dtype != np.float16 or probabilities.shape != ids.shape:
            raise ValueError(f"probabilities are float16 {ids.shape}, got {probabilities.dtype} {probabilities.shape}")
        if residual.dtype != np.float16 or residual.shape != ids.shape[:2]:
            raise ValueError(f"the residual is float16 {ids.shape[:2]}, got {residual.dtype} {residual.shape}")
        known = np.zeros(65536, np.bool_)
        known[[info.id for info in self.taxonomy.classes]] = True
        for rows in _bands(ids.shape[0], ids.shape[1]):
            _check_band(ids[rows], probabilities[rows], residual[rows], known)

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.class_ids_HWk.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.class_ids_HWk.shape[1])

    @property
    def k(self) -> int:
        """Classes kept for every pixel."""
        return int(self.class_ids_HWk.shape[2])

    @classmethod
    def from_dense(
        cls,
        scores_CHW: npt.NDArray[np.floating],
        *,
        taxonomy: Taxonomy,
        k: int = DEFAULT_K,
        recipe_hash: str = "",
        model_sha256: str = "",
    ) -> ScoreMap:
        """The k largest of dense probabilities (taxonomy.num_channels, H, W)."""
        if scores_CHW.ndim != 3:
            raise ValueError(f"dense scores are (C, H, W), got {scores_CHW.shape}")
        bands = (scores_CHW[:, rows] for rows in _bands(scores_CHW.shape[1], scores_CHW.shape[2]))
        return cls.from_bands(bands, taxonomy=taxonomy, k=k, recipe_hash=recipe_hash, model_sha256=model_sha256)

    @classmethod
    def from_bands(
        cls,
        bands: Iterable[npt.NDArray[np.floating]],
        *,
        taxonomy: Taxonomy,
        k: int = DEFAULT_K,
        recipe_hash: str = "",
        model_sha256: str = "",
    ) -> ScoreMap:
        """The same from row bands (C, h, W) in order, so that the dense scores never exist as a whole.

        Between equal probabilities the smaller id is kept and comes first, as in a dense argmax. Channels of holes are
        left out; k is cut to the number of classes. Raises ValueError when a pixel does not sum to 1.
        """
        if k < 1:
            raise ValueError(f"k is {k}, expected 1 or more")
        kept = min(k, len(taxonomy))
        parts = [_top_k(band, taxonomy, kept) for band in bands]
        if not parts:
            raise ValueError("no bands")
        ids, probabilities, residual = (np.concatenate(part) for part in zip(*parts, strict=True))
        return cls(ids, probabilities, residual, taxonomy, recipe_hash, model_sha256)

    def project(self, projection: Projection) -> tuple[LabelMap, _Bools]:
        """The label map in `projection.target`, and where it is certain to be the one that dense scores give.

        A pixel is certified when best - second > residual + `CERTIFICATION_MARGIN` in the target: no way of sharing
        out the dropped probability changes the winner. Without a mapping the first class is the answer and every pixel
        is certified. A pixel whose classes all map nowhere gets the first target class, as a dense argmax does.
        """
        source = projection.source
        if source.name != self.taxonomy.name or source.names != self.taxonomy.names:
            raise ValueError(f"projection is from {source.name}, scores are in {self.taxonomy.name}")
        if projection.is_identity:
            labels = LabelMap(as_ids(self.class_ids_HWk[..., 0], projection.target), projection.target)
            return labels, np.ones(self.residual_HW.shape, np.bool_)
        labels_HW = as_ids(np.empty(self.residual_HW.shape, np.uint16), projection.target)
        certified_HW = np.empty(self.residual_HW.shape, np.bool_)

        def work(rows: slice) -> None:
            labels_HW[rows], certified_HW[rows] = self._project_rows(rows, projection)

        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(work, _bands(self.height, self.width)))
        return LabelMap(labels_HW, projection.target), certified_HW

    def _project_rows(self, rows: slice, projection: Projection) -> tuple[Ids, _Bools]:
        ids = self.class_ids_HWk[rows].reshape(-1, self.k)
        probabilities = self.probabilities_HWk[rows].reshape(-1, self.k)
        residual = self.residual_HW[rows].ravel()
        target = projection.target
        labels = as_ids(projection.lookup[ids[:, 0]], target)
        # More than half of the mass on one class that has a target: nothing can beat it, whatever the others map to.
        certified = (_float32(probabilities[:, 0]) > 0.5 + CERTIFICATION_MARGIN) & (labels != target.ignore_id)
        open_pixels = np.flatnonzero(~certified)
        for start in range(0, len(open_pixels), _CHUNK_PX):
            pick = open_pixels[start : start + _CHUNK_PX]
            labels[pick], lead = _winner(ids[pick], probabilities[pick], projection)
            certified[pick] = lead > _float32(residual[pick]) + CERTIFICATION_MARGIN
        shape = (-1, self.width)
        return labels.reshape(shape), certified.reshape(shape)


def _winner(
    class_ids_Nk: Ids, probabilities_Nk: npt.NDArray[np.float16], projection: Projection
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.float32]]:
    """Best target id of N pixels and its lead over the second best; equal sums go to the smaller id.

    Sums are kept in 1/32768: rounding moves a sum of 16 by at most 2.5e-4, within `CERTIFICATION_MARGIN` together with
    float16. Adding up equal targets pair by pair in 16 bit costs the same for 11 and for 194 target classes, and less
    than scattering into one row of sums per class.
    """
    target = projection.target
    mapped = np.take(projection.lookup, np.ascontiguousarray(class_ids_Nk.T))
    sums = np.rint(_float32(np.ascontiguousarray(probabilities_Nk.T)) * np.float32(32768)).astype(np.uint16)
    sums *= mapped != target.ignore_id
    same = np.empty(mapped.shape[1], np.uint16)
    moved = np.empty_like(same)
    for first in range(len(mapped)):
        for later in range(first + 1, len(mapped)):
            # All ones where both have one target: the later probability then moves to the first place.
            np.bitwise_xor(mapped[first], mapped[later], out=same)
            np.minimum(same, 1, out=same)
            np.subtract(same, 1, out=same)
            np.bitwise_and(sums[later], same, out=moved)
            np.add(sums[first], moved, out=sums[first])
            np.subtract(sums[later], moved, out=sums[later])
    keys = (sums.astype(np.uint32) << 16) | (65535 - mapped)
    best, second, lower = keys[0].copy(), np.zeros_like(keys[0]), np.empty_like(keys[0])
    for key in keys[1:]:
        np.minimum(best, key, out=lower)
        np.maximum(second, lower, out=second)
        np.maximum(best, key, out=best)
    winner = (65535 - (best & 65535)).astype(np.uint16)
    winner[best < 65536] = target.classes[0].id
    lead = ((best >> 16).astype(np.float32) - (second >> 16).astype(np.float32)) / 32768
    return winner, lead


def _float32(values: npt.NDArray[np.float16]) -> npt.NDArray[np.float32]:
    """float16 that is finite and not negative to float32, exactly; four times faster than numpy's own cast.

    Shifted into place, sign, exponent and mantissa are those of a float32 2^112 too small.
    """
    bits = values.view(np.uint16).astype(np.uint32)
    bits <<= 13
    return bits.view(np.float32) * np.float32(2.0**112)


def _top_k(
    scores_CHW: npt.NDArray[np.floating], taxonomy: Taxonomy, k: int
) -> tuple[Ids, npt.NDArray[np.float16], npt.NDArray[np.float16]]:
    channels, height, width = scores_CHW.shape
    if channels != taxonomy.num_channels:
        raise ValueError(f"scores have {channels} channels, {taxonomy.name} has {taxonomy.num_channels}")
    ids = np.array([info.id for info in taxonomy.classes], np.int64)
    scores = scores_CHW.reshape(channels, -1)[ids].astype(np.float32, copy=False)
    total = scores.sum(axis=0)
    # Not (total close to 1) also catches NaN.
    if not (np.abs(total - 1) < _SUM_TOLERANCE).all() or scores.min() < 0:
        raise ValueError(f"scores are no probabilities: pixels sum to {total.min():.4f} .. {total.max():.4f}")
    # One integer a class orders by probability, then by smaller id: the bits of a positive float are monotonic.
    keys = np.ascontiguousarray((scores + np.float32(0)).T).view(np.int32).astype(np.int64)
    keys <<= 16
    keys |= 65535 - ids
    if k < len(ids):
        keys = np.partition(keys, len(ids) - k, axis=1)[:, len(ids) - k :]
    keys = np.sort(keys, axis=1)[:, ::-1]
    kept = np.ascontiguousarray(keys >> 16).astype(np.int32).view(np.float32)
    residual = np.clip(1 - kept.sum(axis=1), 0, 1) if k < len(ids) else np.zeros(len(kept), np.float32)
    return (
        as_ids(65535 - (keys & 65535), taxonomy).reshape(height, width, k),
        kept.astype(np.float16).reshape(height, width, k),
        residual.astype(np.float16).reshape(height, width),
    )


def _check_band(
    ids: Ids, probabilities: npt.NDArray[np.float16], residual: npt.NDArray[np.float16], known: _Bools
) -> None:
    if not known[ids].all():
        raise ValueError(f"class id {int(ids[~known[ids]][0])} is no class of the scores' taxonomy")
    values = probabilities.astype(np.float32)
    rest = residual.astype(np.float32)
    if not (np.abs(values.sum(axis=2) + rest - 1) <= _SUM_TOLERANCE).all():
        raise ValueError("probabilities and residual of a pixel do not sum to 1")
    if values[..., -1].min() < 0 or rest.min() < 0 or not (values[..., 1:] <= values[..., :-1]).all():
        raise ValueError("probabilities must not be negative and must not increase along the last axis")


def _bands(height: int, width: int) -> list[slice]:
    rows = max(1, _BAND_PX // width)
    return [slice(start, min(start + rows, height)) for start in range(0, height, rows)]

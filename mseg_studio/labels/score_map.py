"""The most probable classes of every pixel: enough to make a label map in any taxonomy later, without the network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mseg_studio.labels import measures
from mseg_studio.labels.label_map import Ids, LabelMap, as_ids
from mseg_studio.labels.pixel_threads import over_pixels
from mseg_studio.labels.readout import PLAIN, Reading, Readout
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.projection import Projection

DEFAULT_K = 16
_SUM_TOLERANCE = 2e-3
_BAND_PX = 1 << 17


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
        self._check_pixels()

    def _check_pixels(self) -> None:
        from mseg_studio.labels import compiled

        known = np.zeros(65536, np.bool_)
        known[[info.id for info in self.taxonomy.classes]] = True
        ids_Pk = self.class_ids_HWk.reshape(-1, self.k)
        arrays = (
            ids_Pk,
            self.probabilities_HWk.view(np.uint16).reshape(-1, self.k),
            self.residual_HW.view(np.uint16).reshape(-1),
            compiled.HALF,
            known,
        )

        def check(start: int, stop: int) -> None:
            wrong, at, place = compiled.check_pixels(*arrays, _SUM_TOLERANCE, start, stop)
            if wrong == compiled.UNKNOWN_ID:
                raise ValueError(f"class id {int(ids_Pk[at, place])} is no class of the scores' taxonomy")
            if wrong == compiled.WRONG_SUM:
                raise ValueError("probabilities and residual of a pixel do not sum to 1")
            if wrong == compiled.WRONG_ORDER:
                raise ValueError("probabilities must not be negative and must not increase along the last axis")

        over_pixels(check, self.residual_HW.size)

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

    def project(self, projection: Projection) -> tuple[LabelMap, measures.Bools]:
        """The label map in `projection.target`, and where it is certain to be the one that dense scores give.

        A pixel is certified when best - second > residual + `measures.CERTIFICATION_MARGIN` in the target: no way of
        sharing out the dropped probability changes the winner. Without a mapping the first class is the answer and
        every pixel is certified. A pixel whose classes all map nowhere gets the first target class, as a dense argmax
        does.
        """
        reading, certified_HW = self._read(projection, PLAIN)
        return reading.labels, certified_HW

    def read(self, projection: Projection, readout: Readout) -> Reading:
        """Labels and measure of `readout` in `projection.target`; what is said of dropped probability: `measures`.

        Raises TaxonomyError for a class that the target does not have.
        """
        return self._read(projection, readout)[0]

    def _read(self, projection: Projection, readout: Readout) -> tuple[Reading, measures.Bools]:
        source = projection.source
        if source.name != self.taxonomy.name or source.names != self.taxonomy.names:
            raise ValueError(f"projection is from {source.name}, scores are in {self.taxonomy.name}")
        return measures.read(self.class_ids_HWk, self.probabilities_HWk, self.residual_HW, projection, readout)


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


def _bands(height: int, width: int) -> list[slice]:
    rows = max(1, _BAND_PX // width)
    return [slice(start, min(start + rows, height)) for start in range(0, height, rows)]

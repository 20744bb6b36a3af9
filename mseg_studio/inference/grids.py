"""Scores of an image on a GPU, and the oracle of the compiled passes: probabilities on the grid of every scale."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mseg_studio.inference import plain
from mseg_studio.inference.cost import Cost
from mseg_studio.inference.dense import Groups, check_source, class_ids_of, part_ids, unsure_ignored
from mseg_studio.inference.tiling import Taps, half_pixel_taps
from mseg_studio.labels.label_map import Ids, LabelMap
from mseg_studio.labels.readout import MEASURE_STEPS, NO_MASS, Measure, Reading, Readout
from mseg_studio.labels.score_map import DEFAULT_K, ScoreMap
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.projection import Projection

_BAND_PX = 1 << 16


@dataclass(frozen=True, eq=False)
class GridScores:
    """See `DenseScores`. The grids lie one behind the other; the image is read in bands of rows."""

    probabilities_PC: torch.Tensor
    """float32 (pixels of all grids, C), on the device that computed it."""
    grid_sizes: tuple[tuple[int, int], ...]
    """(height, width) of the grid of every scale."""
    height: int
    width: int
    cost: Cost

    def __post_init__(self) -> None:
        pixels = sum(height * width for height, width in self.grid_sizes)
        if self.probabilities_PC.ndim != 2 or len(self.probabilities_PC) != pixels:
            raise ValueError(f"scores are ({pixels}, C), got {tuple(self.probabilities_PC.shape)}")

    @property
    def num_channels(self) -> int:
        """C: the model taxonomy's largest id + 1."""
        return self.probabilities_PC.shape[1]

    def grid(self, index: int) -> torch.Tensor:
        """Probabilities (h, w, C) of one scale: a view."""
        first = sum(height * width for height, width in self.grid_sizes[:index])
        height, width = self.grid_sizes[index]
        return self.probabilities_PC[first : first + height * width].view(height, width, -1)

    def labels(self, projection: Projection) -> LabelMap:
        """See `DenseScores.labels`."""
        return self.read(projection, Readout()).labels

    def read(self, projection: Projection, readout: Readout) -> Reading:
        """See `DenseScores.read`."""
        part = projection.only(readout.only) if readout.only else projection
        check_source(part.source, self.num_channels)
        class_ids = part_ids(part)
        ids_HW: Ids = np.empty((self.height, self.width), part.target.id_dtype)
        confidence_HW = np.empty(ids_HW.shape, np.uint16)
        measure_HW = np.empty(ids_HW.shape, np.uint16) if readout.measure else None
        for rows, scores_HWK in self._bands(Groups.of(part, self.num_channels)):
            ids_HW[rows] = class_ids[scores_HWK.argmax(dim=-1).cpu().numpy()]
            if readout.min_confidence > 0:
                confidence_HW[rows] = _measured(scores_HWK, "confidence")
            if measure_HW is not None and readout.measure is not None:
                measure_HW[rows] = _measured(scores_HWK, readout.measure)
        unsure_ignored(ids_HW, confidence_HW, part.target, readout.min_confidence)
        return Reading(LabelMap(ids_HW, part.target), measure_HW)

    def top_k(
        self, taxonomy: Taxonomy, *, k: int = DEFAULT_K, recipe_hash: str = "", model_sha256: str = ""
    ) -> ScoreMap:
        """See `DenseScores.top_k`."""
        check_source(taxonomy, self.num_channels)
        class_ids = class_ids_of(taxonomy)
        shape = (self.height, self.width, min(k, len(class_ids)))
        ids: Ids = np.empty(shape, taxonomy.id_dtype)
        values, residual = np.empty(shape, np.float16), np.empty(shape[:2], np.float16)
        for rows, scores_HWC in self._bands(Groups.classes_of(taxonomy)):
            best = scores_HWC.topk(shape[2], dim=-1)
            ids[rows] = class_ids[best.indices.cpu().numpy()]
            values[rows] = best.values.half().cpu().numpy()
            rest = scores_HWC.sum(dim=-1) - best.values.sum(dim=-1)
            residual[rows] = rest.clamp(min=0).half().cpu().numpy()
        return ScoreMap(ids, values, residual, taxonomy, recipe_hash, model_sha256)

    def at_size(self, height: int, width: int) -> GridScores:
        """See `DenseScores.at_size`."""
        return dataclasses.replace(self, height=height, width=width)

    def probe(self, x: int, y: int) -> npt.NDArray[np.float32]:
        """See `DenseScores.probe`."""
        if not (0 <= x < self.width and 0 <= y < self.height):
            raise ValueError(f"pixel ({x}, {y}) is outside {self.width} x {self.height}")
        rows, columns = self._taps()
        grids = [self.grid(index) for index in range(len(self.grid_sizes))]
        one = [taps.part(y, y + 1) for taps in rows], [taps.part(x, x + 1) for taps in columns]
        probabilities_C: npt.NDArray[np.float32] = plain.native_scores(grids, *one)[0, 0].cpu().numpy()
        return probabilities_C

    def _bands(self, groups: Groups) -> Iterator[tuple[slice, torch.Tensor]]:
        """Rows of the image and their scores (rows, W, K), a band at a time. Projected first: all after is linear."""
        scores_PK = _grouped(self.probabilities_PC, groups)
        firsts = np.concatenate([[0], np.cumsum([height * width for height, width in self.grid_sizes])])
        grids = [
            scores_PK[first : first + height * width].view(height, width, -1)
            for first, (height, width) in zip(firsts, self.grid_sizes, strict=False)
        ]
        rows, columns = self._taps()
        step = max(1, _BAND_PX // self.width)
        for start in range(0, self.height, step):
            band = slice(start, min(start + step, self.height))
            yield band, plain.native_scores(grids, [taps.part(band.start, band.stop) for taps in rows], columns)

    def _taps(self) -> tuple[list[Taps], list[Taps]]:
        rows = [half_pixel_taps(height, self.height) for height, _ in self.grid_sizes]
        return rows, [half_pixel_taps(width, self.width) for _, width in self.grid_sizes]


def _grouped(scores_PC: torch.Tensor, groups: Groups) -> torch.Tensor:
    """(P, C) to (P, K)."""
    if groups.sets is None:
        return scores_PC
    matrix = torch.zeros((scores_PC.shape[-1], len(groups.sets)))
    for target, members in enumerate(groups.sets):
        matrix[torch.from_numpy(members), target] = 1
    return scores_PC @ matrix.to(scores_PC.device)


def _measured(scores_HWK: torch.Tensor, measure: Measure) -> npt.NDArray[np.uint16]:
    """round(65535 x measure) (H, W) of sums that need not add up to 1."""
    total_HW = scores_HWK.sum(dim=-1)
    shares_HWK = scores_HWK / total_HW.clamp(min=NO_MASS)[..., None]
    classes = shares_HWK.shape[-1]
    if measure == "confidence":
        value_HW = shares_HWK.amax(dim=-1)
    elif measure == "margin":
        best = shares_HWK.topk(min(2, classes), dim=-1).values
        value_HW = best[..., 0] - best[..., 1] if classes > 1 else best[..., 0]
    elif classes == 1:
        value_HW = torch.zeros_like(total_HW)
    else:
        value_HW = torch.special.entr(shares_HWK).sum(dim=-1) / float(np.log(classes))
    nothing = torch.tensor(1.0 if measure == "entropy" else 0.0, device=value_HW.device)
    value_HW = torch.where(total_HW < NO_MASS, nothing, value_HW.clamp(0, 1))
    steps: npt.NDArray[np.uint16] = (value_HW * MEASURE_STEPS).round().cpu().numpy().astype(np.uint16)
    return steps

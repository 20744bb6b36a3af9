"""Dense class probabilities of one image, kept at the scales' own grids: what a taxonomy switch starts from."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mseg_studio.inference import plain
from mseg_studio.inference.cost import Cost
from mseg_studio.inference.native import Groups, Resize, Winners, grid_of, write_labels, write_top_k
from mseg_studio.labels.label_map import Ids, LabelMap, as_ids
from mseg_studio.labels.score_map import DEFAULT_K, ScoreMap
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.projection import Projection


@dataclass(frozen=True, eq=False)
class DenseScores:
    """Probabilities of all classes in the model's own taxonomy; a channel is a class id.

    The grids lie one behind the other. Nothing of native size times all classes ever exists: `labels` and `top_k` go
    row by row. Everything up to the argmax is linear, so a projection of the grids gives the same labels as the
    published projection inside every crop (parity.md 2.4).
    """

    probabilities_PC: torch.Tensor
    """float32 (pixels of all grids, C), on the device that computed it."""
    grid_sizes: tuple[tuple[int, int], ...]
    """(height, width) of the grid of every scale."""
    height: int
    """Rows of the image."""
    width: int
    """Columns of the image."""
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
        return grid_of(self.probabilities_PC, self.grid_sizes, index)

    def labels(self, projection: Projection) -> LabelMap:
        """Most probable class of `projection.target` for every pixel of the image, at native size.

        Between equal sums the smaller id wins; where nothing maps to the target the first class does.
        """
        target = projection.target
        self._check(projection.source)
        class_ids = _ids_of(target)
        sets = projection.groups
        plain_copy = projection.is_identity and len(class_ids) == self.num_channels
        groups = Groups(None if plain_copy else [sets[class_id] for class_id in class_ids])
        ids_HW: Ids = np.empty((self.height, self.width), target.id_dtype)
        if self._on_cpu:
            write_labels(ids_HW, class_ids, self.probabilities_PC.numpy(), self._winners, groups, self._resize)
        else:
            for rows, scores_HWC in self._resize.plain_bands(groups.apply(self.probabilities_PC)):
                ids_HW[rows] = class_ids[scores_HWC.argmax(dim=-1).cpu().numpy()]
        return LabelMap(ids_HW, target)

    def top_k(
        self, taxonomy: Taxonomy, *, k: int = DEFAULT_K, recipe_hash: str = "", model_sha256: str = ""
    ) -> ScoreMap:
        """The k most probable classes of every pixel, and the probability of all others. `taxonomy` is the model's."""
        self._check(taxonomy)
        class_ids = _ids_of(taxonomy)
        kept = min(k, len(class_ids))
        ids: Ids = np.empty((self.height, self.width, kept), taxonomy.id_dtype)
        values = np.empty(ids.shape, np.float16)
        residual = np.empty(ids.shape[:2], np.float16)
        has_holes = len(class_ids) < self.num_channels
        groups = Groups([np.array([class_id], np.intp) for class_id in class_ids] if has_holes else None)
        if self._on_cpu:
            write_top_k(ids, values, residual, class_ids, self.probabilities_PC.numpy(), groups, self._resize)
        else:
            for rows, scores_HWC in self._resize.plain_bands(groups.apply(self.probabilities_PC)):
                best = scores_HWC.topk(kept, dim=-1)
                ids[rows] = class_ids[best.indices.cpu().numpy()]
                values[rows] = best.values.half().cpu().numpy()
                rest = scores_HWC.sum(dim=-1) - best.values.sum(dim=-1)
                residual[rows] = rest.clamp(min=0).half().cpu().numpy()
        return ScoreMap(ids, values, residual, taxonomy, recipe_hash, model_sha256)

    def probe(self, x: int, y: int) -> npt.NDArray[np.float32]:
        """Probabilities (C,) at one pixel of the image."""
        if not (0 <= x < self.width and 0 <= y < self.height):
            raise ValueError(f"pixel ({x}, {y}) is outside {self.width} x {self.height}")
        rows = [taps.part(y, y + 1) for taps in self._resize.row_taps()]
        columns = [taps.part(x, x + 1) for taps in self._resize.column_taps()]
        grids = [self.grid(index) for index in range(len(self.grid_sizes))]
        probabilities: npt.NDArray[np.float32] = plain.native_scores(grids, rows, columns)[0, 0].cpu().numpy()
        return probabilities

    def _check(self, source: Taxonomy) -> None:
        if source.num_channels != self.num_channels:
            raise ValueError(f"scores have {self.num_channels} channels, {source.name} has {source.num_channels}")

    @property
    def _on_cpu(self) -> bool:
        return self.probabilities_PC.device.type == "cpu"

    @property
    def _resize(self) -> Resize:
        return Resize(self.grid_sizes, self.height, self.width)

    @functools.cached_property
    def _winners(self) -> Winners:
        """Computed once: most pixels need nothing else in any taxonomy."""
        return Winners.of(self.probabilities_PC.numpy())


def _ids_of(taxonomy: Taxonomy) -> Ids:
    """Class ids in order, in the dtype of a label map."""
    return as_ids(np.array([info.id for info in taxonomy.classes]), taxonomy)

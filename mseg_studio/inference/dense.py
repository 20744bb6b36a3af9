"""Dense class probabilities of one image, kept at the scales' own grids: what a taxonomy switch starts from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mseg_studio.inference import kernels, plain
from mseg_studio.inference.cost import Cost
from mseg_studio.inference.row_threads import over_rows
from mseg_studio.inference.tiling import Taps, half_pixel_taps
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.score_map import DEFAULT_K, ScoreMap
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.projection import Projection

_BAND_ROWS = 128
_PLAIN_BAND_PX = 1 << 16


@dataclass(frozen=True, eq=False, slots=True)
class DenseScores:
    """Probabilities of all classes in the model's own taxonomy; a channel is a class id.

    The grids lie one behind the other. Nothing of native size times all classes ever exists: `labels` and `top_k` go
    through bands of rows. Everything up to the argmax is linear, so a projection of the grids gives the same labels as
    the published projection inside every crop (parity.md 2.4).
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
        return _grid(self.probabilities_PC, self.grid_sizes, index)

    def labels(self, projection: Projection) -> LabelMap:
        """Most probable class of `projection.target` for every pixel of the image, at native size.

        Between equal sums the smaller id wins; where nothing maps to the target the first class does.
        """
        target = projection.target
        self._check(projection.source)
        class_ids = np.array([info.id for info in target.classes], target.id_dtype)
        ids_HW = np.empty((self.height, self.width), target.id_dtype)
        weights = None if _is_plain_copy(projection) else projection.weights[class_ids]
        for band, scores in self._bands(weights):
            if scores.probabilities_PC.device.type == "cpu":
                scores.write_labels(ids_HW[band], class_ids)
            else:
                best = scores.native().argmax(dim=-1)
                ids_HW[band] = class_ids[best.to(torch.int32).cpu().numpy()]
        return LabelMap(ids_HW, target)

    def top_k(
        self, taxonomy: Taxonomy, *, k: int = DEFAULT_K, recipe_hash: str = "", model_sha256: str = ""
    ) -> ScoreMap:
        """The k most probable classes of every pixel, and the probability of all others. `taxonomy` is the model's."""
        self._check(taxonomy)
        class_ids = np.array([info.id for info in taxonomy.classes], taxonomy.id_dtype)
        kept = min(k, len(class_ids))
        ids = np.empty((self.height, self.width, kept), taxonomy.id_dtype)
        values = np.empty(ids.shape, np.float16)
        residual = np.empty(ids.shape[:2], np.float16)
        weights = (
            None if len(class_ids) == self.num_channels else np.eye(self.num_channels, dtype=np.float32)[class_ids]
        )
        for band, scores in self._bands(weights):
            if scores.probabilities_PC.device.type == "cpu":
                scores.write_top_k(ids[band], values[band], residual[band], class_ids)
            else:
                native = scores.native()
                best = native.topk(kept, dim=-1)
                ids[band] = class_ids[best.indices.cpu().numpy()]
                values[band] = best.values.half().cpu().numpy()
                residual[band] = (native.sum(dim=-1) - best.values.sum(dim=-1)).clamp(min=0).half().cpu().numpy()
        return ScoreMap(ids, values, residual, taxonomy, recipe_hash, model_sha256)

    def probe(self, x: int, y: int) -> npt.NDArray[np.float32]:
        """Probabilities (C,) at one pixel of the image."""
        if not (0 <= x < self.width and 0 <= y < self.height):
            raise ValueError(f"pixel ({x}, {y}) is outside {self.width} x {self.height}")
        rows = [taps.part(y, y + 1) for taps in self._row_taps()]
        columns = [taps.part(x, x + 1) for taps in self._column_taps()]
        grids = [self.grid(index) for index in range(len(self.grid_sizes))]
        return plain.native_scores(grids, rows, columns)[0, 0].cpu().numpy()

    def _check(self, source: Taxonomy) -> None:
        if source.num_channels != self.num_channels:
            raise ValueError(f"scores have {self.num_channels} channels, {source.name} has {source.num_channels}")

    def _row_taps(self) -> list[Taps]:
        return [half_pixel_taps(height, self.height) for height, _ in self.grid_sizes]

    def _column_taps(self) -> list[Taps]:
        return [half_pixel_taps(width, self.width) for _, width in self.grid_sizes]

    def _bands(self, weights: npt.NDArray[np.float32] | None) -> Iterator[tuple[slice, _Band]]:
        """Bands of native rows with the grids' rows they read, projected by `weights` (K, C)."""
        row_taps, column_taps = self._row_taps(), self._column_taps()
        matrix = None if weights is None else torch.from_numpy(weights.T.copy()).to(self.probabilities_PC.device)
        rows = _BAND_ROWS
        if self.probabilities_PC.device.type != "cpu":
            rows = max(1, _PLAIN_BAND_PX // self.width)
        for start in range(0, self.height, rows):
            band = slice(start, min(start + rows, self.height))
            parts, taps, sizes = [], [], []
            for index, (_, width) in enumerate(self.grid_sizes):
                part = row_taps[index].part(band.start, band.stop)
                first, last = int(part.low[0]), int(part.high[-1]) + 1
                parts.append(self.grid(index)[first:last].flatten(0, 1))
                taps.append(Taps(part.low - first, part.high - first, part.weight))
                sizes.append((last - first, width))
            if matrix is not None:
                parts = [part @ matrix for part in parts]
            yield band, _Band(parts[0] if len(parts) == 1 else torch.cat(parts), tuple(sizes), taps, column_taps)


@dataclass(frozen=True, eq=False, slots=True)
class _Band:
    """A band of native rows: the grids' rows it reads, projected, and the taps into them."""

    probabilities_PC: torch.Tensor
    grid_sizes: tuple[tuple[int, int], ...]
    row_taps: list[Taps]
    column_taps: list[Taps]

    def native(self) -> torch.Tensor:
        """Scores (rows, W, K) by plain torch."""
        grids = [_grid(self.probabilities_PC, self.grid_sizes, index) for index in range(len(self.grid_sizes))]
        return plain.native_scores(grids, self.row_taps, self.column_taps)

    def write_labels(self, ids_HW: npt.NDArray[np.integer], class_ids: npt.NDArray[np.integer]) -> None:
        """Argmax into `ids_HW` by the compiled pass."""
        arrays = self._arrays()
        over_rows(lambda start, stop: kernels.label_rows(ids_HW, class_ids, *arrays, start, stop), len(ids_HW))

    def write_top_k(
        self,
        ids_HWk: npt.NDArray[np.integer],
        values_HWk: npt.NDArray[np.float16],
        residual_HW: npt.NDArray[np.float16],
        class_ids: npt.NDArray[np.integer],
    ) -> None:
        """The k largest into the arrays by the compiled pass."""
        arrays = self._arrays()
        values, residual = np.empty(values_HWk.shape, np.float32), np.empty(residual_HW.shape, np.float32)
        over_rows(
            lambda start, stop: kernels.top_k_rows(ids_HWk, values, residual, class_ids, *arrays, start, stop),
            len(ids_HWk),
        )
        values_HWk[:] = values
        residual_HW[:] = residual

    def _arrays(self) -> tuple[npt.NDArray[np.float32] | npt.NDArray[np.int32], ...]:
        """The arguments that the compiled passes share; see `kernels.label_rows`."""
        widths = np.array([width for _, width in self.grid_sizes], np.int32)
        pixels = np.array([height * width for height, width in self.grid_sizes])
        line_starts = np.concatenate([[0], np.cumsum(widths)[:-1]]).astype(np.int32)[:, None]
        return (
            self.probabilities_PC.numpy(),
            np.concatenate([[0], np.cumsum(pixels)[:-1]]).astype(np.int32),
            widths,
            np.stack([taps.low for taps in self.row_taps]),
            np.stack([taps.high for taps in self.row_taps]),
            np.stack([taps.weight for taps in self.row_taps]),
            np.stack([taps.low for taps in self.column_taps]) + line_starts,
            np.stack([taps.high for taps in self.column_taps]) + line_starts,
            np.stack([taps.weight for taps in self.column_taps]),
        )


def _grid(probabilities_PC: torch.Tensor, sizes: tuple[tuple[int, int], ...], index: int) -> torch.Tensor:
    first = sum(height * width for height, width in sizes[:index])
    height, width = sizes[index]
    return probabilities_PC[first : first + height * width].view(height, width, -1)


def _is_plain_copy(projection: Projection) -> bool:
    """Whether the projected channels are the source's channels as they are."""
    return projection.is_identity and len(projection.source) == projection.source.num_channels

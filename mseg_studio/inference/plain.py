"""The passes around the network in plain torch: the oracle of the compiled ones, and the way on a GPU."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from mseg_studio.inference.tiling import Taps


def mix_rows(source: torch.Tensor, taps: Taps, dim: int) -> torch.Tensor:
    """Linear interpolation of `source` along `dim` at `taps`."""
    low = source.index_select(dim, _on(source, taps.low))
    high = source.index_select(dim, _on(source, taps.high))
    shape = [1] * source.ndim
    shape[dim] = -1
    mix = _on(source, taps.weight).view(shape)
    return low * (1 - mix) + high * mix


def crop_probabilities(logits_NhwC: torch.Tensor, rows: Taps, columns: tuple[Taps, ...]) -> torch.Tensor:
    """Upsample, softmax over all classes, mean over the N images: (rows, columns, C).

    `columns` has the taps of each image: the mirrored one is read from the other side, so its mean with the first is
    of the same pixels (a mean of probabilities, not of logits; parity.md 2.2).
    """
    total: torch.Tensor | None = None
    for image, taps in zip(logits_NhwC, columns, strict=True):
        probabilities = torch.softmax(mix_rows(mix_rows(image, rows, 0), taps, 1), dim=-1)
        total = probabilities if total is None else total + probabilities
    if total is None:
        raise ValueError("no images")
    return total / len(logits_NhwC)


def native_scores(grids_hwC: list[torch.Tensor], rows: list[Taps], columns: list[Taps]) -> torch.Tensor:
    """Mean over scales of the grids resized to native size, for the rows of the taps: (rows, W, C)."""
    total: torch.Tensor | None = None
    for grid_hwC, row_taps, column_taps in zip(grids_hwC, rows, columns, strict=True):
        resized = mix_rows(mix_rows(grid_hwC, row_taps, 0), column_taps, 1)
        total = resized if total is None else total + resized
    if total is None:
        raise ValueError("no scales")
    return total / len(grids_hwC)


def _on(like: torch.Tensor, values: npt.NDArray[np.int32] | npt.NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device)

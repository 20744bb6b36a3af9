"""From the logits of a crop to mean class probabilities on the grid of one scale: plain torch, on any device."""

from __future__ import annotations

import numpy as np
import torch

from mseg_studio.inference import plain
from mseg_studio.inference.tiling import Tiling, Window, corner_taps

_BAND_ROWS = 64


class CropAccumulator:
    """Adds crops to the grid (h, w, C) of one scale; when all windows were added, every pixel sums to 1.

    The published order is: add up, then divide by the visit count. Here each crop is added divided by the count of
    each pixel, which is known beforehand: no count map and no second pass.
    """

    def __init__(self, grid_hwC: torch.Tensor, tiling: Tiling) -> None:
        if grid_hwC.shape[:2] != (tiling.height, tiling.width):
            raise ValueError(f"grid is {tuple(grid_hwC.shape)}, tiling is {tiling.height} x {tiling.width}")
        self._grid_hwC = grid_hwC
        self._tiling = tiling
        rows, columns = tiling.visits()
        self._row_share = torch.from_numpy((1 / rows).astype(np.float32)).to(grid_hwC.device)
        self._column_share = torch.from_numpy((1 / columns).astype(np.float32)).to(grid_hwC.device)

    def add(self, logits_NhwC: torch.Tensor, window: Window) -> None:
        """Add a crop: logits before the last upsampling, of the crop alone (N = 1) or with its mirror image (N = 2)."""
        images, height, width, _ = logits_NhwC.shape
        if images not in (1, 2):
            raise ValueError(f"a crop comes alone or with its mirror image, got {images} images")
        rows = corner_taps(height, self._tiling.crop_height_px)
        rows = rows.part(window.row_start - window.top, window.row_stop - window.top)
        columns = corner_taps(width, self._tiling.crop_width_px)
        start, stop = window.column_start - window.left, window.column_stop - window.left
        taps = (columns.part(start, stop), columns.mirrored().part(start, stop))[:images]
        part = self._grid_hwC[window.row_start : window.row_stop, window.column_start : window.column_stop]
        row_share = self._row_share[window.row_start : window.row_stop, None, None]
        column_share = self._column_share[window.column_start : window.column_stop, None]
        for first in range(0, len(rows.low), _BAND_ROWS):
            band = slice(first, first + _BAND_ROWS)
            probabilities = plain.crop_probabilities(logits_NhwC, rows.part(band.start, band.stop), taps)
            part[band] += probabilities.to(part.device) * (row_share[band] * column_share)

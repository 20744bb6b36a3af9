"""From the logits of a crop to mean class probabilities on the grid of one scale."""

from __future__ import annotations

import numpy as np
import torch

from mseg_studio.inference import kernels, plain
from mseg_studio.inference.row_threads import over_rows
from mseg_studio.inference.tiling import Taps, Tiling, Window, corner_taps

_PLAIN_BAND_ROWS = 64


class CropAccumulator:
    """Adds crops to the grid (h, w, C) of one scale; when all windows were added, every pixel sums to 1.

    The published order is: add up, then divide by the visit count. Here each crop is added divided by the count of
    each pixel, which is known beforehand: no count map and no second pass.
    """

    def __init__(self, grid_hwC: torch.Tensor, tiling: Tiling) -> None:
        if grid_hwC.shape[:2] != (tiling.height, tiling.width):
            raise ValueError(f"grid is {tuple(grid_hwC.shape)}, tiling is {tiling.height} x {tiling.width}")
        self._grid_hwC = grid_hwC
        self._crop_px = tiling.crop_px
        rows, columns = tiling.visits()
        self._row_share = (1 / rows).astype(np.float32)
        self._column_share = (1 / columns).astype(np.float32)

    def add(self, logits_NChw: torch.Tensor, window: Window) -> None:
        """Add a crop: logits before the last upsampling, of the crop alone (N = 1) or with its mirror image (N = 2)."""
        images, _, height, width = logits_NChw.shape
        if images not in (1, 2):
            raise ValueError(f"a crop comes alone or with its mirror image, got {images} images")
        rows = corner_taps(height, self._crop_px).part(window.row_start - window.top, window.row_stop - window.top)
        columns = corner_taps(width, self._crop_px)
        start, stop = window.column_start - window.left, window.column_stop - window.left
        taps = (columns.part(start, stop), columns.mirrored().part(start, stop))[:images]
        logits_NhwC = logits_NChw.permute(0, 2, 3, 1).contiguous()
        if logits_NhwC.device.type == "cpu" and self._grid_hwC.device.type == "cpu":
            self._add_compiled(logits_NhwC, rows, taps, window)
        else:
            self._add_plain(logits_NhwC, rows, taps, window)

    def _add_compiled(self, logits_NhwC: torch.Tensor, rows: Taps, columns: tuple[Taps, ...], window: Window) -> None:
        grid, logits = self._grid_hwC.numpy(), logits_NhwC.numpy()
        low, high = np.stack([taps.low for taps in columns]), np.stack([taps.high for taps in columns])
        mix = np.stack([taps.weight for taps in columns])
        row_share = self._row_share[window.row_start : window.row_stop]
        column_share = self._column_share[window.column_start : window.column_stop]
        place = (row_share, column_share, window.row_start, window.column_start)

        def work(start: int, stop: int) -> None:
            kernels.add_crop_rows(grid, logits, rows.low, rows.high, rows.weight, low, high, mix, *place, start, stop)

        over_rows(work, len(row_share))

    def _add_plain(self, logits_NhwC: torch.Tensor, rows: Taps, columns: tuple[Taps, ...], window: Window) -> None:
        device = self._grid_hwC.device
        row_share = torch.from_numpy(self._row_share).to(device)[window.row_start : window.row_stop, None, None]
        column_share = torch.from_numpy(self._column_share).to(device)[window.column_start : window.column_stop, None]
        part = self._grid_hwC[window.row_start : window.row_stop, window.column_start : window.column_stop]
        for start in range(0, len(rows.low), _PLAIN_BAND_ROWS):
            band = slice(start, start + _PLAIN_BAND_ROWS)
            probabilities = plain.crop_probabilities(logits_NhwC, rows.part(band.start, band.stop), columns).to(device)
            part[band] += probabilities * (row_share[band] * column_share)

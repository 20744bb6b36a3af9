"""The winning row of every pixel from strided logits, without the logits of every pixel.

Upsampling is linear: where one row wins at all four grid points around a pixel it wins there too. Only the pixels
between different winners are interpolated, some at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_VALUES = 1 << 22
"""Logits that are interpolated at once on the CPU: 16 MiB of float32, four times."""
_VALUES_ON_DEVICES = 1 << 26


@dataclass(frozen=True, slots=True)
class Positions:
    """Where the pixels of one axis lie between the points of a grid."""

    low: Tensor
    """(n,) int64: the grid point before each."""
    high: Tensor
    """(n,) int64: the one behind, at the end the last."""
    share: Tensor
    """(n,) float32: of the one behind."""

    @classmethod
    def between(cls, pixels: int, seen: int, *, stride: int, points: int, device: torch.device) -> Positions:
        """Of `pixels` that were resized to `seen`, of which a network kept every `stride`-th, `points` in all."""
        centres = (torch.arange(pixels, dtype=torch.float64) + 0.5) * (seen / pixels) - 0.5
        at = centres.clamp(0, seen - 1) / stride
        low = at.long().clamp(max=points - 1)
        high = (low + 1).clamp(max=points - 1)
        return cls(low.to(device), high.to(device), (at - low).float().to(device))


def row_labels(logits_Chw: Tensor, rows: Positions, columns: Positions) -> Tensor:
    """Winner (H, W) int32 at every pixel: the argmax of the bilinear interpolation of `logits_Chw` (float32)."""
    channels, height, width = logits_Chw.shape
    winners_hw = logits_Chw.argmax(dim=0)
    below_hw, right_hw = winners_hw[_next(height)], winners_hw[:, _next(width)]
    same_hw = (winners_hw == below_hw) & (winners_hw == right_hw) & (winners_hw == right_hw[_next(height)])
    cells_hw = torch.where(same_hw, winners_hw, -1).int()
    labels_HW = cells_hw[rows.low][:, columns.low]
    logits_LC = logits_Chw.flatten(1).t().contiguous()
    at_once = max(1, (_VALUES if logits_Chw.device.type == "cpu" else _VALUES_ON_DEVICES) // channels)
    for places in torch.split(torch.nonzero(labels_HW < 0), at_once):
        y, x = places.unbind(1)
        low, high = rows.low[y] * width, rows.high[y] * width
        left, right = columns.low[x], columns.high[x]
        down, across = rows.share[y, None], columns.share[x, None]
        upper = torch.lerp(logits_LC[low + left], logits_LC[low + right], across)
        lower = torch.lerp(logits_LC[high + left], logits_LC[high + right], across)
        labels_HW[y, x] = torch.lerp(upper, lower, down).argmax(dim=1).int()
    return labels_HW


def _next(points: int) -> list[int]:
    return [*range(1, points), points - 1]

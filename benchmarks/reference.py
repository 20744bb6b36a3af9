"""The published inference procedure, written plainly: the yardstick for parity and for every speed claim.

One crop at a time with its mirror image, float32, eager torch, full-size maps of all classes for every scale, summed,
then argmax (parity.md 2.2). Slow on purpose: it does what the published code does, in its order, and nothing better.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

_MEAN = 255 * np.float32([0.485, 0.456, 0.406])
_STD = 255 * np.float32([0.229, 0.224, 0.225])
_CV2_CHANNELS = 4  # OpenCV 5 resizes no more at once; slices give the same values

Floats = npt.NDArray[np.float32]


def segment(
    network: nn.Module,
    pixels_HW3: npt.NDArray[np.uint8],
    *,
    base_size: int,
    crop_px: int,
    scales: tuple[float, ...],
    weights: Floats | None = None,
) -> npt.NDArray[np.uint8]:
    """Class ids (H, W) of an RGB image; `weights` (targets, classes) projects inside every crop, as published."""
    height, width = pixels_HW3.shape[:2]
    image = pixels_HW3.astype(np.float32)
    total: Floats | float = 0.0
    for scale in scales:
        new_height, new_width = scaled_size(height, width, round(scale * base_size))
        scaled = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
        scores_HWC = _slide(network, scaled, crop_px, weights)
        total = total + _resize(scores_HWC, width, height)
    return (np.asarray(total) / len(scales)).argmax(axis=2).astype(np.uint8)


def scaled_size(height: int, width: int, short_px: int) -> tuple[int, int]:
    """(height, width) with a short side of `short_px`; Python's rounding, as published."""
    if height > width:
        return round(short_px / float(width) * height), short_px
    return short_px, round(short_px / float(height) * width)


def _slide(network: nn.Module, image: Floats, crop_px: int, weights: Floats | None) -> Floats:
    height, width = image.shape[:2]
    pad_y, pad_x = max(crop_px - height, 0), max(crop_px - width, 0)
    top, left = pad_y // 2, pad_x // 2
    border = (top, pad_y - top, left, pad_x - left)
    padded = cv2.copyMakeBorder(image, *border, cv2.BORDER_CONSTANT, value=[float(v) for v in _MEAN])
    full_height, full_width = padded.shape[:2]
    stride = math.ceil(crop_px * 2 / 3)
    rows = math.ceil((full_height - crop_px) / stride) + 1
    columns = math.ceil((full_width - crop_px) / stride) + 1
    total: Floats | None = None
    visits = np.zeros((full_height, full_width, 1), np.float32)
    for row in range(rows):
        for column in range(columns):
            y = min(row * stride, full_height - crop_px)
            x = min(column * stride, full_width - crop_px)
            scores_CHW = _one_crop(network, padded[y : y + crop_px, x : x + crop_px], weights)
            if total is None:
                total = np.zeros((full_height, full_width, scores_CHW.shape[0]), np.float32)
            total[y : y + crop_px, x : x + crop_px] += scores_CHW.transpose(1, 2, 0)
            visits[y : y + crop_px, x : x + crop_px] += 1
    mean = np.asarray(total) / visits
    return mean[top : top + height, left : left + width]


@torch.inference_mode()
def _one_crop(network: nn.Module, crop_HW3: Floats, weights: Floats | None) -> Floats:
    normal = ((crop_HW3 - _MEAN) / _STD).astype(np.float32)
    one = torch.from_numpy(np.ascontiguousarray(normal.transpose(2, 0, 1)))[None]
    scores: Tensor = network(torch.cat([one, one.flip(3)])).softmax(dim=1)
    if weights is not None:
        scores = torch.einsum("kc,nchw->nkhw", torch.from_numpy(weights), scores)
    return ((scores[0] + scores[1].flip(2)) / 2).numpy()


def _resize(scores_HWC: Floats, width: int, height: int) -> Floats:
    out = np.empty((height, width, scores_HWC.shape[2]), np.float32)
    for start in range(0, scores_HWC.shape[2], _CV2_CHANNELS):
        part = np.ascontiguousarray(scores_HWC[:, :, start : start + _CV2_CHANNELS])
        resized = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
        out[:, :, start : start + _CV2_CHANNELS] = resized.reshape(height, width, -1)
    return out

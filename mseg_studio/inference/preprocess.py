"""From pixels to normalised crops (parity.md 2.2)."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch

from mseg_studio.inference import plain
from mseg_studio.inference.tiling import Tiling, Window, half_pixel_taps

_MEAN_RGB = 255 * np.array([0.485, 0.456, 0.406])
_STD_RGB = 255 * np.array([0.229, 0.224, 0.225])
_FLOAT_IMAGE_LIMIT = 64_000_000
"""Pixels above which the float copy of a whole image (12 bytes a pixel) is avoided."""


def normalised(
    pixels_HW3: npt.NDArray[np.uint8], height: int, width: int, device: torch.device | None = None
) -> torch.Tensor:
    """RGB uint8 (H, W, 3) resized linearly as float32 to (3, height, width), mean 0 and deviation 1 a channel.

    On a GPU only the bytes of the image travel; the resize is the same sum there.
    """
    if device is not None and device.type != "cpu":
        return normalised_on(device, pixels_HW3, height, width)
    scaled_HW3 = _resized(pixels_HW3, height, width)
    scaled_HW3 -= _MEAN_RGB.astype(np.float32)
    scaled_HW3 /= _STD_RGB.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(scaled_HW3.transpose(2, 0, 1)))


def normalised_on(device: torch.device, pixels_HW3: npt.NDArray[np.uint8], height: int, width: int) -> torch.Tensor:
    """As `normalised`, computed on `device` from the image's bytes."""
    image_HW3 = torch.from_numpy(np.ascontiguousarray(pixels_HW3))
    if device.type == "cuda":
        image_HW3 = image_HW3.pin_memory()
    scaled_HW3 = image_HW3.to(device, non_blocking=True).float()
    if pixels_HW3.shape[:2] != (height, width):
        rows, columns = half_pixel_taps(pixels_HW3.shape[0], height), half_pixel_taps(pixels_HW3.shape[1], width)
        scaled_HW3 = plain.mix_rows(plain.mix_rows(scaled_HW3, columns, 1), rows, 0)
    mean, deviation = (torch.from_numpy(v.astype(np.float32)).to(device) for v in (_MEAN_RGB, _STD_RGB))
    return ((scaled_HW3 - mean) / deviation).permute(2, 0, 1).contiguous()


def crop_of(image_3HW: torch.Tensor, window: Window, tiling: Tiling) -> torch.Tensor:
    """(3, crop height, crop width): the window's part of a normalised image, padded with the mean, which is 0 here."""
    top, left = window.row_start - window.top, window.column_start - window.left
    part = image_3HW[:, window.row_start : window.row_stop, window.column_start : window.column_stop]
    size = (tiling.crop_height_px, tiling.crop_width_px)
    if part.shape[1:] == size:
        return part
    crop = torch.zeros((3, *size), dtype=image_3HW.dtype, device=image_3HW.device)
    crop[:, top : top + part.shape[1], left : left + part.shape[2]] = part
    return crop


def _resized(pixels_HW3: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.float32]:
    if pixels_HW3.shape[0] * pixels_HW3.shape[1] <= _FLOAT_IMAGE_LIMIT:
        resized = cv2.resize(pixels_HW3.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(resized, np.float32)
    # The same sum from only the rows and columns that are read.
    rows, columns = half_pixel_taps(pixels_HW3.shape[0], height), half_pixel_taps(pixels_HW3.shape[1], width)
    out = np.empty((height, width, 3), np.float32)
    for y in range(height):
        low, high, w = pixels_HW3[rows.low[y]], pixels_HW3[rows.high[y]], rows.weight[y]
        row = low.astype(np.float32) * (1 - w) + high.astype(np.float32) * w
        mix = columns.weight[:, None]
        out[y] = row[columns.low] * (1 - mix) + row[columns.high] * mix
    return out

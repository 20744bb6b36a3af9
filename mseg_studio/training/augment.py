"""Random changes of one sample: geometry in a single warp from the source to the crop, colours through a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from mseg_studio.labels.label_map import Ids
from mseg_studio.training.config import AugmentConfig
from mseg_studio.training.head import IGNORE

MEAN_RGB = (123.675, 116.28, 103.53)
STD_RGB = (58.395, 57.12, 57.375)


def augment(
    pixels_HW3: npt.NDArray[np.uint8],
    labels_HW: Ids,
    *,
    config: AugmentConfig,
    rare_ids: Sequence[int],
    random: np.random.Generator,
) -> tuple[npt.NDArray[np.uint8], Ids]:
    """A crop (crop, crop, 3) of an RGB image and its labels (crop, crop), changed at random; padding is mean and 255.

    All random numbers come from `random`, always the same count of geometric ones first.
    """
    matrix = _source_to_crop(labels_HW, config=config, rare_ids=rare_ids, random=random)
    size = (config.crop_px, config.crop_px)
    pixels = cv2.warpAffine(pixels_HW3, matrix, size, flags=cv2.INTER_LINEAR, borderValue=MEAN_RGB)
    labels: Ids = cv2.warpAffine(labels_HW, matrix, size, flags=cv2.INTER_NEAREST, borderValue=(IGNORE,))
    if random.random() < config.colour_p:
        pixels = _change_colours(pixels, config=config, random=random)
    if random.random() < config.blur_p:
        pixels = cv2.GaussianBlur(pixels, (0, 0), random.uniform(0.3, max(0.3, config.blur_sigma)))
    return np.asarray(pixels, np.uint8), labels


def _source_to_crop(
    labels_HW: Ids, *, config: AugmentConfig, rare_ids: Sequence[int], random: np.random.Generator
) -> npt.NDArray[np.float64]:
    """The 2x3 matrix from source pixel coordinates (x, y) to the crop's."""
    height, width = labels_HW.shape
    base = 1.0 if config.short_side is None else config.short_side / min(height, width)
    scale = base * math.exp(random.uniform(math.log(config.scale[0]), math.log(config.scale[1])))
    turn, angle = random.random() < config.rotation_p, random.uniform(-1, 1) * config.rotation_degrees
    mirror = -1.0 if random.random() < config.flip_p else 1.0
    x, y = _centre(labels_HW, reach=config.crop_px / scale / 2, config=config, rare_ids=rare_ids, random=random)
    radians = math.radians(angle) if turn else 0.0
    cos, sin = scale * math.cos(radians), scale * math.sin(radians)
    linear = np.array([[mirror * cos, -mirror * sin], [sin, cos]])
    middle = (config.crop_px - 1) / 2
    return np.column_stack([linear, np.array([middle, middle]) - linear @ np.array([x, y])])


def _centre(
    labels_HW: Ids,
    *,
    reach: float,
    config: AugmentConfig,
    rare_ids: Sequence[int],
    random: np.random.Generator,
) -> tuple[float, float]:
    """Source point (x, y) in the middle of the crop: keeps the crop inside the image where it fits."""
    height, width = labels_HW.shape
    at, want_rare = random.random(2), random.random() < config.rare_p
    if want_rare:
        present = [n for n in rare_ids if (labels_HW == n).any()]
        if present:
            found = np.flatnonzero(labels_HW == present[int(random.integers(len(present)))])
            row, column = divmod(int(found[int(random.integers(found.size))]), width)
            spread = (random.random(2) - 0.5) * reach
            return _inside(column + spread[0], width, reach), _inside(row + spread[1], height, reach)
    return _between(at[0], width, reach), _between(at[1], height, reach)


def _inside(value: float, length: int, reach: float) -> float:
    low, high = sorted((reach - 0.5, length - 0.5 - reach))
    return min(max(value, low), high)


def _between(share: float, length: int, reach: float) -> float:
    low, high = sorted((reach - 0.5, length - 0.5 - reach))
    return low + share * (high - low)


def _change_colours(
    pixels_HW3: npt.NDArray[np.uint8], *, config: AugmentConfig, random: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Saturation, then one table a channel for gamma, contrast, brightness and cast."""
    gain = 1 + random.uniform(-1, 1) * config.saturation
    grey = cv2.cvtColor(cv2.cvtColor(pixels_HW3, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    mixed = cv2.addWeighted(pixels_HW3, gain, grey, 1 - gain, 0)
    gamma = config.gamma ** random.uniform(-1, 1)
    contrast = 1 + random.uniform(-1, 1) * config.contrast
    shift = random.uniform(-1, 1) * config.brightness
    cast = 1 + random.uniform(-1, 1, 3) * config.colour_cast
    ramp = (np.linspace(0, 1, 256) ** gamma - 0.5) * contrast + 0.5 + shift
    table = np.clip(np.rint(255 * ramp[:, None] * cast), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(mixed, table[None]), np.uint8)

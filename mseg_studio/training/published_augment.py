"""The random changes of the published code, in its order (parity.md 2.7).

Short side, scale, rotation about the middle, blur 5x5, left-right flip, random crop with the mean and 255 around small
images. Sizes and numbers follow it: long sides are cut to whole pixels, scaled sides are rounded, the scale itself is
uniform, the blur's deviation is OpenCV's for its size (1.1). Pixels are bytes between the steps where the published
code keeps floats: about one level of 255 apart.

All random numbers are drawn first, so the crop's place is known before the slow steps, and only what it shows is
rotated and blurred: the rows and pixels that remain are those that cropping at the end would leave.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mseg_studio.labels.label_map import Ids
from mseg_studio.training.config import AugmentConfig
from mseg_studio.training.head import IGNORE

_MEAN_RGB = (124, 116, 104)
_BLUR_PX = 5
_REACH = _BLUR_PX // 2


@dataclass(frozen=True, slots=True)
class Choice:
    """What the random numbers say, for an image of a known size."""

    scale: float
    height: int
    """Of the image once it is scaled."""
    width: int
    angle_degrees: float
    """0 where it is not rotated."""
    blurred: bool
    flipped: bool
    top: int
    """Of the crop in the scaled, rotated, flipped and padded image."""
    left: int


def short_size(height: int, width: int, short_side: int | None) -> tuple[int, int]:
    """Size once the short side has `short_side` pixels; the long one is cut to whole pixels."""
    if short_side is None:
        return height, width
    if height <= width:
        return short_side, int(width * (short_side / height))
    return int(height * (short_side / width)), short_side


def shortened(
    pixels_HW3: npt.NDArray[np.uint8], labels_HW: Ids, short_side: int | None
) -> tuple[npt.NDArray[np.uint8], Ids]:
    """The first step, which has nothing random. What has that short side already stays as it is."""
    height, width = short_size(labels_HW.shape[0], labels_HW.shape[1], short_side)
    if labels_HW.shape == (height, width):
        return pixels_HW3, labels_HW
    pixels = cv2.resize(pixels_HW3, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(pixels, np.uint8), cv2.resize(labels_HW, (width, height), interpolation=cv2.INTER_NEAREST)


def choose(height: int, width: int, *, config: AugmentConfig, random: np.random.Generator) -> Choice:
    """Draw all numbers for an image that has its short side already: always as many."""
    numbers = random.random(7).tolist()
    low, high = config.scale
    scale = low + (high - low) * numbers[0]
    rotated, angle = numbers[1] < config.rotation_p, (2 * numbers[2] - 1) * config.rotation_degrees
    scaled_height, scaled_width = (max(1, round(side * scale)) for side in (height, width))
    spare = [max(0, side - config.crop_px) for side in (scaled_height, scaled_width)]
    return Choice(
        scale=scale,
        height=scaled_height,
        width=scaled_width,
        angle_degrees=angle if rotated else 0.0,
        blurred=numbers[3] < config.blur_p,
        flipped=numbers[4] < config.flip_p,
        top=int(numbers[5] * (spare[0] + 1)),
        left=int(numbers[6] * (spare[1] + 1)),
    )


def published_augment(
    pixels_HW3: npt.NDArray[np.uint8], labels_HW: Ids, *, config: AugmentConfig, random: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], Ids]:
    """A crop (crop, crop, 3) of an RGB image and its labels (crop, crop); padding is the mean and 255."""
    pixels, labels = shortened(pixels_HW3, labels_HW, config.short_side)
    choice = choose(labels.shape[0], labels.shape[1], config=config, random=random)
    pixels, labels = _scaled(pixels, labels, choice)
    window = _Window.of(choice, config.crop_px)
    if choice.angle_degrees:
        pixels, labels, window = _rotated(pixels, labels, choice, window)
    pixels = _blurred(pixels, window) if choice.blurred else pixels[window.rows, window.columns]
    labels = labels[window.rows, window.columns]
    if choice.flipped:
        pixels, labels = cv2.flip(pixels, 1), cv2.flip(labels, 1)
    missing = config.crop_px - labels.shape[0], config.crop_px - labels.shape[1]
    if missing != (0, 0):
        sides = (missing[0] // 2, missing[0] - missing[0] // 2, missing[1] // 2, missing[1] - missing[1] // 2)
        pixels = cv2.copyMakeBorder(pixels, *sides, cv2.BORDER_CONSTANT, value=_MEAN_RGB)
        labels = cv2.copyMakeBorder(labels, *sides, cv2.BORDER_CONSTANT, value=(IGNORE,))
    return np.asarray(pixels, np.uint8), labels


@dataclass(frozen=True, slots=True)
class _Window:
    """What the crop shows of an image before it is flipped and padded."""

    rows: slice
    columns: slice

    @classmethod
    def of(cls, choice: Choice, crop_px: int) -> _Window:
        rows, columns = min(crop_px, choice.height), min(crop_px, choice.width)
        left = choice.width - choice.left - columns if choice.flipped else choice.left
        return cls(slice(choice.top, choice.top + rows), slice(left, left + columns))


def _scaled(pixels_HW3: npt.NDArray[np.uint8], labels_HW: Ids, choice: Choice) -> tuple[npt.NDArray[np.uint8], Ids]:
    # By the scale, as published: a size in whole pixels is another scale. Only what would vanish gets its one pixel.
    vanishes = min(labels_HW.shape) * choice.scale <= 0.5
    size = (choice.width, choice.height) if vanishes else None
    factors = {"fx": choice.scale, "fy": choice.scale}
    pixels = cv2.resize(pixels_HW3, size, **factors, interpolation=cv2.INTER_LINEAR)
    return np.asarray(pixels, np.uint8), cv2.resize(labels_HW, size, **factors, interpolation=cv2.INTER_NEAREST)


def _rotated(
    pixels_HW3: npt.NDArray[np.uint8], labels_HW: Ids, choice: Choice, window: _Window
) -> tuple[npt.NDArray[np.uint8], Ids, _Window]:
    """The rows of the rotated image that the window and a blur of it need, and where the window is in these."""
    matrix = cv2.getRotationMatrix2D((choice.width / 2, choice.height / 2), choice.angle_degrees, 1)
    first = max(0, window.rows.start - _REACH)
    last = min(choice.height, window.rows.stop + _REACH)
    matrix[1, 2] -= first
    size = (choice.width, last - first)
    pixels = cv2.warpAffine(pixels_HW3, matrix, size, flags=cv2.INTER_LINEAR, borderValue=_MEAN_RGB)
    labels = cv2.warpAffine(labels_HW, matrix, size, flags=cv2.INTER_NEAREST, borderValue=(IGNORE,))
    rows = slice(window.rows.start - first, window.rows.stop - first)
    return np.asarray(pixels, np.uint8), labels, _Window(rows, window.columns)


def _blurred(pixels_HW3: npt.NDArray[np.uint8], window: _Window) -> npt.NDArray[np.uint8]:
    """The window of the blurred image: the same as blurring all of it, whose edges are mirrored where they are near."""
    height, width = pixels_HW3.shape[:2]
    top, left = max(0, window.rows.start - _REACH), max(0, window.columns.start - _REACH)
    bottom, right = min(height, window.rows.stop + _REACH), min(width, window.columns.stop + _REACH)
    part = cv2.GaussianBlur(pixels_HW3[top:bottom, left:right], (_BLUR_PX, _BLUR_PX), 0)
    rows = slice(window.rows.start - top, window.rows.stop - top)
    columns = slice(window.columns.start - left, window.columns.stop - left)
    return np.asarray(part[rows, columns], np.uint8)

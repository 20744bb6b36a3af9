"""The crops of images in the order of their windows, in batches for the network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mseg_studio.inference.preprocess import crop_of, normalised
from mseg_studio.inference.tiling import Tiling, Window


@dataclass(frozen=True, slots=True)
class Crop:
    """Where a crop comes from."""

    frame: int
    scale: int
    window: Window


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """Crops of one size."""

    crops: tuple[Crop, ...]
    images_NCHW: torch.Tensor
    """Every crop, each with its mirror image behind it if there are two images a crop."""


def batches_of(
    frames: Sequence[npt.NDArray[np.uint8]],
    tilings: Sequence[Sequence[Tiling]],
    *,
    flip: bool,
    crops: int,
    device: torch.device,
) -> Iterator[Batch]:
    """All crops of RGB uint8 frames (H, W, 3): at most `crops` at once, of several frames when one has no more.

    `tilings` has one for each scale of each frame. Only a batch and one scaled image exist at a time.
    """
    waiting: list[tuple[Crop, torch.Tensor]] = []
    for crop, image_3HW in _crops(frames, tilings, device):
        if waiting and (len(waiting) == crops or waiting[0][1].shape != image_3HW.shape):
            yield _batch(waiting, flip=flip)
            waiting = []
        waiting.append((crop, image_3HW))
    if waiting:
        yield _batch(waiting, flip=flip)


def _crops(
    frames: Sequence[npt.NDArray[np.uint8]], tilings: Sequence[Sequence[Tiling]], device: torch.device
) -> Iterator[tuple[Crop, torch.Tensor]]:
    for index, (pixels_HW3, scales) in enumerate(zip(frames, tilings, strict=True)):
        for scale, tiling in enumerate(scales):
            image_3HW = normalised(pixels_HW3, tiling.height, tiling.width, device)
            for window in tiling.windows():
                yield Crop(index, scale, window), crop_of(image_3HW, window, tiling)


def _batch(waiting: Sequence[tuple[Crop, torch.Tensor]], *, flip: bool) -> Batch:
    images = [image for _, crop in waiting for image in ((crop, crop.flip(-1)) if flip else (crop,))]
    return Batch(tuple(crop for crop, _ in waiting), torch.stack(images))

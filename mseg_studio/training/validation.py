"""A quick score while training: whole images, one scale, no flip. Numbers to quote come from `mseg-studio evaluate`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from mseg_studio.training.augment import IGNORE, MEAN_RGB, STD_RGB
from mseg_studio.training.config import TrainPrecision
from mseg_studio.training.data import SampleSet


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """Intersection over union by row of the head, by the published arithmetic: I / (U + 1e-10), absent is 0."""

    iou_C: npt.NDArray[np.float64]

    @property
    def miou(self) -> float:
        """Mean over the classes."""
        return float(self.iou_C.mean())


@torch.inference_mode()
def validate(network: nn.Module, data: SampleSet, *, num_classes: int, precision: TrainPrecision) -> ValidationResult:
    """Score `network` (its weights as they are) on whole images of a split."""
    was_training = network.training
    network.eval()
    counts = np.zeros(num_classes * num_classes, np.int64)
    for sample in data.samples:
        height, width = sample.labels_HW.shape
        images = _padded(sample.pixels_HW3)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            strided = network.strided_logits(images)  # type: ignore[operator]
        logits = functional.interpolate(strided.float(), size=images.shape[-2:], mode="bilinear", align_corners=True)
        predicted = logits[0].argmax(dim=0).numpy()[:height, :width]
        valid = sample.labels_HW != IGNORE
        pairs = sample.labels_HW[valid].astype(np.int64) * num_classes + predicted[valid]
        counts += np.bincount(pairs, minlength=len(counts))
    network.train(was_training)
    confusion = counts.reshape(num_classes, num_classes)
    intersection = confusion.diagonal()
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - intersection
    return ValidationResult(intersection / (union + 1e-10))


def _padded(pixels_HW3: npt.NDArray[np.uint8]) -> torch.Tensor:
    """One normalised image (1, 3, H, W), sides padded with the mean to a multiple of 8 plus 1."""
    images = (torch.from_numpy(pixels_HW3).float() - torch.tensor(MEAN_RGB)) / torch.tensor(STD_RGB)
    images = images.permute(2, 0, 1)[None]
    right, bottom = (-(side - 1) % 8 for side in (images.shape[-1], images.shape[-2]))
    return functional.pad(images, (0, right, 0, bottom)).contiguous(memory_format=torch.channels_last)

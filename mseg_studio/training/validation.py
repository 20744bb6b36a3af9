"""A quick score while training: whole images, one scale, no flip. Numbers to quote come from `mseg-studio evaluate`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from mseg_studio.evaluation.confusion import ConfusionMatrix
from mseg_studio.evaluation.metrics import Metrics, metrics
from mseg_studio.inference.preprocess import normalised
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.progress import CancelToken
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.training.config import TrainPrecision
from mseg_studio.training.data import SampleSet


@torch.inference_mode()
def validate(
    network: nn.Module,
    data: SampleSet,
    *,
    head: Taxonomy,
    precision: TrainPrecision,
    device: torch.device,
    stop: CancelToken,
) -> Metrics:
    """Score `network` (its weights as they are) on whole images of a split; `head` names the rows of its head.

    Raises Cancelled when `stop` is set before the last image.
    """
    was_training = network.training
    network.eval()
    matrix = ConfusionMatrix.empty(head)
    for sample in data.samples:
        stop.raise_if_cancelled()
        height, width = sample.labels_HW.shape
        images = _padded(sample.pixels_HW3).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            strided = network.strided_logits(images)  # type: ignore[operator]
        logits = functional.interpolate(strided.float(), size=images.shape[-2:], mode="bilinear", align_corners=True)
        rows = logits[0, :, :height, :width].argmax(dim=0).to(torch.uint8).cpu().numpy()
        matrix += ConfusionMatrix.of(LabelMap(sample.labels_HW, head), LabelMap(rows, head))
    network.train(was_training)
    return metrics(matrix)


def _padded(pixels_HW3: npt.NDArray[np.uint8]) -> torch.Tensor:
    """One normalised image (1, 3, H, W), sides padded with the mean to a multiple of 8 plus 1."""
    images = normalised(pixels_HW3, *pixels_HW3.shape[:2])[None]
    right, bottom = (-(side - 1) % 8 for side in (images.shape[-1], images.shape[-2]))
    return functional.pad(images, (0, right, 0, bottom)).contiguous(memory_format=torch.channels_last)

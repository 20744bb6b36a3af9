from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mseg_studio.evaluation.metrics import Metrics
from mseg_studio.progress import Cancelled, CancelToken
from mseg_studio.training.augment import MEAN_RGB, STD_RGB
from mseg_studio.training.data import Sample, SampleSet
from mseg_studio.training.validation import validate

CLASSES = ("road", "car", "sky")


class _Threshold(nn.Module):
    """Class 1 where red is above 100, at a quarter of the size, like a real network's logits."""

    def strided_logits(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        red = images_NCHW[:, :1, ::4, ::4] * STD_RGB[0] + MEAN_RGB[0]
        return torch.cat([100 - red, red - 100, torch.full_like(red, -1e4)], dim=1)


def _sample(labels_HW: np.ndarray, guess_HW: np.ndarray) -> Sample:
    pixels = np.zeros((*labels_HW.shape, 3), np.uint8)
    pixels[..., 0] = np.where(guess_HW == 1, 200, 0)
    return Sample("x", pixels, labels_HW.astype(np.uint8))


def _validate(network: nn.Module, sample: Sample, stop: CancelToken | None = None) -> Metrics:
    return validate(
        network,
        SampleSet((sample,), ""),
        classes=CLASSES,
        precision="float32",
        device=torch.device("cpu"),
        stop=stop or CancelToken(),
    )


def test_the_published_arithmetic() -> None:
    guess = np.zeros((33, 41), int)
    guess[:, 20:] = 1
    labels = np.zeros((33, 41), int)
    labels[:, 8:] = 1
    labels[0] = 255
    network = _Threshold()
    result = _validate(network, _sample(labels, guess))
    # Columns 17 to 20 lie between two logits; the line between them is crossed after column 18.
    assert result.iou["road"] == pytest.approx(8 / 19, abs=0.03)
    assert result.iou["car"] == pytest.approx(22 / 33, abs=0.03)
    assert result.iou["sky"] == 0
    assert result.miou == pytest.approx(sum(result.iou.values()) / 3)
    assert network.training


def test_any_size_is_taken() -> None:
    labels = np.ones((30, 50), int)
    result = _validate(_Threshold(), _sample(labels, labels))
    assert result.iou["car"] == pytest.approx(1)


def test_it_stops_when_asked() -> None:
    stop = CancelToken()
    stop.cancel()
    with pytest.raises(Cancelled):
        _validate(_Threshold(), _sample(np.ones((9, 9), int), np.ones((9, 9), int)), stop)

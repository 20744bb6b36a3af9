"""Folding batch normalisation changes the work, not the answer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mseg_studio.networks.folding import fold_batch_norm
from tests.goldens.weights import crop_NCHW, golden_network, pattern_image


def _norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("network", ["tiny", "w48"])
def test_folded_logits_are_the_golden_ones(network: str) -> None:
    original = golden_network(network)
    keys = set(original.state_dict())
    folded = fold_batch_norm(original)
    image_NCHW = crop_NCHW(pattern_image(153, 153), 153)
    with torch.inference_mode():
        assert float((folded(image_NCHW) - original(image_NCHW)).abs().max()) < 1e-4
        strided = folded.strided_logits(image_NCHW)
    assert strided.shape[-2:] == (39, 39)
    assert _norms(folded) == 0 and _norms(original) > 0
    assert set(original.state_dict()) == keys and not folded.training


class _Shared(nn.Module):
    """The convolution feeds more than its normalisation: folding would change the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
        nn.init.constant_(self.bn.weight, 3.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.conv(x)
        return self.bn(made) + made


class _Twice(nn.Module):
    """One convolution called twice: it cannot take both normalisations."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.first, self.second = nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False)
        self.last, self.alone = nn.Conv2d(3, 2, 1, bias=False), nn.BatchNorm2d(2, affine=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.alone(self.last(self.second(self.conv(self.first(self.conv(x))))))


def test_what_cannot_be_folded_is_refused() -> None:
    with pytest.raises(ValueError, match="does not answer the same"):
        fold_batch_norm(_Shared().eval())
    with pytest.raises(ValueError, match="evaluation mode"):
        fold_batch_norm(_Twice())


def test_only_what_is_certain_is_folded() -> None:
    assert _norms(fold_batch_norm(_Twice().eval())) == 2

"""Dropout of whole channels whose choice belongs to the sample: the same in every batch, process and resumed run."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

_MIX = 0x9E3779B97F4A7C15
_SEED_BITS = (1 << 63) - 1


class SampleDropout2d(nn.Module):
    """Zeroes channels with probability `p` in training and scales the others by 1 / (1 - p); nothing in evaluation.

    After `seed_dropout` the channels of a sample follow from its seed alone; before, from torch's global generator.
    """

    def __init__(self, p: float, channels: int) -> None:
        super().__init__()
        self.p, self.channels = p, channels
        self.factors_NC: Tensor | None = None
        """Of every sample's channels; a plain attribute, for a new batch is no new program to a compiled network."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape. Raises ValueError unless there was one seed a sample."""
        if not self.training or self.p == 0:
            return x
        if self.factors_NC is None:
            return functional.dropout2d(x, self.p)
        if len(self.factors_NC) != len(x):
            raise ValueError(f"{len(self.factors_NC)} dropout seeds for {len(x)} samples")
        return x * self.factors_NC.to(x.dtype)[:, :, None, None]

    def factors(self, seed: int) -> Tensor:
        """Factor of every channel (channels,): 0, or what keeps the mean. On the CPU: every device gets the same."""
        generator = torch.Generator().manual_seed(seed)
        return (torch.rand(self.channels, generator=generator) >= self.p) / (1 - self.p)


def seed_dropout(network: nn.Module, seeds: Sequence[int]) -> None:
    """Give the samples of the next batch their seeds, for every dropout of the network another one made of them."""
    layers = [module for module in network.modules() if isinstance(module, SampleDropout2d)]
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    for number, layer in enumerate(layers):
        factors = [layer.factors((seed * _MIX + number) & _SEED_BITS) for seed in seeds]
        layer.factors_NC = torch.cat([torch.zeros(0), *factors]).view(len(seeds), layer.channels).to(device)

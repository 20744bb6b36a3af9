"""Dropout of whole channels whose choice belongs to the sample: the same in every batch, process and resumed run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

_MIX = 0x9E3779B97F4A7C15
_SEED_BITS = (1 << 63) - 1


class SampleDropout2d(nn.Module):
    """Zeroes channels with probability `p` in training and scales the others by 1 / (1 - p); nothing in evaluation.

    After `seed_dropout` the channels of a sample follow from its seed alone; before, from torch's global generator.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.seeds: tuple[int, ...] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape. Raises ValueError unless there is one seed a sample."""
        if not self.training or self.p == 0:
            return x
        if self.seeds is None:
            return functional.dropout2d(x, self.p)
        if len(self.seeds) != len(x):
            raise ValueError(f"{len(self.seeds)} dropout seeds for {len(x)} samples")
        kept_NC = torch.stack([self._kept(seed, x.shape[1]) for seed in self.seeds])
        return x * kept_NC.to(x.device, x.dtype)[:, :, None, None]

    def _kept(self, seed: int, channels: int) -> Tensor:
        """Factor of every channel (C,): 0, or what keeps the mean. Made on the CPU: every device gets the same."""
        generator = torch.Generator().manual_seed(seed)
        return (torch.rand(channels, generator=generator) >= self.p) / (1 - self.p)


def seed_dropout(network: nn.Module, seeds: Sequence[int]) -> None:
    """Give the samples of the next batch their seeds, for every dropout of the network another one made of them."""
    for number, layer in enumerate(_layers(network)):
        layer.seeds = tuple((seed * _MIX + number) & _SEED_BITS for seed in seeds)


def _layers(network: nn.Module) -> Iterator[SampleDropout2d]:
    return (module for module in network.modules() if isinstance(module, SampleDropout2d))

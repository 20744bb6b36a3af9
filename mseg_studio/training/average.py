"""A running average of the weights: better than the last ones, for the price of a copy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential average of parameters and norm statistics. Decay 0 keeps none: the weights stand for themselves."""

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        self._decay = decay
        self._average: dict[str, Tensor] = {}
        if decay:
            self._average = {key: value.clone() for key, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, *, step: int) -> None:
        """Take in the weights after step `step` (from 0); early steps count more, so that random weights fade."""
        if not self._average:
            return
        decay = min(self._decay, (1 + step) / (10 + step))
        floats = [key for key, value in self._average.items() if value.is_floating_point()]
        state = network.state_dict()
        torch._foreach_lerp_([self._average[key] for key in floats], [state[key] for key in floats], 1 - decay)
        for key in self._average.keys() - set(floats):
            self._average[key].copy_(state[key])

    @contextlib.contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """The network holds the averaged weights inside the block."""
        if not self._average:
            yield
            return
        own = {key: value.clone() for key, value in network.state_dict().items()}
        network.load_state_dict(self._average)
        try:
            yield
        finally:
            network.load_state_dict(own)

    def state(self) -> dict[str, Tensor]:
        """The averaged tensors; empty without an average."""
        return dict(self._average)

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Go on from `state()`. Raises ValueError when the keys differ."""
        if tensors.keys() != self._average.keys():
            raise ValueError("the averaged weights are of another network")
        for key, value in tensors.items():
            self._average[key].copy_(value)

"""The network of a run and the weights it begins with: chosen, strict, and said line by line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mseg_studio.errors import CheckpointError, ConfigError, nearest
from mseg_studio.networks.catalog import InstalledModel
from mseg_studio.networks.checkpoint import known_networks
from mseg_studio.networks.spec import NetworkSpec
from mseg_studio.networks.weights_file import read_checkpoint, read_weights
from mseg_studio.training.config import TrainConfig
from mseg_studio.training.head import Head
from mseg_studio.training.start_choice import start_of


@dataclass(frozen=True, slots=True)
class StartReport:
    """What became of every tensor, for the log."""

    lines: tuple[str, ...]


def find_network(name: str) -> NetworkSpec:
    """The network called `name`. Raises ConfigError with the nearest names."""
    networks = known_networks()
    if name not in networks:
        raise ConfigError(f"unknown network '{name}'{nearest(name, networks)}")
    return networks[name]


def build_network(config: TrainConfig, head: Head) -> nn.Module:
    """The network with random weights from the seed, on the CPU; torch's own generator is left as it was.

    Raises ConfigError for an unknown network and for crops that it does not take.
    """
    spec = find_network(config.network)
    try:
        spec.check_crop(config.augment.crop_px)
        spec.check_crop(config.card_crop_px)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(config.seed)
        network: nn.Module = spec.build(len(head.rows))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = config.optim.norm_momentum
    if config.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def load_start(network: nn.Module, config: TrainConfig, head: Head) -> StartReport:
    """Put the chosen weights into a network of `build_network`, on any device.

    Raises ConfigError and CheckpointError when nothing is chosen, or what is does not fit: every tensor is named.
    """
    chosen = start_of(config.start)
    if chosen is None:
        return StartReport((f"random weights from seed {config.seed}",))
    state = read_weights(chosen.weights_file) if isinstance(chosen, InstalledModel) else read_checkpoint(chosen)
    return _load(network, state, source=chosen if isinstance(chosen, Path) else chosen.weights_file)


def _load(network: nn.Module, state: Mapping[str, Tensor], *, source: Path) -> StartReport:
    own = network.state_dict()
    wrong = [key for key in own if key not in state or state[key].shape != own[key].shape]
    if wrong or len(state) != len(own):
        raise CheckpointError(f"does not fit: {', '.join(wrong[:6])}", path=source)
    network.load_state_dict(dict(state))
    return StartReport((f"{len(own)} tensors copied from {source.name}",))

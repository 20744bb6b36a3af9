"""What a run needs before its first step: configuration, data, network with its start, objective and optimizer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from mseg_studio.errors import ConfigError
from mseg_studio.progress import Cancelled, CancelToken
from mseg_studio.settings import available_cores
from mseg_studio.training.config import TrainConfig
from mseg_studio.training.data import TrainData
from mseg_studio.training.head import Head, head_of, resolved
from mseg_studio.training.losses import class_weights
from mseg_studio.training.objective import Objective
from mseg_studio.training.optim import build_optimizer
from mseg_studio.training.ranks import Ranks
from mseg_studio.training.sampler import check_batch
from mseg_studio.training.start import build_network, load_start
from mseg_studio.training.sync_norm import with_synchronised_norms
from mseg_studio.training.validation_data import ValidationData

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RunParts:
    """The parts of a run in one process, on its device."""

    config: TrainConfig
    """Resolved: every dataset's classes are named."""
    head: Head
    train: TrainData
    val: ValidationData
    network: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
    start_lines: tuple[str, ...]
    """What became of the weights that the run begins with; empty when a checkpoint is going to replace them."""

    @classmethod
    def load(cls, config: TrainConfig, ranks: Ranks, *, fresh: bool, cancel: CancelToken | None = None) -> RunParts:
        """Everything but what a checkpoint holds; `fresh` runs also get the weights they are to begin with.

        Raises ConfigError, TaxonomyError, DatasetError, CheckpointError; Cancelled in every process when `cancel` is
        set in one of them.
        """
        torch.set_num_threads(config.threads or max(1, available_cores() // ranks.local_world))
        config = resolved(config)
        head = head_of(config)
        check_batch(config, world=ranks.world)
        network = build_network(config, head)
        check_norms(network, config, world=ranks.world)
        lines = load_start(network, config, head).lines if fresh else ()
        cancel = cancel or CancelToken()
        train = _unless_cancelled(
            ranks, cancel, lambda: TrainData.open(config, head, cancel=cancel, processes=ranks.local_world)
        )
        val = ValidationData.open(config, head)
        weights_C = _class_weights(config, train, ranks, cancel)
        network = with_synchronised_norms(network.to(ranks.device), ranks, compiled=config.compile)
        objective = Objective(network, config, weights_C=weights_C).to(ranks.device)
        return cls(config, head, train, val, network, objective, build_optimizer(network, config.optim), lines)


def _class_weights(config: TrainConfig, train: TrainData, ranks: Ranks, cancel: CancelToken) -> Tensor | None:
    """Counted in one process for all: counting reads every label file."""
    if config.loss.class_weight_power == 0:
        return None
    counts = ranks.first_tells(lambda: _counts(train, cancel))
    pixels_C = torch.tensor(_unless_cancelled(ranks, cancel, lambda: counts), dtype=torch.int64)
    return class_weights(pixels_C, power=config.loss.class_weight_power, largest=config.loss.class_weight_max)


def _counts(train: TrainData, cancel: CancelToken) -> list[int] | None:
    try:
        counts: list[int] = train.class_pixels(cancel=cancel).tolist()
    except Cancelled:
        return None
    return counts


def _unless_cancelled(ranks: Ranks, cancel: CancelToken, act: Callable[[], _T | None]) -> _T:
    """What `act` gives. Raises Cancelled in every process when `cancel` is set in one: none waits for another."""
    value = None
    with contextlib.suppress(Cancelled):
        value = act()
    if ranks.any(value is None or cancel.cancelled) or value is None:
        raise Cancelled
    return value


def check_norms(network: nn.Module, config: TrainConfig, *, world: int) -> None:
    """Raise ConfigError where a norm would get one value a channel: an image averaged to a point, alone in its part."""
    to_a_point = any(
        isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)) for module in network.modules()
    )
    smallest = config.batch // (world * config.accumulate)
    if to_a_point and world == 1 and smallest < 2:
        raise ConfigError(
            f"batch {config.batch} with accumulate {config.accumulate} shows {config.network} one image at a time; its "
            "batch norm after the average over the whole image needs at least two: raise batch or lower accumulate"
        )

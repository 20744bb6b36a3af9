"""The optimizer of a run, and its state as named tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mseg_studio.training.config import OptimConfig

_SGD_MOMENTUM = 0.9


def build_optimizer(network: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """SGD or AdamW over all parameters; biases and norms without weight decay where the configuration says so."""
    decayed = [p for p in network.parameters() if p.ndim > 1 or config.decay_norms]
    others = [p for p in network.parameters() if p.ndim <= 1 and not config.decay_norms]
    groups = [{"params": decayed}]
    if others:
        groups.append({"params": others, "weight_decay": 0.0})  # type: ignore[dict-item]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay, fused=True)
    return torch.optim.SGD(groups, lr=config.lr, momentum=_SGD_MOMENTUM, weight_decay=config.weight_decay)


def optimizer_tensors(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What the optimizer remembers, as `<parameter>/<name>` to tensor."""
    return {
        f"{name}/{key}": value
        for name, parameter in network.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load_optimizer(network: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Go on from `optimizer_tensors`. Raises ValueError when a tensor belongs to no parameter."""
    parameters = dict(network.named_parameters())
    for full, value in tensors.items():
        name, _, key = full.rpartition("/")
        if name not in parameters:
            raise ValueError(f"the optimizer's state names '{name}', which the network does not have")
        own = parameters[name]
        # The layout must be the parameter's own: another one is slower, and sums in another order. The count of steps
        # lies where the parameter does, as the fused optimizers want it.
        laid_out = torch.empty_like(own).copy_(value) if value.ndim else value.to(own.device, copy=True)
        optimizer.state.setdefault(own, {})[key] = laid_out.detach()

"""Fold batch normalisation into the convolutions before it: the same answer in fewer passes over memory."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

_TOLERANCE = 1e-3
"""Largest difference of the logits, as a share of their spread, that still counts as rounding."""


def fold_batch_norm(network: nn.Module, *, side_px: int = 65) -> nn.Module:
    """A copy of `network` for inference whose batch normalisations are folded into their convolutions.

    With statistics frozen, normalising scales and shifts every channel, which weights and bias of the convolution can
    do as well. Which convolution feeds which normalisation is seen in one run on a square image of `side_px` (a side
    that the network takes), and the copy must answer like the original there. The copy shares the tensors that stay
    the same. Its keys are not the published ones: fold after loading, never before saving.

    Raises ValueError when the network is in training mode or does not answer the same when folded.
    """
    if network.training:
        raise ValueError("only a network in evaluation mode can be folded")
    kept = [*network.parameters(), *network.buffers()]
    folded = copy.deepcopy(network, {id(tensor): tensor for tensor in kept})
    first = next(network.parameters())
    generator = torch.Generator().manual_seed(0)
    image_NCHW = torch.randn(1, 3, side_px, side_px, generator=generator).to(first.device, first.dtype)
    with torch.inference_mode():
        pairs, expected = _pairs(folded, image_NCHW)
    for convolution, norm in pairs:
        _fold(folded.get_submodule(convolution), folded.get_submodule(norm))
        parent, _, child = norm.rpartition(".")
        setattr(folded.get_submodule(parent), child, nn.Identity())
    with torch.inference_mode():
        came = folded(image_NCHW)
    allowed = _TOLERANCE * max(1.0, float(expected.float().std()))
    if not torch.allclose(came.float(), expected.float(), rtol=_TOLERANCE, atol=allowed):
        raise ValueError("the network does not answer the same with its batch normalisation folded")
    return folded


def _pairs(network: nn.Module, image_NCHW: Tensor) -> tuple[list[tuple[str, str]], Tensor]:
    """Names of (convolution, normalisation) where the second takes just what the first gave, and the logits."""
    outputs: list[tuple[str, Tensor]] = []
    inputs: list[tuple[str, Tensor]] = []
    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(lambda _m, _i, out, name=name: outputs.append((name, out))))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(lambda _m, given, name=name: inputs.append((name, given[0]))))
    try:
        logits: Tensor = network(image_NCHW)
    finally:
        for hook in hooks:
            hook.remove()
    makers = {id(tensor): name for name, tensor in outputs}  # `outputs` keeps them alive, so ids stay unique
    pairs = [(makers[id(tensor)], name) for name, tensor in inputs if id(tensor) in makers]
    used = [name for name, _ in outputs] + [name for name, _ in inputs]
    return [pair for pair in pairs if used.count(pair[0]) == used.count(pair[1]) == 1], logits


def _fold(convolution: nn.Module, norm: nn.Module) -> None:
    """Give `convolution` new weights and bias that do the work of `norm` too; computed in float64."""
    if not isinstance(convolution, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
        raise TypeError("expected a convolution and a batch normalisation")
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch normalisation without running statistics cannot be folded")
    old = convolution.weight.detach()
    scale = 1.0 / torch.sqrt(norm.running_var.double() + norm.eps)
    shift = torch.zeros_like(scale)
    if norm.affine:
        scale, shift = scale * norm.weight.detach().double(), norm.bias.detach().double()
    bias = torch.zeros_like(scale) if convolution.bias is None else convolution.bias.detach().double()
    weight = old.double() * scale.view(-1, 1, 1, 1)
    convolution.weight = nn.Parameter(weight.to(old.dtype), requires_grad=False)
    folded_bias = shift + (bias - norm.running_mean.double()) * scale
    convolution.bias = nn.Parameter(folded_bias.to(old.dtype), requires_grad=False)

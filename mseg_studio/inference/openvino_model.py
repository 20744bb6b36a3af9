"""From a torch network to an OpenVINO model that takes crops of any size."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from mseg_studio.inference.engine import NetworkSource, is_out_of_memory
from mseg_studio.inference.openvino_runtime import openvino

_TRACE_STEPS, _CHECK_STEPS = 8, (5, 7)
"""Sides of the images that a network is traced and checked on, in steps of what it takes: small is quick."""


class ConversionError(RuntimeError):
    """A network that OpenVINO cannot take over; the reason in words."""


def converted(source: NetworkSource) -> Any:
    """An openvino.Model from float32 crops (N, 3, H, W) of any size to strided logits (N, h, w, classes) float32.

    Raises CheckpointError when the weights cannot be loaded, ConversionError for a network that cannot be converted.
    """
    network = _ChannelsLast(source.load()).eval()
    steps = source.spec.size_multiple
    try:
        traced = _traced(network, _TRACE_STEPS * steps + 1)
        model = openvino().convert_model(traced, input=[-1, 3, -1, -1])
        _check(traced, network, *(count * steps + 1 for count in _CHECK_STEPS))
    except Exception as error:  # OpenVINO's own errors have no common base, and networks may do anything
        if is_out_of_memory(error):
            raise
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise ConversionError(f"OpenVINO cannot convert {source.spec.name}: {lines[0][:200]}") from error
    return model


class _ChannelsLast(nn.Module):
    """Strided logits in the order that the passes after the network read them in."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, h, w, classes)."""
        logits: Tensor = self.network.strided_logits(images_NCHW)
        return logits.permute(0, 2, 3, 1)


@torch.inference_mode()
def _traced(network: nn.Module, side_px: int) -> Any:
    """The operations of `network` as a torch.jit module, seen on an image of one size.

    Tracing a function of it would be quicker, but torch keeps traced functions and their weights for ever.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit; OpenVINO reads nothing newer as quickly
        trace: Any = torch.jit.trace
        return trace(network, (_image(1, side_px, side_px),), check_trace=False)


@torch.inference_mode()
def _check(traced: Any, network: nn.Module, height: int, width: int) -> None:
    """Raise ValueError if the trace does other things than the network at another size."""
    images_NCHW = _image(2, height, width)
    with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        expected, came = network(images_NCHW), traced(images_NCHW)
    if came.shape != expected.shape or not torch.allclose(came, expected, rtol=1e-3, atol=1e-3 * float(expected.std())):
        raise ValueError("it does other things at another size")


def _image(count: int, height: int, width: int) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))

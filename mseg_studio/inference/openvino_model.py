"""From a torch network to an OpenVINO model that takes crops of any size."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from mseg_studio.inference.engine import NetworkSource
from mseg_studio.inference.openvino_runtime import openvino

_TRACE_STEPS, _CHECK_STEPS = 8, (5, 7)
"""Sides of the images that a network is traced and checked on, in steps of what it takes: small is quick."""


class ConversionError(RuntimeError):
    """A network that OpenVINO cannot take over; the reason in words."""


def converted(source: NetworkSource) -> Any:
    """An openvino.Model from float32 crops (N, 3, H, W) of any size to strided logits (N, h, w, classes) float32.

    Raises CheckpointError when the weights cannot be loaded, ConversionError for a network that cannot be converted.
    """
    network = source.load().eval().requires_grad_(False)
    step = source.spec.size_multiple
    try:
        traced = _traced(network, step)
        # Tracing has seen the network on one image at another size: nothing is left to be converted but operations.
        model = openvino().convert_model(traced, input=[-1, 3, -1, -1])
    except (RuntimeError, TypeError, ValueError, SystemError) as error:
        raise ConversionError(f"OpenVINO cannot convert {source.spec.name}: {_first_line(error)}") from error
    return model


@torch.inference_mode()
def _traced(network: Any, step: int) -> Any:
    """The operations of `network` as a torch.jit function. Raises ValueError if they are others at another size."""

    def channels_last(images_NCHW: Tensor) -> Tensor:
        logits: Tensor = network.strided_logits(images_NCHW)
        return logits.permute(0, 2, 3, 1)

    generator = torch.Generator().manual_seed(0)
    side = _TRACE_STEPS * step + 1
    image_NCHW = torch.randn(1, 3, side, side, generator=generator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit; OpenVINO reads nothing newer as quickly
        # A function, not the module: that would first be rebuilt part by part, which takes seconds.
        traced: Any = torch.jit.trace(channels_last, (image_NCHW,), check_trace=False)
    height, width = (steps * step + 1 for steps in _CHECK_STEPS)
    other_NCHW = torch.randn(2, 3, height, width, generator=generator)
    with torch.jit.optimized_execution(False):  # type: ignore[no-untyped-call]
        expected, came = channels_last(other_NCHW), traced(other_NCHW)
    if came.shape != expected.shape or not torch.allclose(came, expected, rtol=1e-3, atol=1e-3 * float(expected.std())):
        raise ValueError("it does other things at another size")
    return traced


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]

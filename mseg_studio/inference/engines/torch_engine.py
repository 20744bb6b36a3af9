"""Engine `torch`: CPU, CUDA and Apple's GPU."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from mseg_studio.inference.recipe import Precision
from mseg_studio.networks.folding import fold_batch_norm


class TorchEngine:
    """A torch network on one device. Half is bfloat16 where the device has it in hardware, else float16."""

    name = "torch"

    def __init__(self, network: nn.Module, *, device: torch.device, precision: Precision) -> None:
        if precision not in ("float32", "half"):
            raise ValueError(f"engine torch computes in float32 or half, got {precision}")
        self._device = device
        self._precision = precision
        self._dtype = _half_dtype(device) if precision == "half" else torch.float32
        self._layout = torch.channels_last if precision == "half" else torch.contiguous_format
        network = network.eval().requires_grad_(False)
        if precision == "half":
            # A copy: what was rounded to half cannot be made float32 again. Folded before rounding: fewer roundings.
            network = copy.deepcopy(fold_batch_norm(network))
        placed: Any = network.to(device=device, dtype=self._dtype)
        self._network: Any = placed.to(memory_format=self._layout)

    @property
    def device(self) -> torch.device:
        """Where its logits lie."""
        return self._device

    @property
    def precision(self) -> str:
        """float32 or half."""
        return self._precision

    @property
    def logits_dtype(self) -> torch.dtype:
        """bfloat16 where the network gives it: its upper half is all there is."""
        return torch.bfloat16 if self._dtype == torch.bfloat16 else torch.float32

    @torch.inference_mode()
    def logits_into(self, crops_NCHW: torch.Tensor, out_NhwC: torch.Tensor) -> None:
        """See `Engine`."""
        crops = crops_NCHW.to(device=self._device, dtype=self._dtype, memory_format=self._layout)
        logits_NhwC = self._network.strided_logits(crops).permute(0, 2, 3, 1)
        if logits_NhwC.shape != out_NhwC.shape:
            classes = f"{logits_NhwC.shape[-1]} classes, expected {out_NhwC.shape[-1]}"
            raise ValueError(f"the network gives {classes}; logits {tuple(logits_NhwC.shape)}")
        out_NhwC.copy_(logits_NhwC)

    def close(self) -> None:
        """Give the device's memory back."""
        self._network.to("cpu")


def _half_dtype(device: torch.device) -> torch.dtype:
    if device.type == "mps" or (device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)):
        return torch.float16
    return torch.bfloat16

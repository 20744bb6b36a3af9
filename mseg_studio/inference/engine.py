"""What every engine can do: normalised crops in, logits before the last upsampling out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from mseg_studio.networks.spec import NetworkSpec


@dataclass(frozen=True, eq=False, slots=True)
class NetworkSource:
    """Where an engine gets its network from: an engine that has its own copy on disk never loads it."""

    load: Callable[[], nn.Module]
    """The network in evaluation mode. Raises CheckpointError."""
    spec: NetworkSpec
    num_classes: int
    weights_sha256: str = ""
    """What an engine keeps on disk is kept under this; without it nothing is kept."""
    name: str = ""
    """The model's name, for messages."""


_MEMORY_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "Failed to allocate", "bad_alloc")
"""Of CUDA, torch's CPU allocator and OpenVINO."""


class Engine(Protocol):
    """A network on a device. One file each in `engines/`."""

    @property
    def name(self) -> str:
        """Name of the engine, for the sidecar and the badge: torch or openvino."""
        ...

    @property
    def precision(self) -> str:
        """Precision it computes in: float32, half or int8."""
        ...

    @property
    def device(self) -> torch.device:
        """Where its logits lie."""
        ...

    @property
    def logits_dtype(self) -> torch.dtype:
        """float32, or bfloat16 where nothing is lost by it."""
        ...

    def logits_into(self, crops_NCHW: torch.Tensor, out_NhwC: torch.Tensor) -> None:
        """Write the logits before the last upsampling of normalised float32 crops (N, 3, H, W), on the CPU or `device`.

        `out_NhwC` is contiguous (N, ceil(H / stride), ceil(W / stride), classes) of `logits_dtype` on `device`.
        Raises torch.OutOfMemoryError, or RuntimeError for the CPU's own allocator (see `is_out_of_memory`).
        """
        ...

    def close(self) -> None:
        """Give the device's memory back. The engine is not used afterwards."""
        ...


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, on whatever device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(words in text for words in _MEMORY_WORDS)

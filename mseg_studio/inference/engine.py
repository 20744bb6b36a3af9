"""What every engine can do: normalised crops in, logits before the last upsampling out."""

from __future__ import annotations

from typing import Protocol

import torch


class Engine(Protocol):
    """A network on a device. One file each in `engines/`."""

    @property
    def name(self) -> str:
        """Name of the engine, for the sidecar and the badge: torch."""
        ...

    @property
    def precision(self) -> str:
        """Precision it computes in: float32 or half."""
        ...

    @property
    def device(self) -> torch.device:
        """Where its logits lie."""
        ...

    def strided_logits(self, crops_NCHW: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, h, w) float32 of normalised float32 crops (N, 3, H, W) that lie on the CPU.

        Raises torch.OutOfMemoryError, or RuntimeError for the CPU's own allocator.
        """
        ...


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, on whatever device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(
        words in text for words in ("out of memory", "not enough memory", "can't allocate memory")
    )

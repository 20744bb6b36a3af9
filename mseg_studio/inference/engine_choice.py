"""Which engine runs a network, and making it."""

from __future__ import annotations

import torch

from mseg_studio.inference.engine import Engine, NetworkSource
from mseg_studio.inference.engines.torch_engine import TorchEngine
from mseg_studio.inference.recipe import Precision


def make_engine(
    source: NetworkSource,
    device: torch.device,
    precision: Precision,
    *,
    threads: int | None = None,
    setting: str = "auto",
) -> Engine:
    """The engine that `setting` (auto or torch) means on `device`, ready to run.

    Raises CheckpointError when the network cannot be loaded.
    """
    return TorchEngine(source.load(), device=device, precision=precision)

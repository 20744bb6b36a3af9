"""Networks of known architectures with random weights, each made once."""

from __future__ import annotations

from functools import lru_cache

import torch

from mseg_studio.networks.spec import NetworkSpec

NUM_CLASSES = 7


@lru_cache(maxsize=1)
def small_network(spec: NetworkSpec) -> torch.nn.Module:
    """In evaluation mode, for `NUM_CLASSES` classes."""
    torch.manual_seed(0)
    module: torch.nn.Module = spec.build(NUM_CLASSES)
    return module.eval().requires_grad_(False)

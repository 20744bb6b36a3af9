"""The tiny golden network as one of the known ones, so that a whole import takes a moment."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

import pytest
import torch

from mseg_studio.networks import checkpoint
from tests.goldens.weights import TINY, golden_state


@pytest.fixture(scope="session")
def tiny_state() -> MappingProxyType[str, torch.Tensor]:
    """Golden weights of the tiny network, 194 classes."""
    return MappingProxyType(golden_state("tiny"))


@pytest.fixture(autouse=True)
def _tiny_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = {TINY.name: TINY, **checkpoint.known_networks()}
    monkeypatch.setattr(checkpoint, "known_networks", lambda: networks)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Layers this small cost more in waiting for the other thread than in work, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

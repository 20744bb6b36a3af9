"""Worker clients that are closed after each test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the child finds echo_worker there: it gets the parent's search path

from listened import Listened


@pytest.fixture
def make_client() -> Iterator[Callable[..., Listened]]:
    made: list[Listened] = []

    def make(**options: Any) -> Listened:
        made.append(Listened(**options))
        made[-1].client.start()
        return made[-1]

    yield make
    for listened in made:
        listened.client.close()

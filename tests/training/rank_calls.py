"""One function in several real processes that reduce over gloo: for what must be the same on any number of them."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.training.processes import codes, ranks_of


def call_in_ranks(world: int, function: Callable[..., Any], folder: Path) -> list[Any]:
    """`function(folder, ranks)` of a test module in `world` processes: its JSON values by rank."""
    for rank in range(world):
        (folder / f"value{rank}.json").unlink(missing_ok=True)
    arguments = ["-m", "tests.training.rank_calls", function.__module__, function.__name__, str(folder)]
    with ranks_of(arguments, world=world) as processes:
        assert codes(processes) == [0] * world
    return [json.loads((folder / f"value{rank}.json").read_text()) for rank in range(world)]


def _main() -> None:
    import torch

    from mseg_studio.training.ranks import Ranks

    torch.set_num_threads(1)
    module, name, folder = sys.argv[1:]
    ranks = Ranks.start("cpu")
    value = getattr(importlib.import_module(module), name)(Path(folder), ranks)
    (Path(folder) / f"value{ranks.rank}.json").write_text(json.dumps(value))
    ranks.barrier()
    ranks.close()


if __name__ == "__main__":
    _main()

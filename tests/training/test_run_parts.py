from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mseg_studio.errors import ConfigError
from mseg_studio.progress import Cancelled, CancelToken
from mseg_studio.training.ranks import Ranks
from mseg_studio.training.run_parts import RunParts
from tests.training.factory import make_config, make_dataset, make_datasets
from tests.training.thread_ranks import in_threads


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_everything_of_a_run(tmp_path: Path) -> None:
    config = make_config(datasets=make_datasets(tmp_path))
    parts = RunParts.load(config, Ranks(), fresh=True)
    assert parts.head.trained == parts.head.rows
    assert set(parts.head.rows) == {"sky", "road", "car"}
    assert len(parts.train.splits) == 2
    assert len(parts.val) == 8
    assert "random weights from seed 1" in parts.start_lines[0]
    assert parts.objective.weights_C is not None
    assert parts.objective.network is parts.network
    assert torch.get_num_threads() == 1
    assert RunParts.load(config, Ranks(), fresh=False).start_lines == ()


def test_class_weights_are_counted_once_for_all(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path))
    alone = RunParts.load(config, Ranks(), fresh=True).objective.weights_C
    for parts in in_threads(2, lambda ranks: RunParts.load(config, ranks, fresh=True)):
        assert alone is not None
        assert parts.objective.weights_C is not None
        assert torch.equal(parts.objective.weights_C, alone)


def test_a_stop_in_one_process_while_loading_is_everybodys(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path))

    def load(ranks: Ranks) -> str:
        cancel = CancelToken()
        if ranks.rank == 1:
            cancel.cancel()
        with pytest.raises(Cancelled):
            RunParts.load(config, ranks, fresh=True, cancel=cancel)
        return "cancelled"

    assert in_threads(2, load) == ["cancelled"] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 1}, "batch 1 with accumulate 1 shows pspnet-50 one image at a time"),
        ({"batch": 3, "accumulate": 2}, "at least two: raise batch or lower accumulate"),
        ({"batch": 2, "accumulate": 3}, "too small for 1 process with accumulate 3"),
    ],
)
def test_a_pyramid_that_would_average_to_a_single_value_is_refused_early(
    tmp_path: Path, change: dict[str, int], message: str
) -> None:
    config = make_config(make_dataset(tmp_path), network="pspnet-50", **change)
    with pytest.raises(ConfigError, match=message):
        RunParts.load(config, Ranks(), fresh=True)


def test_a_batch_too_small_for_the_processes_is_refused(tmp_path: Path) -> None:
    config = dataclasses.replace(make_config(make_dataset(tmp_path)), batch=2)

    def load(ranks: Ranks) -> None:
        with pytest.raises(ConfigError, match="batch 2 is too small for 3 processes"):
            RunParts.load(config, ranks, fresh=True)

    in_threads(3, load)

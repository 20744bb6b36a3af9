from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mseg_studio.errors import ConfigError
from mseg_studio.training.config import DatasetConfig, TrainConfig
from mseg_studio.training.sampler import Draw, check_batch, draw_index, draw_random, draws_of
from tests.training.factory import CLASSES, make_config


def _config(datasets: int, each: int, accumulate: int = 1) -> TrainConfig:
    some = tuple(DatasetConfig("x.yaml", name=f"d{number}", classes=CLASSES) for number in range(datasets))
    return make_config(datasets=some, batch=datasets * each, accumulate=accumulate)


def _flat(parts: tuple[tuple[Draw, ...], ...]) -> list[Draw]:
    return [draw for part in parts for draw in part]


@given(size=st.integers(1, 50), epoch=st.integers(0, 1000), seed=st.integers(0, 2**40))
def test_every_image_comes_once_an_epoch(size: int, epoch: int, seed: int) -> None:
    drawn = [draw_index(seed, "d", n=epoch * size + k, size=size) for k in range(size)]
    assert sorted(drawn) == list(range(size))


def test_streams_differ_by_seed_dataset_and_draw() -> None:
    streams = [(1, "a", 0), (2, "a", 0), (1, "b", 0), (1, "a", 1)]
    assert len({draw_random(seed, name, n=n).random() for seed, name, n in streams}) == 4
    epochs = {tuple(draw_index(1, "a", n=20 * epoch + k, size=20) for k in range(20)) for epoch in range(5)}
    assert len(epochs) == 5


@given(datasets=st.integers(1, 7), each=st.integers(1, 12), step=st.integers(0, 10**6))
def test_a_step_has_equal_parts_of_all_datasets_grouped(datasets: int, each: int, step: int) -> None:
    draws = _flat(draws_of(_config(datasets, each), step))
    assert [draw.slot for draw in draws] == list(range(datasets * each))
    assert [draw.dataset for draw in draws] == [number for number in range(datasets) for _ in range(each)]
    for number in range(datasets):
        assert [d.n for d in draws if d.dataset == number] == list(range(step * each, (step + 1) * each))


@given(
    datasets=st.integers(1, 7),
    each=st.integers(1, 12),
    world=st.integers(1, 9),
    accumulate=st.integers(1, 5),
    step=st.integers(0, 10**6),
)
def test_any_number_of_processes_and_parts_gives_the_same_batch(
    datasets: int, each: int, world: int, accumulate: int, step: int
) -> None:
    config = _config(datasets, each, accumulate)
    assume(config.batch >= world * accumulate)
    alone = _flat(draws_of(dataclasses.replace(config, accumulate=1), step))
    ranks = [draws_of(config, step, rank=rank, world=world) for rank in range(world)]
    assert [draw for parts in ranks for draw in _flat(parts)] == alone
    assert all(len(parts) == accumulate and all(parts) for parts in ranks), "no part is empty"
    sizes = [len(_flat(parts)) for parts in ranks]
    assert max(sizes) - min(sizes) <= 1


def test_steps_share_no_draw_and_leave_none_out() -> None:
    config = _config(2, 3)
    draws = [draw for step in range(4) for draw in _flat(draws_of(config, step))]
    assert sorted(draw.n for draw in draws if draw.dataset == 1) == list(range(12))


@pytest.mark.parametrize(("world", "accumulate"), [(5, 1), (1, 5), (2, 3)])
def test_a_batch_that_leaves_a_process_without_samples_is_refused(world: int, accumulate: int) -> None:
    config = _config(2, 2, accumulate)
    with pytest.raises(ConfigError, match=rf"batch 4 is too small .* take batch {world * accumulate} or more"):
        check_batch(config, world=world)
    with pytest.raises(ConfigError, match="batch 4 is too small"):
        draws_of(config, 0, rank=0, world=world)


def test_another_process_draws_the_same() -> None:
    """Python's own hash is salted: a sampler on top of it could not resume."""
    code = (
        "from mseg_studio.training.sampler import *;"
        "print([draw_index(7, 'x', n=n, size=9) for n in range(20)], draw_random(7, 'x', n=3).random())"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    here = f"{[draw_index(7, 'x', n=n, size=9) for n in range(20)]} {draw_random(7, 'x', n=3).random()}"
    assert run.stdout.strip() == here


@pytest.mark.parametrize(("n", "size"), [(-1, 3), (0, 0)])
def test_misuse(n: int, size: int) -> None:
    with pytest.raises(ValueError, match="draw"):
        draw_index(1, "a", n=n, size=size)

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mseg_studio.training.sampler import batch_draws, draw_index, draw_random


@given(size=st.integers(1, 50), epoch=st.integers(0, 1000), seed=st.integers(0, 2**40))
def test_every_image_comes_once_an_epoch(size: int, epoch: int, seed: int) -> None:
    drawn = [draw_index(seed, "d", n=epoch * size + k, size=size) for k in range(size)]
    assert sorted(drawn) == list(range(size))


def test_streams_differ_by_seed_dataset_and_draw() -> None:
    streams = [(1, "a", 0), (2, "a", 0), (1, "b", 0), (1, "a", 1)]
    assert len({draw_random(seed, name, n=n).random() for seed, name, n in streams}) == 4
    epochs = {tuple(draw_index(1, "a", n=20 * epoch + k, size=20) for k in range(20)) for epoch in range(5)}
    assert len(epochs) == 5


def test_steps_share_no_draw_and_leave_none_out() -> None:
    assert [n for step in range(4) for n in batch_draws(step, 3)] == list(range(12))


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

"""A run that was killed and continued gives the bits of one that was not; on other processes the same step."""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mseg_studio.progress import CancelToken
from mseg_studio.training.checkpoint import RunState, load_checkpoint, load_newest
from mseg_studio.training.loop import TrainLoop
from mseg_studio.training.metrics_log import MetricsLog, read_metrics
from mseg_studio.training.ranks import Ranks
from mseg_studio.training.run_folder import RunFolder
from tests.training.factory import make_config, make_datasets
from tests.training.processes import codes, ranks_of, train, wait_for
from tests.training.thread_ranks import in_threads

_NEVER_THE_SAME = {"time", "images_per_s", "data_wait", "memory_bytes", "seconds_left"}


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Twenty steps on two processes, with uneven shares of a batch of two datasets."""
    base = tmp_path_factory.mktemp("straight")
    config = make_config(
        datasets=make_datasets(base), steps=20, batch=10, log_every=1, validate_every=10, save_every=10
    )
    folder = RunFolder.create(base / "run", config)
    assert train(folder.path, world=2) == [0, 0]
    return folder


def _said(folder: RunFolder, *kinds: str) -> list[dict[str, Any]]:
    """Events as far as two runs of one configuration agree on them."""
    return [
        {key: value for key, value in event.items() if key not in _NEVER_THE_SAME}
        for event in read_metrics(folder.metrics_file)
        if event["event"] in kinds
    ]


def _assert_same_bits(one: RunState, two: RunState) -> None:
    assert (one.step, one.best) == (two.step, two.best)
    for part in ("network", "average", "optimizer"):
        first, second = getattr(one, part), getattr(two, part)
        assert first
        assert first.keys() == second.keys()
        assert [key for key in first if not torch.equal(first[key], second[key])] == [], part


def _steps(folder: RunFolder) -> list[int]:
    return [event["step"] for event in read_metrics(folder.metrics_file) if event["event"] == "step"]


def test_twenty_steps_are_ten_a_kill_and_ten(tmp_path: Path, straight: RunFolder) -> None:
    folder = RunFolder.create(tmp_path / "run", straight.config())
    with ranks_of(["-m", "mseg_studio.training.worker", str(folder.path)], world=2) as processes:
        wait_for(lambda: bool(_steps(folder)) and _steps(folder)[-1] >= 12, "step 12")
        for process in processes:
            process.send_signal(signal.SIGKILL)
        assert codes(processes) == [-signal.SIGKILL] * 2
    assert not folder.result_file.exists()
    assert train(folder.path, world=2) == [0, 0]
    for name in ("00000020", "best"):
        _assert_same_bits(load_checkpoint(folder.checkpoints / name), load_checkpoint(straight.checkpoints / name))
    for kind in ("step", "validation", "save"):
        assert _said(folder, kind) == _said(straight, kind)
    (resumed,) = _said(folder, "resume")
    assert (resumed["step"], resumed["complaints"]) == (10, [])


@pytest.mark.parametrize("world", [1, 3])
def test_on_other_processes_it_goes_on_with_the_same_samples(tmp_path: Path, straight: RunFolder, world: int) -> None:
    """From step 10, where two processes left it: the next losses are those of two processes."""
    shutil.copytree(straight.path, tmp_path / "run")
    folder = RunFolder.open(tmp_path / "run")
    shutil.rmtree(folder.checkpoints / "00000020")

    def go_on(ranks: Ranks) -> None:
        log = contextlib.closing(MetricsLog(folder.metrics_file)) if ranks.is_first else contextlib.nullcontext()
        with log as writer:
            loop = TrainLoop(folder, folder.config(), log=writer, ranks=ranks)
            assert loop.step == 10
            stop = _StopAt(loop, 11)
            assert not loop.run(stop)

    in_threads(world, go_on)
    mine, theirs = (next(event for event in _said(run, "step") if event["step"] == 11) for run in (folder, straight))
    assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
    assert mine["loss_by_dataset"] == pytest.approx(theirs["loss_by_dataset"], rel=1e-4)


class _StopAt(CancelToken):
    def __init__(self, loop: TrainLoop, step: int) -> None:
        super().__init__()
        self._loop, self._step = loop, step

    @property
    def cancelled(self) -> bool:
        return self._loop.step >= self._step


def test_the_newest_checkpoint_that_verifies_serves(tmp_path: Path, straight: RunFolder) -> None:
    shutil.copytree(straight.path, tmp_path / "run")
    folder = RunFolder.open(tmp_path / "run")
    weights = folder.checkpoints / "00000020" / "network.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with contextlib.closing(MetricsLog(folder.metrics_file)) as log:
        loop = TrainLoop(folder, folder.config(), log=log)
    assert loop.step == 10
    (resumed,) = _said(folder, "resume")
    assert "network.safetensors is damaged" in resumed["complaints"][0]
    assert "network.safetensors is damaged" in folder.rank_log(0).read_text(encoding="utf-8")
    state, _ = load_newest(folder.checkpoints)
    assert state is not None
    assert state.step == 10

from __future__ import annotations

import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from mseg_studio.errors import ConfigError, MSegStudioError
from mseg_studio.training.config import DatasetConfig, TrainConfig
from mseg_studio.training.data import Crop, TrainData
from mseg_studio.training.head import head_of, resolved
from mseg_studio.training.loader import CropLoader
from mseg_studio.training.sampler import Draw, draws_of
from tests.training.factory import CLASSES, make_config, make_dataset

_LIMIT_S = 60.0


def _open(config: TrainConfig) -> TrainData:
    config = resolved(config)
    return TrainData.open(config, head_of(config))


def _crop_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("crops-")]


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_are_the_draws_in_order(tmp_path: Path, workers: int) -> None:
    config = make_config(make_dataset(tmp_path), steps=6, batch=5, workers=workers, accumulate=2)
    data = _open(config)
    with CropLoader(data, config, first_step=2) as loader:
        batches = list(loader)
    assert [batch.step for batch in batches] == [2, 3, 4, 5]
    for batch in batches:
        assert tuple(part.draws for part in batch.parts) == draws_of(config, batch.step)
        assert batch.wait_s >= 0
        for part in batch.parts:
            assert part.pixels_NHW3.shape == (len(part.draws), 33, 33, 3)
            for row, draw in enumerate(part.draws):
                crop = data.crop(draw)
                assert np.array_equal(part.pixels_NHW3[row], crop.pixels_HW3)
                assert np.array_equal(part.labels_NHW[row], crop.labels_HW)
                assert part.names[row] == crop.name
    assert _crop_threads() == []


def test_processes_share_a_step_out(tmp_path: Path) -> None:
    one, two = (make_dataset(tmp_path / name) for name in ("one", "two"))
    datasets = tuple(DatasetConfig(str(path), name=path.parent.name, classes=CLASSES) for path in (one, two))
    config = make_config(datasets=datasets, steps=2, batch=10)
    data = _open(config)
    with CropLoader(data, config) as loader:
        (alone,) = loader.next().parts
    pixels, names = [], []
    for rank in range(3):
        with CropLoader(data, config, rank=rank, world=3) as loader:
            (part,) = loader.next().parts
            pixels.append(part.pixels_NHW3)
            names += part.names
    assert np.array_equal(np.concatenate(pixels), alone.pixels_NHW3)
    assert tuple(names) == alone.names
    assert [name.split("/")[0] for name in names] == ["one"] * 5 + ["two"] * 5


class _Slow:
    """Data whose crops are made one at a time, by hand."""

    label_type = np.dtype(np.uint8)

    def __init__(self) -> None:
        self.allowed = threading.Semaphore(0)
        self.begun: list[Draw] = []
        self.bad_n = -1

    def crop(self, draw: Draw) -> Crop:
        self.begun.append(draw)
        if draw.n == self.bad_n:
            raise MSegStudioError("gone", path="x.png")
        assert self.allowed.acquire(timeout=_LIMIT_S)
        return Crop(np.full((33, 33, 3), draw.n % 256, np.uint8), np.zeros((33, 33), np.uint8), "x")


def _wait_until(holds) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_no_more_than_a_few_steps_are_made_ahead() -> None:
    config = make_config(steps=100, batch=4, workers=2)
    data = _Slow()
    data.allowed.release(1000)
    with CropLoader(data, config) as loader:
        _wait_until(lambda: len(data.begun) == 8)
        loader.next()
        _wait_until(lambda: len(data.begun) == 12)
        assert _settled(data) == 12


def _settled(data: _Slow) -> int:
    """How many crops are begun once all threads wait."""
    before = -1
    while before != len(data.begun):
        before = len(data.begun)
        time.sleep(0.05)
    return before


def test_small_batches_keep_all_threads_busy() -> None:
    data = _Slow()
    with CropLoader(data, make_config(steps=100, batch=2, workers=5)):
        _wait_until(lambda: len(data.begun) == 5)
        data.allowed.release(1000)


def test_waiting_is_measured() -> None:
    data = _Slow()
    with CropLoader(data, make_config(steps=3, batch=2, workers=1)) as loader:
        timer = threading.Timer(0.2, data.allowed.release, args=(100,))
        timer.start()
        assert loader.next().wait_s >= 0.1
        timer.join()


def test_an_error_comes_with_its_step_and_ends_the_threads() -> None:
    data = _Slow()
    data.bad_n = 5
    data.allowed.release(1000)
    config = make_config(steps=50, batch=2, workers=2)
    with pytest.raises(MSegStudioError, match=r"x\.png: gone"), CropLoader(data, config) as loader:
        assert [loader.next().step for _ in range(2)] == [0, 1]
        loader.next()
    assert _crop_threads() == []


def test_what_breaks_outside_of_a_crop_is_no_endless_wait(monkeypatch) -> None:
    data = _Slow()
    data.allowed.release(1000)

    def no_memory(*_: object) -> None:
        raise MemoryError("no room for a batch")

    with CropLoader(data, make_config(steps=50, batch=2, workers=2)) as loader:
        loader.next()
        monkeypatch.setattr("mseg_studio.training.loader._Coming", no_memory)
        with pytest.raises(MemoryError, match="no room"):
            for _ in range(20):
                loader.next()
    assert _crop_threads() == []


def test_a_thread_that_hangs_does_not_hold_up_the_end(monkeypatch) -> None:
    monkeypatch.setattr("mseg_studio.training.loader._PATIENCE_S", 0.05)
    data = _Slow()
    with CropLoader(data, make_config(steps=50, batch=2, workers=1)):
        _wait_until(lambda: len(data.begun) == 1)
    data.allowed.release(1000)
    _wait_until(lambda: _crop_threads() == [])


def test_a_file_that_vanishes_while_it_runs_is_named(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path, images=9), steps=50)
    data = TrainData.open(config, head_of(config), cache_bytes=0)
    with CropLoader(data, config) as loader:
        loader.next()
        (tmp_path / "train" / "a_4.png").unlink()
        with pytest.raises(MSegStudioError, match=r"train/a_4\.png: "):
            for _ in range(20):
                loader.next()


def test_leaving_early_leaves_no_thread_and_opencv_as_it_was(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path), steps=1000, workers=3)
    before = cv2.getNumThreads()
    with CropLoader(_open(config), config) as loader:
        loader.next()
        assert len(_crop_threads()) == 3
        assert cv2.getNumThreads() == 1
    assert _crop_threads() == []
    assert cv2.getNumThreads() == before
    with pytest.raises(ValueError, match="not open"):
        loader.next()


def test_behind_the_last_step_there_is_nothing(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path), steps=1)
    with CropLoader(_open(config), config) as loader:
        loader.next()
        with pytest.raises(ValueError, match="the run has 1 steps"):
            loader.next()


def test_a_batch_too_small_for_the_processes_is_refused(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path), batch=2)
    with pytest.raises(ConfigError, match="batch 2 is too small for 3 processes"):
        CropLoader(_open(config), config, rank=0, world=3)

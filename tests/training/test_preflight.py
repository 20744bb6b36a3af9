from __future__ import annotations

import os
import time

import pytest

from mseg_studio.errors import RunFailed
from mseg_studio.progress import Cancelled, CancelToken, Progress
from mseg_studio.training import preflight
from mseg_studio.training.launcher import LaunchPlan
from mseg_studio.training.preflight import measure
from mseg_studio.training.runs import runs_folder
from tests.training.factory import make_config, make_dataset


def step(number: int, rate: float, at: float) -> dict:
    return {"event": "step", "step": number, "images_per_s": rate, "time": at}


def test_the_first_step_and_slow_ones_do_not_count():
    config = make_config(batch=4)
    assert preflight._step_s([step(1, 0.1, 0), step(2, 2.0, 0)], config) == pytest.approx(2.0)
    many = [step(1, 0.1, 0), step(2, 1.0, 0), step(3, 4.0, 0), step(4, 4.0, 0), step(5, 2.0, 0)]
    assert preflight._step_s(many, config) == pytest.approx(1.0)
    assert preflight._step_s([step(1, 0.5, 0)], config) == pytest.approx(8.0)
    assert preflight._step_s([], config) is None


def test_a_validation_is_reckoned_from_the_images_that_were_looked_at():
    config = make_config()
    told = {"step": [step(1, 1, 3.0), step(2, 1, 5.0)], "validation": [{"step": 2, "time": 6.5}]}
    assert preflight._validation_s(told, config, 2, 100) == pytest.approx(1.5 * 50)
    assert preflight._validation_s(told, config, 2, 1) == pytest.approx(1.5)
    assert preflight._validation_s({"step": told["step"], "validation": []}, config, 2, 100) is None


def test_cancelled_at_once_leaves_nothing(tmp_path):
    cancel = CancelToken()
    told: list[Progress] = []

    def show(progress: Progress) -> None:
        told.append(progress)
        cancel.cancel()

    config = make_config(make_dataset(tmp_path))
    with pytest.raises(Cancelled):
        measure(config, LaunchPlan(tmp_path), validate_images=3, on_progress=show, cancel=cancel)
    assert told and list((runs_folder() / ".preflight").iterdir()) == []


def test_a_dry_run_that_fails_advises_nothing_about_a_folder_that_is_gone(tmp_path):
    config = make_config(make_dataset(tmp_path), device="cuda:99")
    with pytest.raises(RunFailed, match=r"rank 0: .*cuda:99") as caught:
        measure(
            config, LaunchPlan(tmp_path), validate_images=3, on_progress=lambda progress: None, cancel=CancelToken()
        )
    assert "esume" not in str(caught.value) and "folder" not in str(caught.value)


def test_what_a_killed_dry_run_left_is_swept_later(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    os.utime(old, (time.time() - 7200,) * 2)
    preflight._sweep(tmp_path)
    preflight._sweep(tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]

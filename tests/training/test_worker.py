from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mseg_studio.training.checkpoint import load_newest
from mseg_studio.training.config_file import save_config
from mseg_studio.training.data import TrainData
from mseg_studio.training.metrics_log import read_metrics
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.worker import EXIT_STOPPED, main
from tests.training.factory import make_config, make_dataset
from tests.training.processes import LIMIT_S, wait_for


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """A run sets the threads of its process, which here is everybody's."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


def test_the_worker_says_how_it_ended(tmp_path: Path, description: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder.create(tmp_path / "good", make_config(description, steps=2))
    assert main([str(folder.path)]) == 0
    result = json.loads(folder.result_file.read_text(encoding="utf-8"))
    assert (result["status"], result["step"], result["best"]["step"]) == ("finished", 2, 2)
    bad = RunFolder.create(tmp_path / "bad", make_config(tmp_path / "nothing.yaml"))
    assert main([str(bad.path)]) == 1
    result = json.loads(bad.result_file.read_text(encoding="utf-8"))
    assert result["status"] == "failed"
    assert "nothing.yaml" in result["reason"]
    assert main([str(tmp_path / "no-run")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "no config.yaml" in lines[1]
    assert "finished at step 2" in (folder.path / "log" / "rank0.txt").read_text(encoding="utf-8")
    assert "Traceback" in (bad.path / "log" / "rank0.txt").read_text(encoding="utf-8")


@pytest.mark.skipif(os.name != "posix", reason="no SIGTERM")
def test_a_signal_saves_and_leaves(tmp_path: Path, description: Path) -> None:
    config = make_config(description, steps=100_000, validate_every=100_000, save_every=100_000)
    folder = RunFolder.create(tmp_path, config)
    process = subprocess.Popen([sys.executable, "-m", "mseg_studio.training.worker", str(tmp_path)])
    try:
        wait_for(lambda: any(event["event"] == "step" for event in read_metrics(folder.metrics_file)), "a step")
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == EXIT_STOPPED
    finally:
        process.kill()
        process.wait()
    result = json.loads(folder.result_file.read_text(encoding="utf-8"))
    assert result["status"] == "stopped"
    state, _ = load_newest(folder.checkpoints)
    assert state is not None
    assert state.step == result["step"] >= 5


def test_a_rank_says_what_it_is_and_how_it_ended(tmp_path: Path, description: Path) -> None:
    folder = RunFolder.create(tmp_path, make_config(description, steps=1))
    (tmp_path / "ranks" / "1.json").write_text("{}")  # of an earlier start on two processes
    assert main([str(tmp_path)]) == 0
    rank, launch = (json.loads(path.read_text(encoding="utf-8")) for path in (folder.rank_file(0), folder.launch_file))
    assert (rank["pid"], rank["device"]) == (os.getpid(), "cpu")
    assert (rank["ended"]["status"], rank["ended"]["step"], rank["ended"]["lost_others"]) == ("finished", 1, False)
    assert (launch["pid"], launch["engine"], launch["world_size"]) == (os.getpid(), "single", 1)
    assert not folder.rank_file(1).exists()


def test_a_stop_before_the_first_step_is_a_stop(
    tmp_path: Path, description: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for while files are listed; after a resume the run is still where its checkpoint was."""
    folder = RunFolder.create(tmp_path, make_config(description, steps=2))
    assert main([str(tmp_path)]) == 0
    open_data = TrainData.open

    def asked_meanwhile(*arguments: Any, **more: Any) -> TrainData:
        signal.raise_signal(signal.SIGTERM)
        return open_data(*arguments, **more)

    monkeypatch.setattr(TrainData, "open", asked_meanwhile)
    assert main([str(tmp_path)]) == EXIT_STOPPED
    result = json.loads(folder.result_file.read_text(encoding="utf-8"))
    assert (result["status"], result["step"]) == ("stopped", 2)


def test_a_configuration_can_be_given(tmp_path: Path, description: Path) -> None:
    save_config(tmp_path / "recipe.yaml", make_config(description, steps=1))
    assert main([str(tmp_path / "run"), "--config", str(tmp_path / "recipe.yaml")]) == 0
    assert RunFolder.open(tmp_path / "run").config().steps == 1


def test_memory_that_is_not_there_is_told_with_advice(
    tmp_path: Path, description: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB\nmore lines")

    monkeypatch.setattr("mseg_studio.training.step.TrainStep.take", run_out)
    folder = RunFolder.create(tmp_path, make_config(description))
    assert main([str(tmp_path)]) == 1
    reason = json.loads(folder.result_file.read_text(encoding="utf-8"))["reason"]
    assert reason.startswith("out of memory: lower batch or augment.crop_px, or raise accumulate (CUDA out of memory")
    assert "\n" not in reason

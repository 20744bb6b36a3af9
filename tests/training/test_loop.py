from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mseg_studio.errors import ConfigError, RunFailed
from mseg_studio.progress import Cancelled, CancelToken
from mseg_studio.settings import user_folder
from mseg_studio.training.checkpoint import RunState, load_newest
from mseg_studio.training.config import DatasetConfig, LossConfig, OptimConfig
from mseg_studio.training.export import CardTexts, export_model
from mseg_studio.training.loop import MAX_BAD_STEPS, TrainLoop
from mseg_studio.training.metrics_log import MetricsLog, read_metrics
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.worker import EXIT_STOPPED, main
from tests.training.factory import make_config, make_dataset, with_dataset


class _StopAt(CancelToken):
    """Asks to stop when it has been polled `polls` times."""

    def __init__(self, polls: int) -> None:
        super().__init__()
        self._left = polls

    @property
    def cancelled(self) -> bool:
        self._left -= 1
        return self._left < 0


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """A run sets the threads of its process, which here is everybody's."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


def _train(folder: RunFolder, stop: CancelToken | None = None) -> bool:
    with contextlib.closing(MetricsLog(folder.metrics_file)) as log:
        return TrainLoop(folder, folder.config(), log=log).run(stop or CancelToken())


def _newest(folder: RunFolder) -> RunState:
    state, complaints = load_newest(folder.checkpoints)
    assert state is not None
    assert complaints == []
    return state


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_run_that_was_stopped_ends_with_the_same_bits(tmp_path: Path, description: Path, optimizer: str) -> None:
    config = make_config(description)
    config = dataclasses.replace(config, optim=dataclasses.replace(config.optim, optimizer=optimizer))
    straight, broken = (RunFolder.create(tmp_path / name, config) for name in ("straight", "broken"))
    assert _train(straight)
    assert not _train(broken, _StopAt(6))
    assert _newest(broken).step == 6
    assert _train(broken)
    one, two = _newest(straight), _newest(broken)
    assert one.step == two.step == config.steps
    for part in ("network", "average", "optimizer"):
        first, second = getattr(one, part), getattr(two, part)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), part
    assert one.best == two.best


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path, description: Path) -> None:
    config = make_config(description, steps=8)
    straight, broken = (RunFolder.create(tmp_path / name, config) for name in ("straight", "broken"))
    _train(straight)

    class Killed(BaseException):
        pass

    class KillAt(_StopAt):
        @property
        def cancelled(self) -> bool:
            if super().cancelled:
                raise Killed
            return False

    with pytest.raises(Killed):
        _train(broken, KillAt(7))
    assert _newest(broken).step == 5
    _train(broken)
    one, two = _newest(straight), _newest(broken)
    assert all(torch.equal(one.network[key], two.network[key]) for key in one.network)
    events = read_metrics(broken.metrics_file)
    assert [event["step"] for event in events if event["event"] == "step"] == [5, 8]
    losses = [[e["loss"] for e in read_metrics(f.metrics_file) if e["event"] == "step"] for f in (straight, broken)]
    assert losses[0] == losses[1]


def test_it_learns(tmp_path: Path, description: Path) -> None:
    config = make_config(description, steps=40, validate_every=40, save_every=40)
    folder = RunFolder.create(tmp_path, config)
    assert _train(folder)
    events = read_metrics(folder.metrics_file)
    losses = [event["loss"] for event in events if event["event"] == "step"]
    assert losses[-1] < 0.6 * losses[0]
    (validation,) = [event for event in events if event["event"] == "validation"]
    assert validation["miou"] > 0.5
    assert set(validation["iou"]) == {"sky", "road", "car"}


def test_more_steps_may_follow_but_nothing_else_may_change(tmp_path: Path, description: Path) -> None:
    config = make_config(description, steps=3)
    folder = RunFolder.create(tmp_path, config)
    _train(folder)
    stop = CancelToken()
    for change, message in (({"batch": 3}, "batch changed"), ({"seed": 5, "batch": 3}, "batch, seed changed")):
        with contextlib.closing(MetricsLog(folder.metrics_file)) as log, pytest.raises(ConfigError, match=message):
            TrainLoop(folder, dataclasses.replace(config, **change), log=log)
    with contextlib.closing(MetricsLog(folder.metrics_file)) as log:
        loop = TrainLoop(folder, dataclasses.replace(config, steps=5), log=log)
        assert loop.run(stop)
        assert loop.step == 5


def test_other_data_is_another_run(tmp_path: Path) -> None:
    description = make_dataset(tmp_path / "data")
    folder = RunFolder.create(tmp_path / "run", make_config(description, steps=2))
    _train(folder)
    for kind in ("train", "trainannot"):
        (tmp_path / "data" / kind / "a_0.png").unlink()
    with pytest.raises(ConfigError, match="images or labels changed"):
        _train(folder)


def test_data_may_move(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path / "here"), steps=2)
    folder = RunFolder.create(tmp_path / "run", config)
    _train(folder)
    (tmp_path / "here").rename(tmp_path / "there")
    moved = with_dataset(config, description=str(tmp_path / "there" / "data.yaml"))
    with contextlib.closing(MetricsLog(folder.metrics_file)) as log:
        assert TrainLoop(folder, moved, log=log).step == 2


def test_a_loss_that_is_no_number_stops_the_run_with_the_last_good_weights(tmp_path: Path, description: Path) -> None:
    config = make_config(description, loss=LossConfig(lovasz_weight=0.0))
    folder = RunFolder.create(tmp_path, config)
    with contextlib.closing(MetricsLog(folder.metrics_file)) as log:
        loop = TrainLoop(folder, config, log=log)
        loop._loss = lambda images, labels: (loop._network.last_layer[3].weight * torch.nan).sum()  # type: ignore
        before = {key: value.clone() for key, value in loop._network.named_parameters()}
        with pytest.raises(RunFailed, match=f"{MAX_BAD_STEPS} steps in a row; last with"):
            loop.run(CancelToken())
        assert loop.step == MAX_BAD_STEPS - 1
        assert all(torch.equal(before[key], value) for key, value in loop._network.named_parameters())


def test_one_bad_step_leaves_no_trace(tmp_path: Path, description: Path) -> None:
    """Weights and the norms' statistics stay as they were; the next step goes on."""
    config = make_config(description)
    folder = RunFolder.create(tmp_path, config)
    with contextlib.closing(MetricsLog(folder.metrics_file)) as log:
        loop = TrainLoop(folder, config, log=log)
        loop._train_step()
        before = {key: value.clone() for key, value in loop._network.state_dict().items()}
        good = loop._batch
        loop._batch = lambda: (good()[0] * torch.nan, good()[1])  # type: ignore[method-assign]
        assert math.isnan(loop._train_step())
        assert all(torch.equal(before[key], value) for key, value in loop._network.state_dict().items())
        loop._batch = good  # type: ignore[method-assign]
        assert math.isfinite(loop._train_step())


def test_a_validation_that_was_cut_short_is_done_again(tmp_path: Path, description: Path) -> None:
    config = make_config(description, steps=8)
    straight, broken = (RunFolder.create(tmp_path / name, config) for name in ("straight", "broken"))
    _train(straight)

    class InValidation(CancelToken):
        def raise_if_cancelled(self) -> None:
            raise Cancelled

    assert not _train(broken, InValidation())
    assert _newest(broken).step == 5
    _train(broken)
    one, two = (
        [
            (event["step"], event["miou"])
            for event in read_metrics(folder.metrics_file)
            if event["event"] == "validation"
        ]
        for folder in (straight, broken)
    )
    assert one == two
    assert [step for step, _ in one] == [5, 8]
    assert _newest(straight).best == _newest(broken).best


@pytest.mark.parametrize(
    ("change", "message"),
    [({"network": "hrnet-w19"}, "unknown network 'hrnet-w19'; did you mean"), ({"card_crop_px": 360}, "must divide")],
)
def test_a_configuration_that_fits_nothing_is_refused(
    tmp_path: Path, description: Path, change: dict[str, object], message: str
) -> None:
    folder = RunFolder.create(tmp_path, make_config(description, **change))
    with pytest.raises(ConfigError, match=message):
        _train(folder)


def test_the_published_optimizer_decays_everything(tmp_path: Path, description: Path) -> None:
    folder = RunFolder.create(tmp_path, make_config(description, steps=2, optim=OptimConfig()))
    assert _train(folder)
    assert all(key.endswith("/momentum_buffer") for key in _newest(folder).optimizer)


def test_bfloat16_keeps_float32_weights(tmp_path: Path, description: Path) -> None:
    folder = RunFolder.create(tmp_path, make_config(description, steps=2, precision="bfloat16"))
    assert _train(folder)
    assert {value.dtype for value in _newest(folder).network.values()} == {torch.float32, torch.int64}


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
        deadline = time.monotonic() + 60
        while not read_metrics(folder.metrics_file) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == EXIT_STOPPED
    finally:
        process.kill()
        process.wait()
    result = json.loads(folder.result_file.read_text(encoding="utf-8"))
    assert result["status"] == "stopped"
    assert _newest(folder).step == result["step"] >= 5


def test_left_out_images_are_not_seen(tmp_path: Path, description: Path) -> None:
    config = with_dataset(make_config(description), leave_out=("a_",))
    folder = RunFolder.create(tmp_path, config)
    with contextlib.closing(MetricsLog(folder.metrics_file)) as log:
        loop = TrainLoop(folder, config, log=log)
    assert {sample.name[:2] for sample in loop._train.samples} == {"b_"}
    assert {sample.name[:2] for sample in loop._val.samples} == {"a_", "b_"}


def test_a_run_in_a_taxonomy_of_ones_own(tmp_path: Path) -> None:
    """No classes named: those of the taxonomy are trained, and a model in it comes out."""
    folder = user_folder("taxonomies")
    folder.mkdir(parents=True)
    classes = "classes: [{id: 0, name: ground, rgb: [0, 0, 0]}, {id: 4, name: other, rgb: [9, 9, 9]}]"
    links = "from_universal: {road: ground, sky: other, car: other}"
    (folder / "mine.yaml").write_text(f"format: 1\nname: mine\nignore_id: 255\n{classes}\n{links}\n")
    description = make_dataset(tmp_path / "data")
    description.write_text(description.read_text() + "to_universal: {Sky: sky, Road: road, Car: car}\n")
    dataset = DatasetConfig(str(description), name="tiny")
    config = make_config(datasets=(dataset,), taxonomy="mine", steps=2, validate_every=2, save_every=2)
    run = RunFolder.create(tmp_path / "run", config)
    assert _train(run)
    state = _newest(run)
    assert state.config["datasets"][0]["classes"] == {"Sky": "other", "Car": "other", "Road": "ground"}
    card = export_model(run.path, tmp_path / "model", texts=CardTexts(licence="for tests", data="noise"))
    assert (card.taxonomy, card.num_classes, card.trained_classes) == ("mine", 5, ("ground", "other"))
    assert _train(run), "a finished run is opened again as it is"

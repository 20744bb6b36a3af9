from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mseg_studio.errors import ConfigError, RunFailed
from mseg_studio.progress import Cancelled, CancelToken
from mseg_studio.settings import user_folder
from mseg_studio.training.checkpoint import RunState, load_checkpoint, load_newest
from mseg_studio.training.config import DatasetConfig, OptimConfig
from mseg_studio.training.export import CardTexts, export_model
from mseg_studio.training.loop import MAX_BAD_STEPS, TrainLoop
from mseg_studio.training.metrics_log import MetricsLog, read_metrics
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.validation import Validation
from tests.training.factory import make_config, make_dataset, with_dataset


class _StopWhen(CancelToken):
    """Asks to stop as soon as something holds for the loop."""

    def __init__(self, holds: Callable[[TrainLoop], bool]) -> None:
        super().__init__()
        self._holds = holds
        self.loop: TrainLoop | None = None

    @property
    def cancelled(self) -> bool:
        return self.loop is not None and self._holds(self.loop)

    def raise_if_cancelled(self) -> None:
        if self.cancelled:
            raise Cancelled


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
        loop = TrainLoop(folder, folder.config(), log=log)
        if isinstance(stop, _StopWhen):
            stop.loop = loop
        return loop.run(stop or CancelToken())


def _break_from(loop: TrainLoop, step: int, until: int = 1000) -> None:
    """Loss is no number in the steps from `step` until before `until`."""
    objective = loop._parts.objective
    forward, steps = objective.forward, itertools.count()

    def broken(*arguments: Any) -> Tensor:
        bad = step <= next(steps) < until
        return forward(*arguments) * (math.nan if bad else 1.0)

    objective.forward = broken  # type: ignore[method-assign]


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
    assert not _train(broken, _StopWhen(lambda loop: loop.step == 6))
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

    def kill_at_seven(loop: TrainLoop) -> bool:
        if loop.step == 7:
            raise Killed
        return False

    with pytest.raises(Killed):
        _train(broken, _StopWhen(kill_at_seven))
    assert _newest(broken).step == 5
    _train(broken)
    one, two = _newest(straight), _newest(broken)
    assert all(torch.equal(one.network[key], two.network[key]) for key in one.network)
    events = read_metrics(broken.metrics_file)
    assert [event["step"] for event in events if event["event"] == "step"] == [5, 8]
    losses = [[e["loss"] for e in read_metrics(f.metrics_file) if e["event"] == "step"] for f in (straight, broken)]
    assert losses[0] == losses[1]


def test_a_run_that_died_before_its_first_checkpoint_begins_again(tmp_path: Path, description: Path) -> None:
    """Readers drop what the dead one wrote: no step is there twice."""
    folder = RunFolder.create(tmp_path, make_config(description, steps=4, log_every=1, validate_every=100))

    def kill_at_three(loop: TrainLoop) -> bool:
        if loop.step == 3:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        _train(folder, _StopWhen(kill_at_three))
    assert _train(folder)
    events = [(event["event"], event["step"]) for event in read_metrics(folder.metrics_file)]
    assert events[1:7] == [("resume", 0), ("start", 0), ("step", 1), ("step", 2), ("step", 3), ("step", 4)]
    assert [step for event, step in events if event == "step"] == [1, 2, 3, 4]


def test_a_checkpoint_is_not_written_twice(tmp_path: Path, description: Path) -> None:
    """A stop right after a save finds everything saved."""
    folder = RunFolder.create(tmp_path, make_config(description, validate_every=100))
    assert not _train(folder, _StopWhen(lambda loop: loop.step == 5))
    assert [event["step"] for event in read_metrics(folder.metrics_file) if event["event"] == "save"] == [5]


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
    config = make_config(description, steps=30)
    folder = RunFolder.create(tmp_path, config)
    with contextlib.closing(MetricsLog(folder.metrics_file)) as log:
        loop = TrainLoop(folder, config, log=log)
        _break_from(loop, 6)
        with pytest.raises(RunFailed, match=r"10 steps in a row, last with tiny/.*of step 15 holds"):
            loop.run(CancelToken())
        network = loop._parts.network
        assert all(bool(value.isfinite().all()) for value in network.state_dict().values())
    skipped = [event for event in read_metrics(folder.metrics_file) if event["event"] == "skipped"]
    assert [event["in_a_row"] for event in skipped] == list(range(1, MAX_BAD_STEPS + 1))
    assert all(len(event["names"]) == config.batch for event in skipped)
    assert skipped[0]["step"] == 6


def test_what_was_saved_before_the_bad_steps_stays(tmp_path: Path, description: Path) -> None:
    """The weights themselves may have gone astray: going on needs older ones then."""
    config = make_config(description, steps=30, save_every=1, validate_every=100)
    folder = RunFolder.create(tmp_path, config)
    with contextlib.closing(MetricsLog(folder.metrics_file)) as log:
        loop = TrainLoop(folder, config, log=log)
        _break_from(loop, 6)
        with pytest.raises(RunFailed):
            loop.run(CancelToken())
    saved = sorted(int(path.name) for path in folder.checkpoints.iterdir() if path.name.isdigit())
    assert {5, 6} <= set(saved)


def test_the_best_is_the_best_to_the_last_digit(tmp_path: Path, description: Path) -> None:
    folder = RunFolder.create(tmp_path, make_config(description))
    with contextlib.closing(MetricsLog(folder.metrics_file)) as log:
        loop = TrainLoop(folder, folder.config(), log=log)
        result = Validation(loss=1.0, miou=0.5000049, by_dataset={}, iou={}, images=1)
        for step, miou in ((1, 0.5000049), (2, 0.5000041), (3, 0.5000049), (4, 0.500005)):
            loop.step = step
            loop._judge(dataclasses.replace(result, miou=miou))
            assert loop.best == {"miou": max(0.5000049, miou), "step": 4 if step == 4 else 1, "checkpoint": "best"}


def test_a_few_bad_steps_are_passed_over(tmp_path: Path, description: Path) -> None:
    config = make_config(description)
    folder = RunFolder.create(tmp_path, config)
    with contextlib.closing(MetricsLog(folder.metrics_file)) as log:
        loop = TrainLoop(folder, config, log=log)
        _break_from(loop, 1, until=10)
        assert loop.run(CancelToken())
    losses = {
        event["step"]: event.get("loss") for event in read_metrics(folder.metrics_file) if event["event"] == "step"
    }
    assert losses[5] is not None
    assert losses[10] is None, "every step since the last line was skipped"
    assert losses[11] is not None


def test_a_validation_that_was_cut_short_is_done_again(tmp_path: Path, description: Path) -> None:
    config = make_config(description, steps=8)
    straight, broken = (RunFolder.create(tmp_path / name, config) for name in ("straight", "broken"))
    _train(straight)

    in_validation = _StopWhen(lambda loop: loop.step == 5 and loop._validated_step < 5)
    assert not _train(broken, in_validation)
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


def test_the_last_validation_counts_when_it_was_cut_short_too(tmp_path: Path, description: Path) -> None:
    """More steps may follow: their validations are measured against it."""
    config = make_config(description, steps=4, validate_every=100)
    folder = RunFolder.create(tmp_path, config)
    assert not _train(folder, _StopWhen(lambda loop: loop.step == 4 and loop._validated_step < 4))
    assert _newest(folder).best is None
    assert _train(folder)
    newest = _newest(folder)
    assert newest.validated_step == 4
    assert newest.best == load_checkpoint(folder.checkpoints / "best").best


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


def test_left_out_images_are_not_seen(tmp_path: Path, description: Path) -> None:
    config = with_dataset(make_config(description), leave_out=("a_",))
    folder = RunFolder.create(tmp_path, config)
    with contextlib.closing(MetricsLog(folder.metrics_file)) as log:
        loop = TrainLoop(folder, config, log=log)
    assert {pair.image.name[:2] for pair in loop._parts.train.splits[0].pairs} == {"b_"}
    assert {pair.image.name[:2] for pair in loop._parts.val.splits[0].pairs} == {"a_", "b_"}


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

"""Files of a dataset that are gone or broken while a run needs them: the run says which, and goes on once mended."""

from __future__ import annotations

import json
from pathlib import Path

from mseg_studio.training.metrics_log import read_metrics
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.sampler import draw_index
from tests.training.factory import make_config, make_dataset
from tests.training.processes import codes, ranks_of, train, wait_for

_IMAGES = 60


def _result(folder: RunFolder) -> dict:
    return dict(json.loads(folder.result_file.read_text()))


def test_a_run_ends_with_the_name_of_the_file_that_vanished_and_goes_on_with_it(tmp_path: Path) -> None:
    config = make_config(
        make_dataset(tmp_path / "data", images=_IMAGES),
        steps=_IMAGES // 2 + 2, validate_every=1000, validate_images=1, log_every=1, save_every=5,
    )  # fmt: skip
    folder = RunFolder.create(tmp_path / "run", config)
    names = sorted(path.name for path in (tmp_path / "data" / "train").iterdir())
    last = names[draw_index(config.seed, "tiny", n=_IMAGES - 1, size=_IMAGES)]
    image, aside = tmp_path / "data" / "train" / last, tmp_path / "aside"
    with ranks_of(["-m", "mseg_studio.training.worker", str(folder.path)], world=1) as processes:
        wait_for(folder.metrics_file.exists, "the first line of metrics")
        wait_for(lambda: any(event["event"] == "step" for event in read_metrics(folder.metrics_file)), "a step")
        image.rename(aside)
        assert codes(processes) == [1]
    result = _result(folder)
    assert result["status"] == "failed"
    assert str(image) in result["reason"]
    assert "\n" not in result["reason"]
    aside.rename(image)
    assert train(folder.path, world=1) == [0]
    assert _result(folder)["status"] == "finished"
    steps = [event["step"] for event in read_metrics(folder.metrics_file) if event["event"] == "step"]
    assert steps == list(range(1, config.steps + 1))


def test_of_two_processes_the_one_that_needs_the_broken_file_says_so(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path / "data"), validate_every=1000)
    broken = tmp_path / "data" / "trainannot" / "a_0.png"
    broken.write_bytes(broken.read_bytes()[:40])
    folder = RunFolder.create(tmp_path / "run", config)
    assert 0 not in train(folder.path, world=2)
    ended = [json.loads(folder.rank_file(rank).read_text())["ended"] for rank in range(2)]
    reasons = [end["reason"] for end in ended if str(broken) in end["reason"]]
    assert reasons, ended
    assert all(end["status"] == "failed" for end in ended)
    assert [end["lost_others"] for end in ended if str(broken) not in end["reason"]] in ([], [True])

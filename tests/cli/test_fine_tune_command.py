"""`mseg-studio fine-tune`: what it says, what it starts, how it fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mseg_studio.cli.main import main
from mseg_studio.training import launcher, runs
from mseg_studio.training.config_file import load_config
from tests.training.factory import make_dataset


@pytest.fixture
def description(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "data", images=4)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[launcher.LaunchPlan]:
    """Plans that were to be started; nothing is."""
    plans: list[launcher.LaunchPlan] = []
    monkeypatch.setattr(launcher, "start", plans.append)
    return plans


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    description: Path, capsys: pytest.CaptureFixture[str], started: list[launcher.LaunchPlan]
) -> None:
    assert main(["fine-tune", str(description), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "4 images to learn from, 4 held out (the dataset's own split)" in said
    assert "starts with street-small; 400 steps of 8 crops" in said and "note: only 4 images" in said
    assert not started and not runs.known_runs()


def test_programs_get_json(description: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fine-tune", str(description), "--dry-run", "--json", "--progress-json", "--steps", "80"]) == 0
    *progress, last = lines(capsys.readouterr().out)
    assert progress[-1]["progress"]["done"] == progress[-1]["progress"]["total"] == 8
    assert last["plan"]["steps"] == 80 and last["plan"]["config"]["validate_every"] == 10


def test_detached_it_comes_back_with_the_run(
    description: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], started: list[launcher.LaunchPlan]
) -> None:
    argv = ["fine-tune", str(description), "--detach", "--json", "--processes", "2", "--set", "optim.lr=0.001"]
    assert main([*argv, "--name", "mine", "--split", "train", "--held-out", "0.5"]) == 0
    plan, run = lines(capsys.readouterr().out)
    assert (plan["plan"]["train"], plan["plan"]["held_out"]) == (2, 2)
    folder = Path(run["run"])
    assert folder == runs.runs_folder() / "mine" and started == [launcher.LaunchPlan(folder, processes=2)]
    assert load_config(folder / "config.yaml").optim.lr == 0.001
    assert main([*argv, "--output", str(tmp_path / "elsewhere")]) == 0
    assert runs.known_runs()[0] == (tmp_path / "elsewhere").resolve()


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--model", "street-smal"], 1, "did you mean street-small"),
        (["--steps", "0"], 2, "--steps is 0"),
        (["--processes", "0", "--detach"], 2, "--processes is 0"),
        (["--set", "lr=1"], 2, "unknown key 'lr'"),
        (["--split", "nope"], 2, "has no split 'nope'"),
        (["--held-out", "1.5"], 2, "held-out share is 1.5"),
        (["--name", "a/b", "--detach"], 2, "a/b"),
    ],
)
def test_what_cannot_be_is_one_line(
    description: Path,
    capsys: pytest.CaptureFixture[str],
    started: list[launcher.LaunchPlan],
    more: list[str],
    code: int,
    words: str,
) -> None:
    assert main(["fine-tune", str(description), *more]) == code
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and not started


def test_scoring_asks_for_a_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["fine-tune", "nope", "--score"]) == 2
    assert "no run is called 'nope'" in capsys.readouterr().err

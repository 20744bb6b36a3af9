from __future__ import annotations

import json
import os
from pathlib import Path

import psutil
import pytest

from mseg_studio.cli.main import main
from mseg_studio.networks.catalog import find_model
from mseg_studio.training import launcher
from mseg_studio.training.config_file import load_config
from mseg_studio.training.run_folder import RankEnd, RunFolder
from mseg_studio.training.run_state import read_state
from mseg_studio.training.runs import new_run_folder, write_notes
from tests.training.factory import make_config, make_dataset
from tests.training.run_factory import end_run, fake_run, plan_of, wait_for_steps, wait_until, wait_until_gone


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["runs", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def street() -> Path:
    """A run that failed."""
    folder = new_run_folder("street")
    RunFolder.create(folder, make_config("/data/data.yaml", steps=40)).write_result(
        "failed", reason="/data/a.png: cannot be read", step=7, best={"miou": 0.25, "step": 5}, rank=1
    )
    return folder


def test_no_runs(capsys):
    code, out, _ = run(capsys, "list")
    assert code == 0 and "mseg-studio train" in out


def test_the_list(capsys, street):
    code, out, _ = run(capsys, "list")
    assert code == 0
    for words in ("street", "failed", "step 7 of 40", "mIoU 25.00 %", "rank 1: /data/a.png: cannot be read"):
        assert words in out
    *told, summary = [json.loads(line) for line in run(capsys, "list", "--json")[1].splitlines()]
    assert summary == {"summary": {"done": 0, "skipped": 0, "failed": 1}}
    assert (told[0]["name"], told[0]["folder"], told[0]["rank"]) == ("street", str(street), 1)


def test_show(capsys, street):
    write_notes(street, "first try\n")
    code, out, _ = run(capsys, "show", "street")
    assert code == 0
    for words in ("dataset check", "hrnet-w18-small on tiny", "none yet", "first try"):
        assert words in out
    assert json.loads(run(capsys, "show", str(street), "--json")[1])["state"] == "failed"
    code, _, err = run(capsys, "show", "streat")
    assert code == 2 and "did you mean street" in err


def test_diff(capsys, street):
    other = new_run_folder("other")
    RunFolder.create(other, make_config("/data/data.yaml", steps=80))
    code, out, _ = run(capsys, "diff", "street", "other")
    assert (code, out) == (0, "steps: 40 | 80\n")
    assert json.loads(run(capsys, "diff", "street", "other", "--json")[1]) == {"steps": [40, 80]}
    assert run(capsys, "diff", "street", "street")[1] == "no difference\n"


def test_delete(capsys, street):
    assert run(capsys, "delete", "street", "nope")[0] == 2
    assert street.exists()
    code, out, _ = run(capsys, "delete", "street")
    assert (code, out) == (0, "deleted street\n") and not street.exists()


def test_a_run_that_goes_on_is_not_deleted(capsys, street):
    (street / "result.json").unlink()
    me = {"pid": os.getpid(), "start_time": psutil.Process().create_time(), "host": os.uname().nodename}
    (street / "ranks" / "0.json").write_text(json.dumps(me))
    code, _, err = run(capsys, "delete", "street")
    assert code == 1 and "stop it first" in err


def test_stop_waits_for_the_end_and_leaves_others_alone(capsys, street):
    folder = fake_run(new_run_folder("going"))
    try:
        launcher.start(plan_of(folder))
        wait_for_steps(folder)
        code, out, _ = run(capsys, "stop", "going", "street", "--json")
        told = [json.loads(line) for line in out.splitlines()]
        assert code == 0 and [one["state"] for one in told] == ["stopped", "failed"]
        assert told[0]["pids"] == []
        assert not (street / "stop.json").exists()
    finally:
        end_run(folder)


def test_stop_without_waiting(capsys):
    folder = fake_run(new_run_folder("going"))
    try:
        launcher.start(plan_of(folder))
        wait_for_steps(folder)
        code, out, _ = run(capsys, "stop", "going", "--no-wait", "--kill")
        assert code == 0 and out.startswith("going  stop")
        wait_until_gone(folder)
    finally:
        end_run(folder)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "optim.lr=0.5"), "--set optim.lr: that would be another run"),
        (("--set", "stps=5"), "did you mean steps"),
        (("--processes", "0"), "expected 1 or more"),
    ],
)
def test_what_a_resume_may_not_change(capsys, street, arguments, words):
    code, _, err = run(capsys, "resume", "street", *arguments)
    assert code == 2 and words in err
    assert read_state(street).state == "failed"


def test_a_resume_says_what_is_missing_by_now(capsys, street):
    code, _, err = run(capsys, "resume", "street")
    assert code == 2 and "data.yaml" in err


def test_a_job_is_submitted_again_with_its_words(capsys, monkeypatch, tmp_path):
    from mseg_studio.training import run_state, slurm

    folder = new_run_folder("cluster")
    RunFolder.create(folder, make_config(make_dataset(tmp_path)))
    (folder / "launch.json").write_text(json.dumps({"engine": "slurm", "job_id": "3", "nnodes": 2, "world_size": 2}))
    (folder / "slurm.json").write_text(json.dumps({"words": ["nodes=2"]}))
    RunFolder(folder).write_result("stopped", reason="saved", step=3, best=None)
    monkeypatch.setattr(run_state.slurm, "job_state", lambda path: None)
    monkeypatch.setattr(slurm, "submit", lambda path, options, name: str(options.nodes))
    code, out, _ = run(capsys, "resume", "cluster", "--json")
    assert code == 0 and json.loads(out)["job_id"] == "2"


def test_a_stopped_run_does_not_end_before_where_it_is(capsys, tmp_path):
    folder = new_run_folder("halted")
    RunFolder.create(folder, make_config(make_dataset(tmp_path))).write_result(
        "stopped", reason="saved", step=7, best=None
    )
    code, _, err = run(capsys, "resume", "halted", "--set", "steps=6")
    assert code == 2 and "7 steps are done" in err
    assert load_config(folder / "config.yaml").steps == 11 and read_state(folder).state == "stopped"


def test_a_run_goes_on_longer_and_becomes_a_model(capsys, tmp_path):
    folder = new_run_folder("tiny")
    RunFolder.create(folder, make_config(make_dataset(tmp_path), steps=2))
    launcher.start(launcher.LaunchPlan(folder))
    wait_until(folder, "finished")
    wait_until_gone(folder)
    code, _, err = run(capsys, "resume", "tiny")
    assert code == 2 and "all 2 steps are done; --set steps=4" in err
    code, _, err = run(capsys, "resume", "tiny", "--set", "steps=1")
    assert code == 2 and "2 steps are done, more than --set steps=1: expected at least 2" in err
    code, out, err = run(capsys, "resume", "tiny", "--set", "steps=4")
    assert code == 0, out + err
    assert "goes on from step 2" in out and "finished at step 4 of 4" in out and "step 2: mIoU" not in out
    assert load_config(folder / "config.yaml").steps == 4
    code, out, err = run(capsys, "use", "tiny", "--name", "mine")
    assert code == 0, err
    assert set(find_model("mine").card.trained_classes) == {"road", "sky", "car"}
    assert "--model mine" in out
    assert run(capsys, "use", "tiny", "--name", "mine")[0] == 1


def test_a_failed_rank_shows_even_before_the_supervisor_is_done(capsys, street):
    (street / "result.json").unlink()
    RunFolder(street).write_rank(1, device="cpu", ended=RankEnd("failed", "out of memory", 7))
    assert "rank 1: out of memory" in run(capsys, "list")[1]
    (street / "ranks" / "1.json").unlink()

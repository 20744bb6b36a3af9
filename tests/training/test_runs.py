from __future__ import annotations

import json
import os
import time
from pathlib import Path

import psutil
import pytest

from mseg_studio.errors import ConfigError, RunFailed
from mseg_studio.settings import user_folder
from mseg_studio.training import slurm
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.runs import (
    delete_run,
    find_run,
    known_runs,
    new_run_folder,
    read_notes,
    register,
    runs_folder,
    write_notes,
)
from mseg_studio.training.slurm_state import JobState
from tests.training.factory import make_config


def make_run(path: Path) -> Path:
    RunFolder.create(path, make_config())
    return path


def test_new_folders_never_meet():
    first, second = new_run_folder("street"), new_run_folder("street")
    assert first == user_folder("runs") / "street" and second.name == "street-2"
    assert first.is_dir() and known_runs() == ()


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "a\nb", "x" * 101])
def test_names_that_are_no_folder_names(name):
    with pytest.raises(ConfigError, match="cannot name a run"):
        new_run_folder(name)


def test_the_newest_run_comes_first_and_registered_ones_count(tmp_path):
    old, new = make_run(new_run_folder("old")), make_run(new_run_folder("new"))
    far = make_run(tmp_path / "far")
    for age, folder in enumerate((new, far, old)):
        os.utime(folder / "config.yaml", (1000 - age, 1000 - age))
    assert known_runs() == (new, old)
    register(far)
    register(far)
    register(new)
    assert known_runs() == (new, far, old)


def test_a_registered_run_that_went_away_is_left_out(tmp_path):
    far = make_run(tmp_path / "far")
    register(far)
    far.rename(tmp_path / "moved")
    assert known_runs() == ()


def test_found_by_name_folder_and_nearly(tmp_path, monkeypatch):
    street, far = make_run(new_run_folder("street")), make_run(tmp_path / "far" / "indoor")
    register(far)
    assert find_run("street") == street
    assert find_run("indoor") == far == find_run(str(far))
    monkeypatch.chdir(far.parent)
    assert find_run("indoor") == far
    with pytest.raises(ConfigError, match="did you mean street"):
        find_run("stret")
    with pytest.raises(ConfigError, match=r"no config\.yaml"):
        find_run(str(tmp_path))


def test_of_two_with_one_name_the_newest_is_meant(tmp_path):
    here, far = make_run(new_run_folder("street")), make_run(tmp_path / "street")
    register(far)
    os.utime(here / "config.yaml", (1000, 1000))
    assert find_run("street") == far


def test_deleting_takes_the_run_and_leaves_what_is_not_its_own(tmp_path):
    run = make_run(tmp_path / "run")
    register(run)
    write_notes(run, "good one")
    (run / "checkpoints" / "00000003").mkdir()
    (run / "mine.txt").write_text("mine")
    delete_run(run)
    assert [path.name for path in run.iterdir()] == ["mine.txt"]
    assert known_runs() == ()
    gone = make_run(runs_folder() / "gone")
    delete_run(gone)
    assert not gone.exists()
    with pytest.raises(ConfigError):
        delete_run(tmp_path)


def test_a_link_in_a_run_is_cut_and_not_followed(tmp_path):
    run = make_run(tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept.txt").write_text("kept")
    (run / "checkpoints").rmdir()
    (run / "checkpoints").symlink_to(tmp_path / "elsewhere")
    delete_run(run)
    assert (tmp_path / "elsewhere" / "kept.txt").exists() and not run.exists()


def test_a_run_that_goes_on_is_not_deleted(tmp_path):
    run = make_run(tmp_path / "run")
    me = {"pid": os.getpid(), "start_time": psutil.Process().create_time(), "host": os.uname().nodename}
    (run / "ranks" / "0.json").write_text(json.dumps(me))
    with pytest.raises(RunFailed, match="stop it first"):
        delete_run(run)
    assert (run / "config.yaml").exists()


@pytest.mark.parametrize("phase", ["waiting", "running", "ending"])
def test_a_run_whose_job_goes_on_is_not_deleted(tmp_path, monkeypatch, phase):
    """Its processes are on other machines, or not there yet."""
    run = make_run(tmp_path / "run")
    (run / "launch.json").write_text(json.dumps({"engine": "slurm", "job_id": "7"}))
    monkeypatch.setattr(slurm, "query", lambda job_id, max_age_s: JobState(job_id, phase))
    with pytest.raises(RunFailed, match=f"job 7 is {phase}"):
        delete_run(run)
    for over in ("gone", "unreachable"):
        again = run if run.exists() else make_run(tmp_path / "run")
        (again / "launch.json").write_text(json.dumps({"engine": "slurm", "job_id": "7"}))
        monkeypatch.setattr(slurm, "query", lambda job_id, max_age_s, over=over: JobState(job_id, over))
        delete_run(again)
        assert not again.exists()


def test_what_killed_processes_left_half_written_goes_too(tmp_path):
    run = make_run(tmp_path / "run")
    (run / ".mseg-part-0123456789ab.json").write_text("{")
    (run / "launch.1.lock").write_text("")
    delete_run(run)
    assert not run.exists()


def test_notes(tmp_path):
    run = make_run(tmp_path / "run")
    assert read_notes(run) == ""
    write_notes(run, "lr zu hoch – größer?\n")
    assert read_notes(run) == "lr zu hoch – größer?\n"


def test_a_thousand_runs_are_listed_quickly():
    for number in range(1000):
        folder = new_run_folder(f"run {number:04d}")
        (folder / "config.yaml").write_text("steps: 5\n")
    started_s = time.perf_counter()
    assert len(known_runs()) == 1000
    assert time.perf_counter() - started_s < 3

"""Parts of a job that need no Slurm: ports, and what srun's words mean. The whole is in test_slurm_cluster.py."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mseg_studio.training import slurm_job
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.slurm_job import SlurmJob
from mseg_studio.training.slurm_rank import EXIT_PORT_TAKEN
from tests.training.factory import make_config

PLACE = {"SLURM_PROCID": "0", "SLURM_NTASKS": "2", "SLURM_LOCALID": "0"}


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlurmJob:
    monkeypatch.setattr(slurm_job, "_own_address", lambda node: "here")
    environment = {"SLURM_JOB_ID": "42", "SLURM_JOB_NUM_NODES": "2"}
    return SlurmJob(RunFolder.create(tmp_path / "run", make_config()), environment)


def test_a_port_that_is_taken_in_between_is_chosen_again(job: SlurmJob, monkeypatch: pytest.MonkeyPatch) -> None:
    ports: list[int] = []

    def step(address: str, port: int) -> int:
        ports.append(port)
        return EXIT_PORT_TAKEN if len(ports) < 3 else 0

    monkeypatch.setattr(job, "_step", step)
    assert job._srun() == 0
    assert len(set(ports)) == 3
    assert all(20000 <= port < 30000 for port in ports)


def test_rank_0_says_when_its_port_is_taken(tmp_path: Path) -> None:
    with socket.socket() as one:
        one.bind(("", 0))
        one.listen()
        environment = {**os.environ, **PLACE, "MASTER_PORT": str(one.getsockname()[1])}
        command = [sys.executable, "-m", "mseg_studio.training.slurm_rank", str(tmp_path)]
        done = subprocess.run(command, env=environment, check=False, capture_output=True, timeout=120)
    assert done.returncode == EXIT_PORT_TAKEN, done.stderr


@pytest.mark.parametrize(
    ("printed", "rank", "reason"),
    [
        (
            "srun: error: n2: task 1: Killed\nsrun: launch/slurm: _step_signal: Terminating StepId=4.0\n"
            "srun: error: n1: task 0: Terminated\n",
            1,
            "killed by signal 9: probably out of memory or killed by hand",
        ),
        (
            "slurmstepd: error: Detected 1 oom_kill event in StepId=4.0.\nsrun: error: n2: task 1: Out Of Memory\n",
            1,
            "killed by the system (signal 9) because memory ran out",
        ),
        ("srun: error: gpu-7: tasks 0-1: Segmentation fault (core dumped)\n", 0, "crashed (signal 11, a fault in"),
        (
            "1: Traceback (most recent call last):\n1: ImportError: no torch here\n0: done\n"
            "srun: error: n2: task 1: Exited with exit code 1\n",
            1,
            "ImportError: no torch here",
        ),
        (
            "srun: error: Unable to create step for job 4: Invalid generic resource (gres) specification\n",
            None,
            "srun: error: Unable to create step for job 4: Invalid generic resource",
        ),
        ("", None, "srun ended with exit code 9 and said nothing"),
    ],
)
def test_what_srun_says_of_the_dead(job: SlurmJob, tmp_path: Path, printed: str, rank: int | None, reason: str) -> None:
    (tmp_path / "run" / "log" / "launcher.txt").write_text(printed)
    assert job._finish(9) == "failed"
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["status"], result["rank"]) == ("failed", rank)
    assert reason in result["reason"]


def test_a_rank_that_could_speak_is_believed(job: SlurmJob, tmp_path: Path) -> None:
    ended = {"status": "failed", "reason": "b_1.png: cannot be read", "step": 4, "time": 5.0}
    (tmp_path / "run" / "ranks" / "1.json").write_text(json.dumps({"pid": 1, "ended": ended}))
    (tmp_path / "run" / "log" / "launcher.txt").write_text("srun: error: n2: task 1: Exited with exit code 1\n")
    assert job._finish(1) == "failed"
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["rank"], result["reason"]) == (1, "b_1.png: cannot be read")


def test_a_result_that_is_there_stands(job: SlurmJob, tmp_path: Path) -> None:
    RunFolder(tmp_path / "run").write_result("finished", reason="all steps done", step=9, best=None)
    assert job._finish(1) == "finished"


def test_a_warning_that_ended_ranks_before_they_listened_is_a_stop(job: SlurmJob, tmp_path: Path) -> None:
    (tmp_path / "run" / "log" / "launcher.txt").write_text("srun: error: n2: task 1: User defined signal 2\n")
    job._note_signal(signal.SIGUSR2, None)
    assert job._finish(128 + signal.SIGUSR2) == "stopped"


def test_outside_a_job_it_says_so() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    command = [sys.executable, "-m", "mseg_studio.training.slurm_job", "."]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    assert "a batch script of Slurm calls this" in done.stderr

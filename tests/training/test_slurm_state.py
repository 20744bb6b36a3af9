"""What is read from Slurm's commands, with programs in their place that say what a test wants."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mseg_studio.errors import ConfigError
from mseg_studio.training import slurm, slurm_state
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.slurm_state import SchedulerUnreachable, SlurmRefused, call, query
from tests.training.factory import make_config

Say = Callable[..., Path]

JOB = (
    "JobId=7 JobName=JobState=FAILED UserId=me(1000) Account=(null) JobState={state} Reason={reason} Dependency=(null) "
    "Requeue=1 Restarts=2 ExitCode={code} StartTime=2030-01-02T03:04:05 Partition=low NodeList={nodes} NumNodes=2 "
    "Command=/a b/JobState=NOPE StdOut=/x"
)


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """`say("scontrol", "text", error="", code=0)`: from now on the command answers so; its calls are in a file."""
    folder = tmp_path / "commands"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(slurm_state, "_known", {})
    for name in ("scontrol", "sacct", "sbatch", "scancel"):
        _program(folder, name, error=f"{name} was not expected", code=99)

    def answer(name: str, text: str = "", *, error: str = "", code: int = 0, sleep_s: float = 0) -> Path:
        return _program(folder, name, text=text, error=error, code=code, sleep_s=sleep_s)

    return answer


def _program(folder: Path, name: str, *, text: str = "", error: str = "", code: int = 0, sleep_s: float = 0) -> Path:
    (folder / f"{name}.out").write_text(text)
    (folder / f"{name}.err").write_text(error)
    program, calls = folder / name, folder / f"{name}.calls"
    wait = f"exec sleep {sleep_s}\n" if sleep_s else ""
    answer = f"cat '{folder / name}.out'\ncat '{folder / name}.err' >&2\nexit {code}\n"
    program.write_text(f"#!/bin/sh\necho \"$*\" >> '{calls}'\n{wait}{answer}")
    program.chmod(0o755)
    calls.touch()
    return calls


def job(state: str, reason: str = "None", *, code: str = "0:0", nodes: str = "(null)") -> str:
    return JOB.format(state=state, reason=reason, code=code, nodes=nodes)


@pytest.mark.parametrize(
    ("text", "phase", "reason"),
    [
        (job("RUNNING", nodes="n[1-2]"), "running", ""),
        (job("COMPLETING", nodes="n[1-2]"), "ending", ""),
        (job("PENDING", "Priority"), "waiting", "job 7 waits in the queue: other jobs come first"),
        (
            job("PENDING", "BeginTime"),
            "waiting",
            "job 7 was put back into the queue and begins at 03:04 at the earliest",
        ),
        (job("PENDING", "QOSMaxCpu"), "waiting", "job 7 waits; Slurm says QOSMaxCpu"),
        (job("REQUEUE_HOLD", ""), "waiting", "job 7 waits in the queue"),
        (job("COMPLETED"), "gone", "job 7 has ended"),
        (job("FAILED", code="3:0"), "gone", "job 7 failed with exit code 3"),
        (job("NODE_FAIL"), "gone", "job 7 ended because a node failed"),
        (job("NEWSTATE"), "gone", "job 7 is over; Slurm says NEWSTATE"),
    ],
)
def test_a_job_in_plain_words(say: Say, text: str, phase: str, reason: str) -> None:
    say("scontrol", text)
    state = query("7")
    assert (state.phase, state.reason, state.restarts) == (phase, reason, 2)
    assert state.nodes == ("n[1-2]" if phase in ("running", "ending") else "")
    assert (state.begins is not None) == (phase == "waiting")
    assert state.alive == (phase != "gone")


def test_a_job_that_is_forgotten_is_looked_up_where_accounts_are_kept(say: Say) -> None:
    say("scontrol", error="slurm_load_jobs error: Invalid job id specified", code=1)
    say("sacct", "CANCELLED by 1000|0:15\n")
    state = query("7")
    assert (state.phase, state.word, state.reason) == ("gone", "CANCELLED", "job 7 was cancelled")
    say("sacct", error="Slurm accounting storage is disabled", code=1)
    state = query("7", max_age_s=0)
    assert (state.phase, state.word, state.reason) == ("gone", "", "job 7 is not known to Slurm any more")


@pytest.mark.parametrize(
    "error",
    [
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        "slurm_load_jobs error: Socket timed out on send/recv operation",
        "slurm_load_jobs error: Protocol authentication error",
        "slurm_load_jobs error: something nobody has seen",
    ],
)
def test_a_scheduler_that_does_not_answer_is_no_end(say: Say, error: str) -> None:
    say("scontrol", error=error, code=1)
    state = query("7")
    assert (state.phase, state.alive) == ("unreachable", None)
    assert error in state.reason


def test_a_scheduler_that_hangs_is_not_waited_for(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_state, "TIMEOUT_S", 0.2)
    calls = say("scontrol", sleep_s=1000)
    before = time.monotonic()
    for _ in range(5):
        assert query("7").reason == "scontrol did not answer within 0.2 s"
    assert time.monotonic() - before < 60
    assert len(calls.read_text().splitlines()) == 1, "it is left alone for a while"


def test_many_looks_are_one_question(say: Say) -> None:
    calls = say("scontrol", job("RUNNING"))
    assert [query("7").phase for _ in range(5)] == ["running"] * 5
    assert calls.read_text() == "-o show job 7\n"
    say("scontrol", job("COMPLETED"))
    assert query("7", max_age_s=0).phase == "gone"


def test_no_command_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(slurm_state, "_known", {})
    assert not slurm.has_slurm()
    with pytest.raises(SchedulerUnreachable, match="the command sbatch is not on this machine"):
        call(["sbatch"])
    assert query("7").phase == "unreachable"


def test_what_is_refused_is_said(say: Say) -> None:
    say("sbatch", error="sbatch: error: invalid partition specified: x", code=1)
    with pytest.raises(SlurmRefused, match=r"^sbatch: sbatch: error: invalid partition specified: x$"):
        call(["sbatch"])


def test_a_number_with_its_cluster(say: Say, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", make_config())
    say("sbatch", "12;north\n")
    assert slurm.submit(run.path, slurm.SlurmOptions()) == slurm.job_id_of(run.path) == "12"
    other = RunFolder.create(tmp_path / "other", make_config())
    say("sbatch", "Submitted!\n")
    with pytest.raises(SlurmRefused, match="sbatch gave 'Submitted!', expected the number of a job"):
        slurm.submit(other.path, slurm.SlurmOptions())


def test_a_limit_without_time_to_train_is_not_submitted(say: Say, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", make_config())
    calls = say("sbatch", "12\n")
    with pytest.raises(ConfigError, match="expected more than 180 s"):
        slurm.submit(run.path, slurm.SlurmOptions(time="2"))
    assert calls.read_text() == ""


def test_a_stopped_run_keeps_its_result_until_there_is_a_job(say: Say, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", make_config())
    run.write_result("stopped", reason="before", step=3, best=None)
    before = run.result_file.read_bytes()
    say("sbatch", error="sbatch: error: Unable to contact slurm controller (connect failure)", code=1)
    with pytest.raises(SchedulerUnreachable):
        slurm.submit(run.path, slurm.SlurmOptions())
    assert run.result_file.read_bytes() == before
    say("sbatch", "12\n")
    slurm.submit(run.path, slurm.SlurmOptions())
    assert not run.result_file.exists()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"engine": "slurm"}', '{"engine": "slurm", "job_id": "1; rm"}'])
def test_a_launch_file_without_a_job(tmp_path: Path, text: str) -> None:
    (tmp_path / "launch.json").write_text(text)
    assert slurm.job_id_of(tmp_path) is None
    assert slurm.job_state(tmp_path) is None
    with pytest.raises(ConfigError, match="no job of Slurm belongs to this run"):
        slurm.cancel(tmp_path)


def test_the_last_file_of_a_job_may_take_a_while_to_be_seen(say: Say, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", make_config())
    slurm.write_launch(run.path, job_id="7", argv=[], world_size=1, nnodes=1)

    def phase(ended_s_ago: float) -> str:
        clock = datetime.datetime.fromtimestamp(time.time() - ended_s_ago).isoformat(timespec="seconds")
        say("scontrol", job("COMPLETED").replace("StartTime", f"EndTime={clock} StartTime"))
        state = slurm.job_state(run.path, max_age_s=0)
        assert state is not None
        return state.phase

    assert (phase(5), phase(100)) == ("ending", "gone")
    run.write_result("finished", reason="all steps done", step=9, best=None)
    assert phase(5) == "gone"


@pytest.mark.parametrize("kill", [False, True])
def test_a_job_that_ends_just_now_needs_no_cancelling(say: Say, tmp_path: Path, kill: bool) -> None:
    """scancel refuses, and by then the job is over: nothing went wrong."""
    run = RunFolder.create(tmp_path / "run", make_config())
    slurm.write_launch(run.path, job_id="7", argv=[], world_size=1, nnodes=1)
    commands = say("scontrol", job("RUNNING")).parent
    calls = say("scancel", error="scancel: error: Kill job error on job id 7: Invalid job id specified", code=1)
    with pytest.raises(SlurmRefused, match="Invalid job id"):
        slurm.cancel(run.path, kill=kill)
    done = commands / "scontrol.done"
    done.write_text(job("COMPLETED"))
    script = (commands / "scancel").read_text().replace("cat ", f"cp '{done}' '{commands}/scontrol.out'\ncat ", 1)
    (commands / "scancel").write_text(script)
    slurm.cancel(run.path, kill=kill)
    assert calls.read_text().splitlines() == ["--batch --signal=TERM 7", "7" if kill else "--batch --signal=TERM 7"]

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from mseg_studio.training import run_state
from mseg_studio.training.run_folder import RankEnd, RunFolder
from mseg_studio.training.run_processes import RunProcess, rank_processes, run_processes, supervisor_is_gone
from mseg_studio.training.run_state import RunState, as_json, newest_event, read_state
from mseg_studio.training.slurm_state import JobState
from tests.training.run_factory import fake_run

OTHER = {"format": 1, "pid": 4242, "start_time": 1000.0, "host": "far-away"}


@pytest.fixture
def run(tmp_path):
    return fake_run(tmp_path / "run", steps=40)


@pytest.fixture
def process():
    """A process that is alive, and can be killed."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as child:
        yield child
        child.kill()


def named(process: subprocess.Popen, **more) -> dict:
    """A process as files name it."""
    start_time = psutil.Process(process.pid).create_time()
    return {"format": 1, "pid": process.pid, "start_time": start_time, "host": os.uname().nodename, **more}


def write(path, values) -> None:
    path.write_text(json.dumps(values))


def start(run, process, *, ranks: int = 1) -> None:
    write(run / "launch.json", named(process, world_size=ranks, engine="torchrun"))
    for rank in range(ranks):
        write(run / "ranks" / f"{rank}.json", named(process, rank=rank))
    write(run / "progress.json", {"phase": "training", "step": 7, "steps": 40, "done": 7, "total": 40, "time": 5.0})


def test_a_folder_without_a_run_or_a_start(tmp_path, run):
    assert read_state(tmp_path / "none").state == "new"
    seen = read_state(run)
    assert (seen.state, seen.steps, seen.is_going) == ("new", 40, False)


def test_starting_then_running(run, process):
    write(run / "launch.json", named(process, world_size=1, engine="single"))
    assert read_state(run).state == "starting"
    start(run, process)
    seen = read_state(run)
    assert (seen.state, seen.phase, seen.step, seen.steps) == ("running", "training", 7, 40)
    assert seen.pids == (process.pid,) and seen.is_going
    assert as_json(seen)["pids"] == [process.pid]


def test_stopping(run, process):
    start(run, process)
    write(run / "stop.json", {"time": 1.0})
    assert read_state(run).state == "stopping"


def test_a_result_says_how_it_ended(run, process):
    start(run, process)
    for status in ("finished", "stopped", "failed"):
        RunFolder(run).write_result(status, reason="why", step=9, best={"miou": 0.5, "step": 8}, rank=1)
        seen = read_state(run)
        assert (seen.state, seen.reason, seen.step, seen.miou) == (status, "why", 9, 0.5)
        assert seen.rank == (1 if status == "failed" else None)
        assert seen.seconds_left is None and seen.phase == ""


def test_gone_without_a_word_is_lost(run, process):
    start(run, process)
    process.kill()
    process.wait()
    seen = read_state(run)
    assert seen.state == "lost" and "newest checkpoint" in seen.advice


def test_a_zombie_is_dead(run):
    child = subprocess.Popen([sys.executable, "-c", ""])
    start(run, child)
    deadline = time.monotonic() + 60
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert read_state(run).state == "lost"
    child.wait()


def test_a_pid_that_is_used_again_is_another_process(run, process):
    start(run, process)
    for path in (run / "launch.json", run / "ranks" / "0.json"):
        values = json.loads(path.read_text())
        write(path, values | {"start_time": values["start_time"] - 60})
    assert read_state(run).state == "lost"
    for one in rank_processes(run).values():
        one.kill()
        one.ask_to_stop()
    assert process.poll() is None and run_processes(run) == ()


def test_a_dead_rank_beside_a_living_one_is_a_failure_at_once(run, process):
    start(run, process, ranks=2)
    write(run / "ranks" / "1.json", named(process) | {"start_time": 17.0})
    seen = read_state(run)
    assert (seen.state, seen.rank) == ("failed", 1) and "killed by hand" in seen.reason
    write(run / "stop.json", {"time": 1.0})
    assert read_state(run).state == "stopping"


def test_a_rank_that_says_that_it_failed(run, process):
    start(run, process, ranks=2)
    end = RankEnd("failed", "/data/1.png: cannot be read", 6)
    RunFolder(run).write_rank(1, device="cpu", ended=end)
    seen = read_state(run)
    assert (seen.state, seen.rank, seen.reason) == ("failed", 1, "/data/1.png: cannot be read")
    process.kill()
    process.wait()
    assert read_state(run).state == "failed"


def test_ranks_whose_supervisor_is_dead_are_stopping(run, process):
    start(run, process)
    write(run / "launch.json", {**named(process), "pid": 2**22 + 1, "engine": "torchrun"})
    seen = read_state(run)
    assert seen.state == "stopping" and "watched over" in seen.reason


def test_on_another_machine_files_must_do(run):
    now = time.time()
    write(run / "launch.json", OTHER | {"engine": "torchrun", "start_time": now})
    assert read_state(run).state == "starting"
    write(run / "ranks" / "0.json", OTHER)
    write(run / "progress.json", {"phase": "training", "step": 3, "steps": 40, "time": now})
    assert read_state(run).state == "running" and read_state(run).pids == ()
    write(run / "progress.json", {"phase": "training", "step": 3, "steps": 40, "time": now - 1000})
    write(run / "launch.json", OTHER | {"engine": "torchrun", "start_time": now - 2000})
    seen = read_state(run)
    assert seen.state == "lost" and "far-away" in seen.reason
    RunFolder(run).write_rank(1, device="cpu", ended=RankEnd("failed", "why", 3))
    assert read_state(run).state == "failed"


JOB = {"engine": "slurm", "job_id": "17", "host": "login", "start_time": 1.0, "world_size": 2}
PROGRESS = {"phase": "training", "step": 3, "steps": 40, "time": 5.0}


@pytest.mark.parametrize(
    ("phase", "files", "state"),
    [
        ("waiting", (), "queued"),
        ("waiting", ("progress",), "waiting"),
        ("waiting", ("progress", "stopped"), "waiting"),
        ("running", (), "starting"),
        ("running", ("ranks", "progress"), "running"),
        ("running", ("ranks", "progress", "stop"), "stopping"),
        ("running", ("progress", "stopped"), "waiting"),
        ("running", ("progress", "stopped", "stop"), "stopped"),
        ("ending", ("ranks", "progress"), "stopping"),
        ("gone", ("ranks", "progress"), "failed"),
        ("gone", ("ranks", "progress", "failed rank"), "failed"),
        ("gone", ("progress", "stopped"), "stopped"),
        ("gone", ("stop",), "stopped"),
        ("gone", ("finished",), "finished"),
        ("unreachable", ("progress",), "running"),
        ("unreachable", (), "queued"),
        ("unreachable", ("stopped",), "stopped"),
        ("unreachable", ("finished",), "finished"),
    ],
)
def test_a_job_of_slurm(run, monkeypatch, phase, files, state):
    monkeypatch.setattr(run_state.slurm, "job_state", lambda folder: JobState("17", phase, reason="Priority"))
    write(run / "launch.json", JOB)
    if "progress" in files:
        write(run / "progress.json", PROGRESS)
    if "ranks" in files:
        write(run / "ranks" / "0.json", OTHER)
    if "failed rank" in files:
        write(run / "ranks" / "1.json", OTHER | {"ended": {"status": "failed", "reason": "no memory", "time": 3.0}})
    if "stop" in files:
        write(run / "stop.json", {"time": 1.0})
    for status in ("stopped", "finished"):
        if status in files:
            RunFolder(run).write_result(status, reason="said so", step=4, best=None)
    seen = read_state(run)
    assert seen.state == state
    if phase == "unreachable" and "finished" not in files:
        assert "does not answer" in seen.reason
    if "failed rank" in files:
        assert (seen.rank, seen.reason) == (1, "no memory")


def test_a_job_that_was_requeued_before_its_first_step_waits(run, monkeypatch):
    monkeypatch.setattr(run_state.slurm, "job_state", lambda folder: JobState("17", "waiting", restarts=1))
    write(run / "launch.json", JOB)
    assert read_state(run).state == "waiting"


def test_broken_files_never_raise(run):
    for name in ("launch.json", "progress.json", "result.json", "stop.json", "ranks/0.json"):
        for text in ("", "{", "[]", "null", '{"pid": "x", "step": "x", "best": 3, "status": 7, "time": "x"}'):
            (run / name).write_text(text)
            assert isinstance(read_state(run), RunState)
    (run / "config.yaml").write_bytes(b"\xff\x00")
    (run / "metrics.jsonl").write_bytes(b'\xff{"event": "step", "loss"\n{"event": "step"')
    assert read_state(run).steps == 0


ODD = (None, True, -1, 0, float("inf"), float("nan"), "x", [], [1], {}, {"a": 1}, -1e30, 10**400)


@pytest.mark.parametrize("name", ["launch.json", "progress.json", "result.json", "ranks/0.json"])
def test_no_value_in_a_file_raises_or_leads_to_words_that_cannot_be_said(run, process, name):
    start(run, process)
    write(run / "result.json", {"status": "failed", "reason": "x", "rank": 0, "step": 3, "best": {"miou": 0.3}})
    whole = json.loads((run / name).read_text())
    if name != "result.json":
        (run / "result.json").unlink()
    for key in whole:
        for odd in ODD:
            write(run / name, {**whole, key: odd})
            state = read_state(run)
            for number in (state.seconds_left, state.miou, state.updated, state.started, state.step):
                assert number is None or abs(number) < 1e18, (key, odd)
    for odd in ODD:
        write(run / "result.json", {"status": "finished", "best": {"miou": odd}})
        assert read_state(run).state == "finished"


def test_of_a_long_log_only_the_end_is_read(tmp_path):
    path = tmp_path / "metrics.jsonl"
    line = json.dumps({"event": "step", "step": 1, "loss": 0.5, "lr": 0.1}) + "\n"
    path.write_text(line * 1_000_000 + json.dumps({"event": "step", "step": 2, "loss": 0.25}) + '\n{"event": "st')
    started_s = time.perf_counter()
    assert newest_event(path, "step")["loss"] == 0.25
    assert time.perf_counter() - started_s < 0.5
    assert newest_event(path, "validation") == {} == newest_event(tmp_path / "none", "step")


def test_the_best_so_far_is_in_the_best_checkpoint(run, process):
    start(run, process)
    (run / "checkpoints" / "best").mkdir()
    write(run / "checkpoints" / "best" / "state.json", {"best": {"miou": 0.25, "step": 5}})
    assert read_state(run).miou == 0.25


def test_who_has_no_supervisor_does_not_miss_it(monkeypatch):
    monkeypatch.delenv("MSEG_STUDIO_SUPERVISOR", raising=False)
    assert not supervisor_is_gone()
    monkeypatch.setenv("MSEG_STUDIO_SUPERVISOR", f"{os.getpid()}:{psutil.Process().create_time()}")
    assert not supervisor_is_gone()
    monkeypatch.setenv("MSEG_STUDIO_SUPERVISOR", f"{os.getpid()}:17.0")
    assert supervisor_is_gone()


def test_a_process_of_another_machine_is_never_touched(process):
    far = RunProcess(process.pid, psutil.Process(process.pid).create_time(), "far-away")
    far.kill()
    far.ask_to_stop()
    assert not far.alive and process.poll() is None

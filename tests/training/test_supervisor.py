from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from mseg_studio.errors import RunFailed
from mseg_studio.training import launcher, supervisor
from mseg_studio.training.launcher import LaunchPlan
from mseg_studio.training.run_folder import RankEnd, RunFolder
from mseg_studio.training.run_processes import launched, rank_processes, read_json
from mseg_studio.training.run_state import read_state
from tests.training.run_factory import (
    FAKE,
    end_run,
    fake_run,
    plan_of,
    start_elsewhere,
    wait_for,
    wait_for_steps,
    wait_until,
    wait_until_gone,
)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are detached with fork")


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    yield folder
    if folder.exists():
        end_run(folder)


def test_a_run_survives_who_started_it_is_stopped_and_goes_on(run):
    fake_run(run)
    starter = start_elsewhere(plan_of(run))
    wait_for_steps(run)
    starter.kill()
    starter.wait()
    starter.stdout.close()
    seen = wait_for_steps(run, read_state(run).step + 5)
    assert seen.engine == "single" and seen.seconds_left > 0 and seen.steps == 4000
    supervisor_process = psutil.Process(launched(run).pid)
    assert os.getsid(supervisor_process.pid) != os.getsid(0)

    with pytest.raises(RunFailed, match="going on already"):
        launcher.start(plan_of(run))
    launcher.stop(run)
    stopped = wait_until(run, "stopped")
    assert stopped.step >= seen.step and "saved" in stopped.reason
    wait_until_gone(run)
    launcher.resume(run, plan_of(run))
    again = wait_for_steps(run)
    assert again.step >= stopped.step
    assert not (run / "stop.json").exists()


def test_two_ranks_stop_together_and_one_can_go_on_alone(run):
    fake_run(run)
    launcher.start(plan_of(run, 2))
    wait_for(lambda: len(rank_processes(run)) == 2)
    assert wait_for_steps(run).engine == "torchrun"
    assert read_state(run).processes == 2 and len(read_state(run).pids) == 3
    launcher.stop(run)
    assert wait_until(run, "stopped").state == "stopped"
    wait_until_gone(run)
    launcher.resume(run, plan_of(run, 1))
    wait_for_steps(run)
    assert sorted(path.name for path in (run / "ranks").iterdir()) == ["0.json"]


def test_a_killed_rank_fails_the_run_at_once_with_its_number_and_nothing_is_left(run):
    fake_run(run)
    launcher.start(plan_of(run, 2))
    wait_for(lambda: len(rank_processes(run)) == 2)
    wait_for_steps(run)
    killed_s = time.monotonic()
    os.kill(rank_processes(run)[1].pid, signal.SIGKILL)
    seen = wait_until(run, "failed")
    assert time.monotonic() - killed_s < 15
    assert seen.rank == 1 and "out of memory or killed by hand" in seen.reason
    wait_until_gone(run)
    seen = read_state(run)
    assert seen.state == "failed" and seen.rank == 1
    assert seen.reason == "killed by signal 9: probably out of memory or killed by hand"
    assert "resume" in seen.advice
    assert read_json(run / "result.json")["status"] == "failed"


def test_the_first_failing_rank_and_its_words(run):
    fake_run(run, r0={"step": 3000, "act": "hang"}, r1={"step": 4, "act": "raise"})
    launcher.start(plan_of(run, 2))
    seen = wait_until(run, "failed")
    assert seen.rank == 1
    assert seen.reason == "/data/images/7.png: cannot be read: No such file or directory"
    assert "dataset check" in seen.advice
    wait_until_gone(run)
    assert read_json(run / "result.json")["rank"] == 1


def test_a_rank_that_is_deaf_to_the_end_of_another_is_killed(run):
    fake_run(run, r0={"step": 0, "act": "hang"}, r1={"step": 20, "act": "exit"})
    launcher.start(plan_of(run, 2))
    wait_until(run, "failed")
    wait_until_gone(run)
    seen = read_state(run)
    assert (seen.rank, seen.reason) == (1, "ended with exit code 3 without a word")


def test_a_run_that_does_not_stop_is_killed_after_the_grace_time(run):
    fake_run(run, r0={"step": 2, "act": "hang"})
    launcher.start(plan_of(run))
    wait_for(lambda: read_state(run).step >= 1)
    launcher.stop(run, grace_s=1.0)
    assert wait_until(run, "stopping", "stopped").state in ("stopping", "stopped")
    seen = wait_until(run, "stopped")
    assert seen.reason == "stopped before its first step was saved"


def test_a_second_wish_kills_at_once(run):
    fake_run(run, r0={"step": 2, "act": "hang"})
    launcher.start(plan_of(run))
    wait_for(lambda: read_state(run).step >= 1)
    launcher.stop(run)
    wait_until(run, "stopping")
    launcher.stop(run, kill=True)
    wait_until(run, "stopped")
    wait_until_gone(run)


def test_ranks_save_when_their_supervisor_is_killed(run):
    fake_run(run)
    launcher.start(plan_of(run, 2))
    wait_for(lambda: len(rank_processes(run)) == 2)
    wait_for_steps(run)
    os.kill(launched(run).pid, signal.SIGKILL)
    wait_until_gone(run)
    assert wait_until(run, "stopped", "lost").state == "stopped"


def test_ranks_save_when_torchrun_is_killed(run):
    fake_run(run)
    launcher.start(plan_of(run, 2))
    wait_for(lambda: len(rank_processes(run)) == 2)
    wait_for_steps(run)
    (torchrun,) = psutil.Process(launched(run).pid).children()
    torchrun.kill()
    wait_until_gone(run)
    assert wait_until(run, "stopped").step > 0


def test_ranks_end_when_supervisor_and_torchrun_are_killed(run):
    fake_run(run)
    launcher.start(plan_of(run, 2))
    wait_for(lambda: len(rank_processes(run)) == 2)
    wait_for_steps(run)
    (torchrun,) = psutil.Process(launched(run).pid).children()
    torchrun.suspend()  # it must not pass on that the supervisor died
    os.kill(launched(run).pid, signal.SIGKILL)
    torchrun.kill()
    wait_until_gone(run)
    assert read_state(run).state in ("stopped", "lost")


def test_all_killed_is_lost_and_can_go_on(run):
    fake_run(run)
    launcher.start(plan_of(run))
    wait_for_steps(run)
    rank, first = rank_processes(run)[0], launched(run)
    psutil.Process(first.pid).suspend()  # so that it cannot tell
    os.kill(rank.pid, signal.SIGKILL)
    os.kill(first.pid, signal.SIGKILL)
    seen = wait_until(run, "lost")
    assert "newest checkpoint" in seen.advice and seen.pids == ()
    launcher.resume(run, plan_of(run))
    wait_for_steps(run)


def test_a_launcher_that_cannot_start_says_why(run):
    fake_run(run)
    launcher.start(launcher.LaunchPlan(run, worker="tests.training.no_such_worker"))
    seen = wait_until(run, "failed")
    assert "No module named tests.training.no_such_worker" in seen.reason and seen.rank is None
    assert "installation" in seen.advice


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RunFailed, match=r"no config\.yaml"):
        launcher.start(plan_of(tmp_path))


def test_no_zombie_is_left_to_who_started(run):
    fake_run(run, steps=3)
    launcher.start(plan_of(run))
    wait_until(run, "finished")
    wait_until_gone(run)
    mine = psutil.Process().children(recursive=True)
    assert [one for one in mine if "fake_worker" in " ".join(one.cmdline())] == []


def test_in_the_foreground_it_ends_with_its_run(run):
    fake_run(run, steps=3)
    command = [sys.executable, "-m", "mseg_studio.training.supervisor", str(run), "--worker", plan_of(run).worker]
    done = subprocess.run(command, capture_output=True, timeout=90, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert read_state(run).state == "finished"


def test_the_last_act_of_a_job_tells_what_rank_0_could_not(tmp_path):
    run = fake_run(tmp_path / "run")
    folder = RunFolder.open(run)
    folder.write_rank(0, device="cpu", ended=RankEnd("failed", "Connection closed by peer", 7, lost_others=True))
    folder.write_rank(1, device="cpu")
    supervisor.finish(run)
    result = read_json(run / "result.json")
    assert (result["status"], result["rank"]) == ("failed", 1)
    assert "without a word" in result["reason"]
    before = (run / "result.json").read_bytes()
    supervisor.finish(run)
    assert (run / "result.json").read_bytes() == before


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_two_machines_share_a_folder_and_a_rank_that_dies_on_the_other_is_named(run):
    fake_run(run, r1={"step": 300, "act": "kill"})
    plans = [
        LaunchPlan(run, 1, nnodes=2, node_rank=rank, rendezvous=f"127.0.0.1:{port}", worker=FAKE)
        for port in (free_port(),)
        for rank in (0, 1)
    ]
    for plan in plans:
        launcher.start(plan)
    wait_for(lambda: len(rank_processes(run)) == 2)
    wait_for_steps(run)
    assert read_state(run).processes == 2
    seen = wait_until(run, "failed")
    assert seen.rank == 1
    wait_until_gone(run)
    wait_for(lambda: (run / "result.json").exists())
    assert read_json(run / "result.json")["rank"] == 1

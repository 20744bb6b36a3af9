"""Runs as jobs of a real Slurm: two nodes on this host. The ranks count instead of training, but for the last test."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mseg_studio.errors import ConfigError, RunFailed
from mseg_studio.storage import write_json_atomic
from mseg_studio.training import slurm, slurm_state
from mseg_studio.training.config import LossConfig
from mseg_studio.training.metrics_log import read_metrics
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.run_state import read_state
from mseg_studio.training.slurm import SlurmOptions
from tests.training import slurm_cluster
from tests.training.factory import make_config, make_dataset
from tests.training.slurm_cluster import Cluster, private_cluster

_FAKE = Path(__file__).with_name("slurm_fake_worker.py")
_SITE = """\
import importlib.util, sys
_spec = importlib.util.spec_from_file_location("mseg_studio.training.worker", {path!r})
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
sys.modules[_spec.name] = _module
"""
TWO_NODES = SlurmOptions(nodes=2)
_LONG_S = 150
"""Longer than anything takes on a busy machine."""


@pytest.fixture(scope="session")
def _cluster() -> Iterator[Cluster]:
    with private_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster without a job that this process's commands talk to."""
    for name, value in _cluster.environment.items():
        monkeypatch.setenv(name, value)
    yield _cluster
    _cluster.cancel_all()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """The folder of a run whose ranks count, under a name that no shell likes."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(_SITE.format(path=str(_FAKE)))
    monkeypatch.setenv("PYTHONPATH", str(site))
    return make_run(tmp_path / 'it\'s 50 % of "$HOME"')


def make_run(path: Path, **values: Any) -> RunFolder:
    folder = RunFolder.create(path, make_config())
    plan(folder, **values)
    return folder


def plan(folder: RunFolder, **values: Any) -> None:
    write_json_atomic(folder.path / "fake.json", values)


def read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}


def until(folder: RunFolder, condition: Callable[[], Any], what: str) -> Any:
    """The first true value of the condition; what the run printed when it never comes."""
    deadline = time.monotonic() + _LONG_S
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    state = slurm.job_state(folder.path, max_age_s=0)
    said = folder.launcher_log.read_text() if folder.launcher_log.exists() else "nothing"
    raise AssertionError(f"never: {what}; {state}; the job printed: {said}")


def result_of(folder: RunFolder) -> dict[str, Any]:
    """How the run ended, once its job is gone too."""
    until(folder, lambda: phase(folder) == "gone", "the job is gone")
    return read(folder.result_file)


def step(folder: RunFolder) -> int:
    return int(read(folder.progress_file).get("step", 0))


def phase(folder: RunFolder) -> str:
    state = slurm.job_state(folder.path, max_age_s=0)
    assert state is not None
    return state.phase


def test_one_task_a_rank_on_two_nodes(cluster: Cluster, run: RunFolder) -> None:
    job_id = slurm.submit(run.path, TWO_NODES, name="a; rm -rf")
    assert slurm.job_id_of(run.path) == job_id
    assert result_of(run)["status"] == "finished"
    ranks = [read(run.rank_file(rank)) for rank in range(2)]
    assert [(rank["node"], rank["world"]) for rank in ranks] == [("n1", 2), ("n2", 2)]
    assert {rank["meet"] for rank in ranks} == {"127.0.0.1"}
    launch = read(run.launch_file)
    assert (launch["engine"], launch["world_size"], launch["nnodes"]) == ("slurm", 2, 2)
    state = slurm.job_state(run.path, max_age_s=0)
    assert state is not None
    assert (state.phase, state.word, state.reason) == ("gone", "COMPLETED", f"job {job_id} has ended")
    assert "JobName=a-rm--rf" in cluster.run("scontrol", "show", "job", job_id)


def test_the_printed_line_submits_as_well(cluster: Cluster, run: RunFolder) -> None:
    slurm.submit(run.path, TWO_NODES)
    until(run, lambda: phase(run) == "gone", "the job is gone")
    run.launch_file.unlink()
    job_id = cluster.run(*slurm.sbatch_argv(run.path)).strip()
    until(run, lambda: slurm.job_id_of(run.path) == job_id, "the job says who it is")
    assert result_of(run)["status"] == "finished"


def test_setup_lines_come_first_and_reach_the_ranks(cluster: Cluster, run: RunFolder, tmp_path: Path) -> None:
    said = tmp_path / "said"
    setup = (f"echo \"$SLURM_JOB_ID\" > '{said}'", "export SLURMD_NODENAME=changed")
    job_id = slurm.submit(run.path, SlurmOptions(setup=setup))
    assert result_of(run)["status"] == "finished"
    assert said.read_text().strip() == job_id


def test_a_run_that_is_cancelled_has_saved(cluster: Cluster, run: RunFolder) -> None:
    plan(run, steps=100_000)
    slurm.submit(run.path, TWO_NODES)
    until(run, lambda: step(run) >= 3, "it counts")
    with pytest.raises(RunFailed, match="is running still"):
        slurm.submit(run.path, TWO_NODES)
    slurm.cancel(run.path)
    result = result_of(run)
    assert (result["status"], result["reason"]) == ("stopped", "fake")
    assert result["step"] == int((run.checkpoints / "latest").read_text()) >= 3
    assert all(read(run.rank_file(rank))["ended"]["status"] == "stopped" for rank in range(2))
    plan(run, steps=result["step"] + 3)
    slurm.submit(run.path, TWO_NODES)
    result_again = result_of(run)
    assert (result_again["status"], result_again["first"]) == ("finished", result["step"])


def test_ranks_that_do_not_save_in_time_are_ended(cluster: Cluster, run: RunFolder) -> None:
    plan(run, steps=100_000, save_s=10_000)
    slurm.submit(run.path, TWO_NODES)
    until(run, lambda: step(run) >= 1, "it counts")
    slurm.cancel(run.path, grace_s=1)
    result = result_of(run)
    assert (result["status"], result["reason"]) == ("stopped", "stopped before its first checkpoint")


def test_a_run_can_be_ended_at_once(cluster: Cluster, run: RunFolder) -> None:
    plan(run, steps=100_000, save_s=10_000)
    slurm.submit(run.path, TWO_NODES)
    until(run, lambda: step(run) >= 1, "it counts")
    slurm.cancel(run.path, kill=True)
    result = result_of(run)
    assert (result["status"], result["reason"]) == ("stopped", "stopped before its first checkpoint")
    assert "are ended" in run.launcher_log.read_text()


def test_a_job_that_does_not_listen_is_ended_by_slurm(cluster: Cluster, run: RunFolder) -> None:
    plan(run, steps=100_000)
    slurm.submit(run.path, SlurmOptions(setup=("sleep 1000",)))
    until(run, lambda: phase(run) == "running", "the job runs")
    slurm.cancel(run.path, kill=True)
    assert phase(run) == "running"
    slurm.cancel(run.path, kill=True)
    assert (result_of(run)["status"], result_of(run)["reason"]) == ("stopped", "ended at once; nothing was saved yet")


def test_a_run_that_waits_is_taken_off_the_queue(cluster: Cluster, run: RunFolder, tmp_path: Path) -> None:
    plan(run, steps=100_000)
    slurm.submit(run.path, TWO_NODES)
    until(run, lambda: step(run) >= 1, "it counts")
    other = make_run(tmp_path / "other")
    slurm.submit(other.path, TWO_NODES)
    state = until(run, lambda: slurm.job_state(other.path, max_age_s=0), "Slurm says something")
    assert state.phase == "waiting"
    slurm.cancel(other.path)
    assert result_of(other) | {"time": 0} == {
        "format": 1, "status": "stopped", "reason": "taken off the queue; nothing was saved yet", "rank": None,
        "step": 0, "best": None, "time": 0,
    }  # fmt: skip
    with pytest.raises(ConfigError, match="no job of Slurm"):
        slurm.cancel(tmp_path)


def test_a_preempted_run_waits_and_goes_on(cluster: Cluster, run: RunFolder, tmp_path: Path) -> None:
    plan(run, steps=100_000)
    job_id = slurm.submit(run.path, SlurmOptions(partition="low", nodes=2))
    until(run, lambda: step(run) >= 3, "it counts")
    urgent = make_run(tmp_path / "urgent")
    slurm.submit(urgent.path, SlurmOptions(partition="high", nodes=2, requeue=False))
    until(run, lambda: phase(run) == "waiting", "it waits again")
    assert not run.result_file.exists()
    until(run, lambda: read_state(run.path).state == "waiting", "people see that it waits")
    assert result_of(urgent)["status"] == "finished"
    state = slurm.job_state(run.path, max_age_s=0)
    assert state is not None
    assert (state.phase, state.job_id, state.restarts) == ("waiting", job_id, 1)
    assert re.fullmatch(
        rf"job {job_id} was put back into the queue and begins at \d\d:\d\d at the earliest", state.reason
    )
    saved = int((run.checkpoints / "latest").read_text())
    plan(run, steps=saved + 3)
    cluster.start_now(job_id)
    result = result_of(run)
    assert (result["status"], result["first"], result["step"]) == ("finished", saved, saved + 3)


def test_a_run_that_may_not_be_queued_again_ends_saved(cluster: Cluster, run: RunFolder) -> None:
    plan(run, steps=100_000)
    job_id = slurm.submit(run.path, SlurmOptions(nodes=2, requeue=False))
    until(run, lambda: step(run) >= 3, "it counts")
    cluster.run("scancel", "--batch", "--signal=USR2", job_id)  # as at the end of the time limit
    result = result_of(run)
    assert result["status"] == "stopped"
    assert result["step"] >= 3
    assert "could not be queued again" in result["reason"]


@pytest.mark.parametrize(
    ("die", "reason"),
    [
        (signal.SIGKILL, "killed by signal 9: probably out of memory or killed by hand"),
        (0, "ValueError: a label that is no class"),
    ],
)
def test_a_rank_that_dies_fails_the_run(cluster: Cluster, run: RunFolder, die: int, reason: str) -> None:
    plan(run, steps=100_000, die=[1, 4, die])
    slurm.submit(run.path, TWO_NODES)
    before = time.monotonic()
    result = result_of(run)
    assert (result["status"], result["rank"], result["reason"]) == ("failed", 1, reason)
    assert time.monotonic() - before < _LONG_S / 2
    state = slurm.job_state(run.path, max_age_s=0)
    assert state is not None
    assert (state.word, state.phase) == ("FAILED", "gone")


def test_a_warning_before_the_ranks_stand_is_not_lost(cluster: Cluster, run: RunFolder) -> None:
    plan(run, steps=100_000)
    slurm.submit(run.path, TWO_NODES)
    until(run, run.launcher_log.exists, "the job runs")
    slurm.cancel(run.path)
    assert result_of(run)["status"] == "stopped"
    assert "ranks meet" not in run.launcher_log.read_text() or not run.progress_file.exists()


def test_a_port_that_is_taken_is_passed_over(cluster: Cluster, run: RunFolder) -> None:
    job_id = int(slurm.submit(run.path, TWO_NODES))
    result_of(run)
    with socket.socket() as one:
        one.bind(("", 20000 + job_id + 1))
        one.listen()
        assert int(slurm.submit(run.path, TWO_NODES)) == job_id + 1
        assert result_of(run)["status"] == "finished"
    ports = re.findall(r"ranks meet at 127.0.0.1:(\d+)", run.launcher_log.read_text())
    assert [int(port) - 20000 for port in ports] == [job_id, job_id + 2]


def test_a_controller_that_is_away_is_no_failed_run(
    cluster: Cluster, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan(run, steps=100_000)
    job_id = slurm.submit(run.path, TWO_NODES)
    until(run, lambda: step(run) >= 3, "it counts")
    cluster.kill_controller(job_id)
    monkeypatch.setattr(slurm_state, "TIMEOUT_S", 1.0)
    try:
        state = slurm.job_state(run.path, max_age_s=0)
        assert state is not None
        assert (state.phase, state.alive) == ("unreachable", None)
        with pytest.raises(slurm.SchedulerUnreachable):
            slurm.cancel(run.path)
        until(run, lambda: "does not answer" in read_state(run.path).reason, "people see who is away")
        assert read_state(run.path).state == "running"
        now = step(run)
        until(run, lambda: step(run) > now, "it goes on counting")
    finally:
        cluster.start_controller()
    monkeypatch.setattr(slurm_state, "TIMEOUT_S", 10.0)
    assert phase(run) == "running"
    plan(run, steps=step(run) + 20)
    assert result_of(run)["status"] == "finished"
    assert read_state(run.path).state == "finished"


def test_a_run_ends_well_while_the_controller_is_away(
    cluster: Cluster, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan(run, steps=100_000)
    job_id = slurm.submit(run.path, TWO_NODES)
    until(run, lambda: step(run) >= 3, "it counts")
    cluster.kill_controller(job_id)
    try:
        plan(run, steps=step(run) + 20)
        until(run, run.result_file.exists, "rank 0 says how it ended")
    finally:
        cluster.start_controller()
    assert result_of(run)["status"] == "finished"
    state = slurm.job_state(run.path, max_age_s=0)
    assert state is not None
    assert state.word == "COMPLETED"


def test_what_sbatch_refuses_is_said_and_changes_nothing(cluster: Cluster, run: RunFolder) -> None:
    run.write_result("stopped", reason="before", step=3, best=None)
    with pytest.raises(slurm.SlurmRefused, match=r"sbatch: .*[Ii]nvalid partition"):
        slurm.submit(run.path, SlurmOptions(partition="nowhere"))
    assert read(run.result_file)["reason"] == "before"
    assert not run.launch_file.exists()


def test_without_slurm_its_tests_say_why_they_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as changed, pytest.raises(pytest.skip.Exception, match="slurm-none missing"):
        changed.setattr(slurm_cluster, "NEEDED", ("slurm-none",))
        with private_cluster():
            pass


@pytest.mark.usefixtures("_cluster")
def test_a_slurm_that_does_not_start_is_said_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(slurm_cluster, "_CONF", "This is no slurm.conf\n")
    monkeypatch.setattr(slurm_cluster, "_TEMPORARY", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match=r"Slurm does not start here: .* ended: "), private_cluster():
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(600)  # torch begins six times, on as many cores as there are
def test_a_preempted_training_ends_with_the_weights_of_one_that_was_not(cluster: Cluster, tmp_path: Path) -> None:
    """Two nodes train over gloo; one run straight to its end, one that had to make room and began again."""
    config = make_config(
        make_dataset(tmp_path / "data"), steps=24, log_every=1, validate_every=24, save_every=24, loss=LossConfig()
    )
    straight, pushed = (RunFolder.create(tmp_path / name, config) for name in ("straight", "pushed"))
    job_id = slurm.submit(pushed.path, SlurmOptions(partition="low", nodes=2))
    until(pushed, lambda: step(pushed) >= 2, "it trains")
    cluster.run("sbatch", "--partition=high", "--nodes=2", "--output=/dev/null", "--wrap=true")
    until(pushed, lambda: phase(pushed) == "waiting", "it waits again")
    slurm.submit(straight.path, TWO_NODES)
    assert result_of(straight)["status"] == "finished"
    cluster.start_now(job_id)
    result = result_of(pushed)
    assert (result["status"], result["step"]) == ("finished", 24)
    (resume,) = (event for event in read_metrics(pushed.metrics_file) if event["event"] == "resume")
    assert 2 <= resume["step"] < 24
    one, two = ((folder.checkpoints / "00000024" / "network.safetensors").read_bytes() for folder in (straight, pushed))
    assert one == two

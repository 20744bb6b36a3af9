from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mseg_studio.errors import ConfigError, RunFailed
from mseg_studio.training import devices, launcher
from mseg_studio.training.launcher import Device, LaunchPlan, devices_here, environment
from mseg_studio.training.run_state import read_state
from tests.training.run_factory import fake_run

RUN = Path("/runs/street 1")


def test_one_process_needs_no_torchrun():
    assert LaunchPlan(RUN).argv() == [sys.executable, "-m", "mseg_studio.training.worker", str(RUN)]


def test_several_on_one_machine():
    assert LaunchPlan(RUN, 4).argv() == [
        *[sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4"],
        *["-m", "mseg_studio.training.worker", str(RUN)],
    ]


def test_several_machines():
    plan = LaunchPlan(RUN, 2, nnodes=3, node_rank=1, rendezvous="node-0:29400")
    words = plan.argv()
    assert plan.world_size == 6
    assert {"--nnodes=3", "--node-rank=1", "--master-addr=node-0", "--master-port=29400"} <= set(words)
    assert "--standalone" not in words
    assert "torch.distributed.run" in LaunchPlan(RUN, 1, nnodes=2, rendezvous="a:1").argv()


@pytest.mark.parametrize(
    "wrong",
    [
        {"processes": 0},
        {"nnodes": 0},
        {"nnodes": 2, "node_rank": 2, "rendezvous": "a:1"},
        {"nnodes": 2},
        {"nnodes": 2, "rendezvous": "host"},
        {"nnodes": 2, "rendezvous": "host:port"},
    ],
)
def test_plans_that_cannot_be(wrong):
    with pytest.raises(ConfigError):
        LaunchPlan(RUN, **wrong)


def test_a_relative_folder_is_found_by_processes_that_run_elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert LaunchPlan(Path("run")).argv()[-1] == str(tmp_path / "run")


def test_the_environment_shares_cores_and_never_spins(monkeypatch):
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    values = environment(LaunchPlan(RUN, 2, devices=("1", "3")))
    assert values["OMP_WAIT_POLICY"] == "PASSIVE"
    assert int(values["OMP_NUM_THREADS"]) >= 1
    assert (values["CUDA_VISIBLE_DEVICES"], values["CUDA_DEVICE_ORDER"]) == ("1,3", "PCI_BUS_ID")
    assert "CUDA_VISIBLE_DEVICES" not in environment(LaunchPlan(RUN))
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    values = environment(LaunchPlan(RUN, 2))
    assert (values["OMP_NUM_THREADS"], values["OMP_WAIT_POLICY"]) == ("7", "ACTIVE")


def test_processes_find_this_code_first(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    path = environment(LaunchPlan(RUN))["PYTHONPATH"].split(os.pathsep)
    assert path[-1] == "/elsewhere"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    assert environment(LaunchPlan(RUN))["PYTHONPATH"].split(os.pathsep) == path


def test_without_a_gpu_the_cores_count(monkeypatch):
    monkeypatch.setattr(devices, "_gpus", tuple)
    monkeypatch.setattr(devices, "available_cores", lambda: 3)
    assert devices_here() == (Device("cpu", "", "CPU core"),) * 3


@pytest.mark.parametrize(
    ("setting", "seen"), [(None, [0, 1, 2]), ("2,0", [2, 0]), ("", []), ("7", []), ("GPU-1f", [0, 1, 2])]
)
def test_gpus_that_are_hidden_do_not_count(monkeypatch, setting, seen):
    if setting is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", setting)
    assert devices._visible(3) == seen


def test_a_run_that_does_not_go_on_is_left_as_it_is(tmp_path):
    run = fake_run(tmp_path / "run")
    launcher.stop(run)
    assert not (run / "stop.json").exists() and read_state(run).state == "new"


def test_a_job_is_cancelled_by_slurm(tmp_path, monkeypatch):
    run = fake_run(tmp_path / "run")
    (run / "launch.json").write_text('{"engine": "slurm", "job_id": "5"}')
    told = []
    monkeypatch.setattr(launcher.slurm, "cancel", lambda folder, kill, grace_s: told.append((folder, kill, grace_s)))
    launcher.stop(run, grace_s=3.0, kill=True)
    assert told == [(run, True, 3.0)] and not (run / "stop.json").exists()  # cancel writes it, once Slurm answers


def test_no_folder_no_run(tmp_path):
    with pytest.raises(RunFailed, match="no such folder"):
        launcher.start(LaunchPlan(tmp_path / "none"))

"""Run folders whose ranks are `fake_worker`, and waiting for what they become."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mseg_studio.training import launcher
from mseg_studio.training.launcher import LaunchPlan
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.run_processes import run_processes
from mseg_studio.training.run_state import RunState, read_state
from tests.training.factory import make_config

FAKE = "tests.training.fake_worker"
LIMIT_S = 90.0
"""Long enough for a machine that has much else to do; nothing waits for it when all is well."""


def fake_run(path: Path, *, steps: int = 4000, **ranks: dict[str, Any]) -> Path:
    """A run whose rank N does what `rN` says, as r1={"step": 3, "act": "kill"}."""
    RunFolder.create(path, make_config(steps=steps))
    acts = {name.removeprefix("r"): act for name, act in ranks.items()}
    (path / "fake.json").write_text(json.dumps({"steps": steps, "ranks": acts}))
    return path


def plan_of(folder: Path, processes: int = 1) -> LaunchPlan:
    """The plan of a fake run."""
    return LaunchPlan(folder, processes, worker=FAKE)


def start_elsewhere(plan: LaunchPlan) -> subprocess.Popen[bytes]:
    """Start a run from a process that then waits for ever: to be killed."""
    code = (
        "import sys, time; from pathlib import Path; from mseg_studio.training.launcher import LaunchPlan, start\n"
        "start(LaunchPlan(Path(sys.argv[1]), int(sys.argv[2]), worker=sys.argv[3])); print('up', flush=True)\n"
        "time.sleep(1000)"
    )
    words = [str(plan.folder), str(plan.processes), plan.worker]
    process = subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    return process


def wait_for(what: Callable[[], Any], *, limit_s: float = LIMIT_S) -> Any:
    """The first true value of `what`."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {limit_s} s")


def wait_until(folder: Path, *states: str) -> RunState:
    """The state of a run once it is one of `states`."""
    try:
        return wait_for(lambda: (seen := read_state(folder)).state in states and seen)
    except AssertionError:
        log = folder / "log" / "launcher.txt"
        raise AssertionError(f"{read_state(folder)}\n{log.read_text() if log.exists() else ''}") from None


def wait_for_steps(folder: Path, step: int = 1) -> RunState:
    """The state of a run once it has made `step` steps."""
    return wait_for(lambda: (seen := read_state(folder)).state == "running" and seen.step >= step and seen)


def wait_until_gone(folder: Path) -> None:
    """Come back when no process of the run is alive."""
    wait_for(lambda: not run_processes(folder))


def end_run(folder: Path) -> None:
    """Leave nothing behind, whatever the test did."""
    launcher.stop(folder, kill=True)
    wait_until_gone(folder)

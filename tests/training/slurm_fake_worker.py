"""A worker that counts instead of training: what a Slurm job does around it can be tested in seconds, without torch.

Its checkpoint is checkpoints/latest; `fake.json` in the folder says how many steps there are, how long one takes, and
which rank dies at which step, and how.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

EXIT_STOPPED = 75


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0])
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    plan = _plan(folder)
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    own = {"format": 1, "pid": os.getpid(), "start_time": time.time(), "host": socket.gethostname()}
    own |= {"device": "cpu", "node": os.environ["SLURMD_NODENAME"], "world": world, "meet": os.environ["MASTER_ADDR"]}
    _write(folder / "ranks" / f"{rank}.json", own)
    latest = folder / "checkpoints" / "latest"
    first = step = int(latest.read_text()) if latest.exists() else 0
    while step < plan["steps"] and not asked:
        if plan.get("die") and plan["die"][:2] == [rank, step]:
            if not plan["die"][2]:
                raise ValueError("a label that is no class")
            os.kill(os.getpid(), plan["die"][2])
        time.sleep(plan["step_s"])
        step, plan = step + 1, _plan(folder)
        if rank == 0:
            _write(folder / "progress.json", {"format": 1, "phase": "training", "step": step, "first": first})
    if rank == 0:
        if not _others_end(folder, world):
            return 1  # as a broken connection
        time.sleep(plan.get("save_s", 0.3))  # the others are gone while rank 0 saves
    status = "stopped" if asked else "finished"
    if rank == 0:
        latest.parent.mkdir(exist_ok=True)
        latest.write_text(f"{step:08d}")
        result = {"format": 1, "status": status, "reason": "fake", "rank": None, "step": step, "best": None}
        _write(folder / "result.json", {**result, "first": first})
    _write(folder / "ranks" / f"{rank}.json", {**own, "ended": {"status": status, "reason": "", "step": step}})
    return EXIT_STOPPED if asked else 0


def leave(code: int) -> NoReturn:
    sys.exit(code)


def _plan(folder: Path) -> dict[str, Any]:
    """What fake.json says now: a test may change its mind."""
    return {"steps": 10, "step_s": 0.05, **json.loads((folder / "fake.json").read_text())}


def _others_end(folder: Path, world: int) -> bool:
    """Whether all other ranks have ended well within some seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        files = [folder / "ranks" / f"{rank}.json" for rank in range(1, world)]
        if all(file.exists() and '"ended"' in file.read_text() for file in files):
            return True
        time.sleep(0.02)
    return False


def _write(path: Path, value: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value))
    part.replace(path)

"""A rank without a network, for tests of what launches and watches: `python -m tests.training.fake_worker FOLDER`.

FOLDER/fake.json says what ranks do, as {"steps": 50, "ranks": {"1": {"step": 3, "act": "raise"}}}. Acts: raise, kill,
hang (never ends, deaf to SIGTERM), deaf (the same from the start), exit.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from mseg_studio.training.metrics_log import MetricsLog
from mseg_studio.training.progress_file import ProgressFile
from mseg_studio.training.run_folder import RankEnd, RunFolder
from mseg_studio.training.run_processes import rank_files, rank_processes, supervisor_is_gone

STEP_S = 0.05


def main(path: str) -> int:
    folder = RunFolder.open(Path(path))
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    setup = json.loads((folder.path / "fake.json").read_text())
    steps, mine = setup["steps"], setup.get("ranks", {}).get(str(rank), {})
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stop.append(number))
    folder.write_rank(rank, device="cpu")
    folder.append_log(rank, f"rank {rank} of {world}")
    step = _saved(folder)
    progress = ProgressFile(folder.progress_file, steps=steps)
    log = MetricsLog(folder.metrics_file) if rank == 0 else None
    while step < steps:
        if mine.get("step") == step:
            _misbehave(mine["act"], folder, rank, step)
        if stop or supervisor_is_gone():
            if _others_are_gone(folder, world):
                folder.write_rank(rank, device="cpu", ended=RankEnd("failed", "Connection closed", step, True))
                return 1
            return _end(folder, rank, "stopped", "asked to stop; everything is saved", step)
        time.sleep(STEP_S)
        step += 1
        if log is not None:
            log.append({"event": "step", "step": step, "time": time.time(), "loss": 1 / step, "lr": 0.1})
            progress.update("training", step=step, done=step, total=steps, seconds_left=(steps - step) * STEP_S)
    return _end(folder, rank, "finished", "all steps done", step)


def _saved(folder: RunFolder) -> int:
    latest = folder.checkpoints / "latest"
    return int(latest.read_text()) if latest.exists() else 0


def _others_are_gone(folder: RunFolder, world: int) -> bool:
    """What a real rank learns when it asks the others whether to stop."""
    ranks = rank_files(folder.path)
    alive = [process.alive or "ended" in ranks[rank] for rank, process in rank_processes(folder.path).items()]
    return len(alive) < world or not all(alive) or any(_has_failed(values) for values in ranks.values())


def _has_failed(values: dict[str, Any]) -> bool:
    return bool(values.get("ended", {}).get("status") == "failed")


def _end(folder: RunFolder, rank: int, status: str, reason: str, step: int) -> int:
    if rank == 0:
        (folder.checkpoints / "latest").write_text(f"{step:08d}")
        folder.write_result(status, reason=reason, step=step, best=None)
    folder.write_rank(rank, device="cpu", ended=RankEnd(status, reason, step))
    return 0 if status == "finished" else 75


def _misbehave(act: str, folder: RunFolder, rank: int, step: int) -> None:
    if act == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if act == "raise":
        reason = "/data/images/7.png: cannot be read: No such file or directory"
        folder.write_rank(rank, device="cpu", ended=RankEnd("failed", reason, step))
        sys.exit(1)
    if act == "exit":
        os._exit(3)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

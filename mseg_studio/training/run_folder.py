"""The folder of a run: the only channel between a trainer and whoever watches it (contracts.md). Torch-free."""

from __future__ import annotations

import dataclasses
import os
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from mseg_studio.errors import ConfigError
from mseg_studio.storage import write_json_atomic
from mseg_studio.training.config import TrainConfig
from mseg_studio.training.config_file import load_config, save_config

Status = Literal["finished", "failed", "stopped"]
Engine = Literal["single", "torchrun", "slurm"]


@dataclass(frozen=True, slots=True)
class RankEnd:
    """How one rank ended."""

    status: Status
    reason: str
    """One line for people."""
    step: int
    """Steps done."""
    lost_others: bool = False
    """Whether it failed only because another rank was gone: the cause is to be found there."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where the files of a run lie. Every file has one writer."""

    path: Path

    @property
    def config_file(self) -> Path:
        """The whole TrainConfig."""
        return self.path / "config.yaml"

    @property
    def metrics_file(self) -> Path:
        """One JSON line an event."""
        return self.path / "metrics.jsonl"

    @property
    def result_file(self) -> Path:
        """How the run ended; absent while it runs."""
        return self.path / "result.json"

    @property
    def launch_file(self) -> Path:
        """The command that the run was started with, and its process."""
        return self.path / "launch.json"

    @property
    def progress_file(self) -> Path:
        """What the run is doing right now."""
        return self.path / "progress.json"

    @property
    def checkpoints(self) -> Path:
        """One folder a checkpoint."""
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        """Predictions on chosen images, one folder a validation."""
        return self.path / "samples"

    @property
    def notes_file(self) -> Path:
        """What a person wrote about the run."""
        return self.path / "notes.txt"

    @property
    def launcher_log(self) -> Path:
        """What the launcher and the processes under it printed."""
        return self.path / "log" / "launcher.txt"

    def rank_file(self, rank: int) -> Path:
        """Which process is rank `rank`, and how it ended."""
        return self.path / "ranks" / f"{rank}.json"

    def rank_log(self, rank: int) -> Path:
        """Lines for people, of one rank."""
        return self.path / "log" / f"rank{rank}.txt"

    @classmethod
    def create(cls, path: Path, config: TrainConfig) -> RunFolder:
        """Make the folder of a new run. Raises ConfigError when there is a run in it already, OSError."""
        folder = cls(path)
        if folder.config_file.exists():
            raise ConfigError("there is a run in this folder already; continue it or choose another folder", path=path)
        for part in (folder.path, folder.checkpoints, path / "ranks", path / "log"):
            part.mkdir(parents=True, exist_ok=True)
        save_config(folder.config_file, config)
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """An existing run. Raises ConfigError when it has no configuration."""
        folder = cls(path)
        if not folder.config_file.is_file():
            raise ConfigError("no config.yaml: not the folder of a run", path=path)
        for part in (folder.checkpoints, path / "ranks", path / "log"):
            part.mkdir(parents=True, exist_ok=True)
        return folder

    def config(self) -> TrainConfig:
        """Read the configuration. Raises ConfigError."""
        return load_config(self.config_file)

    def write_launch(
        self, *, world_size: int, nnodes: int = 1, engine: Engine = "single", argv: Sequence[str] = (), **more: Any
    ) -> None:
        """Say which command runs where, this process being the one to stop. Raises OSError."""
        launch = {"argv": list(argv or sys.argv), "world_size": world_size, "nnodes": nnodes, "engine": engine}
        write_json_atomic(self.launch_file, {**own_process(), **launch, **more})

    def write_rank(self, rank: int, *, device: str, ended: RankEnd | None = None) -> None:
        """Say which process is rank `rank`, and once it ends, how. Raises OSError."""
        entry = {**own_process(), "rank": rank, "device": device}
        if ended is not None:
            entry["ended"] = {**dataclasses.asdict(ended), "time": time.time()}
        write_json_atomic(self.rank_file(rank), entry)

    def forget_ranks(self, *, beyond: int) -> None:
        """Remove what ranks from `beyond` on said in an earlier start with more of them. Raises OSError."""
        for path in (self.path / "ranks").glob("*.json"):
            if path.stem.isdigit() and int(path.stem) >= beyond:
                path.unlink(missing_ok=True)

    def append_log(self, rank: int, text: str) -> None:
        """Add lines for people to log/rank<N>.txt; programs read the other files. Raises OSError."""
        # A file's name may hold bytes that are no UTF-8: what is told of it must not fail for that.
        with self.rank_log(rank).open("a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def write_result(
        self, status: Status, *, reason: str, step: int, best: dict[str, Any] | None, rank: int | None = None
    ) -> None:
        """Say how the run ended; `rank` is the one that failed first. Raises OSError."""
        result = {"format": 1, "status": status, "reason": reason, "rank": rank, "step": step, "best": best}
        write_json_atomic(self.result_file, {**result, "time": time.time()})


def own_process() -> dict[str, Any]:
    """This process as files name it, so that it can be found again: its pid alone is not identity."""
    pid = os.getpid()
    return {"format": 1, "pid": pid, "start_time": psutil.Process(pid).create_time(), "host": socket.gethostname()}

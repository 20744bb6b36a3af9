"""The folder of a run: the only channel between a trainer and whoever watches it (contracts.md). Torch-free."""

from __future__ import annotations

import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from mseg_studio.errors import ConfigError
from mseg_studio.storage import write_json_atomic
from mseg_studio.training.config import TrainConfig
from mseg_studio.training.config_file import load_config, save_config

Status = Literal["finished", "failed", "stopped"]


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
    def checkpoints(self) -> Path:
        """One folder a checkpoint."""
        return self.path / "checkpoints"

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

    def write_launch(self, *, world_size: int) -> None:
        """Say which command runs where. Raises OSError."""
        write_json_atomic(self.path / "launch.json", {**_process(), "argv": sys.argv, "world_size": world_size})

    def write_rank(self, rank: int, *, device: str) -> None:
        """Say which process is rank `rank`. Raises OSError."""
        write_json_atomic(self.path / "ranks" / f"{rank}.json", {**_process(), "device": device})

    def append_log(self, rank: int, text: str) -> None:
        """Add lines for people to log/rank<N>.txt; programs read the other files. Raises OSError."""
        with (self.path / "log" / f"rank{rank}.txt").open("a", encoding="utf-8") as stream:
            stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def write_result(self, status: Status, *, reason: str, step: int, best: dict[str, Any] | None) -> None:
        """Say how the run ended. Raises OSError."""
        result = {"format": 1, "status": status, "reason": reason, "rank": 0, "step": step, "best": best}
        write_json_atomic(self.result_file, {**result, "time": time.time()})


def _process() -> dict[str, Any]:
    """A process that can be found again: its pid alone is not identity."""
    pid = os.getpid()
    return {"format": 1, "pid": pid, "start_time": psutil.Process(pid).create_time(), "host": socket.gethostname()}

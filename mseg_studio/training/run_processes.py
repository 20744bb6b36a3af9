"""Which processes belong to a run, from its files. A pid alone is not identity: pids are used again. Torch-free."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

SUPERVISOR_ENV = "MSEG_STUDIO_SUPERVISOR"
"""Environment variable of a run's processes that says who watches over them: `pid:start_time`."""
STOP_FILE = "stop.json"
"""Written by whoever asks a run to stop; removed when it is continued."""
OWNER_FILE = "owner.json"
"""Names the process that a run must not outlive, as a dry run its command; other runs have none."""
_SAME_START_S = 2.0
"""The time a process started is reckoned from the machine's clock, which may be set by a second in between."""
_LARGEST_PID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class RunProcess:
    """A process that a file of the run names."""

    pid: int
    start_time: float
    """Seconds since 1970."""
    host: str

    @property
    def is_here(self) -> bool:
        """Whether it belongs to this machine: only then can it be looked at."""
        return self.host == socket.gethostname()

    @property
    def alive(self) -> bool:
        """Whether it runs on this machine: the same pid, started at the same time, and no zombie."""
        return self._process() is not None

    def ask_to_stop(self) -> None:
        """SIGTERM, if it is alive and ours to stop."""
        process = self._process()
        if process is not None:
            _quietly(process.terminate)

    def kill(self) -> None:
        """SIGKILL, if it is alive and ours to kill."""
        process = self._process()
        if process is not None:
            _quietly(process.kill)

    def _process(self) -> psutil.Process | None:
        if not self.is_here:
            return None
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.start_time) <= _SAME_START_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


def launched(folder: Path) -> RunProcess | None:
    """The process that launch.json names; None without such a file."""
    return _process_in(read_json(folder / "launch.json"))


def owner(folder: Path) -> RunProcess | None:
    """The process that the run must not outlive; None: it outlives everybody."""
    return _process_in(read_json(folder / OWNER_FILE))


def rank_files(folder: Path) -> dict[int, dict[str, Any]]:
    """What ranks/N.json say, by rank."""
    found = {int(path.stem): read_json(path) for path in (folder / "ranks").glob("*.json") if path.stem.isdigit()}
    return {rank: values for rank, values in sorted(found.items()) if values}


def rank_processes(folder: Path) -> dict[int, RunProcess]:
    """The processes of all ranks that said who they are."""
    found = {rank: _process_in(values) for rank, values in rank_files(folder).items()}
    return {rank: process for rank, process in found.items() if process is not None}


def run_processes(folder: Path) -> tuple[RunProcess, ...]:
    """Everything of this run that is alive on this machine: what launched it, and its ranks."""
    first = launched(folder)
    every = [*([first] if first else []), *rank_processes(folder).values()]
    return tuple(dict.fromkeys(process for process in every if process.alive))


def supervisor_is_gone() -> bool:
    """Whether this process was started by a supervisor that is dead: nobody would end it, so it should save and end.

    Cheap enough to ask once a second. False for a process that was started by other means.
    """
    pid, colon, start_time = os.environ.get(SUPERVISOR_ENV, "").partition(":")
    if not colon:
        return False
    return not RunProcess(int(pid), float(start_time), socket.gethostname()).alive


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty without one, or when it cannot be read: files are looked at while they change."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _process_in(values: dict[str, Any]) -> RunProcess | None:
    try:
        process = RunProcess(int(values["pid"]), float(values["start_time"]), str(values["host"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return process if 0 < process.pid <= _LARGEST_PID else None


def _quietly(act: Any) -> None:
    try:
        act()
    except psutil.Error:
        return  # it ended by itself meanwhile

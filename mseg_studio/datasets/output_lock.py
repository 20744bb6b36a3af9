"""One run at a time in an output folder: two would delete and record each other's files.

A file that only one process can make, with who made it. What a killed process left is taken over; a process on another
computer cannot be asked whether it still runs, so its file stays until a person deletes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from mseg_studio.errors import ExportError
from mseg_studio.labels.export_errors import export_errors

LOCK_FILE = ".mseg-lock"
_UNWRITTEN_S = 10.0
"""A lock file without content is this young while its process writes it."""
_SAME_START_S = 2.0
"""Start times of one process, asked for twice, differ by less."""
_TRIES = 3


@contextlib.contextmanager
def output_lock(folder: Path) -> Iterator[None]:
    """Make `folder` where it is missing, and hold it alone. Raises ExportError when another run holds it."""
    path = folder / LOCK_FILE
    with export_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for _ in range(_TRIES):
        with export_errors(path):
            if _made(path):
                break
            holder = _holder(path)
            if holder is not None:
                raise ExportError(f"{holder} writes into this folder; wait for it, or choose another one", path=folder)
    else:
        raise ExportError("another run writes into this folder; wait for it, or choose another one", path=folder)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def _made(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    own = {"host": socket.gethostname(), "pid": os.getpid(), "started": psutil.Process().create_time()}
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(own, stream)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return True


def _holder(path: Path) -> str | None:
    """Who holds the lock, in words; None when nobody does, and then the file is gone."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        age_s = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        value = json.loads(text)
        host, pid, started = str(value["host"]), int(value["pid"]), float(value["started"])
    except (ValueError, KeyError, TypeError):
        if age_s < _UNWRITTEN_S:
            return "another run"
    else:
        if host != socket.gethostname():
            return f"process {pid} on {host} (delete {LOCK_FILE} here if it has ended)"
        if _runs(pid, started):
            return f"process {pid}"
    _take_away(path, text)
    return None


def _runs(pid: int, started: float) -> bool:
    """Whether the process that wrote this runs; a number may belong to another one by now."""
    try:
        return abs(psutil.Process(pid).create_time() - started) < _SAME_START_S
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False
    except psutil.AccessDenied:
        return True


def _take_away(path: Path, stale: str) -> None:
    """Remove a lock file that says `stale`; one that somebody else has put in its place since is put back."""
    aside = path.with_name(f"{LOCK_FILE}-{secrets.token_hex(4)}")
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
        if aside.read_text(encoding="utf-8", errors="replace") != stale and not path.exists():
            aside.rename(path)
        aside.unlink(missing_ok=True)

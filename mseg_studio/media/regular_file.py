"""Reading plain files only: a FIFO, device, socket or folder with a picture's name must not block the reader."""

from __future__ import annotations

import os
import stat
from os import PathLike, fspath
from pathlib import Path

from mseg_studio.errors import MSegStudioError

MAX_FILE_BYTES = 1 << 30
"""Largest picture file that is read; a larger one is no photograph."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


def check_regular(path: str | PathLike[str], error: type[MSegStudioError]) -> int:
    """Size in bytes of the plain file at `path`, without opening it. Raises `error` when there is none."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as problem:
        raise error(reason_of(problem), path=path) from problem
    _refuse_special(status, path, error)
    return status.st_size


def read_regular(path: str | PathLike[str], error: type[MSegStudioError]) -> bytes:
    """All bytes of the plain file at `path`. Raises `error` when there is none, or it is empty or too large."""
    check_regular(path, error)
    try:
        # O_NONBLOCK: a FIFO put in the file's place after the check must not block the reader.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(fspath(path), flags), "rb") as stream:
            status = os.fstat(stream.fileno())
            _refuse_special(status, path, error)
            if status.st_size > MAX_FILE_BYTES:
                raise error(f"{status.st_size} bytes are more than the {MAX_FILE_BYTES} that are read", path=path)
            # No more than the file holds: a read takes memory for all it may give, before it gives it.
            data = stream.read(status.st_size)
    except OSError as problem:
        raise error(reason_of(problem), path=path) from problem
    if not data:
        raise error("the file is empty", path=path)
    return data


def reason_of(problem: Exception) -> str:
    """The words of an OSError without the file name, which the message carries already."""
    if isinstance(problem, FileNotFoundError):
        return "no such file"
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror.lower() if problem.strerror[:1].isupper() else problem.strerror
    return str(problem) or type(problem).__name__


def _refuse_special(status: os.stat_result, path: str | PathLike[str], error: type[MSegStudioError]) -> None:
    for is_kind, words in _KINDS:
        if is_kind(status.st_mode):
            raise error(f"expected a file, found {words}", path=path)
    if not stat.S_ISREG(status.st_mode):
        raise error("expected a file, found something else", path=path)

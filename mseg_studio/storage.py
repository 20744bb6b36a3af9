"""Files that are never half written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_PART = ".mseg-part"


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with its suffix; on success it is fsynced and replaces `path` at once.

    When the block raises, the temporary file is removed and `path` stays as it was. Raises OSError.
    """
    temporary = path.with_name(f"{_PART}-{secrets.token_hex(6)}{path.suffix}")
    try:
        yield temporary
        _fsync(temporary)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    fsync_folder(path.parent)


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds either its old content or all of the new. Raises OSError."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_whole(path: Path, data: bytes) -> None:
    """`write_atomic` against a killed process only: nothing waits for the disk, so a power cut may lose the content.

    For many files that only count once `flush` has returned: to wait for each takes several times longer than writing.
    Raises OSError.
    """
    temporary = path.with_name(f"{_PART}-{secrets.token_hex(6)}{path.suffix}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def flush(paths: Iterable[Path]) -> None:
    """Wait until these files, just written, are on the disk. Raises OSError."""
    if hasattr(os, "sync"):
        os.sync()  # one wait for all of them
        return
    for path in paths:
        _fsync(path)


def write_json_atomic(path: Path, value: Any) -> None:
    """`write_atomic` for a JSON value, indented, UTF-8, with a final newline.

    Names of files that are no UTF-8 are escaped, and read as they were.
    """
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    write_atomic(path, text.encode(errors="backslashreplace"))  # of a lone surrogate: JSON's own escape for it


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fsync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut (POSIX; Windows needs and offers nothing)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_leftover(path: Path) -> bool:
    """Whether `path` is a temporary file that a killed process left behind."""
    return path.name.startswith(_PART)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

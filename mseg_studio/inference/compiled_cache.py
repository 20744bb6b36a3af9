"""Compiled networks kept on disk: one file each, checked before it is used, the oldest thrown away.

A file is one page of JSON (format, SHA-256 of the rest, what it was made from), then the network as OpenVINO exports
it. It is mapped, not read: its weights are in memory only as long as somebody looks at them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mseg_studio.settings import user_folder
from mseg_studio.storage import atomic_path, is_leftover

_FORMAT = 1
_PAGE_BYTES = 4096
_KEPT = 6
_ABANDONED_S = 24 * 3600.0


class DamagedError(ValueError):
    """A file of the cache that is not what was written; the reason in words."""


class CompiledFile:
    """A compiled network on disk, mapped into memory. Keep it as long as the network made from it lives."""

    def __init__(self, path: Path) -> None:
        """Map `path` and check it. Raises FileNotFoundError, OSError, DamagedError."""
        with path.open("rb") as stream:
            page = stream.read(_PAGE_BYTES)
            wanted = _wanted_sha256(page)
            if path.stat().st_size <= _PAGE_BYTES:
                raise DamagedError("it is cut off")
            # Copy on write, because OpenVINO insists on memory that it may write to; it never does.
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        self.bytes: npt.NDArray[np.uint8] = np.frombuffer(self._map, np.uint8, offset=_PAGE_BYTES)
        """The network as it was exported."""
        if hashlib.sha256(self.bytes.data).hexdigest() != wanted:
            raise DamagedError("its SHA-256 is not the recorded one")
        self.drop_pages()

    def drop_pages(self) -> None:
        """Tell the system that the mapped pages need not stay in memory; they are read again when looked at."""
        if hasattr(self._map, "madvise"):
            self._map.madvise(mmap.MADV_DONTNEED)


def cache_folder(version: str) -> Path:
    """Folder of what was compiled by this version of OpenVINO; it need not exist."""
    return user_folder("cache") / "openvino" / version


def key_of(facts: dict[str, str]) -> str:
    """Name under which what was made from `facts` is kept."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def path_of(facts: dict[str, str], version: str) -> Path:
    """The file of what was made from `facts`, whether it is there or not."""
    return cache_folder(version) / f"{key_of(facts)}.compiled"


def keep(path: Path, facts: dict[str, str], data: bytes | memoryview) -> None:
    """Write a compiled network at once and throw away the oldest beyond a handful, and all of other versions.

    Raises OSError.
    """
    header = {"format": _FORMAT, "sha256": hashlib.sha256(data).hexdigest(), "made_from": facts}
    page = json.dumps(header, ensure_ascii=True).encode()
    if len(page) > _PAGE_BYTES:
        raise ValueError("the facts are longer than a page")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(page.ljust(_PAGE_BYTES))
        stream.write(data)
    _throw_away(path)


def _wanted_sha256(page: bytes) -> str:
    try:
        header: Any = json.loads(page)
        if header["format"] != _FORMAT:
            raise DamagedError("it is of another format")
        return str(header["sha256"])
    except (ValueError, TypeError, KeyError) as error:
        raise error if isinstance(error, DamagedError) else DamagedError("its head is damaged") from error


def _throw_away(newest: Path) -> None:
    """What cannot be deleted (another process looks at it, on Windows) stays until the next time."""

    def used_s(path: Path) -> float:
        return path.stat().st_mtime

    with contextlib.suppress(OSError):
        for version in newest.parent.parent.iterdir():
            if version != newest.parent:
                shutil.rmtree(version, ignore_errors=True)
        files = list(newest.parent.iterdir())
        old = sorted((path for path in files if not is_leftover(path)), key=used_s, reverse=True)[_KEPT:]
        old += [path for path in files if is_leftover(path) and time.time() - used_s(path) > _ABANDONED_S]
        for path in old:
            with contextlib.suppress(OSError):
                path.unlink()

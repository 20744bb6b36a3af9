"""A file for libraries that crash when a write fails."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any


class ForgivingFile(io.RawIOBase):
    """A new file that takes every write, remembers the first failure and keeps later bytes in memory.

    HDF5 keeps a failed file half open and writes to it again at exit, which ends the process with a segmentation fault
    on a full disk. With this file it closes in order; the owner must look at `failure` and give the file up.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("xb+", buffering=0)
        self._at = 0
        self._end = 0
        self._kept: list[tuple[int, bytes]] = []
        self.failure: OSError | None = None
        """The first error of a write, None as long as all is well."""

    def readable(self) -> bool:
        """Always."""
        return True

    def writable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Position in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a position in bytes; behind the end is allowed."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        self._at = base + offset
        return self._at

    def write(self, data: Any, /) -> int:
        """Write all of `data`, or keep it in memory after the first failure."""
        content = memoryview(data).cast("B")
        done = 0
        if self.failure is None:
            try:
                self._file.seek(self._at)
                while done < len(content):
                    done += self._file.write(content[done:])
            except OSError as error:
                self.failure = error
        if done < len(content):
            self._kept.append((self._at + done, bytes(content[done:])))
        self._at += len(content)
        self._end = max(self._end, self._at)
        return len(content)

    def readinto(self, buffer: Any, /) -> int:
        """Read into `buffer`, what was written and what was kept."""
        target = memoryview(buffer).cast("B")
        size = max(0, min(len(target), self._end - self._at))
        self._file.seek(self._at)
        content = bytearray(self._file.read(size).ljust(size, b"\0"))
        for start, kept in self._kept:
            low, high = max(start, self._at), min(start + len(kept), self._at + size)
            if low < high:
                content[low - self._at : high - self._at] = kept[low - start : high - start]
        target[:size] = content
        self._at += size
        return size

    def truncate(self, size: int | None = None, /) -> int:
        """Cut or extend the file to `size` bytes."""
        self._end = self._at if size is None else size
        if self.failure is None:
            try:
                self._file.truncate(self._end)
            except OSError as error:
                self.failure = error
        return self._end

    def close(self) -> None:
        """Close the file underneath."""
        if not self.closed:
            self._file.close()
        super().close()

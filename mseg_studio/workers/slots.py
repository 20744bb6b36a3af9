"""Pixels between processes: a slot is a memory-mapped file that the parent owns and the child maps too.

Nothing is left behind however a process ends: on POSIX the file has no name (memfd on Linux, an unlinked temporary
file elsewhere) and is inherited by descriptor; on Windows it is named and the parent removes it. A named shared-memory
segment would not do: on Python 3.11 the resource tracker of any attached process removes it.

One writer at a time is the protocol's duty: the parent writes before it sends a request, the child before it answers.
"""

from __future__ import annotations

import contextlib
import errno
import math
import mmap
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mseg_studio.workers.framing import ProtocolError

MAX_SLOT_BYTES = 1 << 34
_ALIGNMENT = 64
_DTYPES = frozenset({"bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "int64"} | {"float16", "float32"})

Array = npt.NDArray[Any]


class Slot:
    """Arrays in a memory-mapped file that grows on demand and never shrinks."""

    def __init__(self, descriptor: int, *, path: str = "") -> None:
        """Takes over `descriptor`; `path` names the file where it has a name that `close` must remove."""
        self.descriptor = descriptor
        self._path = path
        self._map: mmap.mmap | None = None

    @classmethod
    def create(cls) -> Slot:
        """An empty slot of the calling process. Raises OSError."""
        if sys.platform == "win32":
            descriptor, path = tempfile.mkstemp(prefix="mseg-studio-slot-")
            return cls(descriptor, path=path)
        if sys.platform == "linux":
            return cls(os.memfd_create("mseg-studio-slot", os.MFD_CLOEXEC))
        descriptor, path = tempfile.mkstemp(prefix="mseg-studio-slot-")
        Path(path).unlink()
        return cls(descriptor)

    @classmethod
    def attach(cls, address: int | str) -> Slot:
        """The slot behind another process's `address`: an inherited descriptor or, on Windows, a path."""
        if isinstance(address, int):
            os.set_inheritable(address, False)
            return cls(address)
        return cls(os.open(address, os.O_RDWR | getattr(os, "O_BINARY", 0)))

    @property
    def address(self) -> int | str:
        """What `attach` needs in a child that inherits the descriptor."""
        return self._path or self.descriptor

    def write(self, arrays: Mapping[str, Array]) -> list[dict[str, Any]]:
        """Copy `arrays` in and describe them for a message. Raises OSError when there is no room for them."""
        described: list[dict[str, Any]] = []
        position = 0
        for name, array in arrays.items():
            if array.dtype.name not in _DTYPES:
                raise ProtocolError(f"array '{name}' of {array.dtype} cannot be sent")
            described.append({"name": name, "offset": position, "shape": list(array.shape), "dtype": array.dtype.name})
            position += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
        self._grow(position)
        for entry, array in zip(described, arrays.values(), strict=True):
            np.copyto(self._view(entry["offset"], array.shape, array.dtype), array)
        return described

    def views(self, described: Sequence[Any]) -> dict[str, Array]:
        """The described arrays as read-only views, valid until the slot is written again. Raises ProtocolError."""
        found: dict[str, Array] = {}
        for entry in described:
            name, offset, shape, dtype = _checked(entry)
            end = offset + math.prod(shape) * dtype.itemsize
            if end > MAX_SLOT_BYTES or end > os.fstat(self.descriptor).st_size:
                raise ProtocolError(f"array '{name}' does not lie in its slot")
            view = self._view(offset, shape, dtype)
            view.setflags(write=False)
            found[name] = view
        return found

    def copies(self, described: Sequence[Any]) -> dict[str, Array]:
        """The described arrays as the caller's own. Raises ProtocolError."""
        return {name: view.copy() for name, view in self.views(described).items()}

    def close(self) -> None:
        """Give the memory back (once nobody holds a view) and remove the file."""
        if self._map is not None:
            with contextlib.suppress(BufferError):  # a view lives on: the map goes with it
                self._map.close()
            self._map = None
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        if self._path:
            with contextlib.suppress(OSError):
                Path(self._path).unlink()

    def _grow(self, size: int) -> None:
        if size > MAX_SLOT_BYTES:
            raise OSError(errno.EFBIG, f"{size} bytes of pixels are too many for a slot")
        if size <= os.fstat(self.descriptor).st_size:
            return
        size = -(-size // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        if sys.platform == "linux":
            # Reserve the pages now: a full disk must be an error here, not a fatal bus error at the first write.
            os.posix_fallocate(self.descriptor, 0, size)
        else:
            os.ftruncate(self.descriptor, size)

    def _view(self, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        count = math.prod(shape)
        if count == 0:
            return np.empty(shape, dtype)
        if self._map is None or offset + count * dtype.itemsize > len(self._map):
            # The old map is dropped, not closed: views may still look into it.
            self._map = mmap.mmap(self.descriptor, os.fstat(self.descriptor).st_size)
        return np.frombuffer(self._map, dtype, count, offset).reshape(shape)


def _checked(entry: Any) -> tuple[str, int, tuple[int, ...], np.dtype[Any]]:
    if not isinstance(entry, dict):
        raise ProtocolError("an array is described by no object")
    name, offset, shape, dtype = (entry.get(key) for key in ("name", "offset", "shape", "dtype"))
    if not isinstance(name, str) or dtype not in _DTYPES or not isinstance(shape, list) or len(shape) > 8:
        raise ProtocolError(f"array '{name}' has no name, shape or known dtype")
    if not isinstance(offset, int) or not all(type(n) is int and 0 <= n <= MAX_SLOT_BYTES for n in (offset, *shape)):
        raise ProtocolError(f"array '{name}' has a wrong offset or shape")
    if offset % _ALIGNMENT:
        raise ProtocolError(f"array '{name}' is not aligned")
    return name, offset, tuple(shape), np.dtype(dtype)

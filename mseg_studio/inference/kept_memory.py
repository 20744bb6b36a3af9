"""Memory for scores that is used again from frame to frame: fresh pages cost a fifth of the time."""

from __future__ import annotations

import tempfile
import threading
import weakref
from dataclasses import dataclass, field

import numpy as np
import psutil
import torch

from mseg_studio.errors import DeviceMemoryError
from mseg_studio.settings import user_folder

_MEMORY_SHARE = 0.9
_KEPT = 3
"""The scores that are made, those that are shown meanwhile, and what is kept for their next taxonomy."""


@dataclass(eq=False, slots=True)
class _Piece:
    """Memory, and whose scores lie in it."""

    bytes: torch.Tensor
    users: list[weakref.ref[object]] = field(default_factory=list)

    @property
    def is_free(self) -> bool:
        """Whether nobody holds scores in it any more."""
        return all(user() is None for user in self.users)


class KeptMemory:
    """A few pieces of memory, each used again as soon as nobody lives who uses it."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []
        self._lock = threading.Lock()

    def take(self, pixels: int, channels: int, dtype: torch.dtype, *, owner: object) -> torch.Tensor:
        """(pixels, channels), not initialised, for as long as `owner` lives.

        Raises MemoryError when it does not fit beside what runs here.
        """
        with self._lock:
            return self._take(pixels, channels, dtype, owner)

    def _take(self, pixels: int, channels: int, dtype: torch.dtype, owner: object) -> torch.Tensor:
        needed = pixels * channels * dtype.itemsize
        if needed == 0:
            return torch.empty((pixels, channels), dtype=dtype)
        piece = min((p for p in self._pieces if p.is_free and len(p.bytes) >= needed), key=_size, default=None)
        if piece is None:
            self._make_room()
            free = psutil.virtual_memory().available * _MEMORY_SHARE
            if needed > free:  # asking for it would get us killed
                raise MemoryError(f"out of memory: scores need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")
            piece = _Piece(torch.from_numpy(np.empty(needed, np.uint8)))  # numpy asks for large pages, torch does not
            self._pieces.append(piece)
        piece.users = [weakref.ref(owner)]
        return piece.bytes[:needed].view(dtype).view(pixels, channels)

    def used_by(self, owner: object, part: torch.Tensor) -> None:
        """As long as `owner` lives too, the memory that `part` lies in is not given away again."""
        with self._lock:
            for piece in self._pieces:
                start = piece.bytes.data_ptr()
                if start <= part.data_ptr() < start + len(piece.bytes):
                    piece.users.append(weakref.ref(owner))

    def drop(self) -> None:
        """Forget all memory: it is freed when the last scores in it are."""
        with self._lock:
            self._pieces = []

    def _make_room(self) -> None:
        """Free pieces that are too small go, then the oldest: forgotten here, they live while their scores do."""
        self._pieces = [piece for piece in self._pieces if not piece.is_free][-(_KEPT - 1) :]


def _size(piece: _Piece) -> int:
    return len(piece.bytes)


def in_a_file(pixels: int, channels: int, dtype: torch.dtype) -> torch.Tensor:
    """(pixels, channels) in a file without a name, which goes when nobody holds it. Raises DeviceMemoryError."""
    folder = user_folder("cache")
    needed = pixels * channels * dtype.itemsize
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = psutil.disk_usage(str(folder)).free
        if needed < free * _MEMORY_SHARE:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.truncate(needed)
                mapped = np.memmap(file, np.uint8, "r+", shape=(needed,))
                return torch.from_numpy(mapped).view(dtype).view(pixels, channels)
    except OSError as error:
        raise DeviceMemoryError(
            f"scores need {needed / 1e9:.1f} GB; no temporary file: {error}", path=folder
        ) from error
    raise DeviceMemoryError(
        f"scores need {needed / 1e9:.1f} GB: neither memory nor disk ({free / 1e9:.1f} GB) holds them; "
        "try a smaller base size or fewer scales",
        path=folder,
    )

"""Where the network's answers go while an image runs: logits as they are on the CPU, summed probabilities on a GPU."""

from __future__ import annotations

import math
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import psutil
import torch

from mseg_studio.errors import DeviceMemoryError
from mseg_studio.inference.accumulate import CropAccumulator
from mseg_studio.inference.cost import Cost
from mseg_studio.inference.crops import Batch
from mseg_studio.inference.dense import DenseScores
from mseg_studio.inference.engine import Engine
from mseg_studio.inference.grids import GridScores
from mseg_studio.inference.plan import logit_size, plan_of
from mseg_studio.inference.strided import StridedScores
from mseg_studio.inference.tiling import Tiling
from mseg_studio.settings import user_folder

_MEMORY_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class FrameWork:
    """What is to be done for one image."""

    height: int
    width: int
    tilings: tuple[Tiling, ...]
    """One each scale."""
    cost: Cost

    @property
    def grid_sizes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of the grid of every scale."""
        return tuple((tiling.height, tiling.width) for tiling in self.tilings)


@dataclass(frozen=True, slots=True)
class Layout:
    """Shapes of the logits."""

    images: int
    """Images of one crop: 2 with the mirrored one."""
    logits_stride: int
    channels: int

    def pixels_a_crop(self, tiling: Tiling) -> int:
        """Logit pixels of a crop and its mirror image."""
        return self.images * math.prod(logit_size(tiling, self.logits_stride))

    def shape_of(self, batch: Batch, frames: Sequence[FrameWork]) -> torch.Size:
        """(N, h, w, C) of the logits of `batch`."""
        crop = batch.crops[0]
        size = logit_size(frames[crop.frame].tilings[crop.scale], self.logits_stride)
        return torch.Size((len(batch.images_NCHW), *size, self.channels))


class ScoreKeeper(Protocol):
    """Takes the logits of batches in the order of `batches_of`."""

    frames: Sequence[FrameWork]

    def place_for(self, batch: Batch, engine: Engine) -> torch.Tensor:
        """Where the engine writes the logits (N, h, w, C) of a batch."""
        ...

    def take(self, batch: Batch, logits_NhwC: torch.Tensor) -> None:
        """The engine wrote them."""
        ...

    def scores(self) -> list[DenseScores]:
        """The scores of every frame, when all batches were taken."""
        ...


class LogitBuffer:
    """Memory for logits, used again as soon as nobody holds scores in it: new pages cost a fifth of the time."""

    def __init__(self) -> None:
        self._memory: torch.Tensor | None = None
        self._users: list[weakref.ref[StridedScores]] = []

    def take(self, pixels: int, channels: int, dtype: torch.dtype, *, on_disk: bool) -> torch.Tensor:
        """(pixels, channels), not initialised. Raises MemoryError when it does not fit beside what runs here."""
        if on_disk:
            return _in_a_file(pixels, channels, dtype)
        if any(user() is not None for user in self._users) or (
            self._memory is not None and (self._memory.dtype != dtype or self._memory.shape[1] != channels)
        ):
            self.drop()
        if self._memory is None or len(self._memory) < pixels:
            self.drop()
            needed, free = pixels * channels * dtype.itemsize, psutil.virtual_memory().available * _MEMORY_SHARE
            if needed > free:  # asking for it would get us killed
                raise MemoryError(f"out of memory: scores need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")
            self._memory = torch.empty((pixels, channels), dtype=dtype)
        return self._memory[:pixels]

    def used_by(self, scores: StridedScores) -> None:
        """`scores` lie in the memory last taken."""
        self._users = [user for user in self._users if user() is not None] + [weakref.ref(scores)]

    def drop(self) -> None:
        """Forget the memory: it is freed when the last scores in it are."""
        self._memory, self._users = None, []


class StridedKeeper:
    """Logits on the CPU, one crop behind the other."""

    def __init__(
        self,
        frames: Sequence[FrameWork],
        layout: Layout,
        dtype: torch.dtype,
        buffer: LogitBuffer,
        *,
        on_disk: bool,
    ) -> None:
        """Raises MemoryError when memory, DeviceMemoryError when the disk has no room for the logits."""
        self.frames = frames
        self._layout = layout
        self._buffer = None if on_disk else buffer
        self._pixels = [sum(t.count * layout.pixels_a_crop(t) for t in frame.tilings) for frame in frames]
        self._logits_LC = buffer.take(sum(self._pixels), layout.channels, dtype, on_disk=on_disk)
        self._filled = 0

    def place_for(self, batch: Batch, engine: Engine) -> torch.Tensor:
        """A view of the kept logits, or memory on the engine's own device."""
        shape = self._layout.shape_of(batch, self.frames)
        if engine.device.type == "cpu":
            return self._rest(shape)
        return torch.empty(shape, dtype=engine.logits_dtype, device=engine.device)

    def take(self, batch: Batch, logits_NhwC: torch.Tensor) -> None:
        """Copy what lies elsewhere."""
        if logits_NhwC.device.type != "cpu":
            self._rest(logits_NhwC.shape).copy_(logits_NhwC)
        self._filled += logits_NhwC.shape[:3].numel()

    def scores(self) -> list[DenseScores]:
        """One behind the other, as the frames are."""
        firsts = np.concatenate([[0], np.cumsum(self._pixels)])
        return [self._scores_of(index, int(first)) for index, first in enumerate(firsts[:-1])]

    def _scores_of(self, index: int, first: int) -> StridedScores:
        frame, layout = self.frames[index], self._layout
        size = {"height": frame.height, "width": frame.width}
        plan = plan_of(frame.tilings, **size, images=layout.images, logits_stride=layout.logits_stride)
        logits_LC = self._logits_LC[first : first + self._pixels[index]]
        scores = StridedScores(logits_LC, plan, frame.grid_sizes, **size, cost=frame.cost)
        if self._buffer is not None:
            self._buffer.used_by(scores)
        return scores

    def _rest(self, shape: Sequence[int]) -> torch.Tensor:
        """The next kept logits as (N, h, w, C)."""
        count, rows, columns, channels = shape
        return self._logits_LC[self._filled : self._filled + count * rows * columns].view(
            count, rows, columns, channels
        )


class GridKeeper:
    """Summed probabilities on a device."""

    def __init__(self, frames: Sequence[FrameWork], layout: Layout, device: torch.device) -> None:
        """Raises torch.OutOfMemoryError."""
        self.frames = frames
        self._layout = layout
        self._scores = [
            GridScores(
                torch.zeros((sum(h * w for h, w in frame.grid_sizes), layout.channels), device=device),
                frame.grid_sizes,
                frame.height,
                frame.width,
                frame.cost,
            )
            for frame in frames
        ]

    def place_for(self, batch: Batch, engine: Engine) -> torch.Tensor:
        """Memory on the engine's device."""
        shape = self._layout.shape_of(batch, self.frames)
        return torch.empty(shape, dtype=engine.logits_dtype, device=engine.device)

    def take(self, batch: Batch, logits_NhwC: torch.Tensor) -> None:
        """Add every crop to its grid."""
        for crop, images_NhwC in zip(batch.crops, torch.split(logits_NhwC, self._layout.images), strict=True):
            tiling = self.frames[crop.frame].tilings[crop.scale]
            grid_hwC = self._scores[crop.frame].grid(crop.scale)
            CropAccumulator(grid_hwC, tiling).add(images_NhwC.float(), crop.window)

    def scores(self) -> list[DenseScores]:
        """One for each frame."""
        return list(self._scores)


def _in_a_file(pixels: int, channels: int, dtype: torch.dtype) -> torch.Tensor:
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

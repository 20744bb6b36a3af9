"""Where the network's answers go while an image runs: logits as they are on the CPU, summed probabilities on a GPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from mseg_studio.inference.accumulate import CropAccumulator
from mseg_studio.inference.cost import Cost
from mseg_studio.inference.crops import Batch
from mseg_studio.inference.dense import DenseScores
from mseg_studio.inference.engine import Engine
from mseg_studio.inference.grids import GridScores
from mseg_studio.inference.kept_memory import KeptMemory, in_a_file
from mseg_studio.inference.plan import logit_size, plan_of
from mseg_studio.inference.strided import StridedScores
from mseg_studio.inference.tiling import Tiling


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


class StridedKeeper:
    """Logits on the CPU, one crop behind the other."""

    def __init__(
        self,
        frames: Sequence[FrameWork],
        layout: Layout,
        dtype: torch.dtype,
        memory: KeptMemory,
        *,
        on_disk: bool,
    ) -> None:
        """Raises MemoryError when memory, DeviceMemoryError when the disk has no room for the logits."""
        self.frames = frames
        self._layout = layout
        self._memory = memory
        self._pixels = [sum(t.count * layout.pixels_a_crop(t) for t in frame.tilings) for frame in frames]
        shape = (sum(self._pixels), layout.channels)
        self._logits_LC = in_a_file(*shape, dtype) if on_disk else memory.take(*shape, dtype, owner=self)
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
        return StridedScores(logits_LC, plan, frame.grid_sizes, **size, cost=frame.cost, memory=self._memory)

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

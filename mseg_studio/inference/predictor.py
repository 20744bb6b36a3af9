"""Pixels to dense class probabilities: sliding window, mirror image and scales exactly as published (parity.md 2.2)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import psutil
import torch
from torch import nn

from mseg_studio.errors import DeviceMemoryError
from mseg_studio.inference import cost, devices
from mseg_studio.inference.accumulate import CropAccumulator
from mseg_studio.inference.dense import DenseScores
from mseg_studio.inference.engine import Engine, is_out_of_memory
from mseg_studio.inference.engines.torch_engine import TorchEngine
from mseg_studio.inference.preprocess import crop_of, normalised
from mseg_studio.inference.recipe import Precision, Recipe
from mseg_studio.inference.tiling import Tiling
from mseg_studio.networks.spec import NetworkSpec
from mseg_studio.progress import CancelToken, Progress, ProgressClock

OnTile = Callable[[Progress], None]
EngineMaker = Callable[[nn.Module, torch.device, Precision], Engine]

_BYTES_A_SCORE = 4
_MEMORY_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder down which a device without enough memory goes; every rung gives the same labels."""

    device: torch.device
    scores_device: torch.device
    images_a_pass: int
    """2: a crop and its mirror image together; 1: one after the other."""
    note: str
    """What a person is told; empty on the first rung."""


class Predictor:
    """One network on one device under one recipe. Knows no files and no taxonomy names. Not thread-safe."""

    def __init__(
        self,
        network: nn.Module,
        spec: NetworkSpec,
        *,
        num_classes: int,
        recipe: Recipe,
        device: str | None = None,
        make_engine: EngineMaker | None = None,
    ) -> None:
        """`network` is moved to the device; `recipe` has its sizes, `device` overrides the recipe's.

        Raises ConfigError for a device or precision that is not there, ValueError for a crop the network cannot take.
        """
        spec.check_crop(cost.recipe_crop_px(recipe))
        place = devices.resolve_device(device or recipe.device)
        precision = devices.resolve_precision(recipe.precision, place)
        self.recipe = recipe.resolved(
            base_size=recipe.base_size or 0, crop_px=cost.recipe_crop_px(recipe), precision=precision
        )
        self.spec = spec
        self.num_classes = num_classes
        self._network = network
        self._make_engine = make_engine or _torch_engine
        self._ladder = _ladder(place)
        self._engine: Engine | None = None

    @property
    def engine_name(self) -> str:
        """Name of the engine, for the sidecar."""
        return self._current_engine().name

    @property
    def device(self) -> str:
        """Where the network runs now: cpu, cuda:0 or mps."""
        return str(self._ladder[0].device)

    @property
    def torch_device(self) -> torch.device:
        """The same as torch sees it."""
        return self._ladder[0].device

    @property
    def note(self) -> str:
        """What the lack of memory has cost so far, in words; empty when nothing."""
        return self._ladder[0].note

    def predict(
        self,
        pixels_HW3: npt.NDArray[np.uint8],
        *,
        on_tile: OnTile | None = None,
        cancel: CancelToken | None = None,
    ) -> DenseScores:
        """Probabilities of an RGB uint8 image (H, W, 3). `on_tile` is called after every crop; see `steps`."""
        steps = self.steps(pixels_HW3, cancel=cancel)
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                scores: DenseScores = end.value
                return scores
            if on_tile is not None:
                on_tile(progress)

    def steps(
        self, pixels_HW3: npt.NDArray[np.uint8], *, cancel: CancelToken | None = None
    ) -> Generator[Progress, None, DenseScores]:
        """`predict` as a generator: Progress after every crop, `cancel` polled before it.

        When memory runs out, goes down the ladder, starts again and stays there. Raises Cancelled, and
        DeviceMemoryError when the last rung is not enough.
        """
        if pixels_HW3.ndim != 3 or pixels_HW3.shape[2] != 3 or pixels_HW3.dtype != np.uint8 or 0 in pixels_HW3.shape:
            raise ValueError(f"an image is uint8 (H, W, 3), got {pixels_HW3.dtype} {pixels_HW3.shape}")
        while True:
            try:
                return (yield from self._predict(pixels_HW3, self._ladder[0], cancel))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Outside the except block: the traceback would keep the device's tensors alive.
            self._step_down()

    def release_device(self) -> None:
        """Give the device's memory back; the next `predict` takes it again."""
        self._network.to("cpu")
        self._engine = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _step_down(self) -> None:
        here = self._ladder[0]
        if len(self._ladder) == 1:
            raise DeviceMemoryError(f"{devices.device_words(here.device)} ran out of memory; try a smaller base size")
        self._ladder = self._ladder[1:]
        if self._ladder[0].device != here.device:
            self.release_device()
        elif torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _predict(
        self, pixels_HW3: npt.NDArray[np.uint8], rung: Rung, cancel: CancelToken | None
    ) -> Generator[Progress, None, DenseScores]:
        height, width = pixels_HW3.shape[:2]
        work = cost.count(self.recipe, height, width)
        sizes = cost.grid_sizes(self.recipe, height, width)
        probabilities_PC = self._empty_scores(sum(h * w for h, w in sizes), rung)
        scores = DenseScores(probabilities_PC, sizes, height, width, work)
        clock, done = ProgressClock(work.crops, "tiles"), 0
        for index, size in enumerate(sizes):
            image_3HW = normalised(pixels_HW3, *size)
            tiling = Tiling(*size, cost.recipe_crop_px(self.recipe))
            accumulator = CropAccumulator(scores.grid(index), tiling)
            for window in tiling.windows():
                if cancel is not None:
                    cancel.raise_if_cancelled()
                accumulator.add(self._logits(crop_of(image_3HW, window, tiling.crop_px), rung), window)
                done += 1
                yield clock.at(done)
        return scores

    def _logits(self, crop_3HW: torch.Tensor, rung: Rung) -> torch.Tensor:
        """Strided logits (1 or 2, C, h, w) of a crop and, if the recipe flips, of its mirror image."""
        images = [crop_3HW, crop_3HW.flip(-1)] if self.recipe.flip else [crop_3HW]
        engine = self._current_engine()
        if rung.images_a_pass >= len(images):
            logits = engine.strided_logits(torch.stack(images))
        else:
            logits = torch.cat([engine.strided_logits(image[None]).to(rung.scores_device) for image in images])
        if logits.shape[1] != self.num_classes:
            raise ValueError(f"the network gives {logits.shape[1]} classes, expected {self.num_classes}")
        return logits.to(rung.scores_device)

    def _empty_scores(self, pixels: int, rung: Rung) -> torch.Tensor:
        """Zeros (pixels, C). Raises DeviceMemoryError when the machine cannot hold them: asking would get us killed."""
        needed = pixels * self.num_classes * _BYTES_A_SCORE
        if rung.scores_device.type == "cpu":
            free = psutil.virtual_memory().available * _MEMORY_SHARE
            if needed > free:
                raise DeviceMemoryError(
                    f"the scores of this image need {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; "
                    "try a smaller base size or fewer scales"
                )
        return torch.zeros((pixels, self.num_classes), dtype=torch.float32, device=rung.scores_device)

    def _current_engine(self) -> Engine:
        if self._engine is None:
            self._engine = self._make_engine(self._network, self._ladder[0].device, self.recipe.precision)
        return self._engine


def _torch_engine(network: nn.Module, device: torch.device, precision: Precision) -> Engine:
    return TorchEngine(network, device=device, precision=precision)


def _ladder(device: torch.device) -> tuple[Rung, ...]:
    """What is tried in turn (reliability.md, "The worker"); whole images first, so later rungs only cost time."""
    cpu = torch.device("cpu")
    rungs = [
        Rung(device, device, 2, ""),
        Rung(device, device, 1, "little memory: one image a pass"),
    ]
    if device.type != "cpu":
        rungs.append(Rung(device, cpu, 1, "little memory: one image a pass, scores kept by the CPU"))
        rungs.append(Rung(cpu, cpu, 1, f"{device} is out of memory: running on the CPU"))
    return tuple(rungs)

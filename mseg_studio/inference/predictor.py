"""Pixels to dense class probabilities: sliding window, mirror image and scales exactly as published (parity.md 2.2)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mseg_studio.errors import DeviceMemoryError
from mseg_studio.inference import cost, devices, engine_choice
from mseg_studio.inference.crops import Batch, batches_of
from mseg_studio.inference.dense import DenseScores
from mseg_studio.inference.engine import Engine, NetworkSource, is_out_of_memory
from mseg_studio.inference.kept_memory import KeptMemory
from mseg_studio.inference.ladder import Rung, rungs
from mseg_studio.inference.recipe import Precision, Recipe
from mseg_studio.inference.score_keeper import FrameWork, GridKeeper, Layout, ScoreKeeper, StridedKeeper
from mseg_studio.networks.spec import NetworkSpec
from mseg_studio.progress import CancelToken, Progress, ProgressClock

Pixels = npt.NDArray[np.uint8]
OnTile = Callable[[Progress], None]
EngineMaker = Callable[[NetworkSource, torch.device, Precision], Engine]
_Scores = TypeVar("_Scores")


class Predictor:
    """One network on one device under one recipe. Knows no files and no taxonomy names. Not thread-safe."""

    def __init__(
        self,
        network: nn.Module | NetworkSource,
        spec: NetworkSpec,
        *,
        num_classes: int,
        recipe: Recipe,
        device: str | None = None,
        make_engine: EngineMaker | None = None,
    ) -> None:
        """`network` may move to the device; `recipe` has its sizes, `device` overrides the recipe's.

        Raises ConfigError for a device or precision that is not there, ValueError for a crop the network cannot take.
        """
        spec.check_crop(cost.recipe_crop_px(recipe))
        place = devices.resolve_device(device or recipe.device)
        precision = devices.resolve_precision(recipe.precision, place, recipe.engine)
        self.recipe = recipe.resolved(
            base_size=recipe.base_size or 0, crop_px=cost.recipe_crop_px(recipe), precision=precision
        )
        self.spec = spec
        self.num_classes = num_classes
        self._source = network if isinstance(network, NetworkSource) else _source_of(network, spec, num_classes)
        self._make_engine = make_engine or self._chosen_engine
        self._ladder = rungs(place)
        self._engine: Engine | None = None
        self._engine_note = ""
        self._memory = KeptMemory()

    @property
    def engine_name(self) -> str:
        """Name of the engine, for the sidecar."""
        return self._current_engine().name

    @property
    def precision(self) -> str:
        """What it computes in: float32, half or int8."""
        return self._current_engine().precision

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
        """What a person should know in words: why another engine runs, what the lack of memory has cost; else empty."""
        return "; ".join(text for text in (self._engine_note, self._ladder[0].note) if text)

    def predict(
        self, pixels_HW3: Pixels, *, on_tile: OnTile | None = None, cancel: CancelToken | None = None
    ) -> DenseScores:
        """Scores of an RGB uint8 image (H, W, 3). `on_tile` is called after every pass; see `steps`."""
        return _finish(self.steps(pixels_HW3, cancel=cancel), on_tile)

    def predict_many(
        self, frames: Sequence[Pixels], *, on_tile: OnTile | None = None, cancel: CancelToken | None = None
    ) -> list[DenseScores]:
        """As `predict` of every frame; crops of several frames share a pass where the device is faster for it."""
        return _finish(self.steps_many(frames, cancel=cancel), on_tile)

    def steps(self, pixels_HW3: Pixels, *, cancel: CancelToken | None = None) -> Generator[Progress, None, DenseScores]:
        """`predict` as a generator: Progress after every pass, `cancel` polled before it.

        When memory runs out, goes down the ladder, starts again and stays there. Raises Cancelled, and
        DeviceMemoryError when the last rung is not enough.
        """
        scores = yield from self.steps_many([pixels_HW3], cancel=cancel)
        return scores[0]

    def steps_many(
        self, frames: Sequence[Pixels], *, cancel: CancelToken | None = None
    ) -> Generator[Progress, None, list[DenseScores]]:
        """`predict_many` as a generator; see `steps`."""
        for pixels_HW3 in frames:
            shape, dtype = pixels_HW3.shape, pixels_HW3.dtype
            if len(shape) != 3 or shape[2] != 3 or dtype != np.uint8 or 0 in shape:
                raise ValueError(f"an image is uint8 (H, W, 3), got {dtype} {shape}")
        while True:
            try:
                return (yield from self._predict(frames, self._ladder[0], cancel))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Outside the except block: the traceback would keep the device's tensors alive.
            self._step_down()

    def release_device(self) -> None:
        """Give the device's memory back; the next `predict` takes it again."""
        if self._engine is not None:
            self._engine.close()
        self._engine = None
        self._memory.drop()
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
        self, frames: Sequence[Pixels], rung: Rung, cancel: CancelToken | None
    ) -> Generator[Progress, None, list[DenseScores]]:
        keeper = self._keeper(frames, rung)
        images = 2 if self.recipe.flip else 1
        crops_a_pass = max(1, rung.images_a_pass // images)
        total = sum(work.cost.crops for work in keeper.frames)
        clock, done = ProgressClock(total, "tiles"), 0
        batches = batches_of(
            frames,
            [work.tilings for work in keeper.frames],
            flip=self.recipe.flip,
            crops=crops_a_pass,
            device=rung.device,
        )
        while True:
            if cancel is not None:
                cancel.raise_if_cancelled()
            batch = next(batches, None)
            if batch is None:
                return keeper.scores()
            self._run(batch, keeper, rung)
            done += len(batch.crops)
            yield clock.at(done)

    def _run(self, batch: Batch, keeper: ScoreKeeper, rung: Rung) -> None:
        """One pass of a batch through the network: at most `rung.images_a_pass` images at once."""
        engine = self._current_engine()
        out_NhwC = keeper.place_for(batch, engine)
        for start in range(0, len(batch.images_NCHW), rung.images_a_pass):
            part = slice(start, start + rung.images_a_pass)
            engine.logits_into(batch.images_NCHW[part], out_NhwC[part])
        keeper.take(batch, out_NhwC)

    def _keeper(self, frames: Sequence[Pixels], rung: Rung) -> ScoreKeeper:
        frames_work = [self._work_of(*frame.shape[:2]) for frame in frames]
        layout = Layout(2 if self.recipe.flip else 1, self.spec.logits_stride, self.num_classes)
        if rung.scores_device.type == "cpu":
            dtype = self._current_engine().logits_dtype
            return StridedKeeper(frames_work, layout, dtype, self._memory, on_disk=rung.on_disk)
        return GridKeeper(frames_work, layout, rung.scores_device)

    def _work_of(self, height: int, width: int) -> FrameWork:
        grids = cost.grid_sizes(self.recipe, height, width)
        tilings = tuple(cost.tiling_of(self.recipe, grid, self.spec) for grid in grids)
        return FrameWork(height, width, tilings, cost.count(self.recipe, height, width))

    def _current_engine(self) -> Engine:
        if self._engine is None:
            self._engine = self._make_engine(self._source, self._ladder[0].device, self.recipe.precision)
        return self._engine

    def _chosen_engine(self, source: NetworkSource, device: torch.device, precision: Precision) -> Engine:
        threads = torch.get_num_threads()
        return engine_choice.make_engine(
            source, device, precision, threads=threads, setting=self.recipe.engine, tell=self._note_engine
        )

    def _note_engine(self, text: str) -> None:
        self._engine_note = text


def _finish(steps: Generator[Progress, None, _Scores], on_tile: OnTile | None) -> _Scores:
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            scores: _Scores = end.value
            return scores
        if on_tile is not None:
            on_tile(progress)


def _source_of(network: nn.Module, spec: NetworkSpec, num_classes: int) -> NetworkSource:
    return NetworkSource(network.eval, spec, num_classes)

"""A quick score while training: whole images, one scale, no flip. Numbers to quote come from `mseg-studio evaluate`.

Images are shared out over the processes without padding. Confusion matrices are counts, and every image's loss goes
into a sum in the order of the images: the result has the same bits on any number of processes.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from mseg_studio.evaluation.confusion import ConfusionMatrix
from mseg_studio.evaluation.metrics import harmonic_mean, metrics
from mseg_studio.inference.preprocess import normalised
from mseg_studio.labels.label_map import Ids, LabelMap, as_ids
from mseg_studio.progress import Cancelled, CancelToken, Progress, ProgressClock
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.training.banded_loss import banded_sums
from mseg_studio.training.config import TrainPrecision
from mseg_studio.training.head import IGNORE, Head
from mseg_studio.training.row_labels import Positions, row_labels
from mseg_studio.training.validation_data import ValidationData

_SIZE_MULTIPLE = 8
"""Sides of what a network sees are a multiple of this, plus 1."""


class Reduce(Protocol):
    """What validation needs of the other processes; every process calls the same in the same order."""

    def any(self, flag: bool, /) -> bool:
        """Whether the flag is set in some process."""
        ...

    def sum(self, tensor: Tensor, /) -> Tensor:
        """The sum over all processes."""
        ...


class Alone:
    """A single process."""

    def any(self, flag: bool, /) -> bool:
        """The flag itself."""
        return flag

    def sum(self, tensor: Tensor, /) -> Tensor:
        """The tensor itself."""
        return tensor


@dataclass(frozen=True, slots=True)
class Validation:
    """Fractions from 0 to 1."""

    loss: float
    """Mean over all labelled pixels of all datasets, classes unweighted; NaN where none is labelled."""
    miou: float
    """Harmonic mean over the datasets of each one's mean over its own classes."""
    by_dataset: Mapping[str, Mapping[str, float]]
    """`miou` and `loss` of every dataset by its name."""
    iou: Mapping[str, float]
    """By class, counted over all datasets, of the classes that one of them has."""
    images: int
    """How many were looked at."""


@torch.inference_mode()
def validate(
    network: nn.Module,
    val: ValidationData,
    *,
    head: Head,
    precision: TrainPrecision,
    device: torch.device,
    rank: int = 0,
    world: int = 1,
    reduce: Reduce | None = None,
    stop: CancelToken | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Validation:
    """IoU and loss of whole images of all datasets, the same in every process.

    Raises Cancelled in every process when `stop` is set in one of them, asked before every image; DatasetError and
    ImageReadError naming the file, in the process that reads it.
    """
    reduce, stop = reduce or Alone(), stop or CancelToken()
    taxonomy = head.as_taxonomy
    matrices = [ConfusionMatrix.empty(taxonomy) for _ in val.splits]
    sums = torch.zeros(2, len(val), dtype=torch.float64)  # loss and labelled pixels of every image
    mine = range(rank, len(val), world)
    clock = ProgressClock(len(val), "images")
    with evaluating(network), contextlib.closing(val.read_ahead(mine)) as samples:
        for turn in range(-(-len(val) // world)):
            # Asked by all, with an image left or without: nobody waits for one that has gone.
            if reduce.any(stop.cancelled):
                raise Cancelled
            if on_progress is not None:
                on_progress(clock.at(min(turn * world, len(val))))
            if turn >= len(mine):
                continue
            pixels_HW3, labels_HW = next(samples)
            look = look_at(network, pixels_HW3, val.short_side, precision=precision, device=device)
            sums[:, mine[turn]] = torch.tensor(_loss(look, labels_HW, taxonomy, val.label_stride))
            rows_HW = look.rows(labels_HW.shape[0], labels_HW.shape[1], head)
            dataset, _ = val.place_of(mine[turn])
            found = ConfusionMatrix.of(LabelMap(labels_HW, taxonomy), LabelMap(rows_HW, taxonomy))
            matrices[dataset] = matrices[dataset] + found
    if on_progress is not None:
        on_progress(clock.at(len(val)))
    return _joined(val, [_reduced(matrix, reduce) for matrix in matrices], reduce.sum(sums))


@dataclass(frozen=True, slots=True)
class Look:
    """What a network says of one image."""

    strided_1Chw: Tensor
    """float32 logits at every `stride`-th pixel of what it saw."""
    stride: int
    height: int
    """Of the image as the network saw it, without padding."""
    width: int

    def rows(self, height: int, width: int, head: Head) -> Ids:
        """Rows of the head (height, width) of the image at that size; rows that stand for no class never win."""
        named = [row for row, name in enumerate(head.rows) if name]
        all_named = len(named) == len(head.rows)
        logits_Chw = self.strided_1Chw[0] if all_named else self.strided_1Chw[0, named]
        (points, across), device = logits_Chw.shape[1:], logits_Chw.device
        rows = Positions.between(height, self.height, stride=self.stride, points=points, device=device)
        columns = Positions.between(width, self.width, stride=self.stride, points=across, device=device)
        found = row_labels(logits_Chw, rows, columns).cpu().numpy()
        return as_ids(found if all_named else np.array(named)[found], head.as_taxonomy)


def look_at(
    network: nn.Module,
    pixels_HW3: npt.NDArray[np.uint8],
    short_side: int | None,
    *,
    precision: TrainPrecision,
    device: torch.device,
) -> Look:
    """Show an RGB image to the network (in eval mode), resized to the short side where one is given."""
    height, width = pixels_HW3.shape[:2]
    if short_side is not None:
        scale = short_side / min(height, width)
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
    images = normalised(pixels_HW3, height, width, device)[None]
    padding = [-(side - 1) % _SIZE_MULTIPLE if side > 1 else _SIZE_MULTIPLE for side in (width, height)]
    images = functional.pad(images, (0, padding[0], 0, padding[1])).contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        strided = network.strided_logits(images)  # type: ignore[operator]
    return Look(strided.float(), (images.shape[-1] - 1) // max(1, strided.shape[-1] - 1), height, width)


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network in eval mode, afterwards as it was."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)


def _loss(look: Look, labels_HW: Ids, taxonomy: Taxonomy, stride: int) -> tuple[float, int]:
    """Sum of the cross entropy at every `stride`-th pixel, and how many of these are labelled."""
    if labels_HW.shape != (look.height, look.width):
        resized = cv2.resize(labels_HW, (look.width, look.height), interpolation=cv2.INTER_NEAREST)
        labels_HW = as_ids(np.asarray(resized), taxonomy)
    height, width = (look.stride * (points - 1) + 1 for points in look.strided_1Chw.shape[2:])
    labels = np.full((height, width), IGNORE, np.int64)
    labels[: look.height, : look.width] = np.where(labels_HW == taxonomy.ignore_id, IGNORE, labels_HW)
    coarse_1HW = torch.from_numpy(labels[None, ::stride, ::stride].copy()).to(look.strided_1Chw.device)
    labelled_1HW = coarse_1HW != IGNORE
    return banded_sums(look.strided_1Chw, coarse_1HW, labelled_1HW.float()).item(), int(labelled_1HW.sum())


def _reduced(matrix: ConfusionMatrix, reduce: Reduce) -> ConfusionMatrix:
    counts, missed = (
        reduce.sum(torch.from_numpy(part.copy())).cpu().numpy() for part in (matrix.counts, matrix.missed)
    )
    return ConfusionMatrix(counts, missed, matrix.taxonomy)


def _joined(val: ValidationData, matrices: Sequence[ConfusionMatrix], sums: Tensor) -> Validation:
    """Numbers of every dataset and of all."""
    by_dataset, start = {}, 0
    for split, matrix in zip(val.splits, matrices, strict=True):
        end = start + len(split.pairs)
        miou = metrics(matrix, classes=split.classes).miou
        by_dataset[split.config.name] = MappingProxyType({"miou": miou, "loss": _mean_loss(sums[:, start:end])})
        start = end
    mious = [one["miou"] for one in by_dataset.values()]
    total = functools.reduce(ConfusionMatrix.__add__, matrices)
    classes = {name for split in val.splits for name in split.classes}
    return Validation(
        loss=_mean_loss(sums),
        miou=harmonic_mean(mious) if len(mious) > 1 else mious[0],
        by_dataset=MappingProxyType(by_dataset),
        iou=metrics(total, classes=classes).iou,
        images=len(val),
    )


def _mean_loss(sums: Tensor) -> float:
    """Of images in order, one after the other: the same bits however they were shared out."""
    losses, labelled = sums.tolist()
    total = sum(labelled)
    return sum(losses) / total if total else math.nan

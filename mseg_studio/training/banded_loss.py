"""Cross entropy of full-size labels from a network's strided logits, without the full-size logits.

The same number as upsampling (bilinear, corners aligned) and `losses.cross_entropy`, which is the oracle of the tests.
At 194 classes the full-size logits are most of a small network's step: they are written and read many times, far from
the caches. Here they exist a band of rows at a time, and the gradient goes back through the transposed interpolation
before the next band is made. On one machine the bits are the same every time, on any number of threads.

Shapes: N images, C classes, (h, w) logits, (H, W) labels; a band has P pixels. Classes are the last axis inside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mseg_studio.inference.row_threads import over_rows
from mseg_studio.training.head import IGNORE
from mseg_studio.training.losses import pixel_weights, weighted_mean

BAND_VALUES = 1 << 18
"""Logits in a band on the CPU: 1 MiB of float32, about what a core keeps close by."""
_BAND_VALUES_ON_DEVICES = 1 << 26
"""Elsewhere starting a kernel costs more than memory does."""
_LEAST_ROWS = 4
"""Rows that a band has before it has several images: their two rows of logits are then read once for all."""
_COLUMNS = 64
"""Columns made by one matrix product; more would multiply by more zeros."""


def banded_cross_entropy(
    strided_NChw: Tensor, labels_NHW: Tensor, weights_C: Tensor | None, *, band_values: int | None = None
) -> Tensor:
    """Weighted mean over labelled pixels; zero, not NaN, where none is labelled. All else as `banded_sums`."""
    pixel_weights_NHW = pixel_weights(labels_NHW, weights_C)
    sums_N = banded_sums(strided_NChw, labels_NHW, pixel_weights_NHW, band_values=band_values)
    return weighted_mean(sums_N.sum(), pixel_weights_NHW)


def banded_sums(
    strided_NChw: Tensor, labels_NHW: Tensor, pixel_weights_NHW: Tensor, *, band_values: int | None = None
) -> Tensor:
    """Cross entropy of every image (N,), summed over its pixels, each times its weight; a weight of 0 leaves one out.

    Logits are float32, float64, or bfloat16 and float16, which are computed in float32. A band has about `band_values`
    logits, by default what suits the device. It can be differentiated once. Raises RuntimeError for a label that is
    neither a class nor ignored.
    """
    if band_values is None:
        band_values = BAND_VALUES if strided_NChw.device.type == "cpu" else _BAND_VALUES_ON_DEVICES
    sums_N: Tensor = _BandedSums.apply(strided_NChw, labels_NHW, pixel_weights_NHW, band_values)  # type: ignore[no-untyped-call]
    return sums_N


@dataclass(frozen=True, slots=True)
class Interpolation:
    """Linear interpolation of one axis, corners aligned, as a matrix (out, in) that is zero but for a diagonal band."""

    matrix: Tensor
    first: tuple[int, ...]
    """First input that an output reads."""
    last: tuple[int, ...]
    """Last input that an output reads."""

    @classmethod
    def between(cls, inputs: int, outputs: int, like: Tensor) -> Interpolation:
        """From `inputs` to `outputs` points, rounded as torch rounds in the type of `like`, on its device."""
        scale = torch.tensor((inputs - 1) / (outputs - 1) if outputs > 1 else 0.0, dtype=like.dtype)
        position = torch.arange(outputs, dtype=like.dtype) * scale
        first = position.long().clamp(max=inputs - 1)
        last = (first + 1).clamp(max=inputs - 1)
        share = (position - first)[:, None]
        matrix = torch.zeros(outputs, inputs, dtype=like.dtype)
        matrix.scatter_add_(1, first[:, None], 1 - share).scatter_add_(1, last[:, None], share)
        return cls(matrix.to(like.device), tuple(first.tolist()), tuple(last.tolist()))

    def slices(self, step: int) -> list[tuple[slice, slice]]:
        """Runs of at most `step` outputs, and the inputs that each run reads."""
        outputs = len(self.first)
        ends = [(start, min(start + step, outputs)) for start in range(0, outputs, step)]
        return [(slice(start, end), slice(self.first[start], self.last[end - 1] + 1)) for start, end in ends]

    def apply(self, values_BiC: Tensor) -> Tensor:
        """(B, in, C) to (B, out, C)."""
        batch, _, classes = values_BiC.shape
        made_BoC = values_BiC.new_empty(batch, len(self.first), classes)
        for out, read in self.slices(_COLUMNS):
            part = self.matrix[out, read].expand(batch, -1, -1)
            made_BoC[:, out].baddbmm_(part, values_BiC[:, read], beta=0)
        return made_BoC

    def apply_transposed(self, values_BoC: Tensor) -> Tensor:
        """(B, out, C) to (B, in, C): what outputs cost goes to the inputs they were made of."""
        batch, _, classes = values_BoC.shape
        sums_BiC = values_BoC.new_zeros(batch, self.matrix.shape[1], classes)
        for out, read in self.slices(_COLUMNS):
            part = self.matrix[out, read].t().expand(batch, -1, -1)
            sums_BiC[:, read].baddbmm_(part, values_BoC[:, out])
        return sums_BiC


class _BandedSums(torch.autograd.Function):
    """Weighted sums over pixels. The gradient is made on the way: a second pass would make every band again."""

    @staticmethod
    def forward(
        ctx: Any, strided_NChw: Tensor, labels_NHW: Tensor, pixel_weights_NHW: Tensor, band_values: int
    ) -> Tensor:
        wanted: bool = ctx.needs_input_grad[0]
        with torch.autocast(strided_NChw.device.type, enabled=False):
            sums_N, gradient_NChw = _sums(strided_NChw, labels_NHW, pixel_weights_NHW, band_values, wanted=wanted)
        ctx.dtype = strided_NChw.dtype
        if gradient_NChw is not None:
            ctx.save_for_backward(gradient_NChw)
        return sums_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_N: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient_NChw,) = ctx.saved_tensors
        return (gradient_NChw * gradient_N[:, None, None, None]).to(ctx.dtype), None, None, None


def _sums(
    strided_NChw: Tensor, labels_NHW: Tensor, pixel_weights_NHW: Tensor, band_values: int, *, wanted: bool
) -> tuple[Tensor, Tensor | None]:
    """The weighted sum of every image, and the gradient of their sum where `wanted`."""
    if strided_NChw.dtype != torch.float64:
        strided_NChw = strided_NChw.float()
    count, classes, height, _ = strided_NChw.shape
    (rows, columns) = labels_NHW.shape[1:]
    logits_hNwC = _base_two(strided_NChw.permute(2, 0, 3, 1))
    gradient_hNwC = torch.zeros_like(logits_hNwC) if wanted else None
    down = Interpolation.between(height, rows, logits_hNwC)
    across = Interpolation.between(strided_NChw.shape[3], columns, logits_hNwC)
    labelled_NH = (labels_NHW != IGNORE).any(dim=2).tolist()
    weights_NHW = pixel_weights_NHW.to(logits_hNwC.dtype)
    images = min(count, max(1, band_values // (columns * classes * _LEAST_ROWS)))
    bands = down.slices(max(1, band_values // (images * columns * classes)))
    groups = [slice(start, min(start + images, count)) for start in range(0, count, images)]
    sums_N = logits_hNwC.new_zeros(count)

    def work(start: int, stop: int) -> None:
        for number in range(start, stop):
            some = groups[number]
            due = [(out, read) for out, read in bands if any(any(row[out]) for row in labelled_NH[some])]
            if not due:
                continue
            part_hnwC = logits_hNwC[:, some]
            wide_BWC = across.apply(part_hnwC.flatten(0, 1))
            wide_hV = wide_BWC.view(height, -1)
            back_hV = torch.zeros_like(wide_hV) if wanted else None
            for out, read in due:
                labels_P1 = labels_NHW[some, out].transpose(0, 1).reshape(-1, 1)
                weights_P1 = weights_NHW[some, out].transpose(0, 1).reshape(-1, 1)
                matrix_or = down.matrix[out, read]
                losses_P1, band_oV = _band(matrix_or, wide_hV[read], labels_P1, weights_P1, classes, wanted=wanted)
                sums_N[some] += losses_P1.view(len(matrix_or), -1, columns).sum(dim=(0, 2))
                if back_hV is not None:
                    back_hV[read].addmm_(matrix_or.t(), band_oV)
            if gradient_hNwC is not None and back_hV is not None:
                gradient_hNwC[:, some] = across.apply_transposed(back_hV.view_as(wide_BWC)).view_as(part_hnwC)

    _share_out(work, len(groups), logits_hNwC.device)
    return sums_N, None if gradient_hNwC is None else gradient_hNwC.permute(1, 3, 0, 2)


def _share_out(work: Callable[[int, int], None], groups: int, device: torch.device) -> None:
    """Call `work(start, stop)` until all groups are done, on the CPU with a thread of its own for a group.

    torch would share out every small product of a band and wait for its threads every time: on a machine where anything
    else runs that took ten times as long. With a thread a group the bits do not depend on their number either.
    """
    if device.type != "cpu":
        work(0, groups)
        return
    threads = torch.get_num_threads()

    def alone(start: int, stop: int) -> None:
        torch.set_num_threads(1)  # of the thread it is called in, and of the products of all: given back below
        with torch.no_grad():
            work(start, stop)

    try:
        over_rows(alone, groups, threads=threads)
    finally:
        torch.set_num_threads(threads)


def _base_two(logits_hNwC: Tensor) -> Tensor:
    """Logits for powers of two, which torch computes in a third of the time; the largest of every point is 0.

    Softmax does not mind, and no upsampled logit is above 0 then.
    """
    return (logits_hNwC - logits_hNwC.amax(dim=-1, keepdim=True)).mul_(math.log2(math.e))


def _band(
    matrix_or: Tensor, wide_rV: Tensor, labels_P1: Tensor, weights_P1: Tensor, classes: int, *, wanted: bool
) -> tuple[Tensor, Tensor]:
    """Weighted losses of a band's pixels and, where `wanted`, their gradient in its logits (rows, values of a row)."""
    classes_P1 = labels_P1.where(labels_P1 != IGNORE, 0)
    band_oV = matrix_or @ wide_rV
    band_PC = band_oV.view(-1, classes)
    truth_P1, sums_P1 = _powers(band_PC, classes_P1, shift=band_oV.device.type != "cpu")
    if band_oV.device.type == "cpu" and sums_P1.min() < _smallest_sum(band_PC.dtype):
        torch.mm(matrix_or, wide_rV, out=band_oV)
        truth_P1, sums_P1 = _powers(band_PC, classes_P1, shift=True)
    losses_P1 = torch.where(weights_P1 > 0, (sums_P1.log2() - truth_P1) * (weights_P1 * math.log(2)), 0)
    if wanted:
        band_PC.mul_(weights_P1 / sums_P1)
        band_PC.scatter_(1, classes_P1, band_PC.gather(1, classes_P1) - weights_P1)
    return losses_P1, band_oV


def _powers(band_PC: Tensor, classes_P1: Tensor, *, shift: bool) -> tuple[Tensor, Tensor]:
    """Replace logits by powers of two; gives the logit of every pixel's class and the sum of its powers.

    `shift` makes every pixel's largest logit 0 first. It is nearly so already, and on the CPU a look at the sums is
    cheaper: only where two neighbours are sure of different classes all logits between them lie far below 0.
    Elsewhere looking would wait for the device.
    """
    if shift:
        band_PC.sub_(band_PC.amax(dim=1, keepdim=True))
    truth_P1 = band_PC.gather(1, classes_P1)
    return truth_P1, band_PC.exp2_().sum(dim=1, keepdim=True)


def _smallest_sum(dtype: torch.dtype) -> float:
    """A sum of powers below this has lost digits to powers that are too small for the type."""
    return torch.finfo(dtype).tiny * 1e9

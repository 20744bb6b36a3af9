"""Gradients summed over processes while the backward pass still runs.

torch's DistributedDataParallel does this too, but deals gradients into other buckets after its first step, in the order
they came. With three processes and more the order in which a sum is taken depends on where in a bucket a number lies:
a run that was resumed, whose first step is a first step again, would no longer give the same bits. Here the buckets
follow from the parameters alone. It also sums the gradients of one dataset at a time, which the min-norm combination
needs, and does not divide: the parts of a loss add up to that of the whole batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from mseg_studio.training.ranks import PendingSum, Ranks

BUCKET_BYTES = 25 << 20
"""Gradients that travel together: enough to be worth a message, few enough to leave while others are computed."""


class GradientSum:
    """Sums the gradients of `parameters` over `ranks`; every process must have the same ones in the same order."""

    def __init__(self, parameters: Sequence[nn.Parameter], ranks: Ranks, *, bucket_bytes: int = BUCKET_BYTES) -> None:
        self._ranks = ranks
        # The backward pass comes to the last parameters first.
        self._order = list(reversed(range(len(parameters))))
        self._parameters = list(parameters)
        self._buckets = [_Bucket(part) for part in _dealt([parameters[n] for n in self._order], bucket_bytes)]
        self._place = {id(p): bucket for bucket in self._buckets for p in bucket.parameters}
        self._next = 0
        self._pending: list[PendingSum] = []

    @contextlib.contextmanager
    def during_backward(self) -> Iterator[None]:
        """Around the last backward pass of a step: afterwards every `grad` is the sum over all processes.

        A parameter without a gradient here counts as zero. Raises RankLost.
        """
        if self._ranks.world == 1:
            yield
            return
        self._begin()
        hooks = [p.register_post_accumulate_grad_hook(self._is_ready) for p in self._parameters]  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        self._send(everything=True)
        for bucket, pending in zip(self._buckets, self._pending, strict=True):
            pending.wait()
            bucket.give_back()

    def of(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Sums over all processes of one tensor a parameter, in the order of the parameters. Raises RankLost."""
        if self._ranks.world == 1:
            return list(gradients)
        wanted = [gradients[n] for n in self._order]
        summed: list[Tensor] = []
        for bucket in self._buckets:
            part = wanted[len(summed) : len(summed) + len(bucket.parameters)]
            torch._foreach_copy_(bucket.views, part)
            self._ranks.start_sum(bucket.flat).wait()
            summed += [torch.empty_like(own).copy_(view) for own, view in zip(part, bucket.views, strict=True)]
        return list(reversed(summed))

    def _begin(self) -> None:
        self._next, self._pending = 0, []
        for bucket in self._buckets:
            bucket.missing = len(bucket.parameters)

    def _is_ready(self, parameter: Tensor) -> None:
        self._place[id(parameter)].missing -= 1
        self._send()

    def _send(self, *, everything: bool = False) -> None:
        """Begin the sums of all buckets that are ready, in one order everywhere: processes match them by that."""
        while self._next < len(self._buckets) and (everything or not self._buckets[self._next].missing):
            bucket = self._buckets[self._next]
            bucket.take()
            self._pending.append(self._ranks.start_sum(bucket.flat))
            self._next += 1


class _Bucket:
    """Some parameters' gradients in one flat tensor, each laid out in order whatever its own layout is."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.parameters = parameters
        self.missing = 0
        first = parameters[0]
        self.flat = torch.zeros(sum(p.numel() for p in parameters), dtype=first.dtype, device=first.device)
        pieces = torch.split(self.flat, [p.numel() for p in parameters])
        self.views = [piece.view(p.shape) for piece, p in zip(pieces, parameters, strict=True)]

    @torch.no_grad()
    def take(self) -> None:
        """The gradients as they are now; zero where there is none."""
        for parameter, view in zip(self.parameters, self.views, strict=True):
            if parameter.grad is None:
                view.zero_()
            else:
                view.copy_(parameter.grad)

    @torch.no_grad()
    def give_back(self) -> None:
        """The sums into `grad`, which keeps its layout."""
        for parameter, view in zip(self.parameters, self.views, strict=True):
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
            parameter.grad.copy_(view)


def _dealt(parameters: list[nn.Parameter], bucket_bytes: int) -> Iterator[list[nn.Parameter]]:
    """Runs of parameters of one type and about so many bytes."""
    part: list[nn.Parameter] = []
    size = 0
    for parameter in parameters:
        own = parameter.numel() * parameter.element_size()
        if part and (size + own > bucket_bytes or parameter.dtype != part[0].dtype):
            yield part
            part, size = [], 0
        part.append(parameter)
        size += own
    if part:
        yield part

"""Batch norm over the samples of all processes, each counted as often as it has pixels.

`torch.nn.SyncBatchNorm` refuses tensors on the CPU; and where processes have unequal shares of a batch (35 samples on
four of them), the mean of their means is not the mean. What is summed over processes is summed in float64 in the order
of the ranks, so all get the same bits, in every run.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mseg_studio.training.ranks import Ranks


def with_synchronised_norms(network: nn.Module, ranks: Ranks, *, compiled: bool = False) -> nn.Module:
    """`network`, its batch norms joined over `ranks` while training, in place; one process keeps its own as they are.

    Keys, parameters and running statistics stay what they were. On CUDA torch's own does the same with fused kernels.
    Where the network is going to be `compiled`, what processes tell one another stays out of the graph.
    """
    if ranks.world == 1:
        return network
    if ranks.device.type == "cuda":
        joined: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return joined
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.BatchNorm2d:
                joined_norm = SynchronisedNorm.like(child, ranks)
                if compiled:
                    joined_norm._joined = torch.compiler.disable(joined_norm._joined)  # type: ignore[method-assign, no-untyped-call]
                setattr(parent, name, joined_norm)
    return network


class SynchronisedNorm(nn.BatchNorm2d):
    """`BatchNorm2d` over the joined batch of all processes while training; all must run it equally often."""

    ranks: Ranks

    @classmethod
    def like(cls, norm: nn.BatchNorm2d, ranks: Ranks) -> SynchronisedNorm:
        """The same norm, sharing its parameters and statistics."""
        joined = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        joined.weight, joined.bias = norm.weight, norm.bias
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            setattr(joined, name, getattr(norm, name))
        joined.train(norm.training)
        joined.ranks = ranks
        return joined

    def _joined(self, x_NCHW: Tensor) -> Tensor:
        weight = self.weight if self.affine else torch.ones_like(self.running_mean)  # type: ignore[arg-type]
        bias = self.bias if self.affine else torch.zeros_like(self.running_mean)  # type: ignore[arg-type]
        y, mean_C, var_C, count = _JoinedNorm.apply(x_NCHW, weight, bias, self.eps, self.ranks)  # type: ignore[no-untyped-call]
        self._note(mean_C, var_C, int(count))
        joined: Tensor = y
        return joined

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape; N may differ between processes. Raises ValueError for one value a channel."""
        if not self.training:
            return super().forward(x_NCHW)
        return self._joined(x_NCHW)

    @torch.no_grad()
    def _note(self, mean_C: Tensor, var_C: Tensor, count: int) -> None:
        """Running statistics as BatchNorm2d keeps them: the variance without bias."""
        mean, var, batches = self.running_mean, self.running_var, self.num_batches_tracked
        if mean is None or var is None or batches is None:  # it keeps none
            return
        batches.add_(1)
        share = 1.0 / float(batches) if self.momentum is None else self.momentum
        mean.lerp_(mean_C.to(mean), share)
        var.lerp_((var_C * (count / (count - 1))).to(var), share)


class _JoinedNorm(torch.autograd.Function):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, with the mean and variance of all processes' x."""

    @staticmethod
    def forward(
        ctx: Any, x_NCHW: Tensor, weight_C: Tensor, bias_C: Tensor, eps: float, ranks: Ranks
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean_C, var_C, count = _statistics(x_NCHW, ranks)
        if count < 2:
            raise ValueError(f"batch norm over one value a channel, of {tuple(x_NCHW.shape)}: expected at least two")
        mean, var = mean_C.to(weight_C), var_C.to(weight_C)
        y = _affine(x_NCHW, mean, var, weight_C, bias_C, eps)
        ctx.save_for_backward(x_NCHW, weight_C, mean, var)
        ctx.eps, ctx.count, ctx.ranks = eps, count, ranks
        total = torch.tensor(count)
        ctx.mark_non_differentiable(mean_C, var_C, total)
        ctx.set_materialize_grads(False)
        return y, mean_C, var_C, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor | None, *unused: Any) -> tuple[Tensor | None, ...]:
        x, weight_C, mean, var = ctx.saved_tensors
        if grad_y is None:  # the others sum all the same
            grad_y = torch.zeros_like(x)
        if x.is_contiguous(memory_format=torch.channels_last):
            grad_y = grad_y.contiguous(memory_format=torch.channels_last)
        # As if the statistics were given: the sums of dy and of dy * (x - mean) / std over this process's samples.
        _, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
            grad_y, x, weight_C, mean, var, None, None, False, ctx.eps, [False, True, True]
        )
        sums = _summed(torch.cat([grad_weight.double(), grad_bias.double()]), ctx.ranks) / ctx.count
        scaled_mean, dy_mean = sums.chunk(2)
        std = (var.double() + ctx.eps).sqrt()
        # dx = w / std * (dy - mean(dy) - (x - mean) / std * mean(dy * (x - mean) / std))
        slope = (-weight_C.double() * scaled_mean / std).to(weight_C)
        offset = (-weight_C.double() * dy_mean / std).to(weight_C)
        grad_x = _affine(x, mean, var, slope, offset, ctx.eps)
        grad_x.addcmul_(grad_y, (weight_C.double() / std).to(grad_y)[:, None, None])
        return grad_x, grad_weight, grad_bias, None, None


def _affine(x: Tensor, mean_C: Tensor, var_C: Tensor, weight_C: Tensor, bias_C: Tensor, eps: float) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias in the type of x, in one pass."""
    return torch.batch_norm(x, weight_C, bias_C, mean_C, var_C, False, 0.0, eps, False)


def _statistics(x: Tensor, ranks: Ranks) -> tuple[Tensor, Tensor, int]:
    """Mean and variance (C,) float64 over the samples of all processes, and how many values a channel has."""
    values = x.numel() // x.shape[1]
    # Of bfloat16 torch gives the statistics in bfloat16, which is far too coarse for them.
    exact = x if x.dtype in (torch.float32, torch.float64) else x.float()
    mean_C, var_C = (part.double() for part in torch.batch_norm_update_stats(exact, None, None, 0.0))
    own = torch.cat([mean_C, var_C, mean_C.new_tensor([float(values)])])
    parts = torch.stack(ranks.all_of(own))
    channels = x.shape[1]
    counts, means, variances = parts[:, -1:], parts[:, :channels], parts[:, channels:-1]
    total = counts.sum()
    mean_C = (counts * means).sum(0) / total
    var_C = (counts * (variances + (means - mean_C) ** 2)).sum(0) / total
    return mean_C, var_C, int(total)


def _summed(own: Tensor, ranks: Ranks) -> Tensor:
    return torch.stack(ranks.all_of(own)).sum(0)

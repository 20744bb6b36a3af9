"""Several datasets' gradients as one: the point of least norm between them (Sener & Koltun, NeurIPS 2018).

Along it no dataset's loss rises: it is the direction all agree on, and zero where none can gain without another's loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_ITERATIONS = 250
_GAP = 1e-7
"""Frank-Wolfe ends when no vertex promises to lower the squared norm by this share of the largest."""


def combine_gradients(
    per_dataset: Sequence[Sequence[Tensor]], *, shares: Sequence[float] | None = None
) -> tuple[tuple[float, ...], list[Tensor]]:
    """Weights of the datasets, on the simplex, and the combined gradient, a tensor for each parameter.

    `per_dataset` holds the gradients of every dataset's part of the loss of the whole batch, `shares` what part of the
    batch's pixel weight is its own (equal without it): divided by that, a gradient is of the dataset's own mean loss.
    As in the published baseline these are not normalised, and all parameters count, heads too. A dataset without a
    gradient (all its pixels ignored) gets weight 0: the least norm would be its zero. Equal weights give the mean over
    datasets, about the sum of `per_dataset`: a learning rate means the same for both ways. Gradients that hold a value
    that is no number are summed, so that it shows.
    """
    gram_DD = _dot_products(per_dataset)
    present = np.flatnonzero(gram_DD.diagonal() > 0)
    weights_D, factors_D = np.zeros(len(per_dataset)), np.zeros(len(per_dataset))
    if not np.isfinite(gram_DD).all():
        weights_D, factors_D = np.full_like(weights_D, 1 / len(weights_D)), np.ones_like(factors_D)
    elif len(present):
        share_K = np.full(len(present), 1 / len(present)) if shares is None else np.asarray(shares, float)[present]
        weights_D[present] = min_norm_weights(gram_DD[np.ix_(present, present)] / np.outer(share_K, share_K))
        factors_D[present] = weights_D[present] / share_K
    combined = [torch.zeros_like(gradient) for gradient in per_dataset[0]]
    for factor, gradients in zip(factors_D, per_dataset, strict=True):
        if factor:
            torch._foreach_add_(combined, list(gradients), alpha=float(factor))
    return tuple(map(float, weights_D)), combined


def min_norm_weights(gram_DD: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Weights (D,) >= 0 of sum 1 for which the weighted sum of D vectors is shortest, from their dot products.

    By Frank-Wolfe with away steps, until no change promises anything: exact after one step for two vectors.
    """
    count = len(gram_DD)
    weights_D = np.zeros(count)
    weights_D[int(np.argmin(gram_DD.diagonal()))] = 1.0
    largest = float(gram_DD.diagonal().max())
    for _ in range(_ITERATIONS * count):
        slope_D = gram_DD @ weights_D
        towards = int(np.argmin(slope_D))
        support = np.flatnonzero(weights_D > 0)
        away = int(support[np.argmax(slope_D[support])])
        here = float(weights_D @ slope_D)
        if slope_D[away] - slope_D[towards] <= _GAP * largest:
            break
        if here - slope_D[towards] >= slope_D[away] - here:
            direction_D, most = -weights_D, 1.0
            direction_D[towards] += 1.0
        else:
            direction_D, most = weights_D.copy(), weights_D[away] / max(1.0 - weights_D[away], 1e-300)
            direction_D[away] -= 1.0
        curve = float(direction_D @ gram_DD @ direction_D)
        fall = -float(direction_D @ slope_D)
        step = most if curve <= 0 else min(most, fall / curve)
        weights_D = np.clip(weights_D + step * direction_D, 0.0, None)
        weights_D /= weights_D.sum()
    return weights_D


def _dot_products(per_dataset: Sequence[Sequence[Tensor]]) -> npt.NDArray[np.float64]:
    """Of every two datasets' gradients (D, D), added up on the device: a look at every parameter would wait for it."""
    device = per_dataset[0][0].device
    exact = torch.float32 if device.type == "mps" else torch.float64
    gram_DD = torch.zeros(len(per_dataset), len(per_dataset), dtype=exact, device=device)
    for gradients in zip(*per_dataset, strict=True):
        rows_DP = torch.stack([gradient.flatten() for gradient in gradients]).to(exact)
        gram_DD += rows_DP @ rows_DP.t()
    return np.asarray(gram_DD.cpu().numpy(), np.float64)

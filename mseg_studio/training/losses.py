"""What training minimises, over the pixels that have a label."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mseg_studio.training.head import IGNORE


def class_weights(pixels_C: Tensor, *, power: float, largest: float) -> Tensor:
    """Weights (C,) from pixel counts: share ** -power, mean 1 over the pixels, at most `largest`; absent classes 1."""
    share = pixels_C.double() / pixels_C.sum().clamp(min=1)
    weights = torch.where(share > 0, share.clamp(min=1e-12) ** -power, 0.0)
    weights = (weights / (weights * share).sum().clamp(min=1e-12)).clamp(max=largest)
    return torch.where(share > 0, weights, 1.0).float()


def cross_entropy(logits_NCHW: Tensor, labels_NHW: Tensor, weights_C: Tensor | None) -> Tensor:
    """Weighted mean over labelled pixels; zero, not NaN, where none is labelled."""
    total = functional.cross_entropy(logits_NCHW, labels_NHW, weights_C, ignore_index=IGNORE, reduction="sum")
    return weighted_mean(total, pixel_weights(labels_NHW, weights_C))


def pixel_weights(labels_NHW: Tensor, weights_C: Tensor | None) -> Tensor:
    """How much every pixel counts (N, H, W) float32: its class's weight, without `weights_C` 1; not labelled, 0."""
    labelled = labels_NHW != IGNORE
    if weights_C is None:
        return labelled.float()
    return torch.where(labelled, weights_C[labels_NHW.clamp(max=len(weights_C) - 1)], 0.0)


def weighted_mean(total: Tensor, weights_NHW: Tensor) -> Tensor:
    """A sum over pixels by what the pixels weigh; zero, not NaN, where none weighs anything."""
    return total / weights_NHW.sum().clamp(min=1e-6)


def lovasz_softmax(logits_NCHW: Tensor, labels_NHW: Tensor) -> Tensor:
    """Lovasz extension of 1 - IoU, mean over the classes in the batch (Berman et al., CVPR 2018); 0 without labels."""
    valid = labels_NHW.flatten() != IGNORE
    probabilities_PC = logits_NCHW.permute(0, 2, 3, 1).flatten(0, 2)[valid].softmax(dim=1)
    labels_P = labels_NHW.flatten()[valid]
    losses = []
    for class_index in range(probabilities_PC.shape[1]):
        truth = (labels_P == class_index).float()
        if not truth.any():
            continue
        errors, order = (truth - probabilities_PC[:, class_index]).abs().sort(descending=True, stable=True)
        losses.append(torch.dot(errors, _jaccard_gradient(truth[order])))
    return torch.stack(losses).mean() if losses else logits_NCHW.sum() * 0


def _jaccard_gradient(truth_P: Tensor) -> Tensor:
    """How much every further error, largest first, adds to 1 - IoU."""
    positives = truth_P.sum()
    intersection = positives - truth_P.cumsum(0)
    union = positives + (1 - truth_P).cumsum(0)
    jaccard = 1 - intersection / union
    return torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])

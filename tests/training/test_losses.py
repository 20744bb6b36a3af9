from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from mseg_studio.training.losses import class_weights, cross_entropy, lovasz_softmax


def _example(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 4, 5, 6, generator=generator)
    labels = torch.randint(0, 4, (2, 5, 6), generator=generator)
    labels[0, 0] = 255
    return logits, labels


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.0, 2.0, 4.0])])
def test_cross_entropy_is_the_weighted_mean(weights: torch.Tensor | None) -> None:
    logits, labels = _example()
    expected = functional.cross_entropy(logits, labels, weights, ignore_index=255)
    torch.testing.assert_close(cross_entropy(logits, labels, weights), expected)


@pytest.mark.parametrize("loss", [lambda x, y: cross_entropy(x, y, None), lovasz_softmax])
def test_a_batch_without_labels_costs_nothing(loss) -> None:  # type: ignore[no-untyped-def]
    logits, labels = _example()
    logits.requires_grad_()
    value = loss(logits, torch.full_like(labels, 255))
    value.backward()
    assert value.item() == 0
    assert torch.all(logits.grad == 0)


def test_lovasz_of_a_hard_answer_is_one_minus_iou() -> None:
    """On probabilities of 0 and 1 the extension equals the set function (Berman et al., eq. 9)."""
    _, labels = _example(1)
    guess = torch.where(torch.rand(labels.shape, generator=torch.Generator().manual_seed(2)) < 0.6, labels % 255, 1)
    guess[labels == 255] = 0
    logits = functional.one_hot(guess, 4).permute(0, 3, 1, 2) * 1000.0
    valid = labels != 255
    losses = []
    for n in range(4):
        truth, found = (labels == n) & valid, (guess == n) & valid
        if truth.any():
            losses.append(1 - (truth & found).sum() / (truth | found).sum())
    torch.testing.assert_close(lovasz_softmax(logits, labels), torch.stack(losses).mean())


def test_lovasz_is_zero_for_the_truth_and_has_a_gradient_otherwise() -> None:
    logits, labels = _example(3)
    sure = functional.one_hot(labels.clamp(max=3), 4).permute(0, 3, 1, 2) * 1000.0
    assert lovasz_softmax(sure, labels).item() == pytest.approx(0, abs=1e-6)
    logits.requires_grad_()
    lovasz_softmax(logits, labels).backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0


def test_class_weights() -> None:
    pixels = torch.tensor([900, 90, 10, 0])
    assert torch.equal(class_weights(pixels, power=0.0, largest=9.0), torch.ones(4))
    weights = class_weights(pixels, power=0.5, largest=1e9)
    share = pixels / pixels.sum()
    assert (weights * share).sum().item() == pytest.approx(1)
    assert (weights[1] / weights[0]).item() == pytest.approx(10**0.5)
    assert weights[3] == 1
    assert class_weights(pixels, power=0.5, largest=2.0).max() == 2

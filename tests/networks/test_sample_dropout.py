"""Dropout of channels by sample."""

from __future__ import annotations

import pytest
import torch

from mseg_studio.networks.sample_dropout import SampleDropout2d, seed_dropout


def test_channels_are_dropped_at_their_rate_and_the_mean_is_kept() -> None:
    dropout = SampleDropout2d(0.25, 200)
    seed_dropout(dropout, range(64))
    out = dropout(torch.ones(64, 200, 2, 3))
    assert ((out == 0) | (out == 1 / 0.75)).all()
    assert (out == out[:, :, :1, :1]).all()
    assert (out[:, :, 0, 0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)


def test_every_dropout_of_a_network_draws_its_own() -> None:
    network = torch.nn.Sequential(SampleDropout2d(0.5, 64), torch.nn.Identity(), SampleDropout2d(0.5, 64))
    seed_dropout(network, [1, 2])
    first, second = (network[n](torch.ones(2, 64, 1, 1)) for n in (0, 2))
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_nothing_is_dropped_in_evaluation() -> None:
    dropout = SampleDropout2d(0.5, 8).eval()
    values = torch.randn(2, 8, 3, 3)
    assert torch.equal(dropout(values), values)


def test_gradients_pass_through_what_is_kept() -> None:
    dropout = SampleDropout2d(0.5, 32)
    seed_dropout(dropout, [5])
    values = torch.ones(1, 32, 2, 2, requires_grad=True)
    out = dropout(values)
    out.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, out.detach())
    assert 0 < (out == 0).sum() < out.numel()


def test_a_batch_of_nothing_has_nothing_to_drop() -> None:
    dropout = SampleDropout2d(0.5, 8)
    seed_dropout(dropout, [])
    assert dropout(torch.ones(0, 8, 2, 2)).shape == (0, 8, 2, 2)

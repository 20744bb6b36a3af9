from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mseg_studio.training.ranks import Ranks
from mseg_studio.training.sync_norm import SynchronisedNorm, with_synchronised_norms
from tests.training.thread_ranks import in_threads

_SHARES = (3, 1, 2)


def _norm(*, momentum: float | None = 0.1, dtype: torch.dtype = torch.float64) -> nn.BatchNorm2d:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4, momentum=momentum).to(dtype)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
        norm.running_mean.normal_()
    return norm


def _batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    x = torch.randn(sum(_SHARES), 4, 5, 3, generator=random, dtype=torch.float64) * 3 + 7
    return x.to(dtype), torch.randn(x.shape, generator=random, dtype=torch.float64).to(dtype)


def _joined(
    x: Tensor, dy: Tensor, norm: nn.BatchNorm2d, *, world: int = 3, layout: torch.memory_format
) -> tuple[Tensor, Tensor, list[nn.BatchNorm2d]]:
    """Outputs and input gradients of all ranks in order, and their norms."""
    xs, dys = x.split(_SHARES[:world]), dy.split(_SHARES[:world])

    def one(ranks: Ranks) -> tuple[Tensor, Tensor, nn.BatchNorm2d]:
        own = nn.BatchNorm2d(4, momentum=norm.momentum).to(x.dtype if x.dtype == torch.float64 else torch.float32)
        own.load_state_dict(norm.state_dict())
        (synchronised,) = with_synchronised_norms(nn.Sequential(own), ranks).children()
        assert isinstance(synchronised, SynchronisedNorm)
        part = xs[ranks.rank].contiguous(memory_format=layout).requires_grad_()
        y = synchronised(part)
        y.backward(dys[ranks.rank])
        assert part.grad is not None
        return y.detach(), part.grad, synchronised

    ys, grads, norms = zip(*in_threads(world, one), strict=True)
    return torch.cat(ys), torch.cat(grads), list(norms)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_it_is_batch_norm_of_the_joined_batch(layout: torch.memory_format, momentum: float | None) -> None:
    """Unequal shares of 3, 1 and 2 samples: output, all gradients and the running statistics."""
    norm, (x, dy) = _norm(momentum=momentum), _batch()
    y, grad, norms = _joined(x, dy, norm, layout=layout)
    whole = x.clone().requires_grad_()
    expected = norm(whole)
    expected.backward(dy)
    assert whole.grad is not None
    torch.testing.assert_close(y, expected.detach())
    torch.testing.assert_close(grad, whole.grad)
    for name in ("weight", "bias"):
        summed = torch.stack([getattr(own, name).grad for own in norms]).sum(0)
        torch.testing.assert_close(summed, getattr(norm, name).grad)
    for own in norms:
        assert own.state_dict().keys() == norm.state_dict().keys()
        for key in ("running_mean", "running_var", "num_batches_tracked"):
            torch.testing.assert_close(own.state_dict()[key], norm.state_dict()[key])
            assert torch.equal(own.state_dict()[key], norms[0].state_dict()[key]), "the same bits in all processes"


def test_a_norm_of_one_value_a_process_is_a_norm_of_all() -> None:
    """The coarsest average of PSPNet's pyramid: one value a channel and image, one image a process."""

    def one(ranks: Ranks) -> Tensor:
        (norm,) = with_synchronised_norms(nn.Sequential(nn.BatchNorm2d(1, affine=False)), ranks).children()
        result: Tensor = norm(torch.full((1, 1, 1, 1), float(ranks.rank)))
        return result

    values = torch.cat(in_threads(2, one)).flatten()
    torch.testing.assert_close(values, torch.tensor([-1.0, 1.0]), atol=1e-4, rtol=0)


def test_one_value_in_all_is_refused() -> None:
    norm = SynchronisedNorm.like(nn.BatchNorm2d(1), Ranks())
    with pytest.raises(ValueError, match="expected at least two"):
        norm(torch.ones(1, 1, 1, 1))


def test_bfloat16_keeps_its_statistics_in_float32() -> None:
    norm, (x, dy) = _norm(dtype=torch.float32), _batch(torch.bfloat16)
    y, grad, norms = _joined(x, dy, norm, layout=torch.channels_last)
    whole = x.float().requires_grad_()
    expected = norm(whole)
    expected.backward(dy.float())
    assert whole.grad is not None
    assert y.dtype == grad.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), expected.detach(), atol=0.05, rtol=0.02)
    torch.testing.assert_close(grad.float(), whole.grad, atol=0.05, rtol=0.02)
    assert norms[0].running_var is not None
    torch.testing.assert_close(norms[0].running_var, norm.running_var)


def test_in_evaluation_it_asks_nobody() -> None:
    norm = _norm()
    synchronised = SynchronisedNorm.like(norm, Ranks(rank=0, world=2)).eval()
    x, _ = _batch()
    torch.testing.assert_close(synchronised(x), norm.eval()(x))


def test_a_single_process_keeps_its_norms() -> None:
    network = nn.Sequential(nn.BatchNorm2d(2))
    assert type(with_synchronised_norms(network, Ranks())[0]) is nn.BatchNorm2d  # type: ignore[index]

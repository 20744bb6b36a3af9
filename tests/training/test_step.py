from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mseg_studio.training.config import LossConfig, OptimConfig, TrainConfig
from mseg_studio.training.gradient_sum import GradientSum
from mseg_studio.training.loader import Part, StepBatch
from mseg_studio.training.objective import Objective
from mseg_studio.training.ranks import Ranks
from mseg_studio.training.sampler import draws_of
from mseg_studio.training.step import StepOutcome, TrainStep, groups_of
from mseg_studio.training.sync_norm import with_synchronised_norms
from tests.training.factory import make_config
from tests.training.thread_ranks import in_threads

_CLASSES, _CROP = 3, 33


class _Tiny(nn.Module):
    """The least network with a stride of four."""

    def __init__(self, *, norm: bool) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 8, 5, stride=4, padding=2, bias=not norm)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.head = nn.Conv2d(8, _CLASSES, 3, padding=1)

    def strided_logits(self, images_NCHW: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(self.body(images_NCHW)).relu())
        return logits


def _config(batch: int, *, datasets: int = 5, accumulate: int = 1, **changes: object) -> TrainConfig:
    config = make_config(batch=batch, accumulate=accumulate, loss=LossConfig(label_stride=1), optim=OptimConfig())
    first = config.datasets[0]
    several = tuple(dataclasses.replace(first, name=f"d{n}") for n in range(datasets))
    return dataclasses.replace(config, datasets=several, **changes)  # type: ignore[arg-type]


def _sample(slot: int, ignored: frozenset[int]) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(slot)
    labels = random.integers(0, _CLASSES, (_CROP, _CROP)).astype(np.uint8)
    labels[random.random(labels.shape) < random.random()] = 255
    if slot in ignored:
        labels[:] = 255
    return random.integers(0, 256, (_CROP, _CROP, 3)).astype(np.uint8), labels


def _batch(config: TrainConfig, ranks: Ranks, ignored: frozenset[int] = frozenset()) -> StepBatch:
    parts = []
    for draws in draws_of(config, 0, rank=ranks.rank, world=ranks.world):
        pixels, labels = zip(*(_sample(draw.slot, ignored) for draw in draws), strict=True)
        names = tuple(f"d{draw.dataset}/{draw.slot}" for draw in draws)
        parts.append(Part(np.stack(pixels), np.stack(labels), draws, names))
    return StepBatch(0, tuple(parts), 0.0)


def _take(
    config: TrainConfig,
    world: int,
    *,
    norm: bool = True,
    ignored: frozenset[int] = frozenset(),
    break_it: Callable[[Ranks, nn.Module], None] | None = None,
) -> tuple[StepOutcome, dict[str, Tensor]]:
    """One step from the same weights: what it came to and the weights after it, the same in all ranks."""
    torch.manual_seed(3)
    template = _Tiny(norm=norm)

    def one(ranks: Ranks) -> tuple[StepOutcome, dict[str, Tensor]]:
        network = with_synchronised_norms(copy.deepcopy(template), ranks)
        if break_it is not None:
            break_it(ranks, network)
        optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
        step = TrainStep(Objective(network, config), optimizer, config, ranks)
        return step.take(_batch(config, ranks, ignored)), network.state_dict()

    (outcome, state), *others = in_threads(world, one)
    for other_outcome, other in others:
        assert repr(other_outcome) == repr(outcome)
        assert all(torch.equal(state[key], other[key]) for key in state), "the same bits in all processes"
    return outcome, state


def _assert_same(one: tuple[StepOutcome, dict[str, Tensor]], two: tuple[StepOutcome, dict[str, Tensor]]) -> None:
    assert one[0].loss == pytest.approx(two[0].loss, rel=1e-5)
    assert one[0].by_dataset == pytest.approx(two[0].by_dataset, rel=1e-5, nan_ok=True)
    for key, value in one[1].items():
        torch.testing.assert_close(value, two[1][key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("combine", ["sum", "mgda"])
@pytest.mark.parametrize("world", [2, 3, 4])
def test_a_step_is_that_of_the_whole_batch_on_any_number_of_processes(world: int, combine: str) -> None:
    """35 samples of 5 datasets, some of them without any label, on processes with unequal shares."""
    config = _config(35, combine=combine)
    ignored = frozenset({0, 4, 20})
    alone = _take(config, 1, ignored=ignored)
    _assert_same(_take(config, world, ignored=ignored), alone)
    assert alone[0].taken
    assert len(alone[0].combined) == (5 if combine == "mgda" else 0)


def test_one_process_takes_the_step_that_the_formula_says() -> None:
    """Against plain autograd over the whole batch."""
    config = _config(6, datasets=2)
    torch.manual_seed(3)
    network = _Tiny(norm=True)
    (part,) = _batch(config, Ranks()).parts
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    images = ((torch.from_numpy(part.pixels_NHW3).float() - mean) / std).permute(0, 3, 1, 2)
    logits = nn.functional.interpolate(
        network.strided_logits(images), size=(_CROP, _CROP), mode="bilinear", align_corners=True
    )
    labels = torch.from_numpy(part.labels_NHW).long()
    loss = nn.functional.cross_entropy(logits, labels, ignore_index=255)
    loss.backward()
    by_dataset = [
        nn.functional.cross_entropy(logits[n], labels[n], ignore_index=255).item() for n in (slice(3), slice(3, 6))
    ]
    outcome, state = _take(config, 1)
    assert outcome.loss == pytest.approx(loss.item(), rel=1e-5)
    assert outcome.by_dataset == pytest.approx(by_dataset, rel=1e-5)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(state[name], parameter.detach() - config.optim.lr * parameter.grad)


@pytest.mark.parametrize("combine", ["sum", "mgda"])
@pytest.mark.parametrize(("world", "accumulate"), [(1, 2), (1, 3), (2, 2), (3, 4)])
def test_accumulated_parts_add_up(world: int, accumulate: int, combine: str) -> None:
    """Unequal parts; without norms, which see one part at a time."""
    whole = _config(35, combine=combine)
    parts = _config(35, accumulate=accumulate, combine=combine)
    _assert_same(_take(parts, world, norm=False), _take(whole, 1, norm=False))


def test_a_process_without_a_label_takes_part() -> None:
    config = _config(4, datasets=1)
    ignored = frozenset({0, 1})
    _assert_same(_take(config, 2, ignored=ignored), _take(config, 1, ignored=ignored))


def test_a_batch_without_a_label_changes_no_weights() -> None:
    config = _config(4, datasets=2)
    outcome, state = _take(config, 2, ignored=frozenset(range(4)))
    torch.manual_seed(3)
    before = _Tiny(norm=True).state_dict()
    assert outcome.taken
    assert outcome.loss == 0
    assert all(math.isnan(loss) for loss in outcome.by_dataset)
    for name in ("body.weight", "head.weight", "head.bias", "norm.weight"):
        assert torch.equal(state[name], before[name])


@pytest.mark.parametrize("combine", ["sum", "mgda"])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_what_is_no_number_in_one_process_is_skipped_in_all(combine: str, where: str) -> None:
    """Weights and the norms' statistics stay as they were."""

    def break_it(ranks: Ranks, network: nn.Module) -> None:
        if ranks.rank != 1:
            return
        forward = network.strided_logits

        def broken(images: Tensor) -> Tensor:
            logits: Tensor = forward(images)  # type: ignore[operator]
            if where == "loss":
                return logits * math.nan
            logits.register_hook(lambda gradient: gradient * math.inf)
            return logits

        network.strided_logits = broken  # type: ignore[assignment]

    outcome, state = _take(_config(4, datasets=2, combine=combine), 2, break_it=break_it)
    assert not outcome.taken
    torch.manual_seed(3)
    before = _Tiny(norm=True).state_dict()
    assert all(torch.equal(state[key], before[key]) for key in before)


def test_gradients_travel_in_buckets_of_any_size() -> None:
    """One message a parameter and one for all give the same sums; a parameter without a gradient counts as zero."""

    template = _Tiny(norm=True).to(memory_format=torch.channels_last)

    def one(bucket_bytes: int) -> Callable[[Ranks], list[Tensor | None]]:
        def act(ranks: Ranks) -> list[Tensor | None]:
            network = copy.deepcopy(template)
            unused = nn.Parameter(torch.ones(3))
            parameters = [*network.parameters(), unused]
            images = torch.full((1, 3, 9, 9), 1.0 + ranks.rank)
            with GradientSum(parameters, ranks, bucket_bytes=bucket_bytes).during_backward():
                network.strided_logits(images).square().sum().backward()
            assert network.body.weight.grad is not None
            assert network.body.weight.grad.stride() == network.body.weight.stride()
            return [parameter.grad for parameter in parameters]

        return act

    small, large = in_threads(2, one(1))[0], in_threads(2, one(1 << 20))[1]
    for a, b in zip(small, large, strict=True):
        assert a is not None
        assert b is not None
        assert torch.equal(a, b)
    assert small[-1] is not None
    assert not small[-1].any()


def test_groups_are_runs_of_one_dataset() -> None:
    config = _config(10)
    (draws,) = draws_of(config, 0, rank=1, world=2)
    part = Part(np.zeros((5, 1, 1, 3), np.uint8), np.zeros((5, 1, 1), np.uint8), draws, ("",) * 5)
    assert groups_of(part) == ((2, slice(0, 1)), (3, slice(1, 3)), (4, slice(3, 5)))

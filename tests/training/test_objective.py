"""The objective against upsampling everything and summing pixel by pixel."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mseg_studio.networks.hrnet import hrnet_spec
from mseg_studio.networks.pspnet import PSPNetConfig, pspnet_spec
from mseg_studio.training.config import AugmentConfig, DatasetConfig, LossConfig, TrainConfig
from mseg_studio.training.losses import lovasz_softmax
from mseg_studio.training.objective import Groups, Objective
from tests.goldens.weights import TINY_CONFIG
from tests.training.factory import make_config

HRNET = hrnet_spec("hrnet-tiny", TINY_CONFIG)
PSPNET = pspnet_spec("pspnet-small", PSPNetConfig(blocks=(1, 1, 1, 1), width=4))
CLASSES = 5
SIDE = 33
TWO: Groups = ((0, slice(0, 1)), (1, slice(1, 4)))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _config(*, datasets: int = 2, stride: int = 1, **loss: Any) -> TrainConfig:
    names = tuple(DatasetConfig("d.yaml", name=f"d{number}", classes={"a": "road"}) for number in range(datasets))
    return make_config(
        batch=4 * datasets, datasets=names, loss=LossConfig(label_stride=stride, **loss), augment=AugmentConfig()
    )


def _network(spec: Any = HRNET) -> Any:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(3)
        network = spec.build(CLASSES)
    return network.eval()


def _batch(count: int = 4, *, seed: int = 0, ignored: float = 0.2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, SIDE, SIDE, generator=generator)
    labels = torch.randint(0, CLASSES, (count, SIDE, SIDE), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < ignored] = 255
    return images, labels


def _oracle(logits: Tensor, labels: Tensor, weights: Tensor | None, stride: int) -> Tensor:
    """Weighted cross entropy summed over the pixels of every image (N,)."""
    labels = labels[:, ::stride, ::stride]
    full = functional.interpolate(logits, size=labels.shape[-2:], mode="bilinear", align_corners=True)
    pixels = functional.cross_entropy(full, labels, weights, ignore_index=255, reduction="none")
    return pixels.sum(dim=(1, 2))


def _gradients(network: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    found = {key: value.grad.clone() for key, value in network.named_parameters() if value.grad is not None}
    assert found.keys() == dict(network.named_parameters()).keys()
    return found


def _assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    largest = max(float(value.abs().max()) for value in wanted.values())
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=2e-5 * largest)


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.0, 2.0, 4.0, 0.25])])
def test_every_dataset_has_its_share_of_the_plain_loss(stride: int, weights: Tensor | None) -> None:
    network = _network()
    objective = Objective(network, _config(stride=stride), weights_C=weights)
    images, labels = _batch()
    total = objective.pixel_weight(labels)
    counted = labels[:, ::stride, ::stride]
    counted = counted[counted != 255]
    assert total.item() == pytest.approx(len(counted) if weights is None else weights[counted].double().sum().item())
    losses = objective(images, labels, TWO, total, falling=False)
    sums = _oracle(network.strided_logits(images), labels, weights, stride) / total
    wanted = torch.stack([sums[0], sums[1:].sum()]).float()
    torch.testing.assert_close(losses, wanted)
    _assert_same(_gradients(network, losses.sum()), _gradients(network, wanted.sum()))


def test_the_parts_of_a_batch_add_up() -> None:
    network = _network()
    objective = Objective(network, _config(lovasz_weight=0.5))
    images, labels = _batch()
    total = objective.pixel_weight(labels)
    whole = objective(images, labels, TWO, total, falling=True)
    first = objective(images[:2], labels[:2], ((0, slice(0, 1)), (1, slice(1, 2))), total, falling=True)
    second = objective(images[2:], labels[2:], ((1, slice(0, 2)),), total, falling=True)
    torch.testing.assert_close(first + second, whole)
    assert second[0] == 0
    shares = objective.pixel_weight(labels[:2]) + objective.pixel_weight(labels[2:])
    assert shares == total


def test_one_dataset_is_the_mean_over_its_pixels() -> None:
    network = _network()
    objective = Objective(network, _config(datasets=1))
    images, labels = _batch()
    (loss,) = objective(images, labels, ((0, slice(0, 4)),), objective.pixel_weight(labels), falling=False)
    wanted = functional.cross_entropy(network(images), labels, ignore_index=255)
    torch.testing.assert_close(loss, wanted)


@pytest.mark.parametrize("weight", [0.4, 0.0])
def test_the_auxiliary_head_counts_by_its_weight(weight: float) -> None:
    network = _network(PSPNET)
    objective = Objective(network, _config(auxiliary_weight=weight))
    images, labels = _batch()
    total = objective.pixel_weight(labels)
    losses = objective(images, labels, TWO, total, falling=False)
    main, auxiliary = network.training_logits(images)
    sums = (_oracle(main, labels, None, 1) + weight * _oracle(auxiliary, labels, None, 1)) / total
    wanted = torch.stack([sums[0], sums[1:].sum()]).float()
    torch.testing.assert_close(losses, wanted)
    _assert_same(_gradients(network, losses.sum()), _gradients(network, wanted.sum()))


def test_lovasz_counts_by_image_while_the_rate_falls() -> None:
    network = _network()
    config = _config(lovasz_weight=0.5)
    objective = Objective(network, config)
    images, labels = _batch()
    total = objective.pixel_weight(labels)
    plain = objective(images, labels, TWO, total, falling=False)
    falling = objective(images, labels, TWO, total, falling=True)
    logits, coarse = network.strided_logits(images), labels[:, ::4, ::4]
    one = [lovasz_softmax(logits[n : n + 1], coarse[n : n + 1]) * 0.5 / config.batch for n in range(4)]
    torch.testing.assert_close(falling - plain, torch.stack([one[0], one[1] + one[2] + one[3]]))


@pytest.mark.parametrize("spec", [HRNET, PSPNET], ids=["hrnet", "pspnet"])
def test_a_batch_without_labels_costs_nothing(spec: Any) -> None:
    network = _network(spec)
    objective = Objective(network, _config(lovasz_weight=0.5), weights_C=torch.rand(CLASSES))
    images, labels = _batch(ignored=1.1)
    total = objective.pixel_weight(labels)
    losses = objective(images, labels, TWO, total, falling=True)
    assert total == 0 and losses.tolist() == [0, 0]
    assert all((value == 0).all() for value in _gradients(network, losses.sum()).values())


def test_an_image_without_labels_changes_nothing() -> None:
    network = _network()
    objective = Objective(network, _config(lovasz_weight=0.5))
    images, labels = _batch()
    labels[0] = 255
    total = objective.pixel_weight(labels)
    losses = objective(images, labels, TWO, total, falling=True)
    alone = objective(images[1:], labels[1:], ((1, slice(0, 3)),), total, falling=True)
    assert losses[0] == 0
    torch.testing.assert_close(losses, alone)


@pytest.mark.parametrize("kind", [torch.uint8, torch.uint16, torch.int32])
def test_labels_may_have_any_integer_type(kind: torch.dtype) -> None:
    objective = Objective(_network(), _config(stride=2, lovasz_weight=0.5))
    images, labels = _batch()
    total = objective.pixel_weight(labels)
    assert objective.pixel_weight(labels.to(kind)) == total
    wanted = objective(images, labels, TWO, total, falling=True)
    assert torch.equal(objective(images, labels.to(kind), TWO, total, falling=True), wanted)


def test_a_head_of_more_rows_than_a_byte_has_numbers() -> None:
    """The naive taxonomy has 316 rows; 255 is none of its classes and stays the ignored one."""
    network = HRNET.build(316).eval()
    objective = Objective(network, _config())
    images, labels = _batch()
    labels = torch.randint(0, 316, labels.shape, generator=torch.Generator().manual_seed(1))
    total = objective.pixel_weight(labels)
    assert 0 < (labels == 255).sum() == labels.numel() - total
    losses = objective(images, labels.to(torch.uint16), TWO, total, falling=False)
    sums = _oracle(network.strided_logits(images), labels, None, 1) / total
    torch.testing.assert_close(losses, torch.stack([sums[0], sums[1:].sum()]).float())


def test_gradients_of_every_dataset_alone() -> None:
    """As the multi-objective combination asks for them, from one graph."""
    network = _network()
    objective = Objective(network, _config())
    images, labels = _batch()
    total = objective.pixel_weight(labels)
    losses = objective(images, labels, TWO, total, falling=False)
    parameters = list(network.parameters())
    apart = [torch.autograd.grad(losses[d], parameters, retain_graph=d == 0) for d in range(2)]
    names = [name for name, _ in network.named_parameters()]
    together = _gradients(network, objective(images, labels, TWO, total, falling=False).sum())
    _assert_same({n: a + b for n, a, b in zip(names, *apart, strict=True)}, together)
    alone = objective(images[:1], labels[:1], ((0, slice(0, 1)),), total, falling=False).sum()
    _assert_same(dict(zip(names, apart[0], strict=True)), _gradients(network, alone))


def test_bfloat16_is_for_the_network_alone() -> None:
    network = _network()
    config = _config()
    images, labels = _batch()
    exact = Objective(network, config)
    total = exact.pixel_weight(labels)
    half = Objective(network, dataclasses.replace(config, precision="bfloat16"))
    wanted, found = (one(images, labels, TWO, total, falling=False) for one in (exact, half))
    assert found.dtype == torch.float32
    assert not torch.equal(found, wanted)
    torch.testing.assert_close(found, wanted, rtol=0.05, atol=0)
    assert all(value.dtype == torch.float32 for value in _gradients(network, found.sum()).values())


def test_images_get_the_layout_that_was_asked_for() -> None:
    network = _network()
    seen: list[bool] = []
    network.conv1.register_forward_pre_hook(
        lambda _, args: seen.append(args[0].is_contiguous(memory_format=torch.channels_last))
    )
    images, labels = _batch()
    for wanted in (True, False):
        objective = Objective(network, dataclasses.replace(_config(), channels_last=wanted))
        objective(images, labels, TWO, objective.pixel_weight(labels), falling=False)
    assert seen == [True, False]


def test_compiling_leaves_the_keys_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Any] = []

    def compile_(function: Any) -> Any:
        compiled.append(function)
        return function

    monkeypatch.setattr(torch, "compile", compile_)
    network = _network()
    objective = Objective(network, dataclasses.replace(_config(), compile=True), weights_C=torch.ones(CLASSES))
    assert len(compiled) == 1
    assert list(objective.state_dict()) == [f"network.{key}" for key in network.state_dict()]


def _dropped(objective: Objective, images: Tensor, labels: Tensor, *, step: int, slots: list[int]) -> Tensor:
    """Loss of every image with the dropout of those slots; the norms stay as they are."""
    network = objective.network
    for module in network.modules():
        module.training = module.__class__.__name__ == "SampleDropout2d"
    objective.seed_dropout(step, slots)
    total = torch.tensor(1.0)
    losses = [
        objective(images, labels, ((0, slice(0, n)), (1, slice(n, n + 1))), total, falling=False)[1].detach()
        for n in range(len(images))
    ]
    return torch.stack(losses)


def test_dropout_follows_from_seed_step_and_slot_alone() -> None:
    objective = Objective(_network(PSPNET), _config())
    images, labels = _batch()
    state = torch.random.get_rng_state()
    whole = _dropped(objective, images, labels, step=7, slots=[0, 1, 2, 3])
    parts = [
        _dropped(objective, images[start:stop], labels[start:stop], step=7, slots=list(range(start, stop)))
        for start, stop in ((0, 1), (1, 4))
    ]
    torch.testing.assert_close(torch.cat(parts), whole)
    assert torch.equal(_dropped(objective, images, labels, step=7, slots=[0, 1, 2, 3]), whole)
    assert torch.equal(torch.random.get_rng_state(), state)
    for step, slots in ((8, [0, 1, 2, 3]), (7, [4, 5, 6, 7])):
        assert (_dropped(objective, images, labels, step=step, slots=slots) != whole).all()
    other = Objective(_network(PSPNET), dataclasses.replace(_config(), seed=9))
    assert (_dropped(other, images, labels, step=7, slots=[0, 1, 2, 3]) != whole).all()


def test_seeds_for_another_number_of_samples_are_refused() -> None:
    objective = Objective(_network(PSPNET).train(), _config())
    images, labels = _batch()
    objective.seed_dropout(0, [0, 1])
    with pytest.raises(ValueError, match="2 dropout seeds for 4 samples"):
        objective(images, labels, TWO, objective.pixel_weight(labels), falling=False)

from __future__ import annotations

import dataclasses
from typing import Literal

import pytest
import torch
from torch import nn

from mseg_studio.training.config import OptimConfig
from mseg_studio.training.optim import build_optimizer, load_optimizer, optimizer_tensors


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=True), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)


def _step(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for number, parameter in enumerate(network.parameters()):
        parameter.grad = torch.full_like(parameter, 0.1 * (number + 1))
    optimizer.step()


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_an_optimizer_goes_on_where_another_was(name: Literal["sgd", "adamw"]) -> None:
    config = OptimConfig(optimizer=name, lr=0.1)
    one = _network()
    optimizer = build_optimizer(one, config)
    _step(one, optimizer)
    two = _network()
    two.load_state_dict(one.state_dict())
    other = build_optimizer(two, config)
    load_optimizer(two, other, optimizer_tensors(one, optimizer))
    for network, own in ((one, optimizer), (two, other)):
        _step(network, own)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    saved = optimizer_tensors(two, other)
    names = {"momentum_buffer"} if name == "sgd" else {"step", "exp_avg", "exp_avg_sq"}
    assert {key.rpartition("/")[2] for key in saved} == names
    assert {key.rpartition("/")[0] for key in saved} == {key for key, _ in two.named_parameters()}
    moment = saved[f"0.weight/{'momentum_buffer' if name == 'sgd' else 'exp_avg'}"]
    assert moment.stride() == two.get_parameter("0.weight").stride(), "laid out as its parameter"


def test_published_sgd_is_by_its_formula() -> None:
    """Momentum 0.9, weight decay on everything."""
    network = _network()
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    optimizer = build_optimizer(network, OptimConfig(lr=0.5, weight_decay=0.1))
    _step(network, optimizer)
    first = {name: value.detach().clone() for name, value in network.named_parameters()}
    _step(network, optimizer)
    for number, (name, value) in enumerate(network.named_parameters()):
        gradient = 0.1 * (number + 1)
        velocity = gradient + 0.1 * before[name]
        torch.testing.assert_close(first[name], before[name] - 0.5 * velocity)
        velocity = 0.9 * velocity + gradient + 0.1 * first[name]
        torch.testing.assert_close(value.detach(), first[name] - 0.5 * velocity)


def test_norms_and_biases_can_be_left_out_of_the_decay() -> None:
    network = _network()
    config = dataclasses.replace(OptimConfig(weight_decay=0.1), decay_norms=False)
    decay = {
        id(parameter): group["weight_decay"]
        for group in build_optimizer(network, config).param_groups
        for parameter in group["params"]
    }
    assert {name: decay[id(p)] for name, p in network.named_parameters()} == {
        "0.weight": 0.1,
        "0.bias": 0.0,
        "1.weight": 0.0,
        "1.bias": 0.0,
    }


def test_a_state_of_another_network_is_refused() -> None:
    network = _network()
    with pytest.raises(ValueError, match=r"names 'body\.weight'"):
        load_optimizer(network, build_optimizer(network, OptimConfig()), {"body.weight/step": torch.tensor(1.0)})

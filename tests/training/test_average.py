from __future__ import annotations

import pytest
import torch
from torch import nn

from mseg_studio.training.average import WeightAverage


def _network(value: float) -> nn.Module:
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.fill_(value)
    return network


def test_it_follows_the_weights_and_norm_statistics() -> None:
    network = _network(0.0)
    average = WeightAverage(network, decay=0.5)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.fill_(8)
    average.update(network, step=1000)
    state = average.state()
    assert state["0.weight"].item() == state["1.running_mean"].item() == 4
    assert state["1.num_batches_tracked"].item() == 8


def test_early_steps_count_more() -> None:
    average = WeightAverage(_network(0.0), decay=0.999)
    average.update(_network(1.0), step=0)
    assert average.state()["0.weight"].item() == pytest.approx(0.9)


def test_the_network_gets_its_own_weights_back() -> None:
    network = _network(3.0)
    average = WeightAverage(_network(1.0), decay=0.5)
    with average.applied(network):
        assert network[0].weight.item() == 1
    assert network[0].weight.item() == 3


def test_without_decay_the_weights_stand_for_themselves() -> None:
    network = _network(3.0)
    average = WeightAverage(network, decay=0.0)
    average.update(network, step=0)
    with average.applied(network):
        assert network[0].weight.item() == 3
    assert average.state() == {}


def test_another_networks_average_is_refused() -> None:
    with pytest.raises(ValueError, match="another network"):
        WeightAverage(_network(0.0), decay=0.5).load({})

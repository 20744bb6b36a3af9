from __future__ import annotations

import pytest
import torch

from mseg_studio.errors import ConfigError
from mseg_studio.inference.devices import device_words, resolve_device, resolve_precision


def test_auto_prefers_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")


def test_cuda_devices_are_counted(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda") == torch.device("cuda:0")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ConfigError, match="sees 2 CUDA devices"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("setting", ["tpu", "", "cpu0"])
def test_other_words_are_no_devices(setting):
    with pytest.raises(ConfigError, match="expected auto"):
        resolve_device(setting)


def test_mps_must_be_there(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="mps is not there"):
        resolve_device("mps")


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        ("auto", "cpu", "float32"),
        ("auto", "mps", "float32"),
        ("auto", "cuda:0", "half"),
        ("float32", "cuda:0", "float32"),
        ("half", "cpu", "half"),
    ],
)
def test_auto_precision_follows_the_device(precision, device, expected):
    assert resolve_precision(precision, torch.device(device)) == expected


def test_the_badge_speaks_of_devices_in_words():
    assert device_words(torch.device("cpu")) == "CPU"
    assert device_words(torch.device("mps")) == "Apple GPU"

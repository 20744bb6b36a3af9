from __future__ import annotations

import sys

import pytest
import torch

from mseg_studio.errors import ConfigError
from mseg_studio.inference import cpu_features, openvino_runtime
from mseg_studio.inference.devices import device_words, resolve_device, resolve_precision
from mseg_studio.inference.engine_choice import resolve_engine


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


FAST, SLOW = ("avx2", "avx512", "avx512_bf16"), ("avx2",)


@pytest.mark.parametrize(
    ("precision", "device", "engine", "features", "expected"),
    [
        ("auto", "cpu", "auto", FAST, "half"),
        ("auto", "cpu", "openvino", FAST, "half"),
        ("auto", "cpu", "torch", FAST, "float32"),
        ("auto", "cpu", "auto", SLOW, "float32"),
        ("auto", "mps", "auto", FAST, "float32"),
        ("auto", "cuda:0", "auto", SLOW, "half"),
        ("float32", "cuda:0", "auto", FAST, "float32"),
        ("half", "cpu", "auto", SLOW, "half"),
        ("int8", "cpu", "auto", SLOW, "int8"),
    ],
)
def test_auto_precision_is_half_where_hardware_multiplies_it(
    monkeypatch, precision, device, engine, features, expected
):
    monkeypatch.setattr(openvino_runtime, "is_installed", lambda: True)
    monkeypatch.setattr(cpu_features, "cpu_features", lambda: features)
    assert resolve_precision(precision, torch.device(device), engine) == expected


def test_auto_precision_is_float32_without_openvino(monkeypatch):
    monkeypatch.setattr(cpu_features, "cpu_features", lambda: FAST)
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert resolve_precision("auto", torch.device("cpu")) == "float32"


@pytest.mark.parametrize(
    ("setting", "device", "precision", "features", "expected"),
    [
        ("auto", "cpu", "float32", SLOW, "openvino"),
        ("auto", "cpu", "half", FAST, "openvino"),
        ("auto", "cpu", "half", SLOW, "torch"),
        ("torch", "cpu", "float32", FAST, "torch"),
        ("openvino", "cpu", "half", SLOW, "openvino"),
        ("auto", "cpu", "int8", SLOW, "openvino"),
        ("auto", "cuda:0", "half", FAST, "torch"),
        ("auto", "mps", "float32", FAST, "torch"),
    ],
)
def test_engine_of_a_device(monkeypatch, setting, device, precision, features, expected):
    monkeypatch.setattr(openvino_runtime, "is_installed", lambda: True)
    monkeypatch.setattr(cpu_features, "cpu_features", lambda: features)
    assert resolve_engine(setting, torch.device(device), precision) == expected


@pytest.mark.parametrize(
    ("setting", "device", "precision", "told"),
    [
        ("torch", "cpu", "int8", "int8 needs engine openvino"),
        ("auto", "cuda:0", "int8", "int8 needs engine openvino"),
        ("openvino", "cuda:0", "half", "choose engine torch or device cpu"),
    ],
)
def test_what_no_engine_can_do_is_told(setting, device, precision, told):
    with pytest.raises(ConfigError, match=told):
        resolve_engine(setting, torch.device(device), precision)


def test_without_openvino_torch_is_what_auto_means(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert resolve_engine("auto", torch.device("cpu"), "float32") == "torch"
    with pytest.raises(ConfigError, match="pip install openvino"):
        resolve_engine("openvino", torch.device("cpu"), "float32")


def test_the_badge_speaks_of_devices_in_words():
    assert device_words(torch.device("cpu")) == "CPU"
    assert device_words(torch.device("mps")) == "Apple GPU"

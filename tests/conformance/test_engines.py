"""What every engine must do, whoever wrote it: each that `auto` may choose here runs every network."""

from __future__ import annotations

import pkgutil

import pytest
import torch

from mseg_studio.inference import engines, openvino_runtime
from mseg_studio.inference.engine import Engine, NetworkSource
from mseg_studio.inference.engine_choice import make_engine
from mseg_studio.inference.recipe import ENGINES
from mseg_studio.networks.checkpoint import known_networks
from mseg_studio.networks.spec import NetworkSpec
from tests.conformance.small_networks import NUM_CLASSES, small_network

NETWORKS = list(known_networks().values())
CPU = torch.device("cpu")
HERE = ["torch", "openvino"] if openvino_runtime.is_installed() else ["torch"]


def _answer(engine: Engine, crops_NCHW: torch.Tensor, stride: int) -> torch.Tensor:
    count, _, height, width = crops_NCHW.shape
    size = (count, -(-height // stride), -(-width // stride), NUM_CLASSES)
    out_NhwC = torch.full(size, torch.nan, dtype=engine.logits_dtype)
    engine.logits_into(crops_NCHW, out_NhwC)
    return out_NhwC


def test_every_engine_is_one_that_a_recipe_can_name() -> None:
    found = {module.name.removesuffix("_engine") for module in pkgutil.iter_modules(engines.__path__)}
    assert found == set(ENGINES) - {"auto"}


@pytest.mark.parametrize("spec", NETWORKS, ids=lambda spec: spec.name)
def test_every_engine_gives_the_logits_of_the_network(spec: NetworkSpec) -> None:
    source = NetworkSource(lambda: small_network(spec), spec, NUM_CLASSES)
    for setting in HERE:
        engine = make_engine(source, CPU, "float32", threads=1, setting=setting)
        assert (engine.name, engine.precision, engine.device) == (setting, "float32", CPU)
        assert engine.logits_dtype == torch.float32
        for count, height, width in ((1, 65, 65), (2, 65, 97)):
            crops_NCHW = torch.randn(count, 3, height, width)
            with torch.inference_mode():
                wanted = small_network(spec).strided_logits(crops_NCHW).permute(0, 2, 3, 1)
            came = _answer(engine, crops_NCHW, spec.logits_stride)
            assert float((came - wanted).abs().max()) < 1e-3 * float(wanted.std()), setting
            assert torch.equal(came, _answer(engine, crops_NCHW, spec.logits_stride)), setting
        engine.close()

"""Predicted memory against the peaks of real processes."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from mseg_studio.inference.memory import kept_bytes, peak_bytes
from mseg_studio.inference.pace import Setup
from mseg_studio.inference.recipe import from_dict, preset
from mseg_studio.networks.catalog import find_model
from mseg_studio.networks.checkpoint import known_networks

HD = (1080, 1920)
_CHILD = """
import json, sys
import numpy as np
import torch
torch.set_num_threads(1)
from mseg_studio.inference.loaded_model import load_model
from mseg_studio.inference.recipe import from_dict, preset
from mseg_studio.taxonomy.catalog import default_catalog
recipe = from_dict(json.loads(sys.argv[1]))
predictor = load_model("street-small").predictor(recipe)
scores = predictor.predict(np.full((*json.loads(sys.argv[2]), 3), 90, np.uint8))
scores.labels(default_catalog().projection("universal", "universal"))
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([predictor.engine_name, predictor.precision, 1024 * int(peak.split()[1])]))
"""


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems tell peaks of other things")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """What is compiled for one case is kept for the next."""
    return str(tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize(
    "recipe",
    [
        {"precision": "float32", "engine": "torch"},
        {"precision": "float32", "base_size": 720},
        {"precision": "float32", "crop_px": 713},
    ],
    ids=["torch", "many crops", "large crop"],
)
def test_predicted_memory_is_within_a_third_of_a_real_peak(recipe, home):
    recipe = {"device": "cpu", **recipe}

    def run(size: tuple[int, int]) -> tuple[str, str, int]:
        command = [sys.executable, "-c", _CHILD, json.dumps(recipe), json.dumps(size)]
        environment = {**os.environ, "MSEG_STUDIO_HOME": home}
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True, env=environment)
        return tuple(json.loads(done.stdout.splitlines()[-1]))

    if recipe.get("engine") != "torch":
        run((36, 64))  # compiles what is kept on disk
    engine, precision, measured = run(HD)
    card = find_model("street-small").card
    sized = from_dict(recipe).resolved(base_size=card.base_size, crop_px=card.crop_px, precision="auto")
    setup = Setup(card.name, engine, precision, "cpu", 1)
    assert peak_bytes(sized, HD, card=card, setup=setup) == pytest.approx(measured, rel=0.3)


def test_a_line_of_pixels_that_becomes_a_large_picture_is_counted_at_that_size():
    card = find_model("street-small").card
    sized = preset("balanced").resolved(base_size=card.base_size, crop_px=card.crop_px, precision="auto")
    setup = Setup(card.name, "openvino", "half", "cpu", 2)
    measured = 3_753_108 * 1024  # the peak of a process of its own
    predicted = peak_bytes(sized, (300, 1), card=card, setup=setup)
    assert measured < predicted < 1.3 * measured


def test_memory_of_pspnet_is_within_a_tenth_of_real_peaks():
    card = dataclasses.replace(find_model("street-small").card, network="pspnet-50")
    for engine, precision, crop_px, measured_mb in (  # processes of their own, two threads
        ("openvino", "float32", 473, 1088),
        ("openvino", "float32", 713, 1480),
        ("openvino", "half", 473, 909),
        ("torch", "float32", 473, 1085),
    ):
        sized = from_dict({"device": "cpu", "precision": precision, "base_size": 360, "crop_px": crop_px})
        setup = Setup(card.name, engine, precision, "cpu", 2)
        assert peak_bytes(sized, HD, card=card, setup=setup) == pytest.approx(measured_mb * 1e6, rel=0.1)


@pytest.mark.parametrize("network", sorted(known_networks()))
def test_kept_logits_are_counted_at_the_stride_of_the_network(network):
    card = dataclasses.replace(find_model("street-small").card, network=network)
    sized = from_dict({"device": "cpu", "base_size": 473, "crop_px": 473})
    side = -(-473 // known_networks()[network].logits_stride)
    setup = Setup(card.name, "openvino", "float32", "cpu", 2)
    assert kept_bytes(sized, (473, 473), card=card, setup=setup) == 2 * side * side * card.num_classes * 4

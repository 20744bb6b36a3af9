"""The arithmetic of the networks is the published one: keys, shapes and logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mseg_studio.networks.hrnet_w18_small import NETWORK as W18_SMALL
from tests.goldens.weights import (
    CROPS_PX,
    FOLDER,
    NUM_CLASSES,
    SPECS,
    crop_NCHW,
    golden_network,
    golden_shapes,
    pattern_image,
    read_rgb,
)

_PATTERN_CROP_PX = 153


@pytest.mark.parametrize(("network", "parameters"), [("tiny", 308_138), ("w48", 65_985_554), ("psp50", 49_214_788)])
def test_keys_and_shapes_are_the_published_ones_in_order(network: str, parameters: int) -> None:
    with torch.device("meta"):
        module = SPECS[network].build(NUM_CLASSES)
    assert [(key, tuple(value.shape)) for key, value in module.state_dict().items()] == list(
        golden_shapes(network).items()
    )
    assert sum(parameter.numel() for parameter in module.parameters()) == parameters


def test_small_network_has_its_size() -> None:
    with torch.device("meta"):
        module = W18_SMALL.build(NUM_CLASSES)
    assert sum(parameter.numel() for parameter in module.parameters()) == 1_582_994


@pytest.mark.parametrize("network", ["tiny", "w48", "psp50"])
def test_published_logits(shared: Path, network: str) -> None:
    image_HW3 = read_rgb(shared / "data" / "samples" / "bike_horses.jpg")
    assert _worst(network, image_HW3, CROPS_PX[network], f"logits_{network}.npz") < 1e-4


@pytest.mark.parametrize("network", ["tiny", "w48", "psp50"])
def test_logits_of_the_pattern(network: str) -> None:
    image_HW3 = pattern_image(_PATTERN_CROP_PX, _PATTERN_CROP_PX)
    assert _worst(network, image_HW3, _PATTERN_CROP_PX, f"logits_{network}_pattern.npz") < 1e-4


def test_copies_are_the_shared_files(shared: Path) -> None:
    copied = [path for path in FOLDER.iterdir() if (shared / "goldens" / path.name).is_file()]
    assert len(copied) > 10
    different = [path.name for path in copied if path.read_bytes() != (shared / "goldens" / path.name).read_bytes()]
    assert not different


def _worst(network: str, image_HW3: np.ndarray, crop_px: int, file: str) -> float:
    """Largest difference of the logits at the golden points."""
    golden = np.load(FOLDER / file)
    with torch.inference_mode():
        logits_CHW = golden_network(network)(crop_NCHW(image_HW3, crop_px))[0].numpy()
    y, x = golden["points_yx"].T
    return float(np.abs(logits_CHW[:, y, x].T - golden["logits"]).max())

"""Label maps of the published procedure with weights that anyone can make again (tests/goldens)."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import pytest
import torch

from mseg_studio.inference.dense import DenseScores
from mseg_studio.inference.predictor import Predictor
from mseg_studio.inference.recipe import Recipe
from mseg_studio.media.image import read_image, read_label_ids
from mseg_studio.taxonomy.catalog import default_catalog
from tests.goldens.weights import FOLDER, NUM_CLASSES, SPECS, golden_network

GOLDENS = json.loads((FOLDER / "index.json").read_text())
W48_SCALES = ([1.0],)
"""The other W48 golden has eleven crops of the large network: `make bench` holds it (golden_w48_float32)."""
CASES = [golden for golden in GOLDENS if golden["network"] == "tiny" or golden["scales"] in W48_SCALES]


@lru_cache(maxsize=1)
def scores(network: str, image: Path, base_size: int, crop_px: int, scales: tuple[float, ...]) -> DenseScores:
    recipe = Recipe(base_size=base_size, crop_px=crop_px, scales=scales, precision="float32")
    predictor = Predictor(golden_network(network), SPECS[network], num_classes=NUM_CLASSES, recipe=recipe, device="cpu")
    return predictor.predict(read_image(image).pixels_HW3)


@pytest.mark.parametrize("golden", CASES, ids=lambda golden: golden["file"].removesuffix(".png"))
def test_labels_are_the_published_ones(shared, golden):
    image = next((shared / "data/samples").glob(f"{golden['image']}.*"))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        dense = scores(golden["network"], image, golden["base_size"], golden["crop"], tuple(golden["scales"]))
    finally:
        torch.set_num_threads(before)
    labels = dense.labels(default_catalog().projection("universal", golden["taxonomy"]))
    expected = read_label_ids(FOLDER / golden["file"])
    assert labels.ids_HW.shape == expected.shape
    assert (labels.ids_HW == expected).mean() >= 0.9999

"""Recipe live: the whole scaled image goes through the network at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mseg_studio.inference.predictor import Predictor
from mseg_studio.inference.preprocess import normalised
from mseg_studio.inference.recipe import Recipe
from tests.factories import make_pixels, tiny_network
from tests.goldens.weights import TINY

CLASSES = 5
NETWORK = tiny_network(num_classes=CLASSES)


@pytest.mark.parametrize("size", [(33, 41), (36, 45), (40, 20), (9, 60)])
@pytest.mark.parametrize("flip", [False, True])
def test_it_is_one_forward_pass_of_the_image_padded_on_both_ends(size, flip):
    height, width = size
    pixels = make_pixels(height, width)
    recipe = Recipe(base_size=min(size), crop_px=33, flip=flip, whole=True, precision="float32")
    predictor = Predictor(NETWORK, TINY, num_classes=CLASSES, recipe=recipe, device="cpu")
    seen = []
    scores = predictor.predict(pixels, on_tile=seen.append)
    assert [(one.done, one.total) for one in seen] == [(1, 1)]
    full_height, full_width = (max(17, -(-(side - 1) // 8) * 8 + 1) for side in size)
    top, left = (full_height - height) // 2, (full_width - width) // 2
    padded = torch.zeros(1, 3, full_height, full_width)
    padded[0, :, top : top + height, left : left + width] = normalised(pixels, height, width)
    with torch.inference_mode():
        expected = torch.softmax(NETWORK(padded), dim=1)
        if flip:
            expected = (expected + torch.softmax(NETWORK(padded.flip(-1)), dim=1).flip(-1)) / 2
    for y, x in [(0, 0), (height - 1, width - 1), (height // 2, width // 3)]:
        np.testing.assert_allclose(scores.probe(x, y), expected[0, :, top + y, left + x].numpy(), atol=2e-5)

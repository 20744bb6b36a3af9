from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from mseg_studio.inference import preprocess
from mseg_studio.inference.preprocess import crop_of, normalised, normalised_on
from mseg_studio.inference.tiling import Tiling
from tests.factories import make_pixels

MEAN = 255 * np.array([0.485, 0.456, 0.406], np.float32)
STD = 255 * np.array([0.229, 0.224, 0.225], np.float32)


@pytest.mark.parametrize(("height", "width"), [(30, 45), (120, 180), (60, 90), (17, 200), (1, 1)])
def test_large_images_are_resized_to_the_same_values(monkeypatch, height, width):
    pixels = make_pixels(60, 90)
    expected = (cv2.resize(pixels.astype(np.float32), (width, height)) - MEAN) / STD
    direct = normalised(pixels, height, width)
    assert direct.dtype == torch.float32
    np.testing.assert_allclose(direct.numpy().transpose(1, 2, 0), expected, atol=1e-5)
    monkeypatch.setattr(preprocess, "_FLOAT_IMAGE_LIMIT", 0)
    np.testing.assert_allclose(normalised(pixels, height, width).numpy().transpose(1, 2, 0), expected, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(30, 45), (120, 180), (60, 90), (1, 1)])
def test_the_resize_of_a_gpu_gives_the_same_values(height, width):
    pixels = make_pixels(60, 90)
    expected = normalised(pixels, height, width)
    torch.testing.assert_close(normalised_on(torch.device("cpu"), pixels, height, width), expected, atol=1e-5, rtol=0)


def test_the_pixels_are_left_alone():
    pixels = make_pixels(20, 20)
    pixels.setflags(write=False)
    before = pixels.copy()
    normalised(pixels, 20, 20)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize(("height", "width"), [(20, 60), (60, 20), (12, 13), (70, 70)])
def test_a_crop_is_the_padded_image_with_the_mean_around(height, width):
    image = torch.randn(3, height, width)
    tiling = Tiling(height, width, 33)
    top, left = max(33 - height, 0), max(33 - width, 0)
    padded = torch.nn.functional.pad(image, (left // 2, left - left // 2, top // 2, top - top // 2))
    for window in tiling.windows():
        y, x = window.top + top // 2, window.left + left // 2
        assert torch.equal(crop_of(image, window, tiling), padded[:, y : y + 33, x : x + 33])

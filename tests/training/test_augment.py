from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.training.augment import IGNORE, augment
from mseg_studio.training.config import AugmentConfig

STILL = AugmentConfig(crop_px=33, scale=(1.0, 1.0), rotation_p=0.0, flip_p=0.0, blur_p=0.0)


def _image(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that say where they are: red is x, green is y; labels are 0 left of the middle and 1 right of it."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x, y, np.zeros_like(x)], axis=2).astype(np.uint8)
    return pixels, (x >= width // 2).astype(np.uint8)


def _augment(pixels: np.ndarray, labels: np.ndarray, config: AugmentConfig, seed: int, rare: tuple[int, ...] = ()):
    return augment(pixels, labels, config=config, rare_ids=rare, random=np.random.default_rng(seed))


def test_nothing_random_is_a_plain_crop() -> None:
    pixels, labels = _image(60, 80)
    crop, crop_labels = _augment(pixels, labels, STILL, 3)
    x, y = int(crop[0, 0, 0]), int(crop[0, 0, 1])
    assert np.array_equal(crop, pixels[y : y + 33, x : x + 33])
    assert np.array_equal(crop_labels, labels[y : y + 33, x : x + 33])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.tuples(st.integers(20, 120), st.integers(20, 120)))
def test_labels_follow_the_pixels(seed: int, size: tuple[int, int]) -> None:
    """Wherever a pixel of the crop comes from, its label comes from there too."""
    pixels, labels = _image(*size)
    config = AugmentConfig(crop_px=33, scale=(0.5, 2.0), rotation_p=1.0, flip_p=0.5, blur_p=0.0)
    crop, crop_labels = _augment(pixels, labels, config, seed)
    middle = size[1] // 2
    inside = crop_labels != IGNORE
    clear = inside & (crop[..., 2] == 0) & (np.abs(crop[..., 0].astype(int) - middle) > 4)
    assert np.array_equal(crop_labels[clear], (crop[..., 0][clear] >= middle).astype(np.uint8))


def test_padding_is_the_mean_and_no_label() -> None:
    pixels, labels = _image(20, 80)
    crop, crop_labels = _augment(pixels, labels, STILL, 0)
    rows = (crop_labels == IGNORE).all(axis=1)
    assert rows.sum() == 13
    away = rows & np.roll(rows, 1) & np.roll(rows, -1)  # a row beside the image is half image
    assert np.all(crop[away] == (124, 116, 104))


def test_flips_are_mirrors() -> None:
    pixels, labels = _image(33, 33)
    config = AugmentConfig(crop_px=33, scale=(1.0, 1.0), rotation_p=0.0, flip_p=1.0, blur_p=0.0)
    crop, crop_labels = _augment(pixels, labels, config, 1)
    assert np.array_equal(crop, pixels[:, ::-1])
    assert np.array_equal(crop_labels, labels[:, ::-1])


def test_one_stream_gives_one_sample() -> None:
    pixels, labels = _image(60, 80)
    config = AugmentConfig(crop_px=33, colour_p=1.0)
    first, again = (_augment(pixels, labels, config, 5) for _ in range(2))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], _augment(pixels, labels, config, 6)[0])


def test_rare_classes_are_found() -> None:
    pixels, labels = _image(300, 400)
    labels[:] = 0
    labels[10:14, 380:384] = 2
    config = AugmentConfig(crop_px=33, scale=(1.0, 1.0), rotation_p=0.0, rare_p=1.0, rare_classes=("x",))
    hits = [(_augment(pixels, labels, config, seed, rare=(2, 5))[1] == 2).any() for seed in range(20)]
    assert all(hits)


def test_an_image_without_rare_classes_is_cropped_anywhere() -> None:
    pixels, labels = _image(60, 80)
    config = AugmentConfig(crop_px=33, rare_p=1.0, rare_classes=("x",))
    assert _augment(pixels, labels, config, 0, rare=(7,))[0].shape == (33, 33, 3)


def test_the_short_side_sets_the_scale() -> None:
    pixels, labels = _image(120, 160)
    config = AugmentConfig(crop_px=33, short_side=30, scale=(1.0, 1.0), rotation_p=0.0, flip_p=0.0, blur_p=0.0)
    crop, crop_labels = _augment(pixels, labels, config, 0)
    assert (crop_labels == IGNORE).mean() < 0.12
    assert crop[..., 1].max() > 110


@pytest.mark.parametrize("seed", range(5))
def test_colours_change_no_label(seed: int) -> None:
    pixels, labels = _image(60, 80)
    config = AugmentConfig(crop_px=33, scale=(1.0, 1.0), rotation_p=0.0, flip_p=0.0, blur_p=0.0, colour_p=1.0)
    still, coloured = _augment(pixels, labels, STILL, seed), _augment(pixels, labels, config, seed)
    assert np.array_equal(still[1], coloured[1])
    assert not np.array_equal(still[0], coloured[0])

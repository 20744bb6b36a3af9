from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.training.config import AugmentConfig
from mseg_studio.training.published_augment import Choice, choose, published_augment, short_size, shortened

PUBLISHED = AugmentConfig(pipeline="published", crop_px=65, short_side=60)


def _image(height: int, width: int, seed: int = 0, dtype: type = np.uint8) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    few = random.integers(0, 256, (max(2, height // 8), max(2, width // 8), 3)).astype(np.uint8)
    labels = random.integers(0, 9, (height, width)).astype(dtype)
    labels[labels == 8] = 255
    return cv2.resize(few, (width, height)), labels


def _step_by_step(pixels, labels, choice: Choice, config: AugmentConfig) -> tuple[np.ndarray, np.ndarray]:
    """Every step on the whole image, one after the other, in floats as published: nothing is clever here."""
    image = pixels.astype(np.float32)
    height, width = labels.shape
    if config.short_side is not None:
        scale = config.short_side / min(height, width)
        size = [config.short_side, int(width * scale)] if height <= width else [int(height * scale), config.short_side]
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
        labels = cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST)
    mean = (123.675, 116.28, 103.53)
    image = cv2.resize(image, None, fx=choice.scale, fy=choice.scale, interpolation=cv2.INTER_LINEAR)
    labels = cv2.resize(labels, None, fx=choice.scale, fy=choice.scale, interpolation=cv2.INTER_NEAREST)
    if choice.angle_degrees:
        height, width = labels.shape
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), choice.angle_degrees, 1)
        image = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=mean)
        labels = cv2.warpAffine(labels, matrix, (width, height), flags=cv2.INTER_NEAREST, borderValue=255)
    if choice.blurred:
        image = cv2.GaussianBlur(image, (5, 5), 0)
    if choice.flipped:
        image, labels = cv2.flip(image, 1), cv2.flip(labels, 1)
    above, beside = (max(0, config.crop_px - side) for side in labels.shape)
    sides = (above // 2, above - above // 2, beside // 2, beside - beside // 2)
    image = cv2.copyMakeBorder(image, *sides, cv2.BORDER_CONSTANT, value=mean)
    labels = cv2.copyMakeBorder(labels, *sides, cv2.BORDER_CONSTANT, value=255)
    rows = slice(choice.top, choice.top + config.crop_px)
    columns = slice(choice.left, choice.left + config.crop_px)
    return image[rows, columns], labels[rows, columns]


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    size=st.tuples(st.integers(9, 200), st.integers(9, 200)),
    short_side=st.sampled_from([None, 40, 60, 130]),
    wide=st.booleans(),
)
def test_as_every_step_on_the_whole_image(seed: int, size: tuple[int, int], short_side: int | None, wide: bool) -> None:
    config = AugmentConfig(pipeline="published", crop_px=65, short_side=short_side)
    pixels, labels = _image(*size, seed % 100, np.uint16 if wide else np.uint8)
    if wide:
        labels[labels == 7] = 300
    crop, crop_labels = published_augment(pixels, labels, config=config, random=np.random.default_rng(seed))
    choice = choose(*short_size(*size, short_side), config=config, random=np.random.default_rng(seed))
    expected, expected_labels = _step_by_step(pixels, labels, choice, config)
    assert crop.shape == (65, 65, 3)
    assert crop_labels.shape == (65, 65)
    assert crop_labels.dtype == labels.dtype
    assert (crop_labels == expected_labels).mean() > 0.999, "a pixel between two labels may fall to either"
    away = np.abs(crop - expected)
    assert away.mean() < 0.75
    assert (away > 4).mean() < 0.002


@pytest.mark.parametrize("seed", range(20))
def test_without_a_rotation_labels_are_equal_to_the_pixel(seed: int) -> None:
    config = AugmentConfig(pipeline="published", crop_px=65, short_side=70, rotation_p=0)
    pixels, labels = _image(90, 120, seed)
    crop = published_augment(pixels, labels, config=config, random=np.random.default_rng(seed))
    choice = choose(70, 93, config=config, random=np.random.default_rng(seed))
    assert np.array_equal(crop[1], _step_by_step(pixels, labels, choice, config)[1])


def test_a_blur_of_the_window_is_the_blur_of_the_whole() -> None:
    """To the bit, at the image's edges and inside."""
    config = AugmentConfig(pipeline="published", crop_px=33, scale=(1.0, 1.0), rotation_p=0, flip_p=0.5, blur_p=1)
    pixels, labels = _image(60, 70)
    blurred = cv2.GaussianBlur(pixels, (5, 5), 0)
    seen = set()
    for seed in range(200):
        choice = choose(60, 70, config=config, random=np.random.default_rng(seed))
        crop, _ = published_augment(pixels, labels, config=config, random=np.random.default_rng(seed))
        whole = blurred[:, ::-1] if choice.flipped else blurred
        assert np.array_equal(crop, whole[choice.top : choice.top + 33, choice.left : choice.left + 33])
        seen.add((choice.top in (0, 27), choice.left in (0, 37)))
    assert len(seen) >= 3


def test_numbers_have_the_published_distribution() -> None:
    choices = [choose(60, 80, config=PUBLISHED, random=np.random.default_rng(seed)) for seed in range(3000)]
    scales = np.array([choice.scale for choice in choices])
    assert scales.min() >= 0.5
    assert scales.max() <= 2.0
    assert scales.mean() == pytest.approx(1.25, abs=0.03), "the scale itself is uniform"
    turned = np.array([choice.angle_degrees for choice in choices if choice.angle_degrees])
    assert len(turned) / 3000 == pytest.approx(0.5, abs=0.04)
    assert turned.min() < -9
    assert turned.max() > 9
    for share in (np.mean([choice.blurred for choice in choices]), np.mean([choice.flipped for choice in choices])):
        assert share == pytest.approx(0.5, abs=0.04)
    large = [choice for choice in choices if choice.height == 75 and choice.width == 100]
    assert {choice.top for choice in large} <= set(range(11))
    assert {choice.left for choice in large} <= set(range(36))


@pytest.mark.parametrize(
    ("size", "expected"), [((120, 161), (60, 80)), ((161, 120), (80, 60)), ((50, 99), (60, 118)), ((60, 80), (60, 80))]
)
def test_the_long_side_is_cut_to_whole_pixels(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert short_size(*size, 60) == expected
    pixels, labels = shortened(*_image(*size), 60)
    assert pixels.shape[:2] == labels.shape == expected
    assert short_size(*size, None) == size


def test_shortening_once_or_twice_is_the_same() -> None:
    """What is kept in memory may be short already."""
    pixels, labels = _image(120, 161)
    once = shortened(pixels, labels, 60)
    for seed in range(5):
        crops = [
            published_augment(*pair, config=PUBLISHED, random=np.random.default_rng(seed))
            for pair in ((pixels, labels), once)
        ]
        assert np.array_equal(crops[0][0], crops[1][0])
        assert np.array_equal(crops[0][1], crops[1][1])


def test_padding_is_the_mean_and_no_label() -> None:
    config = AugmentConfig(pipeline="published", crop_px=65, scale=(1.0, 1.0), rotation_p=0, flip_p=0, blur_p=0)
    pixels, labels = _image(20, 80)
    labels[:] = 3
    crop, crop_labels = published_augment(pixels, labels, config=config, random=np.random.default_rng(1))
    rows = (crop_labels == 255).all(axis=1)
    assert rows[:22].all()
    assert rows[42:].all()
    assert not rows[22:42].any()
    assert np.all(crop[rows] == (124, 116, 104))


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (10, 10)])
def test_what_would_vanish_at_a_small_scale_keeps_a_pixel(size: tuple[int, int]) -> None:
    config = AugmentConfig(pipeline="published", crop_px=65, scale=(0.05, 0.05))
    for seed in range(8):
        pixels, labels = published_augment(*_image(*size), config=config, random=np.random.default_rng(seed))
        assert (pixels.shape, labels.shape) == ((65, 65, 3), (65, 65))
        assert (labels == 255).sum() >= 65 * 65 - 2 * 20

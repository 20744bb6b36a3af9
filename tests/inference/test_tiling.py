from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mseg_studio.inference.tiling import Tiling, corner_taps, half_pixel_taps, scaled_size
from tests.goldens.weights import TINY

sides = st.integers(1, 400)
crops = st.integers(16, 160)


@pytest.mark.parametrize(
    ("height", "width", "base_size", "scale", "expected"),
    [
        (1080, 1920, 360, 1.0, (360, 640)),
        (1920, 1080, 360, 1.0, (640, 360)),
        (1080, 720, 144, 1.0, (216, 144)),
        (500, 990, 360, 1.0, (360, 713)),  # 712.8
        (500, 500, 360, 0.5, (180, 180)),
        (720, 960, 45, 0.5, (22, 29)),  # 22.5 rounds to even, then 22 / 720 * 960 = 29.3
        (720, 960, 47, 0.5, (24, 32)),  # 23.5 rounds to even
        (2, 5, 5, 1.0, (5, 12)),  # 12.5 rounds to even
        (5, 2, 5, 1.0, (12, 5)),
        (1, 1, 360, 1.0, (360, 360)),
        (8, 20000, 8, 1.0, (8, 20000)),
    ],
)
def test_short_side_rounds_half_to_even(height, width, base_size, scale, expected):
    assert scaled_size(height, width, base_size=base_size, scale=scale) == expected


@pytest.mark.parametrize(("crop", "stride"), [(473, 316), (593, 396), (713, 476)])
def test_stride_of_the_published_crops(crop, stride):
    assert Tiling(1000, 1000, crop).stride_px == stride


@given(sides, sides, crops)
def test_every_pixel_is_visited_as_often_as_counted(height, width, crop):
    tiling = Tiling(height, width, crop)
    seen = np.zeros((height, width), int)
    windows = tiling.windows()
    for window in windows:
        assert window.row_start - window.top >= 0
        assert window.row_stop - window.top <= crop
        seen[window.row_start : window.row_stop, window.column_start : window.column_stop] += 1
    rows, columns = tiling.visits()
    assert len(windows) == tiling.count
    assert seen.min() >= 1
    np.testing.assert_array_equal(seen, rows[:, None] * columns[None])


@given(sides, crops)
def test_windows_stay_inside_and_the_last_is_flush(side, crop):
    tiling = Tiling(side, side, crop)
    windows = tiling.windows()
    last = windows[-1]
    if side >= crop:
        assert last.row_stop == side
        assert last.top == side - crop
        assert all(window.top >= 0 for window in windows)
    else:
        assert tiling.count == 1
        assert last.top == -((crop - side) // 2)
        assert (last.row_start, last.row_stop) == (0, side)


@given(sides, sides, st.sampled_from([8, 32]))
def test_a_whole_image_is_one_window_of_a_size_that_networks_take(height, width, size_multiple):
    tiling = Tiling.whole(height, width, size_multiple=size_multiple)
    [window] = tiling.windows()
    assert (window.row_start, window.row_stop, window.column_start, window.column_stop) == (0, height, 0, width)
    spec = dataclasses.replace(TINY, size_multiple=size_multiple)
    for side, crop, start in (
        (height, tiling.crop_height_px, window.top),
        (width, tiling.crop_width_px, window.left),
    ):
        spec.check_crop(crop)
        assert crop - side < size_multiple or crop == 2 * size_multiple + 1
        assert start == -((crop - side) // 2)
    assert all((visits == 1).all() for visits in tiling.visits())


def test_rectangular_crops_go_each_side_by_its_own_stride():
    tiling = Tiling(100, 100, 40, 70)
    square, wide = Tiling(100, 100, 40), Tiling(100, 100, 70)
    assert {window.top for window in tiling.windows()} == {window.top for window in square.windows()}
    assert {window.left for window in tiling.windows()} == {window.left for window in wide.windows()}
    with pytest.raises(ValueError, match="not square"):
        assert tiling.crop_px


@given(st.integers(1, 60), st.integers(1, 90))
def test_half_pixel_taps_are_cv2_linear(size_in, size_out):
    line = np.random.default_rng(size_in * 100 + size_out).random((1, size_in), np.float32)
    taps = half_pixel_taps(size_in, size_out)
    mixed = line[0, taps.low] * (1 - taps.weight) + line[0, taps.high] * taps.weight
    np.testing.assert_allclose(mixed, cv2.resize(line, (size_out, 1), interpolation=cv2.INTER_LINEAR)[0], atol=2e-6)


@given(st.integers(2, 60), st.integers(2, 300))
def test_corner_taps_are_torch_with_aligned_corners(size_in, size_out):
    line = np.random.default_rng(size_in * 100 + size_out).random(size_in, np.float32)
    taps = corner_taps(size_in, size_out)
    mixed = line[taps.low] * (1 - taps.weight) + line[taps.high] * taps.weight
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(line)[None, None, None], size=(1, size_out), mode="bilinear", align_corners=True
    )
    np.testing.assert_allclose(mixed, expected[0, 0, 0].numpy(), atol=2e-5)


def test_mirrored_taps_read_the_other_way():
    taps = corner_taps(7, 25)
    line = np.random.default_rng(0).random(7, np.float32)
    forward = line[taps.low] * (1 - taps.weight) + line[taps.high] * taps.weight
    mirror = taps.mirrored()
    np.testing.assert_array_equal(
        forward[::-1], line[mirror.low] * (1 - mirror.weight) + line[mirror.high] * mirror.weight
    )


@pytest.mark.parametrize(("height", "width", "crop"), [(0, 5, 5), (5, 5, 0)])
def test_sizes_below_one_are_refused(height, width, crop):
    with pytest.raises(ValueError, match="at least"):
        Tiling(height, width, crop)

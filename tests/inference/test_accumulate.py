from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from mseg_studio.inference.accumulate import CropAccumulator
from mseg_studio.inference.row_threads import over_rows
from mseg_studio.inference.tiling import Tiling


def published(logits_NChw: torch.Tensor, crop_px: int) -> np.ndarray:
    """Probabilities (crop, crop, C) of one crop by torch's own operations, in the published order."""
    logits = functional.interpolate(logits_NChw, size=(crop_px, crop_px), mode="bilinear", align_corners=True)
    probabilities = torch.softmax(logits, dim=1)
    if len(probabilities) == 2:
        probabilities = (probabilities[:1] + probabilities[1:].flip(-1)) / 2
    return probabilities[0].permute(1, 2, 0).numpy()


def reference(crops: list[torch.Tensor], tiling: Tiling) -> np.ndarray:
    """Add up on the padded grid, count visits, divide, unpad."""
    height, width = max(tiling.height, tiling.crop_px), max(tiling.width, tiling.crop_px)
    total = np.zeros((height, width, crops[0].shape[1]), np.float32)
    count = np.zeros((height, width, 1), np.float32)
    for logits, window in zip(crops, tiling.windows(), strict=True):
        rows = slice(window.top + tiling.pad_top, window.top + tiling.pad_top + tiling.crop_px)
        columns = slice(window.left + tiling.pad_left, window.left + tiling.pad_left + tiling.crop_px)
        total[rows, columns] += published(logits, tiling.crop_px)
        count[rows, columns] += 1
    mean = total / count
    return mean[tiling.pad_top :, tiling.pad_left :][: tiling.height, : tiling.width]


def make_crops(tiling: Tiling, *, images: int, classes: int, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    side = (tiling.crop_px + 3) // 4
    return [torch.randn((images, classes, side, side), generator=generator) * 4 for _ in range(tiling.count)]


def accumulated(crops: list[torch.Tensor], tiling: Tiling) -> np.ndarray:
    grid = torch.zeros((tiling.height, tiling.width, crops[0].shape[1]))
    accumulator = CropAccumulator(grid, tiling)
    for logits, window in zip(crops, tiling.windows(), strict=True):
        accumulator.add(logits.permute(0, 2, 3, 1), window)
    return grid.numpy()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([17, 25, 33]), st.integers(1, 2), st.integers(1, 40))
def test_any_tiling_gives_the_published_mean(height, width, crop_px, images, classes):
    tiling = Tiling(height, width, crop_px)
    crops = make_crops(tiling, images=images, classes=classes, seed=height * width)
    expected = reference(crops, tiling)
    np.testing.assert_allclose(accumulated(crops, tiling), expected, atol=3e-6)


def test_probabilities_sum_to_one_even_for_extreme_logits():
    tiling = Tiling(20, 30, 33)
    crops = [logits * 1000 for logits in make_crops(tiling, images=2, classes=194, seed=1)]
    for logits in crops:
        logits[:, 7] = -1e4  # the rows of classes that a head never learnt
    grid = accumulated(crops, tiling)
    assert np.isfinite(grid).all()
    np.testing.assert_allclose(grid.sum(axis=2), 1, atol=1e-5)
    assert grid[..., 7].max() < 1e-30
    np.testing.assert_allclose(grid, reference(crops, tiling), atol=1e-4)


@pytest.mark.parametrize(("rows", "threads"), [(0, 2), (1, 4), (7, 3), (100, 1), (1000, 8)])
def test_every_row_is_given_out_once(rows, threads):
    seen = np.zeros(rows, int)

    def work(start, stop):
        seen[start:stop] += 1

    over_rows(work, rows, threads=threads)
    assert (seen == 1).all()


def test_an_error_in_a_thread_arrives():
    def work(start, stop):
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        over_rows(work, 100, threads=2)


def test_a_crop_comes_alone_or_with_its_mirror_image():
    tiling = Tiling(20, 20, 17)
    accumulator = CropAccumulator(torch.zeros((20, 20, 3)), tiling)
    with pytest.raises(ValueError, match="3 images"):
        accumulator.add(torch.zeros((3, 5, 5, 3)), tiling.windows()[0])
    with pytest.raises(ValueError, match="tiling"):
        CropAccumulator(torch.zeros((20, 21, 3)), tiling)

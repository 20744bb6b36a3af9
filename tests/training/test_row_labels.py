from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from mseg_studio.training import row_labels as module
from mseg_studio.training.row_labels import Positions, row_labels

CPU = torch.device("cpu")


def _positions(pixels: int, points: int, stride: int) -> Positions:
    return Positions.between(pixels, pixels, stride=stride, points=points, device=CPU)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    classes=st.integers(1, 30),
    points=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    stride=st.sampled_from([1, 2, 4, 8]),
    smooth=st.booleans(),
    at_once=st.sampled_from([1, 50, 1 << 22]),
)
def test_as_upsampling_all_logits(seed, classes, points, stride, smooth, at_once) -> None:
    """Also where whole cells have one winner, and whatever number of pixels is computed at once."""
    torch.manual_seed(seed)
    logits = torch.randn(classes, *points)
    if smooth:
        logits[0] += 4
    height, width = (stride * (count - 1) + 1 for count in points)
    full = functional.interpolate(logits[None].double(), (height, width), mode="bilinear", align_corners=True)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_VALUES", at_once)
        found = row_labels(logits, _positions(height, points[0], stride), _positions(width, points[1], stride))
    best, second = full.topk(min(2, classes), dim=0).values[[0, -1]]
    clear = (best - second > 1e-5) | (classes == 1)
    assert torch.equal(found.long()[clear], full.argmax(dim=0)[clear])
    assert clear.float().mean() > 0.99


def test_of_a_resized_image_pixels_are_found_where_they_went() -> None:
    """20 pixels were shown as 10, of which every fourth was kept: pixel centres lie at -0.25, 0.25, ... of the 10."""
    at = Positions.between(20, 10, stride=4, points=4, device=CPU)
    found = at.low + at.share
    expected = ((torch.arange(20) + 0.5) / 2 - 0.5).clamp(0, 9) / 4
    assert torch.allclose(found, expected.float())
    assert int(at.high.max()) <= 3

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mseg_studio.labels.import_polygon import (
    BadShapeError,
    Region,
    circle_region,
    points_of,
    polygon_area,
    polygon_region,
    rectangle_region,
)

COORDINATE = st.floats(-8, 24, allow_nan=False, width=32)


def filled(region: Region, height: int, width: int) -> np.ndarray:
    canvas = np.zeros((height, width), np.bool_)
    rows, columns = region.mask_HW.shape
    canvas[region.top : region.top + rows, region.left : region.left + columns] = region.mask_HW
    return canvas


def inside(points: np.ndarray, x: float, y: float) -> bool:
    """Even-odd rule by a ray to the left, one edge after the other."""
    odd = False
    for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if (y1 <= y) != (y2 <= y) and x1 + (y - y1) * ((x2 - x1) / (y2 - y1)) <= x:
            odd = not odd
    return odd


@given(st.lists(st.tuples(COORDINATE, COORDINATE), min_size=3, max_size=9))
def test_a_pixel_belongs_when_its_centre_lies_inside(corners: list[tuple[float, float]]) -> None:
    points, height, width = np.array(corners, np.float64), 13, 17
    try:
        mask = filled(polygon_region(points, height, width), height, width)
    except BadShapeError:
        mask = np.zeros((height, width), np.bool_)
    expected = [[inside(points, x + 0.5, y + 0.5) for x in range(width)] for y in range(height)]
    np.testing.assert_array_equal(mask, expected)


def test_neighbours_share_no_pixel() -> None:
    middle = [[7.3, 0], [9.1, 8]]
    left, right = np.array([[0, 0], *middle, [0, 8]]), np.array([[16, 0], *middle, [16, 8]])
    one, two = (filled(polygon_region(points, 8, 16), 8, 16) for points in (left, right))
    assert not (one & two).any()
    assert (one | two).all()


def test_rectangles_and_circles() -> None:
    mask = filled(rectangle_region(np.array([[5.0, 4.0], [2.0, 1.0]]), 8, 8), 8, 8)
    assert mask.sum() == 9
    assert mask[1:4, 2:5].all()
    disc = filled(circle_region(np.array([[50.0, 40.0], [50.0, 70.0]]), 100, 100), 100, 100)
    assert abs(disc.sum() - np.pi * 900) < 30
    assert disc[40, 50]
    assert filled(circle_region(np.array([[0.0, 0.0], [3.0, 0.0]]), 9, 9), 9, 9)[0, 0]


def test_the_area() -> None:
    assert polygon_area(np.array([[0, 0], [4, 0], [4, 3], [0, 3]])) == 12


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[0, 0], [1, 1]], "a polygon of 2 points"),
        ([], "a polygon of 0 points"),
        ([[9, 0], [12, 0], [12, 5]], "outside the image of 8 x 8"),
        ([[-3, -3], [0, -3], [0, 0]], "outside the image of 8 x 8"),
        ([[0, 0], [1, float("nan")], [2, 2]], "no place in a picture"),
        ([[0, 0], [1, float("inf")], [2, 2]], "no place in a picture"),
        ([[0, 0], [1, 1e300], [2, 2]], "no place in a picture"),
        ([[0, 0], [1], [2, 2]], "pairs of numbers"),
        ([[0, 0, 0], [1, 1, 1], [2, 2, 2]], "pairs of numbers"),
        ([0, 0, 1], "pairs of numbers"),
        ([["a", 0], [1, 1], [2, 2]], "pairs of numbers"),
        ([[None, 0], [1, 1], [2, 2]], "no place|pairs of numbers"),
        ([{}], "pairs of numbers"),
        ("abc", "pairs of numbers"),
        ([[10**400, 0], [1, 1], [2, 2]], "pairs of numbers"),
    ],
)
def test_what_is_no_polygon(points: object, message: str) -> None:
    with pytest.raises(BadShapeError, match=message):
        polygon_region(points_of(points), 8, 8)


def test_a_polygon_between_centres_has_no_pixel() -> None:
    assert polygon_region(points_of([[1.6, 1.6], [2.4, 1.6], [2.4, 2.4]]), 8, 8).mask_HW.size == 0


def test_work_on_one_polygon_is_bounded() -> None:
    zigzag = np.stack([np.arange(9000) % 50, np.arange(9000) % 2 * 8000], axis=1)
    with pytest.raises(BadShapeError, match="more corners"):
        polygon_region(zigzag, 8000, 60)


@pytest.mark.parametrize("region", [rectangle_region, circle_region])
def test_two_points_are_needed(region: object) -> None:
    assert callable(region)
    with pytest.raises(BadShapeError, match="of 3 points"):
        region(np.zeros((3, 2)), 8, 8)
    with pytest.raises(BadShapeError, match="outside the image"):
        region(np.array([[20.0, 20.0], [21.0, 21.0]]), 8, 8)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mseg_studio.ui.canvas.viewport import MAX_SCALE, Viewport

SIZES = st.integers(1, 5000)
PLACES = st.floats(-200, 1200)


@given(SIZES, SIZES)
def test_fitted_shows_the_whole_picture_centred(width: int, height: int) -> None:
    view = Viewport(width, height, 800, 600).fitted()
    right, bottom = view.point_of(width, height)
    assert view.left == pytest.approx(800 - right) and view.top == pytest.approx(600 - bottom)
    if view.scale > 1 / 64:
        assert right - view.left <= 800.001 and bottom - view.top <= 600.001


@given(SIZES, SIZES, st.floats(0.2, 5), st.floats(0, 800), st.floats(0, 600))
def test_zoom_keeps_the_point_under_the_cursor(width: int, height: int, factor: float, x: float, y: float) -> None:
    view = Viewport(width, height, 800, 600).fitted()
    zoomed = view.zoomed(factor, x=x, y=y)
    if view.pixel_at(x, y) is not None and zoomed.scale < MAX_SCALE:
        column, row = (x - view.left) / view.scale, (y - view.top) / view.scale
        assert zoomed.point_of(column, row) == (pytest.approx(x, abs=49), pytest.approx(y, abs=49))


def test_zoom_there_and_back_is_where_it_was() -> None:
    view = Viewport(1920, 1080, 1000, 700).fitted()
    back = view.zoomed(3, x=300, y=300).zoomed(1 / 3, x=300, y=300)
    assert (back.scale, back.left, back.top) == pytest.approx((view.scale, view.left, view.top))


@given(PLACES, PLACES)
def test_a_pan_never_loses_the_picture(dx: float, dy: float) -> None:
    view = Viewport(400, 300, 800, 600).fitted().panned(10 * dx, 10 * dy)
    right, bottom = view.point_of(400, 300)
    assert view.left < 800 and view.top < 600 and right > 0 and bottom > 0


def test_pixels_are_counted_from_the_corner_of_the_picture() -> None:
    view = Viewport(10, 10, 100, 100, scale=10, left=0, top=0)
    assert view.pixel_at(0, 0) == (0, 0)
    assert view.pixel_at(99.9, 55) == (9, 5)
    assert view.pixel_at(100, 5) is None and view.pixel_at(-0.1, 5) is None

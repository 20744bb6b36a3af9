"""Polygons to pixels: a pixel belongs to a polygon when its centre lies inside.

Coordinates are in pixels, the first pixel reaching from 0 to 1. Inside is decided by the even-odd rule, so polygons
that share an edge share no pixel. Plain scan conversion (Foley et al., Computer Graphics, 3.6), all edges at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32] | npt.NDArray[np.float64]

_FARTHEST = 1e7
"""Coordinates beyond are no pixels of anything."""
_MOST_CROSSINGS = 1 << 25
"""Crossings of edges with lines of pixels in one polygon; a drawn one has thousands."""


class BadShapeError(ValueError):
    """A shape that cannot be drawn; the text says why."""


@dataclass(frozen=True, eq=False, slots=True)
class Region:
    """A mask and where its first pixel lies."""

    top: int
    left: int
    mask_HW: npt.NDArray[np.bool_]


def points_of(values: object) -> Points:
    """Corners (N, 2) as x, y from pairs, or from one list x, y, x, y. Raises BadShapeError."""
    try:
        points = np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadShapeError("expected its points as pairs of numbers") from error
    if points.ndim == 1 and len(points) % 2 == 0:
        points = points.reshape(-1, 2)
    if points.ndim != 2 or points.shape[1] != 2:
        raise BadShapeError("expected its points as pairs of numbers")
    if not np.isfinite(points).all() or (len(points) and np.abs(points).max() > _FARTHEST):
        raise BadShapeError("a coordinate is no place in a picture")
    return points


def polygon_region(points_N2: Points, height: int, width: int) -> Region:
    """The pixels of a polygon within an image; parts outside are cut off, no pixel may be left.

    Raises BadShapeError for fewer than three corners, and for a polygon that lies wholly outside the image.
    """
    if len(points_N2) < 3:
        raise BadShapeError(f"a polygon of {len(points_N2)} points, expected at least 3")
    x1, y1 = points_N2.astype(np.float64).T
    if x1.min() >= width or y1.min() >= height or x1.max() <= 0 or y1.max() <= 0:
        raise BadShapeError(f"it lies outside the image of {width} x {height} pixels")
    x2, y2 = np.roll(x1, -1), np.roll(y1, -1)
    first = np.clip(np.ceil(np.minimum(y1, y2) - 0.5), 0, height).astype(np.int64)
    behind = np.clip(np.ceil(np.maximum(y1, y2) - 0.5), 0, height).astype(np.int64)
    counts = behind - first
    total = int(counts.sum())
    if total > _MOST_CROSSINGS:
        raise BadShapeError("it has more corners than can be drawn")
    if total == 0:
        return Region(0, 0, np.zeros((0, 0), np.bool_))
    edge = np.repeat(np.arange(len(counts)), counts)
    row = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    slope = (x2 - x1)[edge] / (y2 - y1)[edge]
    crossing = x1[edge] + (row + 0.5 - y1[edge]) * slope
    column = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)
    top, left = int(row.min()), int(column.min())
    toggles = np.zeros((int(row.max()) + 1 - top, int(column.max()) + 1 - left), np.uint8)
    np.bitwise_xor.at(toggles, (row - top, column - left), 1)
    return Region(top, left, np.bitwise_xor.accumulate(toggles, axis=1)[:, :-1].astype(np.bool_))


def rectangle_region(points_N2: Points, height: int, width: int) -> Region:
    """The pixels of a rectangle given by two opposite corners. Raises BadShapeError as `polygon_region` does."""
    if len(points_N2) != 2:
        raise BadShapeError(f"a rectangle of {len(points_N2)} points, expected 2")
    (x1, y1), (x2, y2) = points_N2
    return polygon_region(np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]), height, width)


def circle_region(points_N2: Points, height: int, width: int) -> Region:
    """The pixels of a circle given by its centre and a point on it. Raises BadShapeError."""
    if len(points_N2) != 2:
        raise BadShapeError(f"a circle of {len(points_N2)} points, expected its centre and one on it")
    (x, y), (on_x, on_y) = points_N2.astype(np.float64)
    radius = float(np.hypot(on_x - x, on_y - y))
    top, left = max(0, int(np.floor(y - radius))), max(0, int(np.floor(x - radius)))
    bottom, right = min(height, int(np.ceil(y + radius))), min(width, int(np.ceil(x + radius)))
    if bottom <= top or right <= left:
        raise BadShapeError(f"it lies outside the image of {width} x {height} pixels")
    rows, columns = np.arange(top, bottom) + 0.5 - y, np.arange(left, right) + 0.5 - x
    return Region(top, left, rows[:, None] ** 2 + columns[None, :] ** 2 <= radius**2)


def polygon_area(points_N2: Points) -> float:
    """Area in pixels by Gauss's formula."""
    x, y = points_N2.astype(np.float64).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)

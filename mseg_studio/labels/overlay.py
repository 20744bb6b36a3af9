"""Class colours over an image, and outlines of regions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mseg_studio.labels.label_map import Ids, LabelMap
from mseg_studio.taxonomy.palette import palette_rgb

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class OverlayStyle:
    """How labels are drawn over an image."""

    opacity: float = 0.5
    """Of the class colours, 0 to 1; outlines are always opaque."""
    contour_px: int = 0
    """Width of the outline inside every region, 0 for none."""
    hidden: Collection[int] = ()
    """Class ids that show the bare image. Pixels with the ignore id always do."""

    def __post_init__(self) -> None:
        if not 0 <= self.opacity <= 1:
            raise ValueError(f"opacity is {self.opacity}, expected 0 to 1")
        if not 0 <= self.contour_px <= 64:
            raise ValueError(f"contour width is {self.contour_px} px, expected 0 to 64")


def colourise(labels: LabelMap) -> Pixels:
    """RGB (H, W, 3): every pixel in the colour of its class, ignored pixels black."""
    return _looked_up(palette_rgb(labels.taxonomy), labels.ids_HW)


def blend(pixels_HW3: Pixels, labels: LabelMap, style: OverlayStyle | None = None) -> Pixels:
    """RGB (H, W, 3): the image under the colours of its classes. Raises ValueError when sizes differ."""
    style = style or OverlayStyle()
    ids = labels.ids_HW
    if pixels_HW3.shape != (*ids.shape, 3):
        raise ValueError(f"image is {pixels_HW3.shape[:2]}, labels are {ids.shape}")
    colours = colourise(labels)
    mixed = np.asarray(cv2.addWeighted(colours, style.opacity, pixels_HW3, 1 - style.opacity, 0), np.uint8)
    if style.contour_px:
        cv2.copyTo(colours, contours(ids, style.contour_px).view(np.uint8), mixed)
    bare = np.zeros(labels.taxonomy.ignore_id + 1, np.uint8)
    bare[[*style.hidden, labels.taxonomy.ignore_id]] = 1
    cv2.copyTo(pixels_HW3, _looked_up(bare, ids), mixed)
    return mixed


def _looked_up(table: Pixels, ids: Ids) -> Pixels:
    """`table[ids]` for a table (ids,) or (ids, 3): OpenCV's look-up of 8-bit ids is many times faster than numpy's."""
    if ids.dtype != np.uint8 or 0 in ids.shape:
        return table[ids]
    if table.ndim == 1:
        return np.asarray(cv2.LUT(ids, table), np.uint8)
    return np.asarray(cv2.applyColorMap(ids, table[:, None]), np.uint8)


def contours(ids_HW: Ids, width_px: int = 1) -> npt.NDArray[np.bool_]:
    """Pixels (H, W) nearer than `width_px` to a pixel of another class, the four neighbours counting as one apart."""
    edge = np.zeros(ids_HW.shape, np.bool_)
    across = ids_HW[:, 1:] != ids_HW[:, :-1]
    down = ids_HW[1:] != ids_HW[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    if width_px == 1:
        return edge
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return np.asarray(cv2.dilate(edge.view(np.uint8), cross, iterations=width_px - 1), np.bool_)

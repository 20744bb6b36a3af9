"""What the canvas paints: picture, labels or a measure, and contours as one image, made anew where they changed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from PySide6.QtCore import QRectF, QSizeF
from PySide6.QtGui import QImage, QPainter

from mseg_studio.ui.canvas.layers import (
    ColorTable,
    Composer,
    DifferenceLayer,
    HeatLayer,
    LabelLayer,
    Picture,
    Pixels,
    edge_colors,
    edges,
    painted,
)
from mseg_studio.ui.canvas.viewport import Viewport

_WHOLE_PX = 4_000_000
"""A level up to this size is composed as a whole, of a larger one what is in sight and a quarter more on every side."""
_NEAR = 2.0
"""From this scale on a pixel is wider than a contour should be."""
_FINEST = 16


@dataclass(frozen=True, slots=True)
class _Part:
    """Pixels of one level of the picture."""

    level: int
    left: int
    top: int
    right: int
    bottom: int

    def holds(self, other: _Part) -> bool:
        """Whether `other` is in it."""
        return (
            self.level == other.level
            and self.left <= other.left
            and self.top <= other.top
            and self.right >= other.right
            and self.bottom >= other.bottom
        )

    @property
    def rows(self) -> slice:
        """Its rows."""
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        """Its columns."""
        return slice(self.left, self.right)


class Composition:
    """Holds the layers and the image made of them. A recolour of 1080p costs 2 ms, a repaint without a change none."""

    def __init__(self) -> None:
        self.picture: Picture | None = None
        self._labels: LabelLayer | None = None
        self._heat: HeatLayer | DifferenceLayer | None = None
        self._table = np.zeros(65536, np.uint32)
        self._opacity = 0.5
        self._shows_labels = self._shows_contours = True
        self._part: _Part | None = None
        self._ground = QImage()
        self._composer = Composer()
        self._outlined = False
        """Whether what is composed has contours of its own."""
        self._fresh = False
        """Whether what is composed shows the layers as they are now."""

    def set_picture(self, picture: Picture | None) -> None:
        """Another picture, without labels."""
        self.picture, self._labels, self._heat, self._part = picture, None, None, None

    def set_labels(self, layer: LabelLayer | None) -> None:
        """Labels of the size of the picture."""
        self._labels, self._fresh = layer, False

    def set_heat(self, layer: HeatLayer | DifferenceLayer | None) -> None:
        """A measure or a difference of the size of the picture, shown in place of the labels' colours."""
        self._heat, self._fresh = layer, False

    def set_colors(self, table: ColorTable, opacity: float) -> None:
        """Colours by id (alpha 0 or 255), and how opaque labels and measures are, 0 to 1."""
        self._table, self._opacity, self._fresh = table, opacity, False

    def show(self, *, labels: bool, contours: bool) -> None:
        """Which layers are painted; a measure is, as long as it is there."""
        self._shows_labels, self._shows_contours, self._fresh = labels, contours, False

    def paint(self, painter: QPainter, view: Viewport, device_scale: float, *, bare: bool = False) -> None:
        """Draw what is in sight; `device_scale` is screen pixels per image pixel: above 1 pixels stay square.

        `bare` draws the picture alone.
        """
        if self.picture is None:
            return
        wanted = self._in_sight(self.picture, view, device_scale)
        if wanted is None:
            return
        if self._part is None or not self._part.holds(wanted):
            self._part = self._take(self.picture, wanted)
        near = device_scale >= _NEAR
        covered = not bare and (self._labels is not None or self._heat is not None)
        if covered and not (self._fresh and self._outlined is not near):
            self._compose(self._part, outlined=not near)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, device_scale < 1)
        painter.drawImage(self._target(self.picture, view), self._composer.image if covered else self._ground)
        if covered and near and self._shows_contours and self._labels is not None:
            _paint_near(painter, self._labels.slots_HW, view, device_scale)

    def _in_sight(self, picture: Picture, view: Viewport, device_scale: float) -> _Part | None:
        level = picture.level_for(device_scale)
        width, height = picture.size_of(level)
        across, down = view.scale * view.image_w / width, view.scale * view.image_h / height
        left, top = max(0, int(-view.left / across)), max(0, int(-view.top / down))
        right = min(width, int((view.view_w - view.left) / across) + 1)
        bottom = min(height, int((view.view_h - view.top) / down) + 1)
        return _Part(level, left, top, right, bottom) if left < right and top < bottom else None

    def _take(self, picture: Picture, wanted: _Part) -> _Part:
        """Bring `wanted` and some more of the picture into the format that is painted; gives what was taken."""
        width, height = picture.size_of(wanted.level)
        if width * height <= _WHOLE_PX:
            part = _Part(wanted.level, 0, 0, width, height)
        else:
            x, y = (wanted.right - wanted.left) // 4 + 1, (wanted.bottom - wanted.top) // 4 + 1
            part = _Part(
                wanted.level,
                max(0, wanted.left - x),
                max(0, wanted.top - y),
                min(width, wanted.right + x),
                min(height, wanted.bottom + y),
            )
        self._fresh = False
        self._ground = picture.ground(part.level, part.rows, part.columns)
        return part

    def _compose(self, part: _Part, *, outlined: bool) -> None:
        """Make the image of the kept part anew."""
        lines_HW = None
        if outlined and self._shows_contours and self._labels is not None:
            lines_HW = _thinned(self._labels.slots_HW, part)
        if self._heat is not None:
            slots_HW, colors = self._heat.slots_HW, self._heat.colors(self._table, self._opacity)
        elif self._labels is not None:
            slots_HW = self._labels.slots_HW
            colors = self._labels.colors(self._table, self._opacity if self._shows_labels else 0.0)
        else:
            return
        self._composer.compose(self._ground, _thinned(slots_HW, part), colors, outlined_HW=lines_HW)
        self._fresh, self._outlined = True, outlined

    def _target(self, picture: Picture, view: Viewport) -> QRectF:
        """Where the kept part lies on the canvas."""
        part = self._part
        if part is None:
            return QRectF()
        width, height = picture.size_of(part.level)
        across, down = view.scale * view.image_w / width, view.scale * view.image_h / height
        return QRectF(
            view.left + part.left * across,
            view.top + part.top * down,
            (part.right - part.left) * across,
            (part.bottom - part.top) * down,
        )


def _thinned(slots_HW: Pixels, part: _Part) -> Pixels:
    """Slots of a part: at a level above 0 those in the middle of its pixels, so that a contour stays one pixel wide."""
    step = 2**part.level
    return np.ascontiguousarray(slots_HW[step // 2 :: step, step // 2 :: step][part.rows, part.columns])


def _paint_near(painter: QPainter, slots_HW: Pixels, view: Viewport, device_scale: float) -> None:
    """Contours of the pixels in sight at the screen's own grid: a line is 1 to 2 screen pixels wide."""
    height, width = slots_HW.shape
    left, top = max(0, int(-view.left / view.scale) - 1), max(0, int(-view.top / view.scale) - 1)
    right = min(width, int((view.view_w - view.left) / view.scale) + 2)
    bottom = min(height, int((view.view_h - view.top) / view.scale) + 2)
    if left >= right or top >= bottom:
        return
    fine = min(_FINEST, int(device_scale))
    part_HW = slots_HW[top:bottom, left:right]
    size = ((right - left) * fine, (bottom - top) * fine)
    lines_HW = edges(np.asarray(cv2.resize(part_HW, size, interpolation=cv2.INTER_NEAREST), np.uint8))
    box = QRectF(view.left + left * view.scale, view.top + top * view.scale, 0, 0)
    box.setSize(QSizeF((right - left) * view.scale, (bottom - top) * view.scale))
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
    painter.drawImage(box, painted(lines_HW, edge_colors()))

"""What lies on the canvas: the picture, the labels over it and their contours. Each shares its numpy buffer with Qt."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF, QSizeF
from PySide6.QtGui import QImage, QPainter

from mseg_studio.labels.label_map import LabelMap

Pixels = npt.NDArray[np.uint8]
ColorTable = npt.NDArray[np.uint32]


class Picture:
    """The bare image with halved copies, so that a small view of a large image is smooth and quick to paint."""

    def __init__(self, pixels_HW3: Pixels) -> None:
        # QImage does not own the buffer: the arrays live as long as this object.
        self._levels = [pixels_HW3]
        while max(self._levels[-1].shape[:2]) > 1024 and min(self._levels[-1].shape[:2]) > 2:
            last = self._levels[-1]
            half = (last.shape[1] // 2, last.shape[0] // 2)
            self._levels.append(cv2.resize(last, half, interpolation=cv2.INTER_AREA))
        self._images = [
            QImage(level.data, level.shape[1], level.shape[0], level.shape[1] * 3, QImage.Format.Format_RGB888)
            for level in self._levels
        ]

    @property
    def width(self) -> int:
        """Columns of the image."""
        return int(self._levels[0].shape[1])

    @property
    def height(self) -> int:
        """Rows of the image."""
        return int(self._levels[0].shape[0])

    def paint(self, painter: QPainter, target: QRectF, device_scale: float) -> None:
        """Draw into `target`; `device_scale` is screen pixels per image pixel: above 1 pixels stay square."""
        level = 0
        while level + 1 < len(self._images) and device_scale * 2 ** (level + 1) <= 1:
            level += 1
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, device_scale < 1)
        painter.drawImage(target, self._images[level])


class LabelLayer:
    """A label map as one indexed image over its own ids: a colour is a row of the table, never a pixel.

    Maps with 16-bit ids are brought to 8 bits by the classes present (at most 255 of them, the commonest first).
    """

    def __init__(self, labels: LabelMap) -> None:
        self.labels = labels
        self._slots, self._indices_HW = _indexed(labels.ids_HW)
        height, width = self._indices_HW.shape
        self._image = QImage(self._indices_HW.data, width, height, width, QImage.Format.Format_Indexed8)
        self._image.setColorTable([0] * 256)
        self._edges: dict[int, tuple[Pixels, QImage]] = {}

    def set_colors(self, table: ColorTable, opacity: float) -> None:
        """Use `table` (an ARGB value for every id, alpha 0 or 255) at this opacity (0 to 1)."""
        colors = table if self._slots is None else table[self._slots]
        alpha = np.uint32(round(255 * opacity)) << np.uint32(24)
        shown = np.where(colors >> 24, (colors & 0xFFFFFF) | alpha, 0).astype(np.uint32)
        self._image.setColorTable(shown.tolist())

    def paint(self, painter: QPainter, target: QRectF) -> None:
        """Draw the labels into `target`, pixels kept square."""
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        painter.drawImage(target, self._image)

    def has_contours(self, device_scale: float) -> bool:
        """Whether the contours for this scale are at hand; seen from near they are made while painting."""
        return device_scale >= _NEAR or _level(device_scale) in self._edges

    def contours(self, device_scale: float) -> tuple[int, Pixels]:
        """Edges between classes, 0 or 1, for a view at this scale, and the level to hand to `set_contours`.

        Seen from far, ids are thinned first so that a line stays one screen pixel wide. Safe in any thread.
        """
        level = _level(device_scale)
        return level, _edges(np.ascontiguousarray(self._indices_HW[:: 2**level, :: 2**level]))

    def set_contours(self, level: int, edges_HW: Pixels) -> None:
        """Keep what `contours` gave."""
        self._edges[level] = (edges_HW, _edge_image(edges_HW))

    def paint_contours(self, painter: QPainter, target: QRectF, device_scale: float, seen: QRectF) -> None:
        """Draw the contours into `target` when they are there; `seen` is the part of the view in sight."""
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        if device_scale >= _NEAR:
            self._paint_near(painter, target, device_scale, seen)
            return
        kept = self._edges.get(_level(device_scale))
        if kept is not None:
            painter.drawImage(target, kept[1])

    def _paint_near(self, painter: QPainter, target: QRectF, device_scale: float, seen: QRectF) -> None:
        """Edges of the pixels in sight at the screen's own grid: a line is 1 to 2 screen pixels wide."""
        height, width = self._indices_HW.shape
        side = target.width() / width
        left = max(0, int((seen.left() - target.left()) / side) - 1)
        top = max(0, int((seen.top() - target.top()) / side) - 1)
        right = min(width, int((seen.right() - target.left()) / side) + 2)
        bottom = min(height, int((seen.bottom() - target.top()) / side) + 2)
        if left >= right or top >= bottom:
            return
        fine = min(16, int(device_scale))
        part = self._indices_HW[top:bottom, left:right]
        edges_HW = _edges(part.repeat(fine, axis=0).repeat(fine, axis=1))
        box = QRectF(target.left() + left * side, target.top() + top * side, 0, 0)
        box.setSize(QSizeF((right - left) * side, (bottom - top) * side))
        painter.drawImage(box, _edge_image(edges_HW))


_NEAR = 2.0
"""From this scale on a pixel is wider than a contour should be."""
_INDEXED = QImage.Format.Format_Indexed8
_EDGE_COLOR = 0xDC101216


def _edges(ids_HW: Pixels) -> Pixels:
    """1 where the pixel to the right or below has another id, else 0."""
    edges_HW = np.zeros(ids_HW.shape, np.uint8)
    np.not_equal(ids_HW[:, 1:], ids_HW[:, :-1], out=edges_HW[:, :-1].view(np.bool_))
    edges_HW[:-1] |= (ids_HW[1:] != ids_HW[:-1]).view(np.uint8)
    return edges_HW


def _edge_image(edges_HW: Pixels) -> QImage:
    """An image over the buffer of `edges_HW`, which must outlive it."""
    image = QImage(edges_HW.data, edges_HW.shape[1], edges_HW.shape[0], edges_HW.shape[1], _INDEXED)
    image.setColorTable([0, _EDGE_COLOR])
    return image


def _level(device_scale: float) -> int:
    level = 0
    while device_scale * 2 ** (level + 1) <= 1 and level < 8:
        level += 1
    return level


def _indexed(ids_HW: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> tuple[npt.NDArray[np.intp] | None, Pixels]:
    """(ids of the 256 slots or None for the identity, indices (H, W) uint8)."""
    if ids_HW.dtype == np.uint8:
        return None, np.ascontiguousarray(ids_HW, dtype=np.uint8)
    counts = np.bincount(ids_HW.ravel(), minlength=65536)
    slots = np.zeros(256, np.intp)
    slots[255] = 65535
    common = np.argsort(-counts[:65535], kind="stable")[:255]
    slots[:255] = np.sort(common)
    lookup = np.full(65536, 255, np.uint8)
    lookup[slots] = np.arange(256, dtype=np.uint8)
    return slots, lookup[ids_HW]

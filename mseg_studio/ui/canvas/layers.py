"""What lies on the canvas: the picture, and over it labels or a measure of them. A colour is a row of a table."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PySide6.QtGui import QImage, QPainter

from mseg_studio.labels.label_map import LabelMap

Pixels = npt.NDArray[np.uint8]
ColorTable = npt.NDArray[np.uint32]
"""Colours 0xAARRGGBB, one an id."""

_LAST_SLOT = 254
"""The slot of what is no class; the largest value of a measure."""
_EDGE_SLOT = 255
"""The slot of contours: never a class, never a value."""
_EDGE_COLOR = 0xDC101216
_MARKED = 127
"""Slots from here on are those of pixels that differ."""
_DIM, _STRONG = 0.45, 0.7
"""Share of their opacity that labels keep beside marks; the least opacity of marks."""
MARK_RGB = 0xFFD400
"""Colour of pixels that differ: far from those of most classes, and bright on any photo."""


class Picture:
    """The bare image with halved copies, so that a small view of a large image is smooth and quick to paint."""

    def __init__(self, pixels_HW3: Pixels) -> None:
        self._levels = [pixels_HW3]
        while max(self._levels[-1].shape[:2]) > 1024 and min(self._levels[-1].shape[:2]) > 2:
            last = self._levels[-1]
            half = (last.shape[1] // 2, last.shape[0] // 2)
            self._levels.append(cv2.resize(last, half, interpolation=cv2.INTER_AREA))

    @property
    def width(self) -> int:
        """Columns of the image."""
        return int(self._levels[0].shape[1])

    @property
    def height(self) -> int:
        """Rows of the image."""
        return int(self._levels[0].shape[0])

    def level_for(self, device_scale: float) -> int:
        """The smallest copy that has a pixel for every screen pixel, where `device_scale` is screen by image pixels."""
        level = 0
        while level + 1 < len(self._levels) and device_scale * 2 ** (level + 1) <= 1:
            level += 1
        return level

    def size_of(self, level: int) -> tuple[int, int]:
        """Width and height of a level; 0 is the image itself."""
        height, width, _ = self._levels[level].shape
        return int(width), int(height)

    def ground(self, level: int = 0, rows: slice = slice(None), columns: slice = slice(None)) -> QImage:
        """A part of a level as an image that owns its pixels, in the format that is quickest to paint."""
        part_HW3 = np.ascontiguousarray(self._levels[level][rows, columns])
        height, width, _ = part_HW3.shape
        borrowed = QImage(part_HW3.data, width, height, width * 3, QImage.Format.Format_RGB888)
        return borrowed.convertToFormat(QImage.Format.Format_RGB32)


class LabelLayer:
    """A label map as slots 0 to 254 of a table of colours; slot 254 is what is no class.

    Maps that need more have their commonest classes in the slots, the rest is not drawn.
    """

    def __init__(self, labels: LabelMap) -> None:
        self.labels = labels
        self._ids, self.slots_HW = _slots(labels)

    def colors(self, table: ColorTable, opacity: float) -> list[int]:
        """256 colours: those of `table` (by id, alpha 0 or 255) at this opacity (0 to 1), and that of contours."""
        shown = np.zeros(256, np.uint32)
        shown[: _LAST_SLOT + 1] = table[self._ids]
        alpha = np.uint32(round(255 * opacity)) << np.uint32(24)
        shown = np.where(shown >> 24, (shown & 0xFFFFFF) | alpha, 0).astype(np.uint32)
        shown[_EDGE_SLOT] = _EDGE_COLOR
        return [int(color) for color in shown]


class HeatLayer:
    """A measure of every pixel as slots 0 to 254 of a table of colours."""

    def __init__(self, measure_HW: Pixels) -> None:
        """`measure_HW` is uint8 (H, W): 0 to 255 for 0 to 1."""
        self.measure_HW = measure_HW
        self.slots_HW = _cut(measure_HW)

    def colors(self, table: ColorTable, opacity: float) -> list[int]:
        """256 colours: those of `heat_colors`, whatever the `table` of the classes says."""
        return heat_colors(opacity)

    def value(self, x: int, y: int) -> float:
        """The measure at a pixel, 0 to 1."""
        return float(self.measure_HW[y, x]) / 255


class DifferenceLayer:
    """Projected labels, dim where the mapped ones agree and marked where they do not; slots 0 to 253.

    Of maps with more than 126 classes the commonest keep their colours; marks of the others cannot be hidden.
    """

    def __init__(self, projected: LabelMap, differing_HW: npt.NDArray[np.bool_]) -> None:
        common = [info.id for info, _pixels in projected.counts()][: _MARKED - 1]
        self._ids = np.full(_MARKED, projected.taxonomy.ignore_id, np.intp)
        self._ids[: len(common)] = common
        slot_of = np.full(65536, _MARKED - 1, np.uint8)
        slot_of[common] = np.arange(len(common), dtype=np.uint8)
        self.slots_HW: Pixels = slot_of[projected.ids_HW]
        self.slots_HW[differing_HW] += np.uint8(_MARKED)

    def colors(self, table: ColorTable, opacity: float) -> list[int]:
        """256 colours: classes of `table` (by id, alpha 0 or 255) dim, marks strong at any opacity (0 to 1)."""
        drawn = table[self._ids] >> 24 != 0
        dim = np.uint32(round(255 * _DIM * opacity)) << np.uint32(24)
        strong = np.uint32(round(255 * (_STRONG + (1 - _STRONG) * opacity))) << np.uint32(24)
        shown = np.zeros(256, np.uint32)
        shown[:_MARKED] = np.where(drawn, (table[self._ids] & 0xFFFFFF) | dim, 0)
        shown[_MARKED : 2 * _MARKED] = np.where(drawn, np.uint32(MARK_RGB) | strong, 0)
        shown[2 * _MARKED - 1] = np.uint32(MARK_RGB) | strong
        shown[_EDGE_SLOT] = _EDGE_COLOR
        return [int(color) for color in shown]


def heat_rgb() -> Pixels:
    """(255, 3) RGB from the lowest to the highest value: viridis, equal steps of which look equally far apart."""
    ramp_N1 = np.linspace(0, 255, _LAST_SLOT + 1).round().astype(np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(ramp_N1, cv2.COLORMAP_VIRIDIS)[:, 0, ::-1])


def heat_colors(opacity: float) -> list[int]:
    """256 colours of a `HeatLayer` at this opacity (0 to 1), and that of contours."""
    red, green, blue = heat_rgb().astype(np.uint32).T
    shown = np.uint32(round(255 * opacity)) << np.uint32(24) | red << 16 | green << 8 | blue
    return [*(int(color) for color in shown), _EDGE_COLOR]


class Composer:
    """Makes the image that the canvas paints. It keeps its buffers: fresh memory costs more than the arithmetic."""

    def __init__(self) -> None:
        self.image = QImage()
        """What was composed last, RGB32."""
        self._seen_HW = self._edges_HW = np.empty((0, 0), np.uint8)

    def compose(
        self, ground: QImage, slots_HW: Pixels, colors: Sequence[int], *, outlined_HW: Pixels | None = None
    ) -> None:
        """Put `ground`, `slots_HW` in `colors` and the contours of `outlined_HW` into `image`.

        `ground` is RGB32, slots and regions are uint8 (H, W) of its size. 2 ms for 1080p on one core: Qt takes 10 to
        blend an indexed image, but is quick to make it one of 32 bits and to blend that.
        """
        if self.image.size() != ground.size():
            self.image = QImage(ground.size(), QImage.Format.Format_RGB32)
            self._seen_HW, self._edges_HW = np.empty_like(slots_HW, order="C"), np.empty_like(slots_HW, order="C")
        seen_HW = np.ascontiguousarray(slots_HW)
        if outlined_HW is not None:
            seen_HW = self._seen_HW
            edges(outlined_HW, self._edges_HW, seen_HW)
            cv2.bitwise_or(slots_HW, self._edges_HW, seen_HW)
        overlay = painted(seen_HW, colors)
        painter = QPainter(self.image)
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Source)
        painter.drawImage(0, 0, ground)
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceOver)
        painter.drawImage(0, 0, overlay)
        painter.end()


def painted(slots_HW: Pixels, colors: Sequence[int]) -> QImage:
    """Contiguous slots in their colours, as an image that owns its pixels."""
    height, width = slots_HW.shape
    borrowed = QImage(slots_HW.data, width, height, width, QImage.Format.Format_Indexed8)
    borrowed.setColorTable(colors)
    return borrowed.convertToFormat(QImage.Format.Format_ARGB32_Premultiplied)


def edges(slots_HW: Pixels, into_HW: Pixels | None = None, spare_HW: Pixels | None = None) -> Pixels:
    """255 where the pixel to the right or below is of another slot, else 0.

    `into_HW` is filled and given back, `spare_HW` is overwritten; both are of the size of the slots.
    """
    edges_HW = np.empty(slots_HW.shape, np.uint8) if into_HW is None else into_HW
    below_HW = np.empty(slots_HW.shape, np.uint8) if spare_HW is None else spare_HW
    edges_HW[:, -1] = 0
    if slots_HW.shape[1] > 1:
        cv2.compare(slots_HW[:, 1:], slots_HW[:, :-1], cv2.CMP_NE, edges_HW[:, :-1])
    if slots_HW.shape[0] > 1:
        cv2.compare(slots_HW[1:], slots_HW[:-1], cv2.CMP_NE, below_HW[:-1])
        cv2.bitwise_or(edges_HW[:-1], below_HW[:-1], edges_HW[:-1])
    return edges_HW


def edge_colors() -> list[int]:
    """256 colours that show nothing but what `edges` gives."""
    return [0] * _EDGE_SLOT + [_EDGE_COLOR]


def _slots(labels: LabelMap) -> tuple[npt.NDArray[np.intp], Pixels]:
    """(id of each of the 255 slots, slots (H, W))."""
    taxonomy, ids_HW = labels.taxonomy, labels.ids_HW
    ids = np.full(_LAST_SLOT + 1, taxonomy.ignore_id, np.intp)
    if taxonomy.num_channels <= _LAST_SLOT:
        # Ids are the slots, all but the ignore id, 255.
        ids[:_LAST_SLOT] = np.arange(_LAST_SLOT)
        return ids, _cut(np.asarray(ids_HW, np.uint8))
    common = [info.id for info, _pixels in labels.counts()][:_LAST_SLOT]
    ids[: len(common)] = common
    slot_of = np.full(65536, _LAST_SLOT, np.uint8)
    slot_of[common] = np.arange(len(common), dtype=np.uint8)
    return ids, slot_of[ids_HW]


def _cut(values_HW: Pixels) -> Pixels:
    """`values_HW` with 255 brought to 254."""
    return np.asarray(cv2.threshold(values_HW, _LAST_SLOT, _LAST_SLOT, cv2.THRESH_TRUNC)[1], np.uint8)

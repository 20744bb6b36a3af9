from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter

from mseg_studio.labels.label_map import LabelMap
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.taxonomy.palette import color_table
from mseg_studio.ui.canvas.layers import LabelLayer, Picture
from tests.ui.fakes import FINE

pytestmark = pytest.mark.usefixtures("qapp")


def painted(paint: Any, width: int, height: int) -> QImage:
    image = QImage(width, height, QImage.Format.Format_ARGB32)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    paint(painter)
    painter.end()
    return image


def test_every_pixel_has_the_colour_of_its_class() -> None:
    ids = np.arange(8, dtype=np.uint8).reshape(2, 4)
    layer = LabelLayer(LabelMap(ids, FINE))
    layer.set_colors(color_table(FINE), 1.0)
    image = painted(lambda p: layer.paint(p, QRectF(0, 0, 40, 20)), 40, 20)
    for (row, column), class_id in np.ndenumerate(ids):
        assert image.pixelColor(column * 10 + 5, row * 10 + 5) == QColor(*FINE.classes[class_id].rgb)


def test_hidden_classes_and_opacity_are_in_the_table_only() -> None:
    ids = np.array([[0, 1]], np.uint8)
    layer = LabelLayer(LabelMap(ids, FINE))
    layer.set_colors(color_table(FINE, hidden=frozenset({0})), 0.5)
    image = painted(lambda p: layer.paint(p, QRectF(0, 0, 2, 1)), 2, 1)
    assert image.pixelColor(0, 0).alpha() == 0
    assert image.pixelColor(1, 0).alpha() == 128
    assert ids.tolist() == [[0, 1]]


def test_ids_of_16_bits_are_drawn_by_the_classes_present() -> None:
    classes = tuple(ClassInfo(i, f"class {i}", (i % 256, 7, 9)) for i in range(300))
    taxonomy = Taxonomy("many", classes, ignore_id=65535)
    ids = np.array([[299, 3, 65535]], np.uint16)
    layer = LabelLayer(LabelMap(ids, taxonomy))
    layer.set_colors(color_table(taxonomy), 1.0)
    image = painted(lambda p: layer.paint(p, QRectF(0, 0, 3, 1)), 3, 1)
    assert image.pixelColor(0, 0) == QColor(43, 7, 9)
    assert image.pixelColor(1, 0) == QColor(3, 7, 9)
    assert image.pixelColor(2, 0).alpha() == 0


@pytest.mark.parametrize("scale", [0.3, 1.0, 1.5, 2.0, 7.5, 40.0])
def test_contours_are_one_or_two_screen_pixels_wide(scale: float) -> None:
    ids = np.zeros((64, 64), np.uint8)
    ids[:, 32:] = 1
    layer = LabelLayer(LabelMap(ids, FINE))
    if not layer.has_contours(scale):
        layer.set_contours(*layer.contours(scale))
    side = round(64 * scale)
    target, seen = QRectF(0, 0, 64 * scale, 64 * scale), QRectF(0, 0, side, side)
    image = painted(lambda p: layer.paint_contours(p, target, scale, seen), side, side)
    drawn = sum(image.pixelColor(x, side // 2).alpha() > 0 for x in range(side))
    assert 1 <= drawn <= 3


def test_a_large_picture_is_halved_for_small_views() -> None:
    pixels = np.zeros((1500, 3000, 3), np.uint8)
    pixels[:, 1500:] = 200
    picture = Picture(pixels)
    assert (picture.width, picture.height) == (3000, 1500)
    image = painted(lambda p: picture.paint(p, QRectF(0, 0, 300, 150), 0.1), 300, 150)
    assert image.pixelColor(50, 75) == QColor(0, 0, 0) and image.pixelColor(250, 75) == QColor(200, 200, 200)

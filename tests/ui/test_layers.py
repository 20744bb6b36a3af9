from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QImage, QPainter

from mseg_studio.labels.label_map import LabelMap
from mseg_studio.settings import resource_folder
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.taxonomy.palette import color_table
from mseg_studio.ui.canvas.composition import Composition
from mseg_studio.ui.canvas.layers import (
    MARK_RGB,
    Composer,
    DifferenceLayer,
    HeatLayer,
    LabelLayer,
    Picture,
    edges,
    heat_rgb,
)
from mseg_studio.ui.canvas.viewport import Viewport
from tests.ui.fakes import FINE

pytestmark = pytest.mark.usefixtures("qapp")

GREY = 100


def grey(height: int, width: int) -> Picture:
    return Picture(np.full((height, width, 3), GREY, np.uint8))


def composed(layer: LabelLayer, table: np.ndarray, opacity: float, *, contours: bool = False) -> np.ndarray:
    """RGB (H, W, 3) of the labels over a grey picture."""
    height, width = layer.slots_HW.shape
    composer, lines = Composer(), layer.slots_HW if contours else None
    composer.compose(grey(height, width).ground(), layer.slots_HW, layer.colors(table, opacity), outlined_HW=lines)
    return rgb(composer.image)


def rgb(image: QImage) -> np.ndarray:
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : image.width() * 3].reshape(image.height(), image.width(), 3).copy()


def shown(composition: Composition, scale: float, side: int, left: float = 0.0) -> QImage:
    """What a square view sees of the composition."""
    picture = composition.picture
    image = QImage(side, side, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.white)
    painter = QPainter(image)
    composition.paint(painter, Viewport(picture.width, picture.height, side, side, scale, left), scale)
    painter.end()
    return image


def test_every_pixel_has_the_colour_of_its_class() -> None:
    ids = np.arange(8, dtype=np.uint8).reshape(2, 4)
    image = composed(LabelLayer(LabelMap(ids, FINE)), color_table(FINE), 1.0)
    assert image.tolist() == [[list(FINE.classes[i].rgb) for i in row] for row in ids]


def test_hidden_classes_and_what_is_no_class_show_the_picture() -> None:
    ids = np.array([[0, 1, 255]], np.uint8)
    image = composed(LabelLayer(LabelMap(ids, FINE)), color_table(FINE, hidden=frozenset({0})), 0.5)
    assert image[0, 0].tolist() == [GREY] * 3 and image[0, 2].tolist() == [GREY] * 3
    mixed = (np.array(FINE.classes[1].rgb) + GREY) / 2
    assert np.abs(image[0, 1] - mixed).max() <= 1
    assert ids.tolist() == [[0, 1, 255]], "labels stay as they are"


def test_contours_lie_between_classes_and_are_as_dark_at_any_opacity() -> None:
    ids = np.array([[0, 0, 3, 3], [0, 0, 3, 3], [255, 255, 3, 3]], np.uint8)
    layer = LabelLayer(LabelMap(ids, FINE))
    assert edges(layer.slots_HW).tolist() == [[0, 255, 0, 0], [255, 255, 0, 0], [0, 255, 0, 0]]
    images = [composed(layer, color_table(FINE), opacity, contours=True) for opacity in (0.0, 1.0)]
    assert max(image[0, 1].max() for image in images) < 64
    assert images[1][0, 0].tolist() == list(FINE.classes[0].rgb) and images[0][0, 0].tolist() == [GREY] * 3


def test_ids_of_16_bits_are_drawn_by_the_classes_present() -> None:
    taxonomy = Taxonomy("many", tuple(ClassInfo(i, f"class {i}", (i % 256, 7, 9)) for i in range(300)), 65535)
    layer = LabelLayer(LabelMap(np.array([[299, 3, 65535]], np.uint16), taxonomy))
    image = composed(layer, color_table(taxonomy), 1.0)
    assert image.tolist() == [[[43, 7, 9], [3, 7, 9], [GREY] * 3]]


def test_labels_of_the_naive_taxonomy_are_drawn_in_its_colours() -> None:
    naive = Catalog([resource_folder("taxonomies")]).taxonomy("naive")
    ids = [254, 256, 315, 0, 65535]
    image = composed(LabelLayer(LabelMap(np.array([ids], np.uint16), naive)), color_table(naive), 1.0)
    classes = [naive.get(class_id) for class_id in ids[:4]]
    assert image[0, :4].tolist() == [list(info.rgb) for info in classes if info is not None]
    assert image[0, 4].tolist() == [GREY] * 3


def test_255_classes_leave_no_slot_for_contours_and_still_have_them() -> None:
    taxonomy = Taxonomy("full", tuple(ClassInfo(i, f"class {i}", (i, 7, 9)) for i in range(255)))
    ids = np.array([[254, 254, 0, 255]], np.uint8)
    image = composed(LabelLayer(LabelMap(ids, taxonomy)), color_table(taxonomy), 1.0)
    assert image.tolist() == [[[254, 7, 9], [254, 7, 9], [0, 7, 9], [GREY] * 3]]
    lined = composed(LabelLayer(LabelMap(ids, taxonomy)), color_table(taxonomy), 1.0, contours=True)
    assert lined[0, 0].tolist() == [254, 7, 9] and lined[0, 1].max() < 64 and lined[0, 3].tolist() == [GREY] * 3


def test_more_classes_in_one_picture_than_slots_leave_the_rarest_bare() -> None:
    taxonomy = Taxonomy("many", tuple(ClassInfo(i, f"class {i}", (200, i % 256, 9)) for i in range(400)), 65535)
    ids = np.concatenate([np.arange(300), np.arange(254)]).astype(np.uint16)[None]
    image = composed(LabelLayer(LabelMap(ids, taxonomy)), color_table(taxonomy), 1.0)
    assert image[0, 253].tolist() == [200, 253, 9] and image[0, 299].tolist() == [GREY] * 3


def test_a_measure_goes_from_dark_to_bright() -> None:
    composition = Composition()
    composition.set_picture(grey(1, 256))
    composition.set_heat(HeatLayer(np.arange(256, dtype=np.uint8)[None]))
    composition.set_colors(np.zeros(256, np.uint32), 1.0)
    image = rgb(shown(composition, 1.0, 256))[0]
    assert image[0].tolist() == heat_rgb()[0].tolist() and image[255].tolist() == heat_rgb()[254].tolist()
    lightness = image @ np.array([0.2126, 0.7152, 0.0722])
    assert np.diff(lightness).min() > -2 and lightness[-1] > lightness[0] + 150


def differing(labels: LabelMap, mask: np.ndarray, table: np.ndarray, opacity: float) -> np.ndarray:
    """RGB (H, W, 3) of a difference over a grey picture."""
    height, width = mask.shape
    composition = Composition()
    composition.set_picture(grey(height, width))
    composition.set_labels(LabelLayer(labels))
    composition.set_heat(DifferenceLayer(labels, mask))
    composition.set_colors(table, opacity)
    composition.show(labels=True, contours=False)
    return rgb(shown(composition, 1.0, width))[:height]


def test_what_differs_is_marked_and_what_agrees_is_dim() -> None:
    ids, mask = np.array([[0, 0, 3, 3]], np.uint8), np.array([[True, False, True, False]])
    mark = [MARK_RGB >> shift & 255 for shift in (16, 8, 0)]
    full = differing(LabelMap(ids, FINE), mask, color_table(FINE), 1.0)[0]
    assert full[0].tolist() == full[2].tolist() == mark
    for column, class_id in ((1, 0), (3, 3)):
        color = np.array(FINE.classes[class_id].rgb)
        assert np.abs(full[column] - (0.45 * color + 0.55 * GREY)).max() <= 2
    faint = differing(LabelMap(ids, FINE), mask, color_table(FINE), 0.0)[0]
    assert faint[1].tolist() == [GREY] * 3 and np.abs(faint[0] - (0.7 * np.array(mark) + 0.3 * GREY)).max() <= 2
    hidden = differing(LabelMap(ids, FINE), mask, color_table(FINE, hidden=frozenset({0})), 1.0)[0]
    assert hidden[0].tolist() == hidden[1].tolist() == [GREY] * 3 and hidden[2].tolist() == mark


def test_of_many_classes_every_pixel_that_differs_is_marked() -> None:
    taxonomy = Taxonomy("many", tuple(ClassInfo(i, f"class {i}", (200, i % 256, 9)) for i in range(400)), 65535)
    ids, mask = np.arange(400).astype(np.uint16)[None], np.ones((1, 400), bool)
    mark = [MARK_RGB >> shift & 255 for shift in (16, 8, 0)]
    assert (differing(LabelMap(ids, taxonomy), mask, color_table(taxonomy), 1.0)[0] == mark).all()
    agreeing = differing(LabelMap(ids, taxonomy), ~mask, color_table(taxonomy), 1.0)[0]
    assert (agreeing[125] != GREY).any() and (agreeing[126:] == GREY).all()


@pytest.mark.parametrize("scale", [0.3, 0.5, 1.0, 1.5, 2.0, 7.5, 40.0])
def test_contours_are_one_or_two_screen_pixels_wide(scale: float) -> None:
    ids = np.zeros((64, 64), np.uint8)
    ids[:, 32:] = 1
    composition = Composition()
    composition.set_picture(Picture(np.full((64, 64, 3), 255, np.uint8)))
    composition.set_labels(LabelLayer(LabelMap(ids, FINE)))
    composition.show(labels=False, contours=True)
    side = round(64 * scale)
    image = shown(composition, scale, side)
    dark = sum(image.pixelColor(x, side // 2).lightness() < 200 for x in range(side))
    assert 1 <= dark <= 3


def test_a_large_picture_is_halved_for_small_views() -> None:
    pixels = np.zeros((1500, 3000, 3), np.uint8)
    pixels[:, 1500:] = 200
    ids = np.zeros((1500, 3000), np.uint8)
    ids[:, 1500:] = 3
    composition = Composition()
    composition.set_picture(Picture(pixels))
    image = shown(composition, 0.1, 300)
    assert image.pixelColor(50, 75) == QColor(0, 0, 0) and image.pixelColor(250, 75) == QColor(200, 200, 200)
    composition.set_labels(LabelLayer(LabelMap(ids, FINE)))
    composition.set_colors(color_table(FINE), 1.0)
    image = shown(composition, 0.1, 300)
    sky, road = QColor(*FINE.classes[0].rgb), QColor(*FINE.classes[3].rgb)
    assert image.pixelColor(50, 75) == sky and image.pixelColor(250, 75) == road
    assert image.pixelColor(250, 200) == QColor("white"), "below the picture nothing is drawn"


def test_of_a_huge_picture_only_what_is_in_sight_is_composed_and_panning_shows_the_rest() -> None:
    ids = np.zeros((64, 80_000), np.uint8)
    ids[:, 40_000:] = 3
    composition = Composition()
    composition.set_picture(grey(64, 80_000))
    composition.set_labels(LabelLayer(LabelMap(ids, FINE)))
    composition.set_colors(color_table(FINE), 1.0)
    left = shown(composition, 1.0, 64)
    assert left.pixelColor(32, 32) == QColor(*FINE.classes[0].rgb)
    assert composition._composer.image.width() < 200
    right = shown(composition, 1.0, 64, left=-79_900.0)
    assert right.pixelColor(32, 32) == QColor(*FINE.classes[3].rgb)


def test_a_recolour_reaches_the_screen_and_nothing_else_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    composition = Composition()
    composition.set_picture(grey(8, 8))
    composition.set_labels(LabelLayer(LabelMap(np.zeros((8, 8), np.uint8), FINE)))
    composition.set_colors(color_table(FINE), 1.0)
    assert shown(composition, 1.0, 8).pixelColor(4, 4) == QColor(*FINE.classes[0].rgb)
    monkeypatch.setattr(Picture, "ground", None)
    composition.set_colors(color_table(FINE, hidden=frozenset({0})), 1.0)
    assert shown(composition, 1.0, 8).pixelColor(4, 4) == QColor(GREY, GREY, GREY)
    monkeypatch.setattr(Composer, "compose", None)
    shown(composition, 1.0, 8)

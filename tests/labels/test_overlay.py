from __future__ import annotations

import numpy as np
import pytest

from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.overlay import OverlayStyle, blend, colourise, contours
from tests.labels.factories import make_labels, make_taxonomy

PIXELS = np.full((5, 7, 3), 100, np.uint8)


def test_opacity_mixes_and_ignored_pixels_stay_bare() -> None:
    labels = make_labels(make_taxonomy())
    colours = colourise(labels)
    mixed = blend(PIXELS, labels, OverlayStyle(opacity=0.5))
    ignored = labels.ids_HW == 255
    np.testing.assert_array_equal(mixed[ignored], PIXELS[ignored])
    expected = (colours[~ignored].astype(float) + 100) / 2
    assert np.abs(mixed[~ignored] - expected).max() <= 0.5
    np.testing.assert_array_equal(blend(PIXELS, labels, OverlayStyle(opacity=0)), PIXELS)
    np.testing.assert_array_equal(blend(PIXELS, labels, OverlayStyle(opacity=1))[~ignored], colours[~ignored])


def test_hidden_classes_show_the_image() -> None:
    labels = make_labels(make_taxonomy())
    mixed = blend(PIXELS, labels, OverlayStyle(opacity=1, hidden={0, 1, 2, 3, 4}))
    np.testing.assert_array_equal(mixed, PIXELS)


def test_contours_lie_on_both_sides_and_are_as_wide_as_asked() -> None:
    ids = np.zeros((9, 9), np.uint8)
    ids[3:6, 3:6] = 1
    assert not contours(np.zeros((4, 4), np.uint8)).any()
    thin = contours(ids)
    assert thin[3, 3]
    assert thin[2, 3]
    assert not thin[2, 2]
    assert not thin[4, 4]
    assert not thin[1, 4]
    assert contours(ids, 2)[1, 4]
    assert contours(np.array([[0, 1]], np.uint16)).all()


def test_contours_are_opaque() -> None:
    taxonomy = make_taxonomy()
    ids = np.zeros((5, 7), np.uint8)
    ids[:, 4:] = 2
    mixed = blend(PIXELS, LabelMap(ids, taxonomy), OverlayStyle(opacity=0, contour_px=1))
    assert mixed[0, 4].tolist() == list(taxonomy.classes[2].rgb)
    assert mixed[0, 0].tolist() == [100, 100, 100]


def test_wide_ids() -> None:
    labels = make_labels(make_taxonomy("wide", [0, 300]))
    assert blend(PIXELS, labels).shape == (5, 7, 3)


def test_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="labels are"):
        blend(PIXELS[:3], make_labels(make_taxonomy()))
    with pytest.raises(ValueError, match="opacity"):
        OverlayStyle(opacity=1.5)
    with pytest.raises(ValueError, match="contour"):
        OverlayStyle(contour_px=-1)

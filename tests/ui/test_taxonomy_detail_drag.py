from __future__ import annotations

import pytest
from PySide6.QtCore import QMimeData

from mseg_studio.ui.workspaces.taxonomy.drag import CLASSES_MIME, names_of, to_mime
from mseg_studio.ui.workspaces.taxonomy.image_facts import ImageFacts


def test_a_drag_carries_names_in_order() -> None:
    mime = to_mime(["terrain", "fire_hydrant", "road, wet"])
    assert names_of(mime) == ("terrain", "fire_hydrant", "road, wet")
    assert mime.text() == "terrain\nfire_hydrant\nroad, wet"


def test_a_drag_of_something_else_has_no_classes() -> None:
    mime = QMimeData()
    mime.setText("road")
    assert names_of(mime) == ()


def test_broken_bytes_and_repeated_names_do_no_harm() -> None:
    mime = QMimeData()
    mime.setData(CLASSES_MIME, b"road\n\nroad\n\xff\xfe\n")
    assert names_of(mime)[0] == "road"
    assert len(names_of(mime)) == 2


@pytest.mark.parametrize("shares", [{"road": -0.1}, {"road": 1.2}])
def test_shares_outside_0_to_1_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected 0 to 1"):
        ImageFacts("voc2012", shares, 0.0, 0.0)

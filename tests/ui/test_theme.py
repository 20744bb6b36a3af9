from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QApplication

from mseg_studio.settings import resource_folder
from mseg_studio.ui.theme import DARK, LIGHT, Theme, Tones


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, 1.4.3."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("tones", [DARK, LIGHT], ids=["dark", "light"])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        ("text", "panel"),
        ("text", "raised"),
        ("text", "base"),
        ("text", "selected"),
        ("text", "hover"),
        ("dim", "panel"),
        ("dim", "base"),
        ("dim", "raised"),
        ("link", "panel"),
        ("link", "selected"),
        ("on_accent", "accent"),
        ("good", "good_back"),
        ("warn", "warn_back"),
        ("bad", "bad_back"),
        ("bad", "panel"),
    ],
)
def test_text_can_be_read(tones: Tones, ink: str, ground: str) -> None:
    assert contrast(getattr(tones, ink), getattr(tones, ground)) >= 4.5


def test_a_scheme_can_be_changed_while_the_window_is_open(open_window: Any, picture: Path) -> None:
    window = open_window(picture)
    theme = window.theme
    seen: list[int] = []
    theme.changed.connect(lambda: seen.append(1))
    theme.set_scheme("light")
    assert theme.tones is LIGHT and seen
    assert QApplication.palette().window().color().name() == LIGHT.panel
    theme.set_scheme("system")
    theme.set_scheme("dark")
    assert theme.tones is DARK


def test_icons_are_drawn_in_the_colour_of_the_text(qapp: QApplication) -> None:
    theme = Theme(qapp, "dark")
    for path in sorted(resource_folder("icons").glob("*.svg")):
        image = theme.icon(path.stem).pixmap(16, 16).toImage()
        drawn = [
            image.pixelColor(x, y)
            for x in range(image.width())
            for y in range(image.height())
            if image.pixelColor(x, y).alpha() > 200
        ]
        assert drawn, f"{path.name} is empty"
        if "currentColor" in path.read_text():
            wanted = QColor(DARK.text)
            assert abs(drawn[0].red() - wanted.red()) <= 2 and abs(drawn[0].blue() - wanted.blue()) <= 2
    theme.close()


def test_the_style_sheet_leaves_no_blank(qapp: QApplication) -> None:
    theme = Theme(qapp, "light")
    assert not re.search(r"\$\w", qapp.styleSheet())
    theme.close()

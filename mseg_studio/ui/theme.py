"""How the window looks: tones of the light and the dark scheme, the palette, the style sheet and tinted icons.

Colours of data (classes) never come from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from PySide6.QtCore import QByteArray, QObject, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QIcon, QPainter, QPalette, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication

from mseg_studio.settings import resource_folder
from mseg_studio.ui.style_sheet import style_sheet

TEXT_PX = 13
SMALL_PX = 11


@dataclass(frozen=True, slots=True)
class Tones:
    """The colours of one scheme, as #rrggbb."""

    dark: bool
    canvas: str
    """Behind the picture."""
    base: str
    """Status bar, menu bar and separators: the deepest tone of the frame."""
    panel: str
    """Side panels and the top bar."""
    raised: str
    """Buttons and fields on a panel."""
    hover: str
    selected: str
    line: str
    text: str
    dim: str
    """Secondary text; 4.5:1 or better on `panel`."""
    accent: str
    accent_hover: str
    on_accent: str
    link: str
    good: str
    good_back: str
    warn: str
    warn_back: str
    bad: str
    bad_back: str
    track: str
    """The empty part of bars and sliders."""


DARK = Tones(
    dark=True,
    canvas="#0f1013",
    base="#14161a",
    panel="#1d2129",
    raised="#272c36",
    hover="#313846",
    selected="#2a3350",
    line="#2e3440",
    text="#e3e6ec",
    dim="#949dad",
    accent="#3e6bf4",
    accent_hover="#5580ff",
    on_accent="#ffffff",
    link="#82a7ff",
    good="#7fd18b",
    good_back="#1d3526",
    warn="#f0c063",
    warn_back="#3a301b",
    bad="#ff9a93",
    bad_back="#43242a",
    track="#343b48",
)
LIGHT = Tones(
    dark=False,
    canvas="#d3d7de",
    base="#e3e6eb",
    panel="#f4f5f8",
    raised="#ffffff",
    hover="#e6e9f0",
    selected="#dbe4ff",
    line="#d2d7e0",
    text="#1b2028",
    dim="#5b6574",
    accent="#2f5be8",
    accent_hover="#1f49cf",
    on_accent="#ffffff",
    link="#2450d8",
    good="#1b6b36",
    good_back="#d7f0de",
    warn="#7a5200",
    warn_back="#fbedc9",
    bad="#a3211b",
    bad_back="#fcdedb",
    track="#d5dae3",
)


class Theme(QObject):
    """The scheme in force. Widgets that paint themselves read `tones` and repaint on `changed`."""

    changed = Signal()

    def __init__(self, application: QApplication, scheme: str) -> None:
        super().__init__()
        self._application = application
        self._scheme = scheme
        self.tones = DARK
        application.setStyle("Fusion")
        application.setFont(_font())
        application.styleHints().colorSchemeChanged.connect(self._on_system_change)
        self.set_scheme(scheme)

    def set_scheme(self, scheme: str) -> None:
        """Use `light`, `dark` or what the `system` says (dark where it says nothing)."""
        self._scheme = scheme
        wanted = {"light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark}.get(scheme, Qt.ColorScheme.Unknown)
        self._application.styleHints().setColorScheme(wanted)
        self._use(self._resolve())

    def close(self) -> None:
        """Stop listening to the system."""
        self._application.styleHints().colorSchemeChanged.disconnect(self._on_system_change)

    def icon(self, name: str, side_px: int = 16) -> QIcon:
        """The icon `resources/icons/<name>.svg` in the text colour, dim when disabled, accented when checked."""
        return _icon(name, self.tones, side_px)

    def _resolve(self) -> Tones:
        if self._scheme in ("light", "dark"):
            return LIGHT if self._scheme == "light" else DARK
        return LIGHT if self._application.styleHints().colorScheme() == Qt.ColorScheme.Light else DARK

    def _on_system_change(self, _scheme: Qt.ColorScheme) -> None:
        if self._resolve() is not self.tones:
            self._use(self._resolve())

    def _use(self, tones: Tones) -> None:
        self.tones = tones
        self._application.setPalette(_palette(tones))
        self._application.setStyleSheet(style_sheet(tones))
        self.changed.emit()


def small_caps_font(base: QFont) -> QFont:
    """The font of headings over panels: small, spaced capitals."""
    font = QFont(base)
    font.setPixelSize(SMALL_PX)
    font.setCapitalization(QFont.Capitalization.AllUppercase)
    font.setLetterSpacing(QFont.SpacingType.AbsoluteSpacing, 0.6)
    return font


def sized(base: QFont, pixel_size: int, *, bold: bool = False) -> QFont:
    """`base` at another size and weight."""
    font = QFont(base)
    font.setPixelSize(pixel_size)
    if bold:
        font.setWeight(QFont.Weight.DemiBold)
    return font


def _font() -> QFont:
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont)
    if "Inter" in QFontDatabase.families():
        font.setFamily("Inter")
    font.setPixelSize(TEXT_PX)
    return font


def _palette(tones: Tones) -> QPalette:
    palette = QPalette()
    role = QPalette.ColorRole
    values = {
        role.Window: tones.panel,
        role.WindowText: tones.text,
        role.Base: tones.raised,
        role.AlternateBase: tones.panel,
        role.Text: tones.text,
        role.Button: tones.raised,
        role.ButtonText: tones.text,
        role.BrightText: tones.bad,
        role.ToolTipBase: tones.raised,
        role.ToolTipText: tones.text,
        role.PlaceholderText: tones.dim,
        role.Highlight: tones.accent,
        role.HighlightedText: tones.on_accent,
        role.Link: tones.link,
        role.LinkVisited: tones.link,
        role.Light: tones.hover,
        role.Midlight: tones.hover,
        role.Mid: tones.line,
        role.Dark: tones.base,
        role.Shadow: tones.base,
        role.Accent: tones.accent,
    }
    for name, value in values.items():
        palette.setColor(name, QColor(value))
    faint = QColor(tones.dim)
    faint.setAlphaF(0.55)
    for name in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, name, faint)
    return palette


@lru_cache(maxsize=256)
def _icon(name: str, tones: Tones, side_px: int) -> QIcon:
    icon = QIcon()
    for mode, state, colour, alpha in (
        (QIcon.Mode.Normal, QIcon.State.Off, tones.text, 1.0),
        (QIcon.Mode.Normal, QIcon.State.On, tones.link, 1.0),
        (QIcon.Mode.Disabled, QIcon.State.Off, tones.dim, 0.55),
    ):
        for scale in (1, 2, 3):
            icon.addPixmap(_tinted(name, colour, alpha, scale, side_px), mode, state)
    return icon


def _tinted(name: str, colour: str, alpha: float, scale: int, side: int) -> QPixmap:
    svg = (resource_folder("icons") / f"{name}.svg").read_text(encoding="utf-8").replace("currentColor", colour)
    pixmap = QPixmap(side * scale, side * scale)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setOpacity(alpha)
    QSvgRenderer(QByteArray(svg.encode())).render(painter, QRectF(0, 0, side * scale, side * scale))
    painter.end()
    pixmap.setDevicePixelRatio(scale)
    return pixmap

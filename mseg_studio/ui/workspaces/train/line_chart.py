"""Curves over the steps of a run: decimated to the pixels there are, with a crosshair, zoom and keys."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QObject, QPointF, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QResizeEvent, QTextDocumentFragment
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from mseg_studio.training.metrics_curves import Column, Curve
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.train.words import compact, grouped

pg.setConfigOptions(antialias=True, exitCleanup=False)

_MOST_READ = 6
_NUMBER_PX = 17
"""Height of a number at an axis."""
_STEP_KEY = 0.02
"""Share of the width that a key moves the crosshair."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One curve."""

    name: str
    curve: Curve
    """Over steps."""
    colour: str
    """#rrggbb"""
    width: float = 1.6
    opacity: float = 1.0
    dots: bool = False
    """Whether single points show: for curves of few."""
    is_raw: bool = False
    """Behind its smoothed course: not named in the legend, and its outliers do not set the range."""

    @property
    def x(self) -> Column:
        """Steps, (N,)."""
        return self.curve.x

    @property
    def y(self) -> Column:
        """Values, (N,)."""
        return self.curve.y


class _Heights(pg.AxisItem):  # type: ignore[misc]
    """A vertical axis whose numbers never stand on one another, however low the chart is."""

    def tickSpacing(self, low: float, high: float, size: float) -> list[tuple[float, float]]:
        """(distance, offset) of the ticks: the closest of 1, 2, 5, 10, 20 … at which every number has room."""
        most = max(2.0, size / _NUMBER_PX)
        least = max(high - low, 1e-12) / most
        power = 10.0 ** math.floor(math.log10(least))
        return [(next(power * part for part in (1, 2, 5, 10) if power * part >= least), 0.0)]


class LineChart(QWidget):
    """Shows series; double click or 0 fits, wheel or + and - zoom, drag pans, Left and Right move the crosshair."""

    pointed = Signal(object)
    """Step under the crosshair, None when it is gone."""

    def __init__(
        self,
        theme: Theme,
        *,
        name: str,
        unit: str = "",
        low: float | None = None,
        top: float | None = None,
        bottom: bool = True,
    ) -> None:
        """`unit` stands at the vertical axis; it begins at `low` and goes to `top` at least, None: where the values do.

        Without `bottom` the steps are written under another chart below this one.
        """
        super().__init__()
        self._theme, self._low, self._top = theme, low, top
        self._series: tuple[Series, ...] = ()
        self._curves: list[Any] = []
        self._fitted, self._quiet = True, False
        self._at: float | None = None
        self._text: Callable[[float], str] = compact
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.plot: Any = pg.PlotWidget(enableMenu=False, axisItems={"left": _Heights(orientation="left")})
        self.plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.plot.setFrameShape(self.plot.Shape.NoFrame)
        self._item: Any = self.plot.getPlotItem()
        self._item.hideButtons()
        self._box: Any = self._item.getViewBox()
        self._box.setDefaultPadding(0.0)
        self._bottom, self._left = self._item.getAxis("bottom"), self._item.getAxis("left")
        self._unit, self._has_bottom = unit, bottom
        self._write_axes()
        self._cross: Any = pg.InfiniteLine(angle=90, movable=False)
        self._cross.hide()
        self._item.addItem(self._cross, ignoreBounds=True)
        self._box.sigXRangeChanged.connect(self._draw)
        self._box.sigRangeChangedManually.connect(self._on_manual)
        self.plot.viewport().setMouseTracking(True)
        self.plot.viewport().installEventFilter(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.plot)
        self.readout = QLabel(self)
        """What is under the crosshair."""
        self.readout.setTextFormat(Qt.TextFormat.RichText)
        self.readout.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.readout.hide()
        self.hint = QLabel("nothing logged yet")
        self.hint.setObjectName("dim")
        self.hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.hint.setWordWrap(True)
        column.addWidget(self.hint)
        theme.changed.connect(self._restyle)
        self._restyle()

    def _write_axes(self) -> None:
        """Whole steps, values as short as their spacing allows, no prefixes of units."""
        self._left.setWidth(46)
        self._left.enableAutoSIPrefix(False)
        self._bottom.enableAutoSIPrefix(False)
        self._bottom.tickStrings = lambda values, _scale, _spacing: [_whole(value) for value in values]
        self._left.tickStrings = lambda values, _scale, spacing: [_tick(value, spacing) for value in values]
        if not self._has_bottom:
            self._bottom.setStyle(showValues=False)
            self._bottom.setHeight(6)

    # -- what is shown -------------------------------------------------------------------------------------------

    def show_series(self, series: Sequence[Series]) -> None:
        """Draw these; the range follows them until somebody zooms."""
        self._series = tuple(series)
        self.plot.setVisible(bool(self._series))
        self.hint.setVisible(not self._series)
        while len(self._curves) < len(self._series):
            self._curves.append(self._item.plot([], []))
        for curve in self._curves[len(self._series) :]:
            curve.setData([], [])
        for curve, one in zip(self._curves, self._series, strict=False):
            colour = QColor(one.colour)
            colour.setAlphaF(one.opacity)
            curve.setPen(pg.mkPen(colour, width=one.width))
            few = one.dots and len(one.x) <= 60
            curve.setSymbol("o" if few else None)
            curve.setSymbolSize(5)
            curve.setSymbolBrush(colour)
            curve.setSymbolPen(None)
            curve.setZValue(0 if one.is_raw else 1)
        self.setAccessibleDescription(self.words())
        if self._fitted:
            self._quiet = True  # drawn once, below, and not for every change of the range
            self.fit()
            self._quiet = False
        self._draw()

    @property
    def series(self) -> tuple[Series, ...]:
        """What is drawn."""
        return self._series

    def words(self) -> str:
        """The newest value of every curve, for those who cannot see it."""
        named = [one for one in self._series if not one.is_raw and len(one.y)]
        return ", ".join(f"{one.name} {compact(float(one.y[-1]))}" for one in named)

    def fit(self) -> None:
        """Show all of it."""
        self._fitted = True
        filled = [one for one in self._series if len(one.x)]
        right = max((float(one.x[-1]) for one in filled), default=1.0)
        left = min((float(one.x[0]) for one in filled), default=0.0)
        self._box.setXRange(min(0.0, left) if right > 4 * left else left, max(right, left + 1), padding=0.01)
        low, high = self._heights(filled)
        self._box.setYRange(low, high, padding=0.06)

    def _heights(self, filled: Sequence[Series]) -> tuple[float, float]:
        lows, highs = [], []
        for one in filled:
            values = one.curve.outline_y[np.isfinite(one.curve.outline_y)]
            if len(values):
                # A few wild steps must not flatten the curve.
                lows.append(float(np.quantile(values, 0.005)) if one.is_raw else float(values.min()))
                highs.append(float(np.quantile(values, 0.985)) if one.is_raw else float(values.max()))
        low, high = min(lows, default=0.0), max(highs, default=1.0)
        if self._low is not None:
            low = min(low, self._low)
        if self._top is not None:
            high = max(high, self._top)
        return (low, high) if high > low else (low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1))

    def values_at(self, step: float) -> list[tuple[Series, float, float]]:
        """Every named curve with the step and value of its point nearest to `step`."""
        found = []
        for one in self._series:
            if one.is_raw or not len(one.x):
                continue
            right = int(np.clip(np.searchsorted(one.x, step), 0, len(one.x) - 1))
            near = right if right == 0 or one.x[right] - step <= step - one.x[right - 1] else right - 1
            found.append((one, float(one.x[near]), float(one.y[near])))
        return found

    # -- drawing -------------------------------------------------------------------------------------------------

    def _draw(self, *_range: object) -> None:
        if self._quiet:
            return
        (low, high), pieces = self._box.viewRange()[0], max(50, int(self._box.width()))
        for curve, one in zip(self._curves, self._series, strict=False):
            x, y = one.curve.part(low, high, pieces=pieces)
            # Smooth edges of a curve that fills its pixels take twenty times as long, and nobody sees them.
            curve.setData(x, y, connect="finite", antialias=len(x) <= pieces)

    def _restyle(self) -> None:
        tones = self._theme.tones
        self.plot.setBackground(tones.panel)
        for axis in (self._bottom, self._left):
            axis.setPen(pg.mkPen(tones.line))
            axis.setTextPen(pg.mkPen(tones.dim))
            axis.setStyle(tickLength=-3, tickTextOffset=4, maxTickLevel=0)
            axis.setTickDensity(0.6)
            axis.setTickFont(self._small())
        self._item.showGrid(x=False, y=True, alpha=0.18 if tones.dark else 0.25)
        style = {"color": tones.dim, "font-size": "11px"}
        if self._has_bottom:
            self._bottom.setLabel("step", **style)
        if self._unit:
            self._left.setLabel(self._unit, **style)
            self._left.setWidth(60)
        self.readout.setStyleSheet(
            f"background: {tones.raised}; color: {tones.text}; border: 1px solid {tones.line};"
            " border-radius: 5px; padding: 3px 6px; font-size: 12px;"
        )
        self._cross.setPen(pg.mkPen(tones.dim, style=Qt.PenStyle.DashLine))

    def _small(self) -> Any:
        font = self.font()
        font.setPixelSize(11)
        return font

    # -- mouse and keys ------------------------------------------------------------------------------------------

    def point(self, step: float | None) -> None:
        """Put the crosshair at a step, or take it away."""
        self._at = step
        self._cross.setVisible(step is not None)
        if step is not None:
            self._cross.setPos(step)
        self._read_out(step)
        self.pointed.emit(step)

    def _read_out(self, step: float | None) -> None:
        found = self.values_at(step)[::-1] if step is not None else []
        self.readout.setVisible(bool(found))
        if not found or step is None:
            return
        several = len(found) > 1
        lines = [f"step {grouped(found[0][1])}"]
        for one, _at, value in found[:_MOST_READ]:
            name = f" {one.name}".replace("&", "&amp;").replace("<", "&lt;") if several else ""
            lines.append(f"<span style='color:{one.colour}'>●</span> {compact(value)}{name}")
        self.readout.setText("<br>".join(lines))
        self.readout.setAccessibleName(self.readout_text())
        self.readout.adjustSize()
        low, high = self._box.viewRange()[0]
        # At the side where the crosshair is not.
        at_right = step < (low + high) / 2
        left = self.width() - self.readout.width() - 6 if at_right else self._left.width() + 6
        self.readout.move(int(left), 4)
        self.readout.raise_()

    def readout_text(self) -> str:
        """What the readout says, as plain text."""
        fragment = QTextDocumentFragment.fromHtml(self.readout.text())
        return fragment.toPlainText().replace("\n", " · ").replace("● ", "")

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The crosshair follows the mouse; a double click fits."""
        kind = event.type()
        if kind == QEvent.Type.MouseMove and isinstance(event, QMouseEvent) and not event.buttons():
            self._follow(event.position())
        elif kind == QEvent.Type.Leave:
            self.point(None)
        elif kind == QEvent.Type.MouseButtonDblClick:
            self.fit()
            return True
        return False

    def _follow(self, position: QPointF) -> None:
        place = self._box.mapSceneToView(self.plot.mapToScene(position.toPoint()))
        low, high = self._box.viewRange()[0]
        self.point(float(place.x()) if low <= place.x() <= high and self._series else None)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Zoom, fit, and move the crosshair."""
        low, high = self._box.viewRange()[0]
        middle = self._at if self._at is not None else (low + high) / 2
        key = event.key()
        if key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal, Qt.Key.Key_Minus):
            share = 1.5 if key == Qt.Key.Key_Minus else 1 / 1.5
            self._fitted = False
            self._box.setXRange(middle - (middle - low) * share, middle + (high - middle) * share, padding=0)
        elif key == Qt.Key.Key_0:
            self.fit()
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            by = (high - low) * _STEP_KEY * (1 if key == Qt.Key.Key_Right else -1)
            self.point(float(np.clip(middle + by, low, high)))
        elif key == Qt.Key.Key_Escape and self._at is not None:
            self.point(None)
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Other pixels, other points."""
        super().resizeEvent(event)
        self._draw()

    def _on_manual(self, *_axes: object) -> None:
        self._fitted = False


def _whole(value: float) -> str:
    """A step; nothing between two steps."""
    return grouped(value) if abs(value - round(value)) < 1e-6 else ""


def _tick(value: float, spacing: float) -> str:
    if value and abs(value) < 1e-3:
        return compact(value)
    if abs(value) >= 1000:
        return grouped(value)
    places = max(0, min(6, -int(np.floor(np.log10(spacing) + 1e-9)))) if spacing > 0 else 3
    return f"{value:.{places}f}"

"""The cards of the chosen run: loss, validation, IoU of every class, speed and memory; other runs drawn over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QLayout, QScrollArea, QSlider, QWidget

from mseg_studio.training.metrics_curves import Column, Curve
from mseg_studio.training.metrics_table import BY_DATASET, Metrics, Validated
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.train.card import Card
from mseg_studio.ui.workspaces.train.iou_bars import IouBars, bars_of
from mseg_studio.ui.workspaces.train.line_chart import LineChart, Series
from mseg_studio.ui.workspaces.train.run_colours import run_colour
from mseg_studio.ui.workspaces.train.run_reader import RunLook
from mseg_studio.ui.workspaces.train.words import compact, gigabytes, grouped

ClassColours = Mapping[str, tuple[int, tuple[int, int, int]]]
"""(id, rgb) by class."""

_SMOOTHEST = 998
_CARD_PX, _CARD_HIGH_PX, _GAP_PX = 290, 170, 10
_READING = "reading…"
_SETTLE_MS = 60


class Charts(QWidget):
    """Four cards. `show_looks` gives them what there is; the first run is the chosen one."""

    weight_changed = Signal(float)
    """The loss is to be smoothed otherwise: weight of the past, 0 to below 1."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._looks: tuple[RunLook, ...] = ()
        self._colours: ClassColours = {}
        self._shown: tuple[object, ...] = ()
        self._class = ""
        self._make_loss()
        self._make_validation()
        self._make_bars()
        self._make_speed()
        self.setObjectName("charts")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(_GAP_PX)
        self._grid.setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
        self._columns = 0
        self._place(2)
        theme.changed.connect(lambda: self._draw(force=True))
        self._draw(force=True)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Cards stand below one another where two side by side would be too narrow."""
        super().resizeEvent(event)
        self._place(2 if self.width() >= 2 * _CARD_PX else 1)

    def minimumSizeHint(self) -> QSize:
        """One column: the cards give way."""
        return QSize(_CARD_PX, self.minimumHeight())

    def _place(self, columns: int) -> None:
        if columns == self._columns:
            return
        self._columns = columns
        cards = (self.loss, self.validation, self.classes, self.speed)
        for place, card in enumerate(cards):
            self._grid.addWidget(card, place // columns, place % columns)
        for line in range(len(cards)):
            self._grid.setRowStretch(line, 1 if line < len(cards) // columns else 0)
            self._grid.setColumnStretch(line, 1 if line < columns else 0)
        rows = len(cards) // columns
        self.setMinimumHeight(rows * _CARD_HIGH_PX + (rows - 1) * _GAP_PX)

    # -- building ------------------------------------------------------------------------------------------------

    def _make_loss(self) -> None:
        self.loss = Card(self._theme, "Loss", [("all", "All"), ("dataset", "Datasets"), ("lr", "Rate")])
        self.loss_chart = LineChart(self._theme, name="Training loss over steps")
        self.smoothing = QSlider(Qt.Orientation.Horizontal)
        self.smoothing.setAccessibleName("Smoothing of the loss")
        self.smoothing.setToolTip("Smoothing: how much of the past counts (weight of an exponential average)")
        self.smoothing.setRange(0, 100)
        self.smoothing.setValue(60)
        self.smoothing.setFixedWidth(64)
        self._settle = QTimer(self, interval=_SETTLE_MS, singleShot=True)
        self._settle.timeout.connect(lambda: self.weight_changed.emit(self.weight))
        self.smoothing.valueChanged.connect(lambda _value: self._settle.start())
        self.loss.body.addWidget(self.loss_chart)
        self.loss.add_tool(self.smoothing)
        self.loss.viewed.connect(lambda _view: self._draw(force=True))

    def _make_validation(self) -> None:
        views = [("miou", "mIoU"), ("dataset", "Datasets"), ("loss", "Loss"), ("class", "Class")]
        self.validation = Card(self._theme, "Validation", views)
        self.validation.views["class"].hide()
        self.validation_chart = LineChart(self._theme, name="Validation over steps")
        self.validation.body.addWidget(self.validation_chart)
        self.validation.viewed.connect(lambda _view: self._draw(force=True))

    def _make_bars(self) -> None:
        self.classes = Card(self._theme, "Per-class IoU", [("iou", "Best first"), ("name", "Name"), ("id", "Id")])
        self.bars = IouBars(self._theme)
        self.bars.chosen.connect(self.show_class)
        self.classes.viewed.connect(self.bars.sort_by)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self.bars)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.bars_hint = QLabel(_READING)
        self.bars_hint.setObjectName("dim")
        self.bars_hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.classes.body.addWidget(self.bars_hint, 1)
        self.classes.body.addWidget(scroll, 1)
        self._bars_scroll = scroll

    def _make_speed(self) -> None:
        self.speed = Card(self._theme, "Speed", [("speed", "Images/s"), ("memory", "Memory")])
        self.speed_chart = LineChart(
            self._theme, name="Images per second over steps", unit="images/s", low=0.0, bottom=False
        )
        self.wait_chart = LineChart(
            self._theme, name="Share of time spent waiting for data", unit="wait %", low=0.0, top=10.0
        )
        self.wait_chart.plot.setXLink(self.speed_chart.plot)
        self.memory_chart = LineChart(self._theme, name="Memory over steps", unit="GB", low=0.0)
        for chart, stretch in ((self.speed_chart, 1), (self.wait_chart, 1), (self.memory_chart, 2)):
            self.speed.body.addWidget(chart, stretch)
        self.speed.viewed.connect(lambda _view: self._draw(force=True))

    # -- what is shown -------------------------------------------------------------------------------------------

    @property
    def weight(self) -> float:
        """Weight of the past in the smoothed loss: fine steps where it matters, near 1."""
        share = self.smoothing.value() / 100
        return 0.0 if share == 0 else min(_SMOOTHEST / 1000, 1 - 10 ** (-2.7 * share))

    def set_weight_place(self, place: int) -> None:
        """Put the slider (0 to 100) where it was."""
        self.smoothing.setValue(place)

    def show_colours(self, colours: ClassColours) -> None:
        """Colours and ids of the classes of the chosen run's taxonomy."""
        if colours != self._colours:
            self._colours = colours
            self._draw(force=True)

    def show_looks(self, looks: Sequence[RunLook]) -> None:
        """Draw these runs, the chosen one first."""
        before = self._looks[0].folder if self._looks else None
        self._looks = tuple(looks)
        if self._looks and self._looks[0].folder != before:
            for chart in self._charts():
                chart.fit()
                chart.point(None)
            if self._class:
                self._leave_class()
        self._draw()

    def show_class(self, name: str) -> None:
        """Show the IoU of one class over the validations."""
        self._class = name
        view = self.validation.views["class"]
        view.setText(name if len(name) <= 14 else name[:13] + "…")
        view.setToolTip(name)
        view.show()
        self.validation.choose("class")
        self._draw(force=True)

    def _leave_class(self) -> None:
        self._class = ""
        self.validation.views["class"].hide()
        if self._view(self.validation) == "class":
            self.validation.choose("miou")

    def _charts(self) -> tuple[LineChart, ...]:
        return (self.loss_chart, self.validation_chart, self.speed_chart, self.wait_chart, self.memory_chart)

    @staticmethod
    def _view(card: Card) -> str:
        return next(key for key, button in card.views.items() if button.isChecked())

    def _hint(self) -> None:
        """Before the first look nothing is known, so nothing is claimed."""
        read = bool(self._looks)
        for chart in (self.loss_chart, self.speed_chart, self.wait_chart, self.memory_chart):
            chart.hint.setText("nothing logged yet" if read else _READING)
        later = "comes with the first validation" if read else _READING
        self.bars_hint.setText(later)
        is_class = read and self._view(self.validation) == "class"
        self.validation_chart.hint.setText(f"{self._class} was in no validation yet" if is_class else later)

    def _draw(self, *, force: bool = False) -> None:
        self._hint()
        # Ids of objects that are kept alive here: the same objects are the same numbers.
        shown = tuple(part for look in self._looks for part in (look.metrics, look.curves, look.folder))
        same = len(shown) == len(self._shown) and all(a is b for a, b in zip(shown, self._shown, strict=True))
        if same and not force:
            return
        self._shown = shown
        self._draw_loss()
        self._draw_validation()
        self._draw_bars()
        self._draw_speed()

    def _colour(self, place: int) -> str:
        return run_colour(place, dark=self._theme.tones.dark)

    def _curves(self, curve_of: Callable[[RunLook], Curve | None], *, dots: bool = False) -> list[Series]:
        found = []
        for place, look in enumerate(self._looks):
            curve = curve_of(look)
            if curve is not None and curve.has_numbers:
                found.append(Series(look.name, curve, self._colour(place), 1.8 if place == 0 else 1.3, dots=dots))
        # The chosen run lies over the others.
        return found[::-1]

    def _draw_loss(self) -> None:
        view, first = self._view(self.loss), self._looks[0].metrics if self._looks else Metrics()
        self.smoothing.setVisible(view == "all")
        if view == "lr":
            series = self._curves(lambda look: look.curves.get("lr"))
        elif view == "dataset":
            curves = self._looks[0].curves if self._looks else {}
            series = [
                Series(name, curves[BY_DATASET + name], self._colour(place))
                for place, name in enumerate(first.datasets)
            ]
        else:
            series = self._curves(lambda look: look.curves.get("smooth"))
            chosen = self._looks[0].curves.get("loss") if self._looks and self.weight else None
            if chosen is not None and chosen.has_numbers:
                series.insert(0, Series(self._looks[0].name, chosen, self._colour(0), 1.0, 0.28, is_raw=True))
        self.loss_chart.show_series(series)
        self._rest(self.loss)

    def _draw_validation(self) -> None:
        view = self._view(self.validation)
        if view == "dataset" and self._looks:
            found = self._looks[0].metrics.validations
            names = dict.fromkeys(name for one in found for name in one.miou_by_dataset)
            steps = np.array([one.step for one in found], dtype=float)
            series = [
                Series(name, Curve.of(steps, _scores(found, name)), self._colour(place), dots=True)
                for place, name in enumerate(names)
            ]
        else:
            series = self._curves(lambda look: self._validated(look.metrics, view), dots=True)
        self.validation_chart.show_series(series)
        self._rest(self.validation)

    def _validated(self, metrics: Metrics, view: str) -> Curve:
        found = metrics.validations
        steps = np.array([one.step for one in found], dtype=float)
        if view == "class":
            return Curve.of(steps, np.array([one.iou.get(self._class, np.nan) for one in found]))
        return Curve.of(steps, np.array([one.loss if view == "loss" else one.miou for one in found]))

    def _draw_bars(self) -> None:
        found = self._looks[0].metrics.validations if self._looks else ()
        scored = [one for one in found if one.iou]
        before = scored[-2].iou if len(scored) > 1 else {}
        self.bars.show_bars(bars_of(scored[-1].iou, before, self._colours) if scored else ())
        self.bars_hint.setVisible(not scored)
        self._bars_scroll.setVisible(bool(scored))
        self.classes.show_value("", f"step {grouped(scored[-1].step)}; click for history" if scored else "")

    def _draw_speed(self) -> None:
        memory = self._view(self.speed) == "memory"
        for chart, visible in (
            (self.speed_chart, not memory),
            (self.wait_chart, not memory),
            (self.memory_chart, memory),
        ):
            chart.setVisible(visible)
        tones = self._theme.tones
        amber, pink = ("#f0b64a", "#e8679c") if tones.dark else ("#a06a00", "#b8246b")
        alone = len(self._looks) == 1
        for chart, key, colour in (
            (self.speed_chart, "images_per_s", amber),
            (self.wait_chart, "data_wait", pink),
            (self.memory_chart, "memory_bytes", amber),
        ):
            series = self._curves(lambda look: look.curves.get(key))  # noqa: B023 - called before the next round
            chart.show_series([replace(one, colour=colour, width=1.2) for one in series] if alone else series)
        self._rest(self.speed)

    # -- values in the heads -------------------------------------------------------------------------------------

    def _rest(self, card: Card) -> None:
        """The newest values of the chosen run."""
        metrics = self._looks[0].metrics if self._looks else Metrics()
        if card is self.loss:
            self._rest_loss(metrics)
        elif card is self.validation:
            self._rest_validation(metrics)
        elif not len(metrics.step):
            card.show_value("", "")
        elif self._view(card) == "memory":
            memory = _last(metrics.column("memory_bytes"))
            card.show_value(gigabytes(memory) if memory == memory else "", "" if memory == memory else "not logged")
        else:
            speed, wait = _last(metrics.column("images_per_s")), _last(metrics.column("data_wait"))
            waits = f"wait {100 * wait:.0f} %" if wait == wait else ""
            card.show_value(f"{compact(speed)}/s" if speed == speed else "", waits)

    def _rest_loss(self, metrics: Metrics) -> None:
        view = self._view(self.loss)
        if not len(metrics.step):
            self.loss.show_value("", "")
        elif view == "lr":
            self.loss.show_value(compact(_last(metrics.column("lr"))), "")
        elif view == "dataset":
            values = [f"{name} {compact(_last(metrics.column(BY_DATASET + name)))}" for name in metrics.datasets]
            self.loss.show_value("", " · ".join(values))
        else:
            self.loss.show_value(compact(_last(self._looks[0].curves["smooth"].y)), "smoothed" if self.weight else "")

    def _rest_validation(self, metrics: Metrics) -> None:
        if not metrics.validations:
            self.validation.show_value("", "")
            return
        last, best, view = metrics.validations[-1], metrics.best, self._view(self.validation)
        if view == "class":
            history = [(one.iou[self._class], one.step) for one in metrics.validations if self._class in one.iou]
            top = max(history, default=(float("nan"), 0))
            self.validation.show_value(
                compact(history[-1][0]) if history else "–", f"best {compact(top[0])} @ {grouped(top[1])}"
            )
        elif view == "loss":
            self.validation.show_value(compact(last.loss), "loss")
        elif view == "dataset":
            values = [f"{name} {compact(value)}" for name, value in last.miou_by_dataset.items()]
            self.validation.show_value("", " · ".join(values))
        else:
            words = f"best {compact(best.miou)} @ {grouped(best.step)}" if best is not None else ""
            self.validation.show_value(compact(last.miou), words, words.partition(" @")[0])


def _scores(found: Sequence[Validated], dataset: str) -> Column:
    return np.array([one.miou_by_dataset.get(dataset, np.nan) for one in found])


def _last(column: np.ndarray) -> float:
    """The newest number of a column; NaN where there is none."""
    for value in column[:-200:-1]:
        if value == value:
            return float(value)
    return float("nan")

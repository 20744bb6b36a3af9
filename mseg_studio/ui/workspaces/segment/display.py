"""What of a result is on the canvas: labels or a measure of them, contours, colours, opacity, and the legend."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Signal

from mseg_studio.labels.readout import MEASURES, Measure
from mseg_studio.taxonomy.palette import color_table
from mseg_studio.ui.canvas.canvas import Canvas
from mseg_studio.ui.canvas.layers import HeatLayer, LabelLayer
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.segment.classes_panel import Visibility
from mseg_studio.ui.workspaces.segment.heat_legend import HeatLegend
from mseg_studio.ui.workspaces.segment.layers_bar import LayersBar
from mseg_studio.ui.workspaces.segment.results import Result
from mseg_studio.ui.workspaces.segment.session import Session

_EDGE_PX = 12
_GONE = "The probabilities of this picture are not kept any more. Press Run to have it measured."


class Display(QObject):
    """Keeps canvas, layers bar and legend in step with the result on screen."""

    changed = Signal()
    """Which layers are shown has changed."""

    def __init__(self, session: Session, canvas: Canvas, theme: Theme, visibility: Visibility) -> None:
        super().__init__(session)
        self._session, self._canvas, self._visibility = session, canvas, visibility
        self.layers = LayersBar(canvas)
        self.legend = HeatLegend(theme, canvas)
        self.opacity = 0.5
        self._layer: LabelLayer | None = None
        self._heat: HeatLayer | None = None
        self.layers.labels_toggled.connect(lambda _on: self._show_layers())
        self.layers.contours_toggled.connect(lambda _on: self._show_layers())
        self.layers.measure_chosen.connect(self._on_measure)
        self.layers.opacity_changed.connect(self._on_opacity)
        canvas.installEventFilter(self)

    def forget(self) -> None:
        """Another picture is on the canvas."""
        self._layer = self._heat = None

    def show_result(self, result: Result | None) -> None:
        """Put labels and measure of a result over the picture."""
        self._layer = None if result is None else LabelLayer(result.labels)
        self._canvas.set_labels(self._layer)
        measure, wanted = (None, None) if result is None else (result.measure_HW, self._session.measure)
        measured = result is not None and wanted is not None and result.measure == wanted
        self._heat = HeatLayer(measure) if measured and measure is not None else None
        self._canvas.set_heat(self._heat)
        self.legend.show_measure(wanted if self._heat is not None else None)
        self.layers.setVisible(result is not None)
        self.recolor()
        self._place()

    def refresh_missing(self) -> None:
        """Say which measures cannot be shown, and why."""
        result = self._session.result
        kept = result.measure if result is not None else None
        gone = "" if result is None or self._session.has_scores() else _GONE
        self.layers.show_missing({measure: "" if measure == kept else gone for measure in MEASURES})

    def recolor(self) -> None:
        """Bring colours, hidden classes and opacity to the canvas."""
        if self._layer is not None:
            taxonomy = self._layer.labels.taxonomy
            table = color_table(taxonomy, hidden=self._visibility.hidden_ids(taxonomy))
            self._canvas.set_colors(table, self.opacity)

    def nudge_opacity(self, by: float) -> None:
        """Make the layers more or less opaque."""
        self.layers.set_opacity(min(1.0, max(0.0, round(self.opacity + by, 2))))

    def value_at(self, x: int, y: int) -> str:
        """The measure on the canvas at a pixel in words, empty when none is shown."""
        if self._heat is None or self._session.measure is None:
            return ""
        return f"{self._session.measure} {self._heat.value(x, y):.2f}"

    @property
    def covers(self) -> bool:
        """Whether labels or a measure are shown."""
        return self.layers.labels.isChecked() or self._session.measure is not None

    def _on_opacity(self, opacity: float) -> None:
        self.opacity = opacity
        self.recolor()

    def _on_measure(self, measure: Measure | None) -> None:
        self._session.show_measure(measure)
        if measure is None:
            self.show_result(self._session.result)
        self._show_layers()

    def _show_layers(self) -> None:
        # Labels stand in for a measure that this picture does not have.
        self._canvas.show_layers(labels=self.covers, contours=self.layers.contours.isChecked())
        self.changed.emit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep the bar at the top of the canvas and the legend in its corner."""
        if event.type() == QEvent.Type.Resize:
            self._place()
        return False

    def _place(self) -> None:
        canvas, bar = self._canvas, self.layers
        bar.fit_into(canvas.width() - 2 * _EDGE_PX)
        size = bar.sizeHint()
        bar.setGeometry(max(0, (canvas.width() - size.width()) // 2), _EDGE_PX, size.width(), size.height())
        self.legend.move(_EDGE_PX, canvas.height() - self.legend.height() - _EDGE_PX)

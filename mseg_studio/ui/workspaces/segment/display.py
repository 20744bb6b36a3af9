"""What of a result is on the canvas: labels or a view of them, contours, colours, opacity, and the legend."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Signal

from mseg_studio.labels.comparison import COMPARED, View
from mseg_studio.labels.readout import MEASURES
from mseg_studio.taxonomy.palette import color_table
from mseg_studio.ui.canvas.canvas import Canvas
from mseg_studio.ui.canvas.layers import DifferenceLayer, HeatLayer, LabelLayer
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.segment.classes_panel import Visibility
from mseg_studio.ui.workspaces.segment.comparison import GONE, ImageComparison
from mseg_studio.ui.workspaces.segment.difference_legend import DifferenceLegend, class_name
from mseg_studio.ui.workspaces.segment.heat_legend import HeatLegend
from mseg_studio.ui.workspaces.segment.layers_bar import LayersBar
from mseg_studio.ui.workspaces.segment.results import Result
from mseg_studio.ui.workspaces.segment.session import Session

_EDGE_PX = 12


class Display(QObject):
    """Keeps canvas, layers bar and legends in step with the result on screen and its comparison."""

    changed = Signal()
    """Which layers are shown has changed."""
    class_clicked = Signal(str)
    """The name of a class that the person wants to see alone."""

    def __init__(
        self,
        session: Session,
        comparison: ImageComparison,
        canvas: Canvas,
        theme: Theme,
        visibility: Visibility,
    ) -> None:
        super().__init__(session)
        self._session, self._canvas, self._visibility = session, canvas, visibility
        self._comparison = comparison
        self.layers = LayersBar(canvas)
        self.legend = HeatLegend(theme, canvas)
        self.differences = DifferenceLegend(theme, canvas)
        self.opacity = 0.5
        self._layer: LabelLayer | None = None
        self._heat: HeatLayer | DifferenceLayer | None = None
        self._result: Result | None = None
        """What is on the canvas; while a video plays that is not yet what the session shows next."""
        self.layers.labels_toggled.connect(lambda _on: self._show_layers())
        self.layers.contours_toggled.connect(lambda _on: self._show_layers())
        self.layers.view_chosen.connect(self._on_view)
        self.layers.opacity_changed.connect(self._on_opacity)
        self.differences.class_clicked.connect(self.class_clicked)
        comparison.changed.connect(self._on_compared)
        canvas.installEventFilter(self)

    def forget(self) -> None:
        """Another picture is on the canvas."""
        self._layer = self._heat = self._result = None
        self._comparison.forget_picture()

    def show_result(self, result: Result | None) -> None:
        """Put labels and the chosen view of a result over the picture."""
        self._result = result
        self._layer = None if result is None else LabelLayer(result.labels)
        self._canvas.set_labels(self._layer)
        self.layers.setVisible(result is not None)
        self._show_view()

    def _show_view(self) -> None:
        """Put the chosen view in place of the labels, as far as it is there; tell what it shows."""
        result, view, found = self._result, self.layers.view, self._comparison.current
        self._heat, legend, note, told = None, None, "", None
        if result is None:
            pass
        elif view in COMPARED and found is not None:
            if view == "difference":
                self._heat, told = DifferenceLayer(found.projected, found.differing_HW), found
            else:
                self._heat, legend = HeatLayer(found.no_target_HW), "no target"
                note = f"mean {_percent(found.no_target_share)} · {_percent(found.lost_share)} of the winners"
        elif view == self._session.measure == result.measure and result.measure_HW is not None:
            self._heat, legend = HeatLayer(result.measure_HW), view
        self._canvas.set_heat(self._heat)
        self.legend.show_measure(legend, note=note)
        self.differences.show_comparison(told, solo=self._visibility.solo)
        self.recolor()
        self._place()

    def refresh_missing(self) -> None:
        """Say which views cannot be shown, and why."""
        result = self._session.result
        kept = result.measure if result is not None else None
        gone = "" if result is None or self._session.has_scores() else GONE
        reasons: dict[View, str] = {measure: "" if measure == kept else gone for measure in MEASURES}
        self.layers.show_missing(reasons | dict.fromkeys(COMPARED, self._comparison.reason))

    def recolor(self) -> None:
        """Bring colours, hidden classes and opacity to the canvas."""
        if self._layer is not None:
            taxonomy = self._layer.labels.taxonomy
            table = color_table(taxonomy, hidden=self._visibility.hidden_ids(taxonomy))
            self._canvas.set_colors(table, self.opacity)

    def revisible(self) -> None:
        """Other classes are shown or hidden."""
        if isinstance(self._heat, DifferenceLayer):
            self.differences.show_comparison(self._comparison.current, solo=self._visibility.solo)
        self.recolor()

    def nudge_opacity(self, by: float) -> None:
        """Make the layers more or less opaque."""
        self.layers.set_opacity(min(1.0, max(0.0, round(self.opacity + by, 2))))

    def value_at(self, x: int, y: int) -> str:
        """The view on the canvas at a pixel in words, empty when none is shown."""
        heat, view, found = self._heat, self.layers.view, self._comparison.current
        if isinstance(heat, HeatLayer) and view is not None:
            return f"{view.replace('_', ' ')} {heat.value(x, y):.2f}"
        if heat is None or found is None:
            return ""
        projected, mapped = (int(labels.ids_HW[y, x]) for labels in (found.projected, found.mapped))
        taxonomy = found.projected.taxonomy
        if projected == mapped:
            return "no difference"
        return f"projected: {class_name(taxonomy, projected)} · mapped: {class_name(taxonomy, mapped)}"

    @property
    def covers(self) -> bool:
        """Whether labels or a view of them are shown."""
        return self.layers.labels.isChecked() or self.layers.view is not None

    def _on_opacity(self, opacity: float) -> None:
        self.opacity = opacity
        self.recolor()

    def _on_view(self, view: View | None) -> None:
        self._comparison.watch(view in COMPARED, who="layers")
        self._session.show_measure(None if view == "difference" or view == "no_target" else view)
        if self._result is not None:
            self._show_view()
        self._show_layers()

    def _on_compared(self, _facts: object) -> None:
        if self.layers.view in COMPARED:
            self._show_view()
            self.refresh_missing()
            self.changed.emit()

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
        for legend in (self.legend, self.differences):
            legend.move(_EDGE_PX, canvas.height() - legend.height() - _EDGE_PX)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"

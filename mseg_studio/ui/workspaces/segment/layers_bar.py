"""The small bar that floats over the canvas: which layers are shown, and how opaque they are."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSlider, QWidget

from mseg_studio.labels.readout import MEASURES, Measure

_TIPS: dict[Measure, str] = {
    "confidence": "Show how much of the probability the best class has",
    "margin": "Show how far the best class is ahead of the second",
    "entropy": "Show how spread the probabilities are: high is uncertain",
}


class LayersBar(QWidget):
    """Labels or a measure of them, contours, opacity."""

    labels_toggled = Signal(bool)
    contours_toggled = Signal(bool)
    measure_chosen = Signal(object)
    """A `Measure`, or None for no measure."""
    opacity_changed = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("layers")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.labels = _layer("Labels", "Show the labels (T)", on=True)
        self.contours = _layer("Contours", "Show the edges between classes (C)", on=True)
        self.measures: dict[Measure, QPushButton] = {}
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, 100)
        self.slider.setPageStep(10)
        self.slider.setFixedWidth(104)
        self.slider.setAccessibleName("Opacity of the layers in percent")
        self.slider.setToolTip("Opacity of labels and measures (O, Shift+O)")
        self.percent = QLabel()
        self.percent.setObjectName("dim")
        self.percent.setFixedWidth(self.percent.fontMetrics().horizontalAdvance("100 %") + 2)
        self._opacity = QLabel("Opacity")
        self._opacity.setObjectName("dim")
        self._row = row = QHBoxLayout(self)
        row.setContentsMargins(6, 5, 12, 5)
        row.setSpacing(4)
        row.addWidget(self.labels)
        row.addWidget(self.contours)
        for measure in MEASURES:
            button = _layer(measure.capitalize(), _TIPS[measure], on=False)
            button.clicked.connect(lambda on, measure=measure: self._on_measure(measure if on else None))
            self.measures[measure] = button
            row.addWidget(button)
        row.addSpacing(10)
        row.addWidget(self._opacity)
        row.addSpacing(4)
        row.addWidget(self.slider)
        row.addSpacing(4)
        row.addWidget(self.percent)
        self.labels.toggled.connect(self._on_labels)
        self.contours.toggled.connect(self.contours_toggled)
        self.slider.valueChanged.connect(self._on_slider)

    def set_opacity(self, opacity: float) -> None:
        """Move the slider."""
        self.slider.setValue(round(100 * opacity))
        self._on_slider(self.slider.value())

    def show_missing(self, reasons: Mapping[Measure, str]) -> None:
        """Disable the measures that cannot be shown; the reason is their tooltip."""
        for measure, button in self.measures.items():
            reason = reasons.get(measure, "")
            button.setEnabled(not reason)
            button.setToolTip(reason or _TIPS[measure])
            button.setAccessibleDescription(reason or _TIPS[measure])

    def fit_into(self, width: int) -> None:
        """Leave out what can be done without where there is little room: keys and menu do the same."""
        opacity = (self._opacity, self.slider, self.percent)
        for hidden in ((), (self._opacity,), opacity, (*opacity, *self.measures.values())):
            for widget in (*opacity, *self.measures.values()):
                widget.setHidden(widget in hidden)
            if self._row.sizeHint().width() <= width:
                break

    @property
    def measure(self) -> Measure | None:
        """The measure that is chosen."""
        return next((measure for measure, button in self.measures.items() if button.isChecked()), None)

    def _on_labels(self, on: bool) -> None:
        if on and self.measure is not None:
            self._check(None)
            self.measure_chosen.emit(None)
        self.labels_toggled.emit(on)

    def _on_measure(self, measure: Measure | None) -> None:
        """Labels and measures take each other's place: one over the other could not be read."""
        self._check(measure)
        if measure is None:
            self.measure_chosen.emit(None)
        self.labels.setChecked(measure is None)
        if measure is not None:
            self.measure_chosen.emit(measure)

    def _check(self, measure: Measure | None) -> None:
        for name, button in self.measures.items():
            button.setChecked(name == measure)

    def _on_slider(self, value: int) -> None:
        self.percent.setText(f"{value} %")
        self.opacity_changed.emit(value / 100)


def _layer(text: str, tip: str, *, on: bool) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName("layer")
    button.setCheckable(True)
    button.setChecked(on)
    button.setToolTip(tip)
    return button

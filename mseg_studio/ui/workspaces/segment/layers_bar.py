"""The small bar that floats over the canvas: which layers are shown, and how opaque the labels are."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSlider, QWidget


class LayersBar(QWidget):
    """Labels, contours, opacity."""

    labels_toggled = Signal(bool)
    contours_toggled = Signal(bool)
    opacity_changed = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("layers")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.labels = _layer("Labels", "Show the labels (T)")
        self.contours = _layer("Contours", "Show the edges between classes (C)")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, 100)
        self.slider.setPageStep(10)
        self.slider.setFixedWidth(104)
        self.slider.setAccessibleName("Opacity of the labels in percent")
        self.slider.setToolTip("Opacity of the labels (O, Shift+O)")
        self.percent = QLabel()
        self.percent.setObjectName("dim")
        self.percent.setFixedWidth(self.percent.fontMetrics().horizontalAdvance("100 %") + 2)
        opacity = QLabel("Opacity")
        opacity.setObjectName("dim")
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 5, 12, 5)
        row.setSpacing(4)
        row.addWidget(self.labels)
        row.addWidget(self.contours)
        row.addSpacing(10)
        row.addWidget(opacity)
        row.addSpacing(4)
        row.addWidget(self.slider)
        row.addSpacing(4)
        row.addWidget(self.percent)
        self.labels.toggled.connect(self.labels_toggled)
        self.contours.toggled.connect(self.contours_toggled)
        self.slider.valueChanged.connect(self._on_slider)

    def set_opacity(self, opacity: float) -> None:
        """Move the slider."""
        self.slider.setValue(round(100 * opacity))
        self._on_slider(self.slider.value())

    def _on_slider(self, value: int) -> None:
        self.percent.setText(f"{value} %")
        self.opacity_changed.emit(value / 100)


def _layer(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName("layer")
    button.setCheckable(True)
    button.setChecked(True)
    button.setToolTip(tip)
    return button

"""How sure a label must be: a slider and a number. Labels below it are no class."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSlider, QSpinBox, QWidget

_CALM_MS = 40
"""The newest value is told when the slider has not moved for so long."""


class ThresholdBar(QWidget):
    """Emits `chosen` with the least confidence, 0 to 1, while the slider moves."""

    chosen = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        tip = "Labels that the probabilities are less sure of become unlabeled, at once and without the network"
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, 100)
        self.slider.setPageStep(10)
        self.slider.setAccessibleName("Unlabeled below this confidence, in percent")
        self.slider.setToolTip(tip)
        self.number = QSpinBox()
        self.number.setRange(0, 100)
        self.number.setSuffix(" %")
        self.number.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
        self.number.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.number.setFixedWidth(56)
        self.number.setAccessibleName("Unlabeled below this confidence, in percent, as a number")
        self.number.setToolTip(tip)
        text = QLabel("Unlabeled below confidence")
        text.setObjectName("small")
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 4, 12, 8)
        row.setSpacing(8)
        row.addWidget(text)
        row.addWidget(self.slider, 1)
        row.addWidget(self.number)
        self._calm = QTimer(self, interval=_CALM_MS, singleShot=True)
        self._calm.timeout.connect(lambda: self.chosen.emit(self.slider.value() / 100))
        self.slider.valueChanged.connect(self._on_value)
        self.number.valueChanged.connect(self.slider.setValue)

    def show_threshold(self, least: float) -> None:
        """Move the slider; nothing is emitted. A value that waits to be told stays."""
        if not self._calm.isActive():
            for widget in (self.slider, self.number):
                blocked = widget.blockSignals(True)
                widget.setValue(round(100 * least))
                widget.blockSignals(blocked)

    def _on_value(self, value: int) -> None:
        self.number.setValue(value)
        self._calm.start()

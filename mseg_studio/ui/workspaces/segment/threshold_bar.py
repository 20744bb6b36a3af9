"""How sure a label must be: a slider and a number. Labels below it are no class."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSlider, QSpinBox, QVBoxLayout, QWidget

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
        self.number.setFixedWidth(58)
        self.number.setAccessibleName("Unlabeled below this confidence, in percent, as a number")
        self.number.setToolTip(tip)
        text = QLabel("Unlabeled below confidence")
        text.setObjectName("small")
        self._share = QLabel()
        self._share.setObjectName("small")
        words = QHBoxLayout()
        words.addWidget(text)
        words.addStretch(1)
        words.addWidget(self._share)
        row = QHBoxLayout()
        row.setSpacing(10)
        row.addWidget(self.slider, 1)
        row.addWidget(self.number)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 6, 12, 8)
        column.setSpacing(2)
        column.addLayout(words)
        column.addLayout(row)
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

    def show_unlabeled(self, share: float) -> None:
        """Say how much of the picture is no class, 0 to 1."""
        self._share.setText(f"{100 * share:.1f} % is unlabeled" if share >= 0.0005 else "")

    def _on_value(self, value: int) -> None:
        self.number.setValue(value)
        self._calm.start()

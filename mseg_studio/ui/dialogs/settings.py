"""What a person can change."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtWidgets import QComboBox, QDialog, QDialogButtonBox, QFormLayout, QLabel, QVBoxLayout, QWidget

from mseg_studio.settings import AppSettings, settings_file

_THEMES = (("As the system", "system"), ("Light", "light"), ("Dark", "dark"))
_DEVICES = (
    ("The best there is", "auto"),
    ("Processor", "cpu"),
    ("NVIDIA graphics card", "cuda"),
    ("Apple graphics", "mps"),
)
_ENGINES = (("The fastest there is", "auto"), ("PyTorch", "torch"), ("OpenVINO", "openvino"))
_PRECISIONS = (
    ("The fastest that is safe here", "auto"),
    ("float32: exact", "float32"),
    ("half: bfloat16 or float16", "half"),
    ("int8: the model must be calibrated first", "int8"),
)
_RECIPES = (("Live (approximate)", "live"), ("Fast", "fast"), ("Balanced", "balanced"), ("Paper", "paper"))


class SettingsDialog(QDialog):
    """A form over `AppSettings`."""

    def __init__(self, settings: AppSettings, models: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Settings")
        self._settings = settings
        self.theme = _box("Theme", _THEMES, settings.theme)
        self.device = _box("Device", _DEVICES, settings.device)
        self.engine = _box("Engine", _ENGINES, settings.engine)
        self.precision = _box("Precision", _PRECISIONS, settings.precision)
        self.model = _box("Model at the start", [(name, name) for name in models], settings.model)
        self.recipe = _box("Recipe at the start", _RECIPES, settings.recipe)
        counts = [(str(number), number) for number in range(1, (os.cpu_count() or 1) + 1)]
        self.threads = _box("Threads of the segmentation process", [("Automatic", 0), *counts], settings.threads)
        form = QFormLayout()
        form.setHorizontalSpacing(20)
        form.setVerticalSpacing(10)
        form.addRow("Theme", self.theme)
        form.addRow("Device", self.device)
        form.addRow("Engine", self.engine)
        form.addRow("Precision", self.precision)
        form.addRow("Threads", self.threads)
        form.addRow("Model at the start", self.model)
        form.addRow("Recipe at the start", self.recipe)
        where = QLabel(f"Kept in {settings_file()}")
        where.setObjectName("small")
        where.setWordWrap(True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 16)
        column.setSpacing(16)
        column.addLayout(form)
        column.addWidget(where)
        column.addWidget(buttons)
        self.setMinimumWidth(440)

    def settings(self) -> AppSettings:
        """The settings as the form has them."""
        return replace(
            self._settings,
            theme=self.theme.currentData(),
            device=self.device.currentData(),
            engine=self.engine.currentData(),
            precision=self.precision.currentData(),
            model=self.model.currentData() or self._settings.model,
            recipe=self.recipe.currentData(),
            threads=self.threads.currentData(),
        )


def _box(name: str, choices: Sequence[tuple[str, str | int]], current: str | int) -> QComboBox:
    box = QComboBox()
    box.setAccessibleName(name)
    for text, value in choices:
        box.addItem(text, value)
    at = box.findData(current)
    if at < 0:
        box.addItem(str(current), current)
        at = box.count() - 1
    box.setCurrentIndex(at)
    return box

"""Import a published checkpoint. A child process reads the file: the window never opens foreign weights."""

from __future__ import annotations

import re
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from mseg_studio.ui.child_command import ChildCommand

_INTRO = (
    "Choose a published MSeg checkpoint (.pth). Network, classes and crop are recognised from the file; "
    "only weights are read, never code."
)

_CROPS = (473, 593, 713)
"""Crops of the published models, for short sides of 480, 720 and 1080."""


class ImportModelDialog(QDialog):
    """File, name and what cannot be recognised. `imported` is the name after a success."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Import a model")
        self.setMinimumWidth(520)
        self.imported = ""
        self._child: ChildCommand | None = None
        self.file = QLineEdit()
        self.file.setPlaceholderText("mseg-3m.pth")
        self.file.setAccessibleName("Checkpoint file")
        browse = QPushButton("Choose…")
        browse.clicked.connect(self._browse)
        self.name = QLineEdit()
        self.name.setAccessibleName("Name of the model")
        self.taxonomy = QLineEdit()
        self.taxonomy.setPlaceholderText("recognised from the class count")
        self.taxonomy.setAccessibleName("Taxonomy")
        self.crop = QComboBox()
        self.crop.setAccessibleName("Crop in pixels")
        self.crop.addItem("Known by the file name", 0)
        for crop_px in _CROPS:
            self.crop.addItem(f"{crop_px} pixels", crop_px)
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setTextFormat(Qt.TextFormat.PlainText)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._bar = QProgressBar()
        self._bar.setRange(0, 0)
        self._bar.hide()
        self._buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.go = self._buttons.addButton("Import", QDialogButtonBox.ButtonRole.AcceptRole)
        self.go.setObjectName("primary")
        self._buttons.accepted.connect(self._start)
        self._buttons.rejected.connect(self.reject)
        self._lay_out(browse)
        self.file.textChanged.connect(self._on_file)
        self.name.textChanged.connect(lambda _text: self._refresh())
        self._refresh()

    def _lay_out(self, browse: QPushButton) -> None:
        intro = QLabel(_INTRO)
        intro.setWordWrap(True)
        intro.setObjectName("dim")
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.file, 1)
        row.addWidget(browse)
        form = QFormLayout()
        form.setHorizontalSpacing(20)
        form.setVerticalSpacing(10)
        form.addRow("File", row)
        form.addRow("Name", self.name)
        form.addRow("Taxonomy", self.taxonomy)
        form.addRow("Crop", self.crop)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 16)
        column.setSpacing(14)
        column.addWidget(intro)
        column.addLayout(form)
        column.addWidget(self._bar)
        column.addWidget(self.message)
        column.addWidget(self._buttons)

    def arguments(self) -> list[str]:
        """The command line of the child."""
        arguments = ["models", "import", self.file.text().strip(), "--name", self.name.text().strip()]
        if self.taxonomy.text().strip():
            arguments += ["--taxonomy", self.taxonomy.text().strip()]
        if self.crop.currentData():
            arguments += ["--crop", str(self.crop.currentData())]
        return arguments

    def reject(self) -> None:
        """Stop the child and close."""
        if self._child is not None:
            self._child.end()
        super().reject()

    def _browse(self) -> None:
        kinds = "Checkpoints (*.pth *.pt *.tar *.safetensors);;All files (*)"
        path, _kind = QFileDialog.getOpenFileName(self, "Choose a checkpoint", "", kinds)
        if path:
            self.file.setText(path)

    def _on_file(self, path: str) -> None:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(path).stem).strip("-.")
        if path and not self.name.isModified():
            self.name.setText(stem[:64])
        self._refresh()

    def _refresh(self) -> None:
        ready = bool(self.file.text().strip() and self.name.text().strip())
        self.go.setEnabled(ready and self._child is None)

    def _start(self) -> None:
        self._child = ChildCommand(self.arguments(), self)
        self._child.finished.connect(self._on_finished)
        self._bar.show()
        self.message.setText("Reading the checkpoint…")
        self._refresh()
        self._child.start()

    def _on_finished(self, good: bool, message: str) -> None:
        self._child = None
        self._bar.hide()
        if good:
            self.imported = self.name.text().strip()
            self.accept()
            return
        self.message.setText(message)
        self._refresh()

"""What this program is, and where its parts come from."""

from __future__ import annotations

from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QVBoxLayout, QWidget

from mseg_studio import __version__

_TEXT = """Semantic segmentation of images and video in one label space of 194 classes, shown in any dataset's own.

The label space and its links to other datasets are those of MSeg (Lambert, Liu, Sener, Hays, Koltun, CVPR 2020),
its tables under CC BY 4.0. The program is under the MIT licence.

What leaves this machine: nothing."""


class AboutDialog(QDialog):
    """Name, version, sources."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("About MSeg Studio")
        title = QLabel(f"MSeg Studio {__version__}")
        title.setObjectName("title")
        text = QLabel(_TEXT.replace("\n\n", "\r").replace("\n", " ").replace("\r", "\n\n"))
        text.setWordWrap(True)
        text.setMinimumWidth(420)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 16)
        column.setSpacing(12)
        column.addWidget(title)
        column.addWidget(text)
        column.addWidget(buttons)

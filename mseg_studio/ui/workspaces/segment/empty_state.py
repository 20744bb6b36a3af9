"""What the canvas says while nothing is open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from mseg_studio.errors import printable
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.widgets import ElidedLabel

_RECENTS = 5


class EmptyState(QWidget):
    """Drop, open, or one of the recent files."""

    open_image = Signal()
    open_folder = Signal()
    open_camera = Signal()
    open_path = Signal(str)

    def __init__(self, theme: Theme, *, has_camera: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        title = QLabel("Open a picture to segment it")
        title.setObjectName("title")
        text = QLabel("Drop an image, a folder or a video here, or choose one.")
        text.setObjectName("dim")
        self._image = QPushButton("Image or video…")
        self._image.setObjectName("primary")
        self._folder = QPushButton("Folder…")
        self._camera = QPushButton("Camera")
        self._camera.setVisible(has_camera)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addStretch(1)
        for button in (self._image, self._folder, self._camera):
            row.addWidget(button)
        row.addStretch(1)
        self._recents = QVBoxLayout()
        self._recents.setSpacing(2)
        column = QVBoxLayout(self)
        column.setSpacing(10)
        column.addStretch(3)
        column.addWidget(title, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addWidget(text, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addSpacing(8)
        column.addLayout(row)
        column.addSpacing(14)
        column.addLayout(self._recents)
        column.addStretch(4)
        self._image.clicked.connect(self.open_image)
        self._folder.clicked.connect(self.open_folder)
        self._camera.clicked.connect(self.open_camera)
        theme.changed.connect(self.update)

    def show_recents(self, paths: Sequence[str]) -> None:
        """List the files opened lately."""
        while (item := self._recents.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        if paths:
            heading = ElidedLabel("Recent")
            heading.setObjectName("small")
            self._recents.addWidget(heading, 0, Qt.AlignmentFlag.AlignHCenter)
        for path in paths[:_RECENTS]:
            button = QPushButton(printable(Path(path).name or path))
            button.setObjectName("link")
            button.setToolTip(printable(path))
            button.setCursor(Qt.CursorShape.PointingHandCursor)
            button.clicked.connect(lambda _checked=False, path=path: self.open_path.emit(path))
            self._recents.addWidget(button, 0, Qt.AlignmentFlag.AlignHCenter)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The canvas' own tone, and the dashed frame of a place to drop."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(self._theme.tones.canvas))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        color = QColor(self._theme.tones.dim)
        color.setAlphaF(0.4)
        pen = QPen(color, 1.5)
        pen.setDashPattern([5, 4])
        painter.setPen(pen)
        painter.drawRoundedRect(self.rect().adjusted(24, 24, -24, -24), 12, 12)

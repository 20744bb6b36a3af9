"""The panels around the canvas: their headings, and the note about a model that knows only a part."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDockWidget, QFrame, QHBoxLayout, QLabel, QMainWindow, QPushButton, QVBoxLayout, QWidget

from mseg_studio.errors import printable
from mseg_studio.ui.services import ModelChoice
from mseg_studio.ui.widgets import Heading


class ModelNote(QFrame):
    """Says plainly that the model in use knows only a part, and how to get a published one."""

    def __init__(self, import_model: Callable[[], object]) -> None:
        super().__init__()
        self.setObjectName("note")
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setObjectName("small")
        link = QPushButton("Import a published MSeg checkpoint…")
        link.setObjectName("link")
        link.setCursor(Qt.CursorShape.PointingHandCursor)
        link.clicked.connect(lambda: import_model())
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 12, 10)
        column.setSpacing(3)
        column.addWidget(self._text)
        column.addWidget(link, 0, Qt.AlignmentFlag.AlignLeft)

    def show_model(self, model: ModelChoice | None) -> None:
        """Show the note for a model that knows only some classes, else hide it."""
        self.setVisible(model is not None and model.is_demo)
        if model is not None:
            what = "Demo model: street scenes," if model.bundled else f"{model.name} knows"
            self._text.setText(f"{what} {len(model.trained_classes)} of {model.num_classes} classes.")


def make_dock(window: QMainWindow, title: str, content: QWidget) -> QDockWidget:
    """A panel that can be moved to either side, with a heading in small capitals."""
    dock = QDockWidget(title, window)
    dock.setObjectName(title.lower())
    dock.setAllowedAreas(Qt.DockWidgetArea.LeftDockWidgetArea | Qt.DockWidgetArea.RightDockWidgetArea)
    bar = QWidget()
    bar.setObjectName("panel")
    bar.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
    row = QHBoxLayout(bar)
    row.setContentsMargins(12, 9, 8, 5)
    heading = Heading(title)
    heading.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
    row.addWidget(heading)
    dock.setTitleBarWidget(bar)
    dock.setWidget(content)
    return dock


def set_heading(dock: QDockWidget, text: str) -> None:
    """Change the heading of a panel."""
    heading = dock.titleBarWidget().findChild(Heading)
    if heading is not None:
        heading.setText(printable(text))

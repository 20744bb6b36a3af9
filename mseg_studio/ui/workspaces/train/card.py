"""A card of the charts page: title, views and newest values in its head, the drawing below."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from mseg_studio.ui.theme import Theme, sized
from mseg_studio.ui.widgets import ElidedLabel


class Card(QFrame):
    """Frame, title, views and values; `body` takes the drawing."""

    viewed = Signal(str)
    """Another view was chosen."""

    def __init__(self, theme: Theme, title: str, views: Sequence[tuple[str, str]] = ()) -> None:
        """`views` are (key, text): what the card can show instead of its first."""
        super().__init__()
        self.setObjectName("card")
        self._theme = theme
        self.title = QLabel(title)
        self.title.setFont(sized(self.font(), 13, bold=True))
        self.value = QLabel()
        self.note = ElidedLabel()
        self.note.setObjectName("small")
        self.note.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.views: dict[str, QPushButton] = {}
        self.head = QHBoxLayout()
        self.head.setSpacing(6)
        self.head.addWidget(self.title)
        for key, text in views:
            self.head.addWidget(self._view(key, text))
        self.head.addWidget(self.note, 1)
        self.head.addWidget(self.value)
        self.body = QVBoxLayout()
        self.body.setSpacing(2)
        column = QVBoxLayout(self)
        column.setContentsMargins(14, 9, 12, 8)
        column.setSpacing(6)
        column.addLayout(self.head)
        column.addLayout(self.body, 1)
        if views:
            self.choose(views[0][0])
        theme.changed.connect(self._restyle)
        self._restyle()

    def choose(self, key: str) -> None:
        """Show a view as chosen."""
        for name, button in self.views.items():
            button.setChecked(name == key)

    def show_value(self, value: str, note: str, *shorter: str) -> None:
        """The newest value, and what it is of; `shorter` where there is less room."""
        self.value.setText(value)
        self.note.setText(note, *shorter, "")  # a few letters of it would say nothing

    def add_tool(self, tool: QWidget) -> None:
        """Put a control into the head, before the values."""
        self.head.insertWidget(self.head.count() - 2, tool)

    def _view(self, key: str, text: str) -> QPushButton:
        button = QPushButton(text)
        button.setObjectName("view")
        button.setCheckable(True)
        button.setAccessibleName(f"{self.title.text()}: {text}")
        button.clicked.connect(lambda _checked=False: self._on_view(key))
        self.views[key] = button
        return button

    def _on_view(self, key: str) -> None:
        self.choose(key)
        self.viewed.emit(key)

    def _restyle(self) -> None:
        tones = self._theme.tones
        self.setStyleSheet(
            f"QFrame#card {{ background: {tones.panel}; border: 1px solid {tones.line}; border-radius: 8px; }}"
            f"QPushButton#view {{ background: transparent; border: 1px solid transparent; color: {tones.dim};"
            " padding: 0 6px; border-radius: 5px; font-size: 12px; min-height: 18px; }"
            f"QPushButton#view:hover {{ color: {tones.text}; }}"
            f"QPushButton#view:checked {{ color: {tones.text}; background: {tones.raised}; }}"
            "QPlainTextEdit { border: none; background: transparent; }"
            f"QPushButton#view:focus {{ border-color: {tones.accent}; }}"
        )

"""Errors and notes in words over the canvas, never a dialog: newest on top, closed by hand or when settled."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.segment.notice import Notice

_MOST = 3
_INFO_MS = 10_000
"""Good news goes away by itself."""


class MessageBar(QWidget):
    """Up to three notices."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._rows: list[_Row] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(1)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.hide()

    def take(self, notice: Notice) -> None:
        """Show a notice in place of the one about the same thing; an empty text only takes that one away."""
        for row in [row for row in self._rows if notice.about and row.notice.about == notice.about]:
            self._remove(row)
        if notice.text:
            row = _Row(notice, self._theme, self)
            row.closed.clicked.connect(lambda: self._remove(row))
            if notice.kind == "info":
                fade = QTimer(row, interval=_INFO_MS, singleShot=True)
                fade.timeout.connect(lambda: self._remove(row))
                fade.start()
            self._rows.insert(0, row)
            self._column.insertWidget(0, row)
            for old in self._rows[_MOST:]:
                self._remove(old)
        self.setVisible(bool(self._rows))

    @property
    def texts(self) -> tuple[str, ...]:
        """What is shown, newest first."""
        return tuple(row.notice.text for row in self._rows)

    def _remove(self, row: _Row) -> None:
        if row in self._rows:
            self._rows.remove(row)
            self._column.removeWidget(row)
            row.hide()
            row.deleteLater()
        self.setVisible(bool(self._rows))


class _Row(QFrame):
    def __init__(self, notice: Notice, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self.notice = notice
        self.setObjectName("message")
        self.setProperty("kind", notice.kind)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 4, 8, 4)
        row.setSpacing(9)
        icon = QLabel()
        icon.setPixmap(theme.icon("info" if notice.kind == "info" else "warning").pixmap(16, 16))
        row.addWidget(icon, 0, Qt.AlignmentFlag.AlignVCenter)
        text = QLabel(notice.text)
        text.setWordWrap(True)
        text.setTextFormat(Qt.TextFormat.PlainText)
        text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        text.setAccessibleName(f"{notice.kind}: {notice.text}")
        row.addWidget(text, 1)
        self.closed = QToolButton()
        self.closed.setObjectName("flat")
        self.closed.setIcon(theme.icon("close"))
        self.closed.setAccessibleName("Close this message")
        self.closed.setToolTip("Close")
        row.addWidget(self.closed, 0, Qt.AlignmentFlag.AlignVCenter)

"""The bar at the left of the window: one button a workspace, settings at the bottom."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QToolButton, QVBoxLayout, QWidget

from mseg_studio.ui.theme import Theme

_WIDTH_PX = 68
_ICON_PX = 20


class WorkspaceBar(QWidget):
    """Emits the name of the workspace whose button was pressed."""

    chosen = Signal(str)
    settings_clicked = Signal()

    def __init__(self, theme: Theme, workspaces: Sequence[tuple[str, str, str, str]]) -> None:
        """`workspaces` are (name, title, icon, key as text)."""
        super().__init__()
        self.setObjectName("workspaces")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedWidth(_WIDTH_PX)
        self._theme = theme
        self._icons: dict[QToolButton, str] = {}
        self._group = QButtonGroup(self)
        self.buttons: dict[str, QToolButton] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 6, 4, 8)
        column.setSpacing(4)
        for name, title, icon, key in workspaces:
            button = self._make(title, icon, f"{title} ({key})" if key else title)
            button.setCheckable(True)
            button.setAccessibleName(f"Workspace {title}")
            button.clicked.connect(lambda _checked=False, name=name: self.chosen.emit(name))
            self._group.addButton(button)
            self.buttons[name] = button
            column.addWidget(button)
        column.addStretch(1)
        settings = self._make("Settings", "settings", "Settings…")
        settings.clicked.connect(lambda: self.settings_clicked.emit())
        column.addWidget(settings)
        theme.changed.connect(self._retint)
        self._retint()

    def set_current(self, name: str) -> None:
        """Show which workspace is on screen; nothing is emitted."""
        self.buttons[name].setChecked(True)

    def _make(self, text: str, icon: str, tip: str) -> QToolButton:
        button = QToolButton()
        button.setObjectName("workspace")
        button.setText(text)
        button.setToolTip(tip)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        button.setIconSize(QSize(_ICON_PX, _ICON_PX))
        button.setFixedSize(_WIDTH_PX - 8, 54)
        self._icons[button] = icon
        return button

    def _retint(self) -> None:
        for button, icon in self._icons.items():
            button.setIcon(self._theme.icon(icon, _ICON_PX))

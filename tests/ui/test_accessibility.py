"""Everything can be reached and named without a mouse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QAbstractItemView, QComboBox, QLineEdit, QSlider, QWidget

from mseg_studio.ui.canvas.canvas import Canvas
from mseg_studio.ui.workspaces.segment.transport_bar import Timeline

KINDS = (QAbstractButton, QAbstractItemView, QComboBox, QLineEdit, QSlider, Canvas, Timeline)


def controls(window: QWidget) -> list[QWidget]:
    found = [w for kind in KINDS for w in window.findChildren(kind) if w.isVisible()]
    return [w for w in found if not w.objectName().startswith("qt_")]


def test_every_control_has_a_name(open_window: Any) -> None:
    window = open_window("clip.mp4")
    nameless = []
    for widget in controls(window):
        text = widget.text() if isinstance(widget, QAbstractButton) else ""
        inside = isinstance(widget.parent(), QLineEdit)  # the clear button of a field
        if not (widget.accessibleName() or text.strip() or inside):
            nameless.append(f"{type(widget).__name__} in {type(widget.parent()).__name__}")
    assert nameless == []


def test_tab_reaches_every_control(open_window: Any, folder: Path) -> None:
    window = open_window(folder)
    reached: set[QWidget] = set()
    widget = window.workspace.canvas
    for _ in range(300):
        widget = widget.nextInFocusChain()
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
            reached.add(widget)
    missing = [
        w for w in controls(window) if w not in reached and w.isEnabled() and not isinstance(w.parent(), QLineEdit)
    ]
    assert [f"{type(w).__name__} {w.accessibleName()}" for w in missing] == []


def test_rows_say_what_they_show(open_window: Any, folder: Path, qtbot: Any) -> None:
    window = open_window(folder)
    role = Qt.ItemDataRole.AccessibleTextRole
    classes, files = window.workspace.classes.classes, window.workspace.files.files
    assert classes.index(0).data(role).startswith("road, id 3, ") and classes.index(0).data(role).endswith("shown")
    qtbot.waitUntil(lambda: "unreadable" in files.index(1).data(role))
    assert files.index(0).data(role) == "a.png predicted"

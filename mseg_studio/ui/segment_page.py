"""The Segment workspace as a page of the window: its bar, its docks, its held keys, its words for the status bar.

A main window within the window: docks and bar come and go with it, so leaving the workspace changes none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QSettings, Qt
from PySide6.QtGui import QHideEvent, QKeyEvent, QShowEvent
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QDockWidget,
    QLineEdit,
    QMainWindow,
    QPlainTextEdit,
    QTextEdit,
    QToolBar,
    QVBoxLayout,
    QWidget,
)

from mseg_studio.errors import printable
from mseg_studio.ui.docks import ModelNote, make_dock, set_heading
from mseg_studio.ui.workspaces.segment.session import Session
from mseg_studio.ui.workspaces.segment.workspace import SegmentWorkspace

_LAYOUT = 2
"""Number of the dock layout: a remembered one of another number is not restored."""
_WIDTHS_PX = (240, 330)
"""Of files and classes."""
_TEXT_FIELDS = (QLineEdit, QAbstractSpinBox, QTextEdit, QPlainTextEdit)


class SegmentPage(QMainWindow):
    """Places the parts of a SegmentWorkspace."""

    def __init__(self, workspace: SegmentWorkspace, import_model: Callable[[], object]) -> None:
        super().__init__()
        self.workspace = workspace
        self.setWindowFlags(Qt.WindowType.Widget)
        self._note = ModelNote(import_model)
        self.docks = self._place()
        self._laid_out = False
        self._floating: list[QDockWidget] = []
        workspace.classes.counted.connect(lambda text: set_heading(self.docks["classes"], text))

    @property
    def session(self) -> Session:
        """What is open, chosen and shown."""
        return self.workspace.session

    def _place(self) -> dict[str, QDockWidget]:
        bar = QToolBar("Controls", self)
        bar.setObjectName("controls_bar")
        bar.setMovable(False)
        bar.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        bar.addWidget(self.workspace.controls)
        self.addToolBar(Qt.ToolBarArea.TopToolBarArea, bar)
        self.setCentralWidget(self.workspace.centre)
        self.setDockNestingEnabled(True)
        pixel = QWidget()
        pixel.setObjectName("panel")
        column = QVBoxLayout(pixel)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.workspace.probe, 1)
        column.addWidget(self._note)
        docks = {
            "files": make_dock(self, "Files", self.workspace.files),
            "classes": make_dock(self, "Classes", self.workspace.classes),
            "pixel": make_dock(self, "Pixel", pixel),
        }
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, docks["files"])
        self.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, docks["classes"])
        self.splitDockWidget(docks["classes"], docks["pixel"], Qt.Orientation.Vertical)
        self.resizeDocks([docks["files"], docks["classes"]], list(_WIDTHS_PX), Qt.Orientation.Horizontal)
        docks["files"].hide()
        return docks

    # -- what it shows -------------------------------------------------------------------------------------------

    def show_files(self) -> None:
        """The dock of files for what is open now: there when there are several."""
        opened = self.session.source
        if opened is not None:
            self.docks["files"].setVisible(len(opened.items) > 1)
            set_heading(self.docks["files"], f"{Path(opened.path).name} · {len(opened.items):,}")

    def refresh(self) -> None:
        """Bring the note about the model up to date."""
        self._note.show_model(self.workspace.model())

    def facts(self) -> list[str]:
        """What the status bar says of the frame on screen."""
        session = self.session
        if session.source is None or session.shown is None:
            return ["Ready"] if session.source is None else []
        key = session.key_of(session.at)
        place = f" · {session.at + 1} / {session.source.count}" if session.source.count > 1 else ""
        facts = [printable(Path(key.path).name) + place]
        frame = session.shown.frame
        facts.append(f"{frame.width} × {frame.height}")
        facts.append(f"{100 * self.workspace.canvas.device_scale:.0f} %")
        if session.result is not None:
            recipe = session.result.sidecar.get("recipe", {})
            base, crop = recipe.get("base_size"), recipe.get("crop_px")
            sizes = f" · base {base} · crop {crop}" if base and crop else ""
            exact = "" if session.result.choice.recipe != "live" else " · approximate"
            facts.append(session.result.choice.recipe + sizes + exact)
            share = session.result.sidecar.get("certified_share")
            if isinstance(share, float) and share < 1:
                facts.append(f"{100 * share:.1f} % certified")
        return facts

    def find_class(self) -> None:
        """Put the keys into the search of the class list."""
        self.docks["classes"].show()
        self.workspace.classes.focus_search()

    # -- keys that are held --------------------------------------------------------------------------------------

    def hold_key(self, watched: QObject, event: QEvent) -> bool:
        """Hold ` for the bare image, hold Space over the canvas to pan; not while somebody types.

        For an event filter of the application; whether the event ends here.
        """
        if not isinstance(event, QKeyEvent):
            return False
        if not isinstance(watched, QWidget) or watched.window() is not self.window() or event.modifiers():
            return False
        if not self.isVisible() or isinstance(QApplication.focusWidget(), _TEXT_FIELDS):
            return False
        canvas, pressed = self.workspace.canvas, event.type() == QEvent.Type.KeyPress
        if event.key() == Qt.Key.Key_QuoteLeft:
            if not event.isAutoRepeat():
                canvas.set_bare(pressed)
            return True
        if event.key() == Qt.Key.Key_Space and (canvas.hasFocus() or self.workspace.centre.hasFocus()):
            if not event.isAutoRepeat():
                canvas.set_pan_key(pressed)
            return True
        return False

    # -- coming and going ----------------------------------------------------------------------------------------

    def remember_layout(self, store: QSettings) -> None:
        """Keep where the docks are, those that float and went with the page included."""
        for dock in self._floating:
            dock.show()
        store.setValue("state", self.saveState(_LAYOUT))
        for dock in self._floating:
            dock.hide()

    def restore_layout(self, store: QSettings) -> None:
        """Place the docks as they were last time, if there was one."""
        state = store.value("state")
        if state is not None and self.restoreState(state, _LAYOUT):
            self._laid_out = True
            self.docks["files"].hide()

    def showEvent(self, event: QShowEvent) -> None:
        """The first time, give the pixel panel the height of both its lists, or half; the classes have the rest."""
        super().showEvent(event)
        for dock in self._floating:
            dock.show()
        self._floating = []
        if not self._laid_out:
            self._laid_out = True
            docks = [self.docks["classes"], self.docks["pixel"]]
            height = self.window().height() - 100
            pixel = min(385, height * 11 // 20)
            self.resizeDocks(docks, [height - pixel, pixel], Qt.Orientation.Vertical)
            self.resizeDocks([self.docks["files"], docks[0]], list(_WIDTHS_PX), Qt.Orientation.Horizontal)

    def hideEvent(self, event: QHideEvent) -> None:
        """Docks that float are windows of their own: they go and come back with the page."""
        super().hideEvent(event)
        if not event.spontaneous():  # the window is not merely minimised
            self._floating = [dock for dock in self.docks.values() if dock.isFloating() and dock.isVisible()]
            for dock in self._floating:
                dock.hide()
        self.workspace.canvas.set_bare(False)
        self.workspace.canvas.set_pan_key(False)

"""The window: places the workspace's parts as docks, carries the actions, remembers its layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QSettings, Qt
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QKeyEvent, QShowEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QDockWidget,
    QFileDialog,
    QLineEdit,
    QMainWindow,
    QMenu,
    QPlainTextEdit,
    QTextEdit,
    QToolBar,
    QVBoxLayout,
    QWidget,
)

from mseg_studio.errors import MSegStudioError, printable
from mseg_studio.inference.recipe import PRESETS
from mseg_studio.media.image import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_image_path
from mseg_studio.settings import AppSettings, save_settings, user_folder
from mseg_studio.ui.actions import ACTIONS, Actions
from mseg_studio.ui.dialogs.about import AboutDialog
from mseg_studio.ui.dialogs.command_palette import CommandPalette
from mseg_studio.ui.dialogs.export import ExportDialog
from mseg_studio.ui.dialogs.import_model import ImportModelDialog
from mseg_studio.ui.dialogs.keys import KeysDialog
from mseg_studio.ui.dialogs.settings import SettingsDialog
from mseg_studio.ui.docks import ModelNote, make_dock, set_heading
from mseg_studio.ui.services import Services
from mseg_studio.ui.status import StatusLine
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.segment.notice import Notice
from mseg_studio.ui.workspaces.segment.session import Session
from mseg_studio.ui.workspaces.segment.workspace import SegmentWorkspace

_LAYOUT = 1
"""Number of the dock layout: a remembered one of another number is not restored."""
_RECENTS = 12
_TEXT_FIELDS = (QLineEdit, QAbstractSpinBox, QTextEdit, QPlainTextEdit)


class MainWindow(QMainWindow):
    """One window with the Segment workspace."""

    def __init__(
        self, services: Services, session: Session, theme: Theme, settings: AppSettings, *, remember: bool = True
    ) -> None:
        """`remember` restores the layout of last time and keeps this one."""
        super().__init__()
        self.setWindowTitle("MSeg Studio")
        self.setAcceptDrops(True)
        self.setMinimumSize(900, 560)
        self._services, self._theme, self.settings, self._remember = services, theme, settings, remember
        self.session = session
        session.setParent(self)  # it ends with the window: late answers of the workers then reach nobody
        self._open_menu = QMenu(self)
        self.workspace = SegmentWorkspace(services, session, theme, self._open_menu, opacity=settings.opacity)
        self.actions_table = Actions(self, theme, self._handlers(), without=self._senseless())
        self._status = StatusLine(self)
        self.docks = self._place()
        self.setStatusBar(self._status)
        self.actions_table.fill(self.menuBar(), {"View": self._add_docks})
        self._open_menu.aboutToShow.connect(self._fill_open_menu)
        self._fill_open_menu()
        self._connect()
        application = QApplication.instance()
        if application is not None:
            application.installEventFilter(self)
        self._laid_out = remember and self._restore_layout()
        for button in self.findChildren(QAbstractButton):
            # A click leaves the keys with the canvas; Tab still reaches every button.
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.workspace.canvas.setFocus()
        self._refresh()

    # -- building ------------------------------------------------------------------------------------------------

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
        self._note = ModelNote(self._import_model)
        column.addWidget(self._note)
        docks = {
            "files": make_dock(self, "Files", self.workspace.files),
            "classes": make_dock(self, "Classes", self.workspace.classes),
            "pixel": make_dock(self, "Pixel", pixel),
        }
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, docks["files"])
        self.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, docks["classes"])
        self.splitDockWidget(docks["classes"], docks["pixel"], Qt.Orientation.Vertical)
        self.resizeDocks([docks["files"], docks["classes"]], [240, 330], Qt.Orientation.Horizontal)
        docks["files"].hide()
        return docks

    def _connect(self) -> None:
        workspace = self.workspace
        workspace.state_changed.connect(self._refresh)
        workspace.controls.export_clicked.connect(self._export)
        workspace.empty.open_image.connect(self._open_image)
        workspace.empty.open_folder.connect(self._open_folder)
        workspace.empty.open_camera.connect(self._open_camera)
        workspace.empty.open_path.connect(self.open_path)
        workspace.classes.counted.connect(lambda text: set_heading(self.docks["classes"], text))
        self.session.source_changed.connect(self._on_source)
        self._status.cancel_clicked.connect(workspace.cancel)
        workspace.empty.show_recents(self.settings.recent)

    def _handlers(self) -> dict[str, Callable[[], object]]:
        workspace, session, canvas = self.workspace, self.session, self.workspace.canvas
        return {
            "open_image": self._open_image,
            "open_folder": self._open_folder,
            "open_camera": self._open_camera,
            "export": self._export,
            "import_model": self._import_model,
            "settings": self._settings,
            "quit": self.close,
            "run": session.run,
            "run_all": workspace.run_all,
            "cancel": workspace.cancel,
            "live": lambda: session.choose(recipe="live"),
            "fast": lambda: session.choose(recipe="fast"),
            "balanced": lambda: session.choose(recipe="balanced"),
            "paper": lambda: session.choose(recipe="paper"),
            "next": lambda: workspace.step(1),
            "previous": lambda: workspace.step(-1),
            "play": workspace.player.toggle,
            "step_forward": lambda: workspace.step(1),
            "step_back": lambda: workspace.step(-1),
            "fit": canvas.fit,
            "actual_size": canvas.actual_size,
            "zoom_in": canvas.zoom_in,
            "zoom_out": canvas.zoom_out,
            "labels": workspace.toggle_labels,
            "contours": workspace.toggle_contours,
            **{name: button.click for name, button in workspace.layers.measures.items()},
            "opacity_up": lambda: workspace.display.nudge_opacity(0.1),
            "opacity_down": lambda: workspace.display.nudge_opacity(-0.1),
            "show_all_classes": workspace.classes.show_all,
            "find_class": self._find_class,
            "full_screen": self._full_screen,
            "palette": self._palette,
            "keys": lambda: KeysDialog(self).exec(),
            "about": lambda: AboutDialog(self).exec(),
        }

    def _senseless(self) -> frozenset[str]:
        return frozenset() if self._services.cameras() else frozenset({"open_camera"})

    def _add_docks(self, menu: QMenu) -> None:
        menu.addSeparator()
        for dock in self.docks.values():
            menu.addAction(dock.toggleViewAction())

    # -- opening -------------------------------------------------------------------------------------------------

    def open_path(self, path: str) -> None:
        """Open an image, a folder, a video or `camera:0`."""
        self.session.open(path if path.startswith("camera:") else str(Path(path).absolute()))

    def _open_image(self) -> None:
        suffixes = " ".join(f"*{suffix}" for suffix in sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))
        kinds = f"Images and videos ({suffixes});;All files (*)"
        paths, _kind = QFileDialog.getOpenFileNames(self, "Open", self._last_folder(), kinds)
        self._open_paths(paths)

    def _open_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a folder of images", self._last_folder())
        self._open_paths([path] if path else [])

    def _open_camera(self) -> None:
        cameras = self._services.cameras()
        if cameras:
            self.open_path(cameras[0])

    def _open_paths(self, paths: list[str]) -> None:
        images = tuple(path for path in paths if is_image_path(path))
        if len(images) > 1 and len(images) == len(paths):
            self.session.open_images(images)
        elif paths:
            self.open_path(paths[0])
            if len(paths) > 1:
                text = "Several things were given: only images can be opened together, so the first was opened."
                self.session.notice.emit(Notice(text, "warning", "drop"))

    def _fill_open_menu(self) -> None:
        menu = self._open_menu
        menu.clear()
        for spec in ACTIONS:
            if spec.id in self.actions_table.by_id and spec.id.startswith("open_"):
                menu.addAction(self.actions_table[spec.id])
        if self.settings.recent:
            menu.addSeparator()
            for path in self.settings.recent:
                action = menu.addAction(printable(Path(path).name or path))
                action.setToolTip(printable(path))
                action.triggered.connect(lambda _checked=False, path=path: self.open_path(path))

    def _on_source(self, source: object) -> None:
        opened = self.session.source
        if opened is None:
            return
        self.docks["files"].setVisible(len(opened.items) > 1)
        set_heading(self.docks["files"], f"{Path(opened.path).name} · {len(opened.items):,}")
        self.setWindowTitle(f"{printable(Path(opened.path).name)} – MSeg Studio")
        if opened.kind != "camera":
            recent = (opened.path, *(path for path in self.settings.recent if path != opened.path))[:_RECENTS]
            self._change_settings(replace(self.settings, recent=recent))

    def _last_folder(self) -> str:
        return str(Path(self.settings.recent[0]).parent) if self.settings.recent else ""

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files are welcome."""
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped."""
        self._open_paths([url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()])
        event.acceptProposedAction()

    # -- dialogs -------------------------------------------------------------------------------------------------

    def _export(self) -> None:
        if self.session.result is not None:
            ExportDialog(self.session, self, opacity=self.workspace.display.opacity).exec()

    def _import_model(self) -> None:
        dialog = ImportModelDialog(self)
        if dialog.exec():
            self.workspace.refresh_models()
            self.session.choose(model=dialog.imported)
            self._refresh()

    def _settings(self) -> None:
        dialog = SettingsDialog(self.settings, [model.name for model in self.workspace.models], self)
        if dialog.exec():
            new = dialog.settings()
            self._theme.set_scheme(new.theme)
            self.session.runs.device = new.device
            self.session.choose(engine=new.engine, precision=new.precision)
            if new.threads != self.settings.threads:
                text = "The number of threads is used from the next start of the program."
                self.session.notice.emit(Notice(text, "info", "settings"))
            self._change_settings(new)

    def _palette(self) -> None:
        CommandPalette(self.actions_table, self).exec()

    def _find_class(self) -> None:
        self.docks["classes"].show()
        self.workspace.classes.focus_search()

    def _full_screen(self) -> None:
        self.setWindowState(self.windowState() ^ Qt.WindowState.WindowFullScreen)

    def _change_settings(self, settings: AppSettings) -> None:
        self.settings = settings
        if not self._remember:
            return
        try:
            save_settings(settings)
        except (OSError, MSegStudioError) as error:
            self.session.notice.emit(Notice(f"The settings cannot be saved: {error}", "warning", "settings"))

    # -- keys that are held, state, end --------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Hold ` for the bare image, hold Space over the canvas to pan; not while somebody types."""
        if event.type() not in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease) or not isinstance(event, QKeyEvent):
            return False
        if not isinstance(watched, QWidget) or watched.window() is not self or event.modifiers():
            return False
        if isinstance(QApplication.focusWidget(), _TEXT_FIELDS):
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

    def _refresh(self) -> None:
        table, workspace, choice = self.actions_table, self.workspace, self.session.choice
        table.set_available(workspace.available())
        for recipe in PRESETS:
            table[recipe].setChecked(choice.recipe == recipe)
        for measure, button in workspace.layers.measures.items():
            table[measure].setChecked(button.isChecked())
            table[measure].setEnabled(button.isEnabled() and self.session.result is not None)
        table["labels"].setChecked(workspace.layers.labels.isChecked())
        table["contours"].setChecked(workspace.layers.contours.isChecked())
        table["full_screen"].setChecked(self.isFullScreen())
        self._note.show_model(workspace.model())
        self._status.show_progress(workspace.progress)
        self._status.show_facts(self._facts())

    def _facts(self) -> list[str]:
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

    def _restore_layout(self) -> bool:
        """Place window and docks as they were last time; whether there was one."""
        store = layout_store()
        geometry, state = store.value("geometry"), store.value("state")
        if geometry is not None:
            self.restoreGeometry(geometry)
        if state is None or not self.restoreState(state, _LAYOUT):
            return False
        self.docks["files"].hide()
        return True

    def showEvent(self, event: QShowEvent) -> None:
        """The first time, give the pixel panel the height of both its lists, or half, and the classes the rest."""
        super().showEvent(event)
        if not self._laid_out:
            self._laid_out = True
            docks = [self.docks["classes"], self.docks["pixel"]]
            pixel = min(385, (self.height() - 100) * 11 // 20)
            self.resizeDocks(docks, [self.height() - 100 - pixel, pixel], Qt.Orientation.Vertical)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember the layout; stop what runs."""
        if self._remember:
            store = layout_store()
            store.setValue("geometry", self.saveGeometry())
            store.setValue("state", self.saveState(_LAYOUT))
            self._change_settings(replace(self.settings, opacity=self.workspace.display.opacity))
        application = QApplication.instance()
        if application is not None:
            application.removeEventFilter(self)
        self.workspace.cancel()
        event.accept()


def layout_store() -> QSettings:
    """Where the places of docks and window are kept: beside the settings file."""
    return QSettings(str(user_folder("config") / "layout.ini"), QSettings.Format.IniFormat)

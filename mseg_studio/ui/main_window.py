"""The window: a bar of workspaces, the page of one of them, the actions; remembers how it was left."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QDockWidget,
    QHBoxLayout,
    QMainWindow,
    QMenu,
    QMessageBox,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from mseg_studio.errors import MSegStudioError, printable
from mseg_studio.inference.recipe import PRESETS
from mseg_studio.settings import AppSettings, save_settings
from mseg_studio.ui.actions import ACTIONS, Actions, key_of
from mseg_studio.ui.dialogs.about import AboutDialog
from mseg_studio.ui.dialogs.command_palette import CommandPalette
from mseg_studio.ui.dialogs.export import ExportDialog
from mseg_studio.ui.dialogs.import_model import ImportModelDialog
from mseg_studio.ui.dialogs.keys import KeysDialog
from mseg_studio.ui.dialogs.settings import SettingsDialog
from mseg_studio.ui.fine_tune import fine_tune
from mseg_studio.ui.held_keys import HeldKeys
from mseg_studio.ui.layout_store import layout_store
from mseg_studio.ui.opening import Opening
from mseg_studio.ui.pages import SEGMENT, WORKSPACES
from mseg_studio.ui.segment_page import SegmentPage
from mseg_studio.ui.services import Services
from mseg_studio.ui.status import StatusLine
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspace_bar import WorkspaceBar
from mseg_studio.ui.workspaces.page import WorkspacePage
from mseg_studio.ui.workspaces.segment.message_bar import MessageBar
from mseg_studio.ui.workspaces.segment.notice import Notice
from mseg_studio.ui.workspaces.segment.session import Session
from mseg_studio.ui.workspaces.segment.workspace import SegmentWorkspace

_RECENTS = 12


class MainWindow(QMainWindow):
    """One window, several workspaces, of which Segment is always there."""

    def __init__(
        self, services: Services, session: Session, theme: Theme, settings: AppSettings, *, remember: bool = True
    ) -> None:
        """`remember` restores the layout of last time and keeps this one."""
        super().__init__()
        self.setWindowTitle("MSeg Studio")
        self.setAcceptDrops(True)
        self.setMinimumSize(900, 560)
        self.services, self.theme, self.settings, self.remember = services, theme, settings, remember
        self.session = session
        session.setParent(self)  # it ends with the window: late answers of the workers then reach nobody
        self._open_menu = QMenu(self)
        self._opening = Opening(
            self, services, session, arrive=lambda: self.show_workspace(SEGMENT), recent=lambda: self.settings.recent
        )
        self.workspace = SegmentWorkspace(services, session, theme, self._open_menu, opacity=settings.opacity)
        self.segment_page = SegmentPage(self.workspace, self._import_model)
        self.actions_table = Actions(self, theme, self._handlers(), without=self._senseless())
        self._status = StatusLine(self)
        self._pages: dict[str, QWidget] = {SEGMENT: self.segment_page}
        self.current = SEGMENT
        """Name of the workspace on screen."""
        self._place()
        self.actions_table.fill(self.menuBar(), {"View": self._add_docks})
        self._open_menu.aboutToShow.connect(self._fill_open_menu)
        self._fill_open_menu()
        self._connect()
        self._held = HeldKeys(self.segment_page.hold_key, self)
        self._held.listen(True)
        _leave_keys_alone(self)
        self.workspace.centre.setFocus()
        if remember:
            self._restore_layout()
        self._refresh()

    @property
    def docks(self) -> dict[str, QDockWidget]:
        """The docks of the Segment workspace."""
        return self.segment_page.docks

    # -- building ------------------------------------------------------------------------------------------------

    def _place(self) -> None:
        rows = [(spec.name, spec.title, spec.icon, key_of(spec.action)) for spec in WORKSPACES]
        self.workspace_bar = WorkspaceBar(self.theme, rows)
        self._stack = QStackedWidget()
        self._stack.addWidget(self.segment_page)
        whole = QWidget()
        row = QHBoxLayout(whole)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.workspace_bar)
        row.addWidget(self._stack, 1)
        self.setCentralWidget(whole)
        self.setStatusBar(self._status)
        self.workspace_bar.set_current(SEGMENT)

    def _connect(self) -> None:
        workspace = self.workspace
        workspace.state_changed.connect(self._refresh)
        workspace.controls.export_clicked.connect(self._export)
        workspace.empty.open_image.connect(self._opening.ask_image)
        workspace.empty.open_folder.connect(self._opening.ask_folder)
        workspace.empty.open_camera.connect(self._opening.open_camera)
        workspace.empty.open_path.connect(self.open_path)
        workspace.files.fine_tune_asked.connect(functools.partial(fine_tune, self))
        self.workspace_bar.chosen.connect(self.show_workspace)
        self.workspace_bar.settings_clicked.connect(self._settings)
        self.session.source_changed.connect(self._on_source)
        self._status.cancel_clicked.connect(workspace.cancel)
        self._status.aside_clicked.connect(self._on_aside)
        workspace.empty.show_recents(self.settings.recent)

    def _handlers(self) -> dict[str, Callable[[], object]]:
        workspace, session, canvas = self.workspace, self.session, self.workspace.canvas
        return {
            "open_image": self._opening.ask_image,
            "open_folder": self._opening.ask_folder,
            "open_camera": self._opening.open_camera,
            "export": self._export,
            "import_model": self._import_model,
            "settings": self._settings,
            "quit": lambda: self._may_close() and self.close(),
            "run": session.run,
            "run_all": workspace.run_all,
            "cancel": workspace.cancel,
            "fine_tune": functools.partial(fine_tune, self),
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
            **{spec.action: functools.partial(self.show_workspace, spec.name) for spec in WORKSPACES},
            "full_screen": self._full_screen,
            "palette": self._palette,
            "keys": lambda: KeysDialog(self).exec(),
            "about": lambda: AboutDialog(self).exec(),
        }

    def _senseless(self) -> frozenset[str]:
        rows = {spec.action for spec in WORKSPACES}
        missing = {spec.id for spec in ACTIONS if spec.id.startswith("show_workspace_") and spec.id not in rows}
        return frozenset(missing) if self.services.cameras() else frozenset({"open_camera", *missing})

    def _add_docks(self, menu: QMenu) -> None:
        menu.addSeparator()
        for dock in self.docks.values():
            menu.addAction(dock.toggleViewAction())

    # -- workspaces ----------------------------------------------------------------------------------------------

    def page(self, name: str) -> QWidget:
        """The page of a workspace, made now when it has never been visited. Raises ValueError: there is none."""
        if name not in self._pages:
            make = next((spec.make for spec in WORKSPACES if spec.name == name), None)
            if make is None:
                raise ValueError(f"there is no workspace '{name}'")
            self._held.listen(False)
            page = make(self)
            _leave_keys_alone(page)
            self._stack.addWidget(_under_messages(page, self.theme))
            self._held.listen(self.current == SEGMENT)
            if isinstance(page, WorkspacePage):
                page.facts_changed.connect(self._refresh)
            self._pages[name] = page
        return self._pages[name]

    def show_workspace(self, name: str) -> None:
        """Bring a workspace on screen; the one that was there stays as it is. Raises ValueError: there is none."""
        page = self.page(name)
        self.workspace_bar.set_current(name)
        if name == self.current:
            return
        self.current = name
        self._held.listen(name == SEGMENT)
        self.workspace.player.stop()
        last = page.focusWidget() or page
        self._stack.setCurrentIndex(list(self._pages).index(name))
        last.setFocus()
        self._refresh()

    def show_pixels(self, taxonomy: str, class_name: str) -> None:
        """Show where a class is on the open image."""
        self.show_workspace(SEGMENT)
        self.workspace.show_class(taxonomy, class_name)

    def show_difference(self) -> None:
        """Paint where projecting and mapping the labels of the open image disagree."""
        self.show_workspace(SEGMENT)
        self.workspace.show_difference()

    def show_output(self, taxonomy: str) -> None:
        """Show the open image in an output taxonomy."""
        self.session.choose(target=taxonomy)
        self.show_workspace(SEGMENT)

    def _on_aside(self) -> None:
        page = self._pages[self.current]
        if isinstance(page, WorkspacePage):
            page.on_aside()

    # -- opening -------------------------------------------------------------------------------------------------

    def open_path(self, path: str) -> None:
        """Open an image, a folder, a video or `camera:0`, in Segment."""
        self._opening.open_path(path)

    def _fill_open_menu(self) -> None:
        table = self.actions_table
        opening = [table[spec.id] for spec in table.specs if spec.id.startswith("open_")]
        self._opening.fill_menu(self._open_menu, opening)

    def _on_source(self, source: object) -> None:
        opened = self.session.source
        if opened is None:
            return
        self.segment_page.show_files()
        self.setWindowTitle(f"{printable(Path(opened.path).name)} – MSeg Studio")
        if opened.kind != "camera":
            recent = (opened.path, *(path for path in self.settings.recent if path != opened.path))[:_RECENTS]
            self._change_settings(replace(self.settings, recent=recent))

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files are welcome."""
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped."""
        self._opening.open_urls(event.mimeData().urls())
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
            self.theme.set_scheme(new.theme)
            self.session.runs.device = new.device
            self.session.choose(engine=new.engine, precision=new.precision)
            if new.threads != self.settings.threads:
                text = "The number of threads is used from the next start of the program."
                self.session.notice.emit(Notice(text, "info", "settings"))
            self._change_settings(new)

    def _palette(self) -> None:
        CommandPalette(self.actions_table, self).exec()

    def _find_class(self) -> None:
        page = self._pages[self.current]
        if isinstance(page, WorkspacePage):
            page.focus_search()
        else:
            self.segment_page.find_class()

    def _full_screen(self) -> None:
        self.setWindowState(self.windowState() ^ Qt.WindowState.WindowFullScreen)

    def _change_settings(self, settings: AppSettings) -> None:
        self.settings = settings
        if not self.remember:
            return
        try:
            save_settings(settings)
        except (OSError, MSegStudioError) as error:
            self.session.notice.emit(Notice(f"The settings cannot be saved: {error}", "warning", "settings"))

    # -- state, end ----------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        table, workspace, choice = self.actions_table, self.workspace, self.session.choice
        page, segment = self._pages[self.current], self.current == SEGMENT
        there = workspace.available()
        table.set_available(there | {SEGMENT} if segment else there & {"camera"})
        for recipe in PRESETS:
            table[recipe].setChecked(choice.recipe == recipe)
        for measure, button in workspace.layers.measures.items():
            table[measure].setChecked(button.isChecked())
            table[measure].setEnabled(segment and button.isEnabled() and self.session.result is not None)
        for dock in self.docks.values():
            dock.toggleViewAction().setEnabled(segment)
        table["labels"].setChecked(workspace.layers.labels.isChecked())
        table["contours"].setChecked(workspace.layers.contours.isChecked())
        table["full_screen"].setChecked(self.isFullScreen())
        self.segment_page.refresh()
        self._status.show_progress(workspace.progress)
        other = page if isinstance(page, WorkspacePage) else None
        self._status.show_facts(self.segment_page.facts() if segment else other.facts() if other else [])
        self._status.show_aside(other.aside() if other else "")

    def _restore_layout(self) -> None:
        """Place window and docks as they were last time, and show the workspace that was shown."""
        store = layout_store()
        geometry = store.value("geometry")
        if geometry is not None:
            self.restoreGeometry(geometry)
        self.segment_page.restore_layout(store)
        last = store.value("workspace")
        if last in {spec.name for spec in WORKSPACES}:
            self.show_workspace(str(last))

    def _may_close(self) -> bool:
        """Whether nothing is lost, or the person does not mind."""
        for name, page in self._pages.items():
            lost = page.unsaved() if isinstance(page, WorkspacePage) else ""
            if lost:
                self.show_workspace(name)
                buttons = QMessageBox.StandardButton
                answer = QMessageBox.question(self, "Close", lost, buttons.Discard | buttons.Cancel, buttons.Cancel)
                if answer != buttons.Discard:
                    return False
        return True

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember the layout; stop what runs. Unsaved work of a workspace is asked about when a person closes."""
        if event.spontaneous() and not self._may_close():
            event.ignore()
            return
        if self.remember:
            store = layout_store()
            store.setValue("geometry", self.saveGeometry())
            store.setValue("workspace", self.current)
            self.segment_page.remember_layout(store)
            self._change_settings(replace(self.settings, opacity=self.workspace.display.opacity))
        self._held.listen(False)
        self.workspace.cancel()
        event.accept()


def _leave_keys_alone(page: QWidget) -> None:
    """A click on a button leaves the keys with the canvas or the table; Tab still reaches every button."""
    for button in page.findChildren(QAbstractButton):
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)


def _under_messages(page: QWidget, theme: Theme) -> QWidget:
    """The page with a bar over it that shows its notices."""
    whole = QWidget()
    messages = MessageBar(theme)
    column = QVBoxLayout(whole)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(0)
    column.addWidget(messages)
    column.addWidget(page, 1)
    if isinstance(page, WorkspacePage):
        page.notice.connect(messages.take)
    return whole

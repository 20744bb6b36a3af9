"""The Train workspace: the list of runs at the left, the chosen run or the form of a new one beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QSettings, Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication, QHideEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QFileDialog, QMessageBox, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from mseg_studio.errors import MSegStudioError, printable
from mseg_studio.storage import write_atomic
from mseg_studio.training.devices import Device, devices_here
from mseg_studio.training.run_state import RunState
from mseg_studio.ui.bridges import in_background
from mseg_studio.ui.services import Services
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.page import WorkspacePage
from mseg_studio.ui.workspaces.segment.notice import Notice
from mseg_studio.ui.workspaces.train.chart_files import picture_of, save_numbers
from mseg_studio.ui.workspaces.train.compare_dialog import CompareDialog
from mseg_studio.ui.workspaces.train.empty_page import EmptyPage
from mseg_studio.ui.workspaces.train.run_actions import RunActions, command_line
from mseg_studio.ui.workspaces.train.run_list import WIDTH_PX, RunList
from mseg_studio.ui.workspaces.train.run_page import RunPage
from mseg_studio.ui.workspaces.train.run_reader import RunLook
from mseg_studio.ui.workspaces.train.top_bar import TopBar
from mseg_studio.ui.workspaces.train.watcher import RunsWatcher
from mseg_studio.ui.workspaces.train.words import left_of, phase_of, steps_of

_SMOKE = "smoke"
_BOTH_PX = 1000
"""Width of the workspace from which the form of a new run has room beside the list."""


class TrainWorkspace(WorkspacePage):
    """Composes the list of runs, the page of the chosen one, and the page that starts another."""

    model_installed = Signal(str)
    """A model of this name came into the list of models."""

    def __init__(self, services: Services, theme: Theme, store: QSettings | None = None) -> None:
        """`store` remembers the smoothing."""
        super().__init__()
        self.setObjectName("panel")
        self._services, self._theme, self._store = services, theme, store
        self.bar = TopBar()
        self.runs = RunList(theme)
        self.run_page = RunPage(services, theme)
        self.empty = EmptyPage()
        self.pages = QStackedWidget()
        self.new_run: QWidget | None = None
        """The page that starts a run, once it was asked for."""
        self.looks: dict[Path, RunLook] = {}
        self.watcher = RunsWatcher(self)
        self.actions_on_runs = RunActions(self, free_device=services.inference.free_device)
        self._colours: dict[str, dict[str, tuple[int, tuple[int, int, int]]]] = {}
        self._lay_out()
        self._connect()
        if store is not None:
            self.run_page.charts.set_weight_place(int(str(store.value("train/smoothing", 60))))
        in_background(self, devices_here, self._on_devices)
        self._refresh_bar()

    def _lay_out(self) -> None:
        for page in (self.empty, self.run_page):
            self.pages.addWidget(page)
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.pages, 1)
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.setHandleWidth(1)
        splitter.setChildrenCollapsible(False)
        splitter.addWidget(self.runs)
        splitter.addWidget(right)
        splitter.setStretchFactor(1, 1)
        splitter.setSizes([WIDTH_PX, 900])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(1)
        whole.addWidget(self.bar)
        whole.addWidget(splitter, 1)

    def _connect(self) -> None:
        bar, actions = self.bar, self.actions_on_runs
        self.watcher.listed.connect(self._on_listed)
        self.watcher.looked.connect(self._on_looked)
        self.watcher.failed.connect(lambda text: self._tell(text, "error", "watch"))
        self.runs.chosen.connect(self._on_chosen)
        self.runs.picked.connect(lambda: self._show_page(leave_form=True))
        self.runs.ticked.connect(self._watch)
        self.runs.open_asked.connect(self._ask_folder)
        self.run_page.charts.weight_changed.connect(self._on_weight)
        self.run_page.compare_asked.connect(self.compare)
        self.run_page.notes.failed.connect(lambda text: self._tell(text, "error", "notes"))
        self.empty.new_asked.connect(lambda: self.begin())
        self.empty.smoke_asked.connect(lambda: self.begin(recipe=_SMOKE))
        self.empty.open_asked.connect(self._ask_folder)
        bar.new.clicked.connect(lambda: self.begin())
        bar.clone.clicked.connect(lambda: self.begin(clone_of=self.runs.current))
        bar.stop_save.clicked.connect(lambda: self._stop(save=True))
        bar.stop.clicked.connect(self._ask_stop)
        bar.resume.clicked.connect(self._resume)
        bar.delete.clicked.connect(self._ask_delete)
        bar.copy.clicked.connect(self.copy_command)
        bar.use.clicked.connect(lambda: self._use())
        bar.compare.triggered.connect(self.compare)
        bar.export_png.triggered.connect(self._ask_png)
        bar.export_csv.triggered.connect(self._ask_csv)
        bar.show_folder.triggered.connect(self._show_folder)
        bar.forget_ticks.triggered.connect(self.runs.untick)
        actions.changed.connect(self._on_action)
        actions.failed.connect(lambda text: self._tell(text, "error", "run"))
        actions.told.connect(lambda text: self._tell(text, "info", "run"))
        actions.installed.connect(self.model_installed)
        self.run_page.fine_tune.model_installed.connect(self.model_installed)

    # -- what the window asks ------------------------------------------------------------------------------------

    def facts(self) -> list[str]:
        """The chosen run, and what it does."""
        look = self.look
        if look is None or self.pages.currentWidget() is not self.run_page:
            return []
        steps = steps_of(look.state)
        parts = [printable(look.name), f"step {steps}" if steps else "", phase_of(look.state), left_of(look.state)]
        goes_on = "runs go on when this window closes" if look.state.is_going else ""
        return [part for part in (*parts, goes_on) if part]

    def focus_search(self) -> None:
        """Find among the runs."""
        self.runs.filter.setFocus()

    def showEvent(self, event: QShowEvent) -> None:
        """Look at the runs while somebody looks at them."""
        super().showEvent(event)
        self.window().installEventFilter(self)
        self.watcher.start()

    def hideEvent(self, event: QHideEvent) -> None:
        """Nobody looks; what was typed is saved."""
        super().hideEvent(event)
        self.watcher.stop()
        self.run_page.notes.save()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The window closes: notes are saved, runs go on."""
        if event.type() == QEvent.Type.Close and watched is self.window():
            self.watcher.stop()
            self.run_page.notes.save()
            self.actions_on_runs.close()
            self.run_page.fine_tune.close_child()
        return False

    # -- which runs ----------------------------------------------------------------------------------------------

    @property
    def look(self) -> RunLook | None:
        """The newest look at the chosen run."""
        return self.looks.get(self.runs.current) if self.runs.current is not None else None

    def show_run(self, folder: Path) -> None:
        """Choose a run; it appears when it is found."""
        self.runs.choose(folder)
        self._show_page(leave_form=True)
        self.watcher.list_now()

    def _on_listed(self, states: Mapping[Path, RunState]) -> None:
        self.runs.show_states(states)
        self._show_page()
        self._refresh_bar()

    def _on_chosen(self, folder: Path | None) -> None:
        self.run_page.notes.show_run(folder)
        self._show_page()
        self._watch()
        if folder is not None and folder not in self.looks:
            state = self.runs.model.states.get(folder, RunState("new"))
            self.run_page.show_waiting(folder.name, state)
        self._on_looked(self.looks)

    def _watch(self) -> None:
        ticked = [folder for folder in self.runs.ticked_runs if folder != self.runs.current]
        self.watcher.watch(self.runs.current, ticked, weight=self.run_page.charts.weight)

    def _on_looked(self, looks: Mapping[Path, RunLook]) -> None:
        self.looks = dict(looks)
        look = self.look
        if look is not None:
            others = [looks[folder] for folder in self.runs.ticked_runs if folder in looks and folder != look.folder]
            self._show_colours(look)
            self.run_page.show_looks([look, *others])
        self._refresh_bar()
        self.facts_changed.emit()

    def _show_colours(self, look: RunLook) -> None:
        name = str((look.config or {}).get("taxonomy") or "universal")
        if name in self._colours:
            self.run_page.charts.show_colours(self._colours[name])
            return
        self._colours[name] = {}

        def read() -> dict[str, tuple[int, tuple[int, int, int]]]:
            taxonomy = self._services.catalog.taxonomy(name)
            return {info.name: (info.id, info.rgb) for info in taxonomy.classes}

        # Classes of a taxonomy that is gone are grey.
        in_background(self, read, lambda colours: self._colours.update({name: colours}), failed=lambda _error: None)

    def _show_page(self, *, leave_form: bool = False) -> None:
        if self.new_run is not None and self.pages.currentWidget() is self.new_run and not leave_form:
            return
        self.pages.setCurrentWidget(self.run_page if self.runs.current is not None else self.empty)
        self._make_room()
        self.facts_changed.emit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The list of runs gives way to the form where both are too wide."""
        super().resizeEvent(event)
        self._make_room()

    def _make_room(self) -> None:
        is_form = self.new_run is not None and self.pages.currentWidget() is self.new_run
        self.runs.setVisible(not is_form or self.width() >= _BOTH_PX)

    def _refresh_bar(self) -> None:
        folder = self.runs.current
        state = self.runs.model.states.get(folder) if folder is not None else None
        look = self.look
        if look is not None:
            state = look.state
        has_model = look is not None and look.has_checkpoint
        self.bar.show_state(state, has_model=has_model, busy=self.actions_on_runs.is_busy(folder))
        self.bar.compare.setEnabled(bool(self.runs.ticked_runs))

    def _on_weight(self, _weight: float) -> None:
        if self._store is not None:
            self._store.setValue("train/smoothing", self.run_page.charts.smoothing.value())
        self._watch()

    # -- what is done with them ----------------------------------------------------------------------------------

    def begin(self, *, recipe: str | None = None, clone_of: Path | None = None, dataset: str | None = None) -> None:
        """Show the page that starts a run."""
        from mseg_studio.ui.workspaces.train.new_run import NewRunPage

        if self.new_run is None:
            page = NewRunPage(self._services, self._theme)
            page.started.connect(self._on_started)
            page.closed.connect(lambda: self._show_page(leave_form=True))
            self.pages.addWidget(page)
            self.new_run = page
        if isinstance(self.new_run, NewRunPage):
            self.new_run.begin(recipe=recipe, clone_of=clone_of, dataset=dataset)
        self.pages.setCurrentWidget(self.new_run)
        self._make_room()
        self.facts_changed.emit()

    def _on_started(self, folder: object) -> None:
        if isinstance(folder, Path):
            self.runs.choose(folder)
        self._show_page(leave_form=True)
        self.watcher.list_now()
        self.watcher.look_now()

    def _stop(self, *, save: bool) -> None:
        look = self.look
        if look is not None:
            self.actions_on_runs.stop(look.folder, save=save)

    def _ask_stop(self) -> None:
        text = "End the run now? What it did since its last checkpoint is lost. Stop and save loses nothing."
        if self._sure("Stop", text):
            self._stop(save=False)

    def _resume(self) -> None:
        if self.look is not None:
            self.actions_on_runs.resume(self.look.folder, self.look.launch)

    def _ask_delete(self) -> None:
        folder = self.runs.current
        if folder is not None:
            text = f"Delete {printable(folder.name)} with its checkpoints, logs and notes? This cannot be undone."
            if self._sure("Delete", text):
                self.runs.model.ticked.discard(folder)
                self.actions_on_runs.delete(folder)

    def _use(self) -> None:
        if self.runs.current is not None:
            self.actions_on_runs.use(self.runs.current)

    def copy_command(self) -> None:
        """Put the exact command of the chosen run into the clipboard."""
        if self.look is None:
            return
        try:
            QGuiApplication.clipboard().setText(command_line(self.look))
        except MSegStudioError as error:
            self._tell(str(error), "error", "run")
            return
        self._tell("The command is in the clipboard.", "info", "run")

    def compare(self) -> None:
        """Show where the configurations of the chosen run and the ticked ones differ."""
        chosen = [self.runs.current] if self.runs.current is not None else []
        folders = dict.fromkeys([*chosen, *self.runs.ticked_runs])
        configs = {}
        for folder in folders:
            look = self.looks.get(folder)
            if look is not None and look.config is not None:
                configs[look.name if look.name not in configs else str(folder)] = look.config
        dialog = CompareDialog(configs, self)
        dialog.exec()
        dialog.deleteLater()

    def export_numbers(self, path: Path) -> None:
        """Save the numbers of the runs that are drawn as CSV."""
        looks = list(self.looks.values())
        in_background(
            self,
            lambda: save_numbers(path, looks),
            lambda _none: self._tell(f"Saved {printable(str(path))}", "info", "export"),
            failed=lambda error: self._tell(f"{path}: {error.reason}", "error", "export"),
        )

    def export_picture(self, path: Path) -> None:
        """Save the charts as PNG."""
        try:
            write_atomic(path, picture_of(self.run_page.charts))
        except OSError as error:
            self._tell(f"{path}: {error.strerror or error}", "error", "export")
            return
        self._tell(f"Saved {printable(str(path))}", "info", "export")

    # -- questions -----------------------------------------------------------------------------------------------

    def _sure(self, what: str, text: str) -> bool:
        buttons = QMessageBox.StandardButton
        return QMessageBox.question(self, what, text, buttons.Yes | buttons.Cancel, buttons.Cancel) == buttons.Yes

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open run folder")
        if path:
            self.open_run(Path(path))

    def open_run(self, folder: Path) -> None:
        """Show a run that lies elsewhere, now and the next time."""
        if not (folder / "config.yaml").is_file():
            self._tell(f"{folder}: no config.yaml, so it is not the folder of a run", "error", "run")
            return
        self.actions_on_runs.open(folder)
        self.show_run(folder.resolve())

    def _ask_png(self) -> None:
        path, _kind = QFileDialog.getSaveFileName(self, "Export charts", f"{self._stem()}.png", "Pictures (*.png)")
        if path:
            self.export_picture(Path(path))

    def _ask_csv(self) -> None:
        path, _kind = QFileDialog.getSaveFileName(self, "Export numbers", f"{self._stem()}.csv", "Tables (*.csv)")
        if path:
            self.export_numbers(Path(path))

    def _stem(self) -> str:
        return self.runs.current.name if self.runs.current is not None else "charts"

    def _show_folder(self) -> None:
        if self.runs.current is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.runs.current)))

    # -- the rest ------------------------------------------------------------------------------------------------

    def _on_devices(self, devices: tuple[Device, ...]) -> None:
        names = dict.fromkeys(device.name for device in devices)
        words = " + ".join(_devices_text([one for one in devices if one.name == name]) for name in names)
        cards = any(device.memory_bytes for device in devices)
        how = "NCCL" if cards else "gloo"
        tip = "What runs on this machine compute on, and how their processes talk to each other"
        self.bar.badge.show_state(f"{words} · {how}", "good" if cards else "wait", tip)
        self.bar.badge.show()

    def _on_action(self) -> None:
        self._refresh_bar()
        self.watcher.list_now()
        self.watcher.look_now()

    def _tell(self, text: str, kind: str, about: str) -> None:
        self.notice.emit(Notice(text, "error" if kind == "error" else "info", about))


def _devices_text(devices: list[Device]) -> str:
    name = devices[0].name.removeprefix("NVIDIA ").removeprefix("GeForce ")
    if devices[0].memory_bytes is None:
        return f"{len(devices)} {name}{'s' if len(devices) > 1 else ''}"
    return f"{len(devices)} × {name}" if len(devices) > 1 else name

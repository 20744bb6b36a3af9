"""The page that starts a run: recipe, data, start weights and every setting, checked before anything begins."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, QObject, QTimer, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from mseg_studio.errors import ConfigError, MSegStudioError
from mseg_studio.training.config import DatasetConfig, TrainConfig
from mseg_studio.ui.bridges import in_background
from mseg_studio.ui.services import Services
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.train.form_check import Checked, check
from mseg_studio.ui.workspaces.train.form_style import form_style
from mseg_studio.ui.workspaces.train.form_values import Draft
from mseg_studio.ui.workspaces.train.launch_line import local_lines, slurm_lines
from mseg_studio.ui.workspaces.train.new_run_begin import Engine, Order, folder_for, make_run, plan_of
from mseg_studio.ui.workspaces.train.new_run_memory import Memory
from mseg_studio.ui.workspaces.train.new_run_opening import Opening, name_of, opening, with_recipe
from mseg_studio.ui.workspaces.train.new_run_origin import Origin
from mseg_studio.ui.workspaces.train.new_run_parts import CLUSTER, SETTINGS, Parts
from mseg_studio.ui.workspaces.train.new_run_where import SLURM, Where, refusal
from mseg_studio.ui.workspaces.train.preflight_child import ConfigChild

_CHECK_MS = 120
"""After the last key: descriptions and folders are read anew then."""


class NewRunPage(QWidget):
    """Composes the form of a new run."""

    started = Signal(object)
    """A run has begun in this folder (a Path)."""
    closed = Signal()
    """The person went back without a run."""
    open_asked = Signal(str)
    """Show this image in the Segment workspace."""

    def __init__(self, services: Services, theme: Theme, engine: Engine | None = None) -> None:
        super().__init__()
        self.setObjectName("panel")
        self._services, self._theme, self._engine = services, theme, engine or Engine()
        self.parts = Parts(services, theme)
        self.draft: Draft | None = None
        self.checked: Checked | None = None
        """The outcome for the draft as it is; None while it is being looked at."""
        self.dry_run = ConfigChild("preflight", self)
        self._memory = Memory()
        self._clone_of: Path | None = None
        self._folder = ""
        self._named = False
        self._asked = 0
        self._starting = False
        self._measured: TrainConfig | None = None
        self._has_slurm = False
        self._soon = QTimer(self, interval=_CHECK_MS, singleShot=True)
        self._soon.timeout.connect(self._check)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.parts)
        self._restyle()
        self.parts.form.fill()
        self._connect()
        theme.changed.connect(self._restyle)
        self._show_verdict()
        in_background(self, lambda: (self._engine.devices(), self._engine.has_slurm()), self._on_devices)

    def _connect(self) -> None:
        parts = self.parts
        parts.recipe.chosen.connect(self._on_recipe)
        parts.data.changed.connect(self._on_datasets)
        parts.first.chosen.connect(lambda start: self._change(start=start))
        parts.name.named.connect(self._on_name)
        parts.name.folder_chosen.connect(self._on_folder)
        parts.where.changed.connect(self._on_where)
        parts.where.accumulate_asked.connect(lambda count: self._on_setting("accumulate", count))
        parts.slurm.changed.connect(self._show_verdict)
        parts.form.edited.connect(self._on_setting)
        parts.form.reset.connect(self._on_reset)
        parts.tabs.chosen.connect(parts.show_tab)
        parts.dataset_page.open_asked.connect(self.open_asked)
        parts.preflight.try_asked.connect(self.try_one_step)
        parts.preflight.cancel_asked.connect(self.dry_run.cancel)
        parts.back.clicked.connect(self._go_back)
        parts.start.clicked.connect(lambda: self.start())
        parts.write.clicked.connect(lambda: self.start(only_write=True))
        parts.show_me.clicked.connect(self._show_place)
        self.dry_run.progressed.connect(parts.preflight.show_progress)
        self.dry_run.answered.connect(self._on_measured)
        self.dry_run.ended.connect(self._on_dry_run_end)

    # -- what the workspace asks ---------------------------------------------------------------------------------

    def begin(self, recipe: str | None = None, clone_of: Path | None = None, dataset: str | None = None) -> None:
        """Fill the form: from a recipe, from another run, with a dataset (a ready name or a description's path)."""
        self._soon.stop()
        self._asked += 1
        self.draft = self.checked = None
        self.parts.title.setText("New run" if clone_of is None else f"New run like {clone_of.name}")
        self._say("")
        self._show_verdict()
        asked = self._asked
        self.parts.first.offer(self._services.models())
        in_background(self, lambda: opening(recipe, clone_of, dataset), lambda found: self._open(asked, found))

    def focus_search(self) -> None:
        """Put the keys into the field that finds settings."""
        self.parts.show_tab(SETTINGS)
        self.parts.form.focus_search()

    def close_children(self) -> None:
        """End what runs for the form: the window closes."""
        self.dry_run.close()
        self.parts.dataset_page.close_children()

    def showEvent(self, event: QShowEvent) -> None:
        """Listen for the end of the window: children go on while another workspace is shown, but no longer."""
        super().showEvent(event)
        self.window().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The window closes: end what runs."""
        if event.type() == QEvent.Type.Close and watched is self.window():
            self.close_children()
        return False

    # -- what a person does --------------------------------------------------------------------------------------

    def try_one_step(self) -> None:
        """Compute the first steps for real, in a child process."""
        config = self.checked.config if self.checked is not None else None
        if config is None or self.dry_run.running:
            return
        where = self.parts.where.where
        self._free_device(config, where)
        options = ["--dry-run", "--processes", str(where.processes)] if where.engine != SLURM else ["--dry-run"]
        if where.devices:
            options += ["--devices", ",".join(where.devices)]
        self._measured = config
        try:
            self.dry_run.start(config, options)
        except OSError as error:
            self._say(f"The dry run cannot begin: {error}")
            return
        self.parts.preflight.show_nothing()
        self.parts.preflight.show_progress("", 0, 0, -1)

    def start(self, *, only_write: bool = False) -> None:
        """Write the run's folder and start it; answered by `started` or by words."""
        config = self.checked.config if self.checked is not None else None
        button = self.parts.write if only_write else self.parts.start
        if config is None or self.draft is None or self._starting or not button.isEnabled():
            return
        where, options = self.parts.where.where, self.parts.slurm.options
        self.dry_run.cancel()  # the devices are for the run
        if not only_write:
            self._free_device(config, where)
        words = options.words() if where.engine == SLURM else ()
        origin = Origin(self.draft.recipe.name, str(self._clone_of or ""), where.processes, words)
        order = Order(config, Path(self._folder) if self._folder else None, where, options, origin, only_write)
        self._remember(self.draft, where, words)
        self._starting = True
        self._say("")
        self._show_verdict()
        in_background(self, lambda: make_run(order, self._engine), self._on_started, failed=self._on_failed)

    def _go_back(self) -> None:
        self.dry_run.cancel()
        self.closed.emit()

    def _on_recipe(self, name: str) -> None:
        recipe = next((one for one in self._recipes if one.name == name), None)
        if self.draft is not None and recipe is not None:
            self._clone_of = None
            self.parts.title.setText("New run")
            self._set(with_recipe(self.draft, recipe, self._memory, self.draft.datasets))

    def _on_datasets(self, datasets: tuple[DatasetConfig, ...]) -> None:
        self._change(datasets=datasets)

    def _on_name(self, name: str) -> None:
        self._named = bool(name)
        self._change(name=name)

    def _on_folder(self, folder: str) -> None:
        self._folder = folder
        self._change()

    def _on_setting(self, path: str, value: Any) -> None:
        if self.draft is not None:
            self._set(self.draft.with_change(path, value))

    def _on_reset(self, path: str) -> None:
        if self.draft is not None:
            kept = {key: value for key, value in self.draft.changes.items() if path and key != path}
            self._change(changes=kept)

    def _on_where(self) -> None:
        is_slurm = self.parts.where.where.engine == SLURM
        self.parts.tabs.button(CLUSTER).setVisible(is_slurm)
        if is_slurm:
            self.parts.show_tab(CLUSTER)
        elif self.parts.tabs.button(CLUSTER).isChecked():
            self.parts.show_tab(SETTINGS)
        self._show_verdict()

    def _show_place(self) -> None:
        """Go to what is wrong."""
        place = self._reason()[0]
        if place in self.parts.form.rows:
            self.parts.show_tab(SETTINGS)
            self.parts.form.show_setting(place)
        elif place == CLUSTER:
            self.parts.show_tab(CLUSTER)
        else:
            fields = {"name": self.parts.name.name, "start": self.parts.first.combo, "data": self.parts.data.add}
            fields["where"] = self.parts.where.processes
            if place in fields:
                fields[place].setFocus()

    # -- the draft -----------------------------------------------------------------------------------------------

    def _open(self, asked: int, found: Opening) -> None:
        if asked != self._asked:
            return  # asked for something else meanwhile
        parts = self.parts
        self._recipes, self._memory, self._clone_of = found.recipes, found.memory, found.clone_of
        parts.data.memory = found.memory
        if not parts.recipe.combo.count():
            parts.recipe.offer(found.recipes)
        if found.origin.processes:
            parts.where.use(found.origin.processes, engine=SLURM if found.origin.slurm and found.clone_of else "local")
        if found.origin.slurm:
            parts.slurm.show_options(found.origin.slurm)
        self._wanted_processes = found.origin.processes
        self._named, self._folder = found.clone_of is not None, ""
        parts.name.folder.clear()
        parts.preflight.show_nothing()
        self._say(found.problem)
        self._on_where()
        self._set(found.draft)
        parts.recipe.combo.setFocus()

    _recipes: tuple[Any, ...] = ()
    _wanted_processes = 0

    def _change(self, **values: Any) -> None:
        if self.draft is not None:
            self._set(dataclasses.replace(self.draft, **values))

    def _set(self, draft: Draft) -> None:
        """Show a draft, and look at what it names."""
        if not self._named:
            draft = dataclasses.replace(draft, name=name_of(draft))
        self.draft, self.checked = draft, None
        parts = self.parts
        parts.recipe.show_recipe(draft.recipe, copied=self._clone_of.name if self._clone_of else "")
        parts.data.show_datasets(draft.datasets)
        parts.first.show_start(draft.start, problem="")
        parts.form.show_draft(draft, draft.problems())
        self._show_verdict()
        self._soon.start()

    def _check(self) -> None:
        draft = self.draft
        if draft is not None:
            in_background(self, lambda: check(draft), lambda found: self._on_checked(draft, found))

    def _on_checked(self, draft: Draft, found: Checked) -> None:
        if draft is not self.draft:
            return  # changed meanwhile: another check is on its way
        self.checked = found
        parts = self.parts
        parts.data.show_facts(found.datasets)
        parts.dataset_page.show_data(draft.datasets, found.datasets, found.config)
        if found.place in parts.form.rows:
            parts.form.show_draft(draft, {**draft.problems(), found.place: found.reason})
        if found.place == "start":
            parts.first.show_start(draft.start, problem=found.reason if draft.start else "")
        if self._measured is not None and found.config != self._measured and not self.dry_run.running:
            self._measured = None
            parts.preflight.show_nothing()
        self._show_verdict()

    # -- what it says --------------------------------------------------------------------------------------------

    def _reason(self) -> tuple[str, str]:
        """Where and why the run cannot start; two empty words when it can."""
        if self.draft is None or self.checked is None:
            return "", "Looking at the data…"
        if self._starting:
            return "", "Starting…"
        if self.checked.config is None:
            return self.checked.place, self.checked.reason
        where = self.parts.where.where
        if where.engine == SLURM:
            if self.parts.slurm.problem:
                return CLUSTER, self.parts.slurm.problem
            if not self._has_slurm:
                return CLUSTER, "There is no sbatch on this machine: start it where Slurm is"
        world = self.parts.slurm.options.world if where.engine == SLURM else where.world
        if too_many := refusal(self.draft, world):
            return "where", too_many
        try:
            plan_of(Path("run"), where)
        except ConfigError as error:
            return "where", error.reason
        return "", ""

    def _show_verdict(self) -> None:
        """Start or why not, the command, the hints: whatever follows from all choices together."""
        parts, draft = self.parts, self.draft
        place, reason = self._reason()
        parts.reason.setText(reason)
        parts.show_me.setVisible(bool(place))
        parts.start.setEnabled(not reason)
        parts.start.setToolTip(reason or "Write the run's folder and start it; it goes on when the window closes")
        # Without Slurm here the folder can still be written, for a cluster that shares the disk.
        parts.write.setEnabled(not reason or (place == CLUSTER and not parts.slurm.problem))
        parts.preflight.go.setEnabled(self.checked is not None and self.checked.config is not None)
        if draft is None:
            return
        where = parts.where.where
        folder = Path(self._folder).absolute() if self._folder else folder_for(draft.name)
        parts.name.show_name(draft.name, place=str(folder), problem=reason if place == "name" else "")
        world = parts.slurm.options.world if where.engine == SLURM else where.world
        parts.where.show_hints(draft, world)
        if where.engine == SLURM:
            parts.slurm.show_script(folder, draft.name)
            parts.line.show_lines("sbatch", slurm_lines(folder))
            return
        try:
            plan = plan_of(folder, where)
        except ConfigError:
            parts.line.show_lines("torchrun", [])
        else:
            parts.line.show_lines("torchrun" if plan.world_size > 1 else "command", local_lines(plan))

    def _say(self, problem: str) -> None:
        self.parts.problem.setText(problem)
        self.parts.problem.setVisible(bool(problem))

    def _restyle(self) -> None:
        self.setStyleSheet(form_style(self._theme.tones))

    # -- what comes back -----------------------------------------------------------------------------------------

    def _on_devices(self, found: Any) -> None:
        devices, self._has_slurm = found
        self.parts.where.offer(devices)
        if self._wanted_processes:
            self.parts.where.use(self._wanted_processes)
        self._show_verdict()

    def _on_measured(self, found: dict[str, Any]) -> None:
        if self._measured is not None:
            self.parts.preflight.show_measured(found, self._measured)

    def _on_dry_run_end(self, problem: str) -> None:
        self.parts.preflight.show_idle()
        if problem:
            self.parts.preflight.show_problem(problem)
        if self.checked is not None and self.checked.config != self._measured:
            self.parts.preflight.show_nothing("The settings are others now.")

    def _on_started(self, folder: Path) -> None:
        self._starting = False
        self._show_verdict()
        self.started.emit(folder)

    def _on_failed(self, error: MSegStudioError) -> None:
        self._starting = False
        self._say(f"The run did not start: {error}")
        self._show_verdict()

    def _free_device(self, config: TrainConfig, where: Where) -> None:
        """The inference process gives the GPU back before a run needs it."""
        if self.parts.where.on_gpus and where.engine != SLURM and config.device != "cpu":
            self._services.inference.free_device()

    def _remember(self, draft: Draft, where: Where, words: tuple[str, ...]) -> None:
        """What the next form begins with."""
        memory = self._memory
        memory.last = {
            "recipe": draft.recipe.name or memory.last.get("recipe", ""),
            "datasets": [one.description for one in draft.datasets],
            "processes": where.processes if where.engine != SLURM else memory.last.get("processes", 0),
            "slurm": list(words) or memory.last.get("slurm", []),
        }
        in_background(self, memory.save, lambda _none: None)

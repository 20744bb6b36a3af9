"""What a fine-tuning changed: scored once it has ended, class by class, and its model taken into use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QSortFilterProxyModel, Qt, Signal
from PySide6.QtWidgets import QHeaderView, QLabel, QProgressBar, QPushButton, QTableView, QVBoxLayout, QWidget

from mseg_studio.errors import ConfigError
from mseg_studio.progress import duration
from mseg_studio.training.fine_tune import is_fine_tuning
from mseg_studio.training.fine_tune_scores import CAUTION, are_current, read_scores
from mseg_studio.training.run_state import RunState
from mseg_studio.ui.child_command import ChildCommand
from mseg_studio.ui.services import Services
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.widgets import Heading
from mseg_studio.ui.workspaces.train.fine_tune_table import SORT_ROLE, ScoresModel

_ROWS_SEEN = 12
_NUMBER_PX = 44
"""Room for `+25.0`; the names have the rest of a narrow column."""


class FineTunePanel(QWidget):
    """Shows itself for runs that were begun as a fine-tuning, and hides for all others."""

    model_installed = Signal(str)
    """The run's model is in the list of models under this name."""

    def __init__(self, services: Services, theme: Theme) -> None:
        super().__init__()
        self._services = services
        self._run: Path | None = None
        self._state = ""
        self._child: ChildCommand | None = None
        self._shown: tuple[Path | None, str, float] | None = None
        """What was shown last: the window asks twice a second, and nothing is new most of the time."""
        self._problem = ""
        """Why the child failed last."""
        self.words = QLabel()
        self.words.setObjectName("small")
        self.words.setWordWrap(True)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.scores = ScoresModel(theme, self)
        self.table = QTableView()
        self.again = QPushButton("Score now")
        self.again.setToolTip("Score the model before and after on the images that were held out")
        self.use = QPushButton("Use this model")
        self.use.setObjectName("primary")
        self.use.setToolTip("Put it into the list of models and choose it in Segment")
        self.again.clicked.connect(self.score_now)
        self.use.clicked.connect(self.use_now)
        self._lay_out()
        self.hide()

    def _lay_out(self) -> None:
        proxy = QSortFilterProxyModel(self)
        proxy.setSourceModel(self.scores)
        proxy.setSortRole(SORT_ROLE)
        self.table.setModel(proxy)
        self.table.setAccessibleName("IoU by class before and after, in percent")
        self.table.setSelectionMode(QTableView.SelectionMode.NoSelection)
        self.table.setShowGrid(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(22)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.table.setWordWrap(False)
        self.table.setStyleSheet("QHeaderView::section { padding: 4px 3px; }")
        header = self.table.horizontalHeader()
        header.setMinimumSectionSize(_NUMBER_PX)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setDefaultSectionSize(_NUMBER_PX)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        # Below -1 there is no sorting: the most improved come first, as the model has them.
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.table.setSortingEnabled(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 10, 12, 10)
        column.setSpacing(8)
        column.addWidget(Heading("Before and after"))
        column.addWidget(self.words)
        column.addWidget(self.bar)
        column.addWidget(self.table)
        column.addWidget(self.again)
        column.addWidget(self.use)

    @property
    def busy(self) -> bool:
        """Whether a child scores or installs."""
        return self._child is not None

    def show_run(self, folder: Path | None, state: RunState | None = None) -> None:
        """Show this run; call it again when its state changes: a run that has just ended is scored."""
        # A run that goes on says something new all the time, none of which is shown here.
        ended_at = 0.0 if state is None or state.is_going else state.updated
        self._state = "" if state is None else state.state
        if self._shown == (folder, self._state, ended_at):
            return
        self._shown = (folder, self._state, ended_at)
        if folder != self._run:
            self.close_child()
            self._run, self._problem = folder, ""
        is_one = folder is not None and is_fine_tuning(folder)
        self.setVisible(is_one)
        if folder is None or not is_one:
            return
        if self._state == "finished" and not self.busy and not are_current(folder):
            self.score_now()
        self._refresh()

    def score_now(self) -> None:
        """Score the run in a child process."""
        if self._run is not None and self._child is None:
            self._start(["fine-tune", str(self._run), "--score", "--json", "--progress-json"])

    def use_now(self) -> None:
        """Install the run's model in a child process."""
        if self._run is not None and self._child is None:
            self._start(["runs", "use", str(self._run), "--json"])

    def close_child(self) -> None:
        """End what runs: another run is shown, or the window closes."""
        if self._child is not None:
            self._child.end()
            self._child.deleteLater()
            self._child = None

    def _start(self, arguments: list[str]) -> None:
        self._problem = ""
        self._child = ChildCommand(arguments, self)
        self._child.told.connect(self._on_told)
        self._child.finished.connect(self._on_finished)
        self.bar.setRange(0, 0)
        self._refresh()
        self._child.start()

    def _on_told(self, value: dict[str, Any]) -> None:
        if "progress" in value:
            at = value["progress"]
            self.bar.setRange(0, int(at["total"]))
            self.bar.setValue(int(at["done"]))
            left = at.get("seconds_left")
            self.words.setText(f"{at['what']}{f' · {duration(left)} left' if left else ''}")
        elif "card" in value:
            self.model_installed.emit(str(value["name"]))

    def _on_finished(self, good: bool, message: str) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.deleteLater()
        self._problem = "" if good else message
        self._refresh()

    def _refresh(self) -> None:
        folder, busy = self._run, self.busy
        problem = self._problem
        try:
            scores = None if folder is None else read_scores(folder)
        except ConfigError as error:
            scores, problem = None, problem or str(error)
        self.bar.setVisible(busy)
        self.scores.set_scores(scores)
        self.table.setVisible(scores is not None)
        rows = min(self.scores.rowCount(), _ROWS_SEEN)
        self.table.setFixedHeight(22 * rows + self.table.horizontalHeader().sizeHint().height() + 4)
        ended = self._state in ("finished", "stopped", "failed", "lost")
        old = folder is not None and scores is not None and not are_current(folder)
        self.again.setVisible(ended and not busy and (scores is None or old))
        self.use.setVisible(ended)
        self.use.setEnabled(not busy)
        if problem:
            self.words.setText(problem)
        elif scores is not None:
            more = "The run has gone on since." if old else scores.advice
            self.words.setText(f"{scores.words()}. {more}".rstrip())
            self.words.setToolTip(CAUTION)
        elif not busy:
            waits = "Scored on the held-out images once the run has ended." if not ended else "Not scored yet."
            self.words.setText(waits)

"""The data of a run before it starts: classes after mapping and their pixels, and the doctor's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from mseg_studio.errors import TaxonomyError
from mseg_studio.progress import duration
from mseg_studio.taxonomy.catalog import Catalog, default_catalog
from mseg_studio.training.config import DatasetConfig, TrainConfig
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.widgets import ElidedLabel, SegmentedButtons
from mseg_studio.ui.workspaces.datasets.checker import Checker
from mseg_studio.ui.workspaces.datasets.report_view import ReportView
from mseg_studio.ui.workspaces.train.dataset_page_bars import HistogramBars
from mseg_studio.ui.workspaces.train.form_check import DatasetFacts
from mseg_studio.ui.workspaces.train.form_editors import CalmCombo
from mseg_studio.ui.workspaces.train.preflight_child import ConfigChild

_CLASSES, _DOCTOR = "classes", "doctor"
_HINT = (
    "The doctor reads every image and label of a dataset and says what is wrong: files without the other, numbers that "
    "mean nothing, sizes that differ, the same image in two splits. Nothing is changed."
)


class DatasetPage(QWidget):
    """Two views: classes after mapping, and what the doctor found. Child processes read the files."""

    open_asked = Signal(str)
    """Show this image in the Segment workspace."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._config: TrainConfig | None = None
        self._counted: TrainConfig | None = None
        self._datasets: tuple[DatasetConfig, ...] = ()
        self._reports: dict[tuple[str, str], dict[str, Any]] = {}
        self._checked = ("", "")
        self.views = SegmentedButtons(
            (
                (_CLASSES, "Classes", "What the network learns, and how much of it there is"),
                (_DOCTOR, "Doctor", "Read every file and say what is wrong"),
            )
        )
        self.views.set_current(_CLASSES)
        self.dataset = CalmCombo()
        self.dataset.setAccessibleName("Dataset that the doctor reads")
        self.dataset.setMinimumWidth(160)
        self.dataset.currentIndexChanged.connect(lambda _index: self._show_report())
        self.go = QPushButton()
        self.go.clicked.connect(self._on_go)
        self.stop = QPushButton("Cancel")
        self.stop.setObjectName("stop")
        self.stop.clicked.connect(self._on_stop)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress of reading the data")
        self.words = ElidedLabel()
        self.words.setObjectName("small")
        self.facts = QLabel()
        self.facts.setWordWrap(True)
        self.facts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.bars = HistogramBars(theme)
        self.report_view: ReportView | None = None
        """Made for the first report: most runs start without one."""
        self._theme = theme
        self.hint = QLabel(_HINT)
        self.hint.setObjectName("dim")
        self.hint.setWordWrap(True)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.hint.setContentsMargins(60, 20, 60, 20)
        self.checker = Checker(self)
        self.histogram = ConfigChild("histogram", self)
        self._lay_out()
        self._connect()
        self._show_view(_CLASSES)

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.setContentsMargins(14, 8, 14, 6)
        top.setSpacing(10)
        for widget in (self.views, self.dataset, self.go, self.stop):
            top.addWidget(widget)
        top.addWidget(self.bar, 1)
        top.addWidget(self.words, 2)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(14, 4, 14, 8)
        column.setSpacing(10)
        column.addWidget(self.facts)
        column.addWidget(self.bars)
        column.addStretch(1)
        area = QScrollArea()
        area.setObjectName("form")
        area.setWidgetResizable(True)
        area.setWidget(inside)
        self._doctor = QStackedWidget()
        self._doctor.addWidget(self.hint)
        self._pages = QStackedWidget()
        self._pages.addWidget(area)
        self._pages.addWidget(self._doctor)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addLayout(top)
        whole.addWidget(self._pages, 1)

    def _connect(self) -> None:
        self.views.chosen.connect(self._show_view)
        self.checker.progressed.connect(self._show_progress)
        self.checker.answered.connect(self._on_report)
        self.checker.ended.connect(self._on_end)
        self.histogram.progressed.connect(self._show_progress)
        self.histogram.answered.connect(self._on_histogram)
        self.histogram.ended.connect(self._on_end)

    # -- what the page asks --------------------------------------------------------------------------------------

    def show_data(
        self, datasets: Sequence[DatasetConfig], facts: Sequence[DatasetFacts], config: TrainConfig | None
    ) -> None:
        """Show what is known of the data of a run; `config` is None while something is wrong with it."""
        self._config, before = config, self._datasets
        self._datasets = tuple(datasets)
        if [(one.name, one.description) for one in before] != [(one.name, one.description) for one in datasets]:
            self.dataset.clear()
            self.dataset.addItems([one.name for one in datasets])
        if self._counted is not None and (config is None or _labels_of(config) != _labels_of(self._counted)):
            self._counted = None
            self.bars.set_classes([])
        self.facts.setText("\n\n".join(_lines(one, fact) for one, fact in zip(datasets, facts, strict=False)))
        self._show_buttons()
        self._show_report()

    def close_children(self) -> None:
        """End what runs: the window closes."""
        self.checker.close()
        self.histogram.close()

    # -- what a person does --------------------------------------------------------------------------------------

    @property
    def _view(self) -> str:
        return _DOCTOR if self.views.button(_DOCTOR).isChecked() else _CLASSES

    @property
    def _running(self) -> bool:
        return self.checker.running or self.histogram.running

    def _show_view(self, view: str) -> None:
        self.views.set_current(view)
        self._pages.setCurrentIndex(1 if view == _DOCTOR else 0)
        self.dataset.setVisible(view == _DOCTOR)
        self.go.setText("Check every file" if view == _DOCTOR else "Count the pixels")
        self.go.setToolTip(_HINT if view == _DOCTOR else "Count the pixels of every class in the images to train on")
        self._show_buttons()

    def _on_go(self) -> None:
        if self._view == _DOCTOR:
            self._check()
        elif self._config is not None:
            self._counted = self._config
            try:
                self.histogram.start(self._config, ["--histogram"])
            except OSError as error:
                self.words.setText(str(error))
                return
            self._show_progress("", 0, 0, -1)

    def _check(self) -> None:
        index = self.dataset.currentIndex()
        if not 0 <= index < len(self._datasets):
            return
        one = self._datasets[index]
        self._checked = (one.description, one.root)
        self._reports.pop(self._checked, None)
        self._show_report()
        splits = [split for split in (one.train_split, one.val_split) if split]
        self.checker.start(one.description, one.root, splits)
        self._show_progress("", 0, 0, -1)

    def _on_stop(self) -> None:
        self.checker.cancel()
        self.histogram.cancel()

    # -- what comes back -----------------------------------------------------------------------------------------

    def _show_progress(self, what: str, done: int, total: int, seconds_left: float) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        left = f" · {duration(seconds_left)} left" if seconds_left >= 0 and done else ""
        self.words.setText(f"{what} {done} of {total}{left}".strip() if total else "Listing files…")
        self._show_buttons()

    def _on_report(self, report: dict[str, Any]) -> None:
        self._reports[self._checked] = report
        self._show_report()

    def _on_histogram(self, found: Mapping[str, Any]) -> None:
        if self._counted is None:
            return
        pixels = {str(name): int(count) for name, count in dict(found.get("classes", {})).items()}
        ignored, images = int(found.get("ignored_pixels", 0)), int(found.get("images", 0))
        self.bars.set_histogram(pixels, _taxonomy(self._counted.taxonomy, default_catalog()))
        share = 100 * ignored / max(1, ignored + sum(pixels.values()))
        never = sum(not count for count in pixels.values())
        words = [f"{images} images", f"{share:.1f} % of their pixels are ignored"]
        self._said = " · ".join([*words, f"{never} classes are never seen"] if never else words)

    _said = ""

    def _on_end(self, problem: str) -> None:
        said, self._said = self._said, ""
        if self._counted is not None and not said and not self.bars.lines():
            self._counted = None
        self.words.setText(problem or said)
        self._show_buttons()

    def _show_report(self) -> None:
        index = self.dataset.currentIndex()
        one = self._datasets[index] if 0 <= index < len(self._datasets) else None
        report = self._reports.get((one.description, one.root)) if one is not None else None
        if report is None:
            self._doctor.setCurrentWidget(self.hint)
            return
        view = self.report_view or self._make_report_view()
        if self._shown is not report:
            self._shown = report
            view.show_report(report)
        self._doctor.setCurrentWidget(view)

    _shown: dict[str, Any] | None = None

    def _make_report_view(self) -> ReportView:
        view = ReportView(self._theme)
        view.open_asked.connect(self.open_asked)
        view.copy.hide()
        view.save.hide()
        self._doctor.addWidget(view)
        self.report_view = view
        return view

    def _show_buttons(self) -> None:
        running = self._running
        self.stop.setVisible(running)
        self.bar.setVisible(running)
        self.go.setVisible(not running)
        self.go.setEnabled(bool(self._datasets) if self._view == _DOCTOR else self._config is not None)


def _lines(one: DatasetConfig, facts: DatasetFacts) -> str:
    """A dataset in a few lines."""
    lines = [f"{one.name}: {facts.words}"]
    if facts.without_target:
        lines.append(f"Ignored, for they have no class in the network's taxonomy: {', '.join(facts.without_target)}")
    return "\n".join(lines)


def _labels_of(config: TrainConfig) -> object:
    """What decides the histogram."""
    return config.taxonomy, config.head, config.trained


def _taxonomy(name: str, catalog: Catalog) -> Any:
    try:
        return catalog.taxonomy(name)
    except TaxonomyError:
        return default_catalog().taxonomy("universal")

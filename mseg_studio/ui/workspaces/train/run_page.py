"""The chosen run: head, cards and log in the middle, configuration, images, devices and notes at the right."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QScrollArea, QSplitter, QVBoxLayout, QWidget

from mseg_studio.errors import printable
from mseg_studio.training.run_state import RunState
from mseg_studio.ui.services import Services
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.train.charts import Charts
from mseg_studio.ui.workspaces.train.config_panel import ConfigPanel, DevicesPanel
from mseg_studio.ui.workspaces.train.fine_tune_panel import FineTunePanel
from mseg_studio.ui.workspaces.train.fixed_images import FixedImages
from mseg_studio.ui.workspaces.train.log_card import LogCard
from mseg_studio.ui.workspaces.train.notes_panel import NotesPanel
from mseg_studio.ui.workspaces.train.run_colours import run_colour
from mseg_studio.ui.workspaces.train.run_head import RunHead
from mseg_studio.ui.workspaces.train.run_reader import RunLook

SIDE_PX = 236


class RunPage(QWidget):
    """Shows one run and, in its charts, others."""

    compare_asked = Signal()

    def __init__(self, services: Services, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.setObjectName("runpage")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.head = RunHead(theme)
        self.legend = _Legend(theme)
        self.legend.compare.clicked.connect(self.compare_asked)
        self.charts = Charts(theme)
        self.log = LogCard(theme)
        self.config = ConfigPanel(theme)
        self.fine_tune = FineTunePanel(services, theme)
        self.images = FixedImages(theme, services.media)
        self.devices = DevicesPanel()
        self.notes = NotesPanel()
        self.side = QVBoxLayout()
        self._lay_out()
        theme.changed.connect(self._restyle)
        self._restyle()

    def _lay_out(self) -> None:
        rows = QSplitter(Qt.Orientation.Vertical)
        rows.setObjectName("gap")
        rows.setHandleWidth(10)
        rows.setChildrenCollapsible(False)
        cards = QScrollArea()
        cards.setObjectName("cards")
        cards.setWidgetResizable(True)
        cards.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        cards.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        cards.setWidget(self.charts)
        rows.addWidget(cards)
        rows.addWidget(self.log)
        rows.setStretchFactor(0, 3)
        rows.setStretchFactor(1, 1)
        rows.setSizes([520, 170])
        middle = QWidget()
        column = QVBoxLayout(middle)
        column.setContentsMargins(14, 12, 14, 14)
        column.setSpacing(10)
        column.addWidget(self.head)
        column.addWidget(self.legend)
        column.addWidget(rows, 1)
        inside = QWidget()
        self.side.setContentsMargins(0, 0, 0, 0)
        self.side.setSpacing(0)
        inside.setLayout(self.side)
        for section in (self.config, self.fine_tune, self.images, self.devices, self.notes):
            self.side.addWidget(section)
        self.side.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inside)
        scroll.setMinimumWidth(190)
        columns = QSplitter(Qt.Orientation.Horizontal)
        columns.setHandleWidth(1)
        columns.setChildrenCollapsible(False)
        columns.addWidget(middle)
        columns.addWidget(scroll)
        columns.setStretchFactor(0, 1)
        columns.setSizes([900, SIDE_PX])
        whole = QHBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(columns)

    def show_looks(self, looks: Sequence[RunLook]) -> None:
        """Show the first run, and the others in its charts."""
        if not looks:
            return
        look = looks[0]
        self.head.show_run(look.name, look.state)
        self.legend.show_runs([one.name for one in looks])
        self.fine_tune.show_run(look.folder, look.state)
        self.charts.show_looks(looks)
        self.log.show_lines(look.log, look.log_sources)
        self.config.show_config(look.config, look.preset, look.config_problem)
        self.images.show_samples(look.samples)
        self.devices.show_meters(look.meters)

    def show_waiting(self, name: str, state: RunState) -> None:
        """What the list knows of a run, until its folder was read; nothing is left of the one before."""
        self.head.show_run(name, state)
        self.legend.show_runs([name])
        self.charts.show_looks([])
        self.log.show_lines((), ())
        self.config.show_config(None, None, "reading…")
        self.images.show_samples(())
        self.devices.show_meters([])

    def _restyle(self) -> None:
        tones = self._theme.tones
        back = tones.canvas if tones.dark else tones.base
        self.setStyleSheet(
            f"QWidget#runpage, QWidget#charts, QScrollArea#cards {{ background: {back}; }}"
            "QSplitter#gap::handle { background: transparent; }"
        )


class _Legend(QWidget):
    """Which colour is which run, where several are drawn."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._names: tuple[str, ...] = ()
        self.words = QLabel()
        self.words.setTextFormat(Qt.TextFormat.RichText)
        self.compare = QPushButton("Compare configurations…")
        self.compare.setObjectName("link")
        row = QHBoxLayout(self)
        row.setContentsMargins(2, 0, 2, 0)
        row.addWidget(self.words, 1)
        row.addWidget(self.compare)
        theme.changed.connect(self._write)
        self.hide()

    def show_runs(self, names: Sequence[str]) -> None:
        """Name the runs; one alone needs no legend."""
        self._names = tuple(names)
        self.setVisible(len(names) > 1)
        self._write()

    def _write(self) -> None:
        dark = self._theme.tones.dark
        parts = []
        for place, name in enumerate(self._names):
            safe = printable(name).replace("&", "&amp;").replace("<", "&lt;")
            parts.append(f"<span style='color:{run_colour(place, dark=dark)}'>━</span> {safe}")
        self.words.setText("&nbsp;&nbsp;&nbsp;&nbsp;".join(parts))
        self.words.setAccessibleName("Drawn: " + ", ".join(self._names))

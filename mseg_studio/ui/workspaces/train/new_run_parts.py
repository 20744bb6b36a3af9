"""The pieces of the page of a new run and how they lie."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.training.recipes import OWN
from mseg_studio.ui.services import Services
from mseg_studio.ui.theme import Theme, sized
from mseg_studio.ui.widgets import ElidedLabel, SegmentedButtons
from mseg_studio.ui.workspaces.train.dataset_page import DatasetPage
from mseg_studio.ui.workspaces.train.form_view import SettingsForm
from mseg_studio.ui.workspaces.train.launch_line import LaunchLine
from mseg_studio.ui.workspaces.train.new_run_data import DataBox
from mseg_studio.ui.workspaces.train.new_run_recipe import NameBox, RecipeBox, StartBox
from mseg_studio.ui.workspaces.train.new_run_where import WhereBox
from mseg_studio.ui.workspaces.train.preflight_strip import PreflightStrip
from mseg_studio.ui.workspaces.train.slurm_form import SlurmForm

SETTINGS, DATA, CLUSTER = "settings", "data", "slurm"
_LEFT_PX = 340
_NETWORKS = ("hrnet-w18-small", "hrnet-w48", "pspnet-50", "pspnet-101")
_DEVICES = ("auto", "cpu", "cuda", "mps")


class Parts(QWidget):
    """Makes and places them; what they do is up to the page."""

    def __init__(self, services: Services, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.title = QLabel("New run")
        self.title.setFont(sized(self.font(), 15, bold=True))
        self.reason = ElidedLabel()
        self.reason.setObjectName("wrong")
        self.reason.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.show_me = QPushButton("Show")
        self.show_me.setObjectName("link")
        self.show_me.setAccessibleName("Show where it is")
        self.back = QPushButton("Back")
        self.back.setToolTip("Back to the runs; what is chosen here stays until then")
        self.write = QPushButton("Only write the folder")
        self.write.setToolTip("Write the run's folder and start nothing: run the command below yourself")
        self.start = QPushButton("Start")
        self.start.setObjectName("primary")
        self.start.setMinimumWidth(88)
        self.problem = QLabel()
        self.problem.setObjectName("wrong")
        self.problem.setWordWrap(True)
        self.problem.setContentsMargins(14, 6, 14, 6)
        self.problem.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.problem.hide()
        self.recipe, self.data, self.first = RecipeBox(), DataBox(theme), StartBox()
        self.where, self.name = WhereBox(), NameBox()
        self.preflight = PreflightStrip()
        self.form = SettingsForm(theme, _suggestions(services.catalog))
        self.dataset_page = DatasetPage(theme)
        self.slurm = SlurmForm(theme)
        self.line = LaunchLine()
        self.tabs = SegmentedButtons(
            (
                (SETTINGS, "Settings", "Every setting of the run, with help"),
                (DATA, "Data", "Classes after mapping, pixels of each, what is wrong with the files"),
                (CLUSTER, "Slurm", "What the run asks of a cluster, and its batch script"),
            )
        )
        self.pages = QStackedWidget()
        for page in (self.form, self.dataset_page, self.slurm):
            self.pages.addWidget(page)
        self._lay_out()
        self.show_tab(SETTINGS)

    def show_tab(self, tab: str) -> None:
        """Show one of the pages."""
        if tab == CLUSTER:
            self.slurm.fill()
        self.tabs.set_current(tab)
        self.pages.setCurrentIndex((SETTINGS, DATA, CLUSTER).index(tab))

    def _lay_out(self) -> None:
        top = QWidget()
        top.setObjectName("controls")
        top.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        row = QHBoxLayout(top)
        row.setContentsMargins(14, 8, 12, 8)
        row.setSpacing(8)
        row.addWidget(self.title)
        row.addWidget(self.reason, 1)
        for widget in (self.show_me, self.back, self.write, self.start):
            row.addWidget(widget)
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.setHandleWidth(1)
        splitter.setChildrenCollapsible(False)
        splitter.addWidget(self._left())
        splitter.addWidget(self._right())
        splitter.setStretchFactor(1, 1)
        splitter.setSizes([_LEFT_PX, 900])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(top)
        whole.addWidget(_rule())
        whole.addWidget(self.problem)
        whole.addWidget(splitter, 1)
        whole.addWidget(self.line)

    def _left(self) -> QWidget:
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(14, 12, 12, 12)
        column.setSpacing(18)
        for box in (self.recipe, self.data, self.first, self.where, self.name):
            column.addWidget(box)
        column.addStretch(1)
        area = QScrollArea()
        area.setObjectName("form")
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(inside)
        area.setMinimumWidth(300)
        return area

    def _right(self) -> QWidget:
        row = QHBoxLayout()
        row.setContentsMargins(14, 8, 14, 0)
        row.addWidget(self.tabs)
        row.addStretch(1)
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.preflight)
        column.addLayout(row)
        column.addWidget(self.pages, 1)
        return right


def _suggestions(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """What may be typed into settings that are plain text."""
    return {"network": _NETWORKS, "taxonomy": (*catalog.names(), OWN), "device": _DEVICES}


def _rule() -> QFrame:
    rule = QFrame()
    rule.setObjectName("rule")
    rule.setFixedHeight(1)
    return rule

"""The bar over the Train workspace: what can be done with the chosen run, in its state."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QMenu, QPushButton, QToolButton, QWidget

from mseg_studio.training.run_state import RunState
from mseg_studio.ui.widgets import FlatBadge

_HEIGHT_PX = 46


class TopBar(QWidget):
    """Its buttons and its menu; the workspace connects them."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("controls")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedHeight(_HEIGHT_PX)
        self.new = _button("New run", "Choose a recipe and a dataset, look at what it costs, start")
        self.new.setObjectName("primary")
        self.stop_save = _button(
            "Stop and save", "Save a checkpoint at the next step, then stop; Resume goes on from it"
        )
        self.stop = _button("Stop", "End the run now; what it did since the last checkpoint is lost")
        self.resume = _button("Resume", "Go on from the newest checkpoint that is whole")
        self.clone = _button("Clone", "A new run with this configuration, to change and start")
        self.delete = _button("Delete", "Delete the folder of the run with its checkpoints, after a question")
        self.badge = FlatBadge()
        self.copy = _button("Copy torchrun line", "Put the exact command of this run into the clipboard")
        self.use = _button("Use this model", "Put the best weights into the list of models, ready for Segment")
        self.more = QToolButton()
        self.more.setText("More")
        self.more.setAccessibleName("More: compare, export, folders")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.more)
        self.compare = _action(menu, "Compare configurations of ticked runs…")
        self.export_png = _action(menu, "Export charts as PNG…")
        self.export_csv = _action(menu, "Export numbers as CSV…")
        menu.addSeparator()
        self.show_folder = _action(menu, "Show the folder of this run")
        self.forget_ticks = _action(menu, "Untick all runs")
        self.more.setMenu(menu)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 8, 12, 8)
        row.setSpacing(8)
        for button in (self.new, self.stop_save, self.stop, self.resume, self.clone, self.delete):
            row.addWidget(button)
        row.addStretch(1)
        for widget in (self.badge, self.copy, self.use, self.more):
            row.addWidget(widget)

    def show_state(self, state: RunState | None, *, has_model: bool, busy: bool) -> None:
        """Offer what can be done with a run in this state; `busy`: something is being done with it."""
        there, going = state is not None, state is not None and state.is_going
        ends = state is not None and state.state == "stopping"
        self.stop_save.setVisible(going)
        self.stop_save.setEnabled(going and not ends and not busy)
        self.stop.setVisible(going)
        self.stop.setEnabled(going and not busy)
        self.resume.setVisible(there and not going)
        self.resume.setEnabled(state is not None and state.state != "finished" and not busy)
        self.delete.setVisible(there and not going)
        self.delete.setEnabled(not busy)
        self.clone.setVisible(there)
        for button in (self.copy, self.use):
            button.setVisible(there)
        self.use.setEnabled(has_model and not busy)
        self.export_png.setEnabled(there)
        self.export_csv.setEnabled(there)
        self.show_folder.setEnabled(there)
        self.badge.setVisible(bool(self.badge.text()))


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setAccessibleName(f"{text}: {tip}")
    return button


def _action(menu: QMenu, text: str) -> QAction:
    action = QAction(text, menu)
    menu.addAction(action)
    return action

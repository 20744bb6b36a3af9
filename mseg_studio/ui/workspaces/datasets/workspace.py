"""The Datasets workspace: choose a description and a folder, let the doctor read all of it, see what is wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QGuiApplication, QShowEvent
from PySide6.QtWidgets import QFileDialog, QLabel, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from mseg_studio.errors import printable
from mseg_studio.storage import write_atomic
from mseg_studio.ui.bridges import in_background
from mseg_studio.ui.services import Services
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.datasets.check_bar import CheckBar
from mseg_studio.ui.workspaces.datasets.checker import Checker
from mseg_studio.ui.workspaces.datasets.dataset_list import WIDTH_PX, DatasetList
from mseg_studio.ui.workspaces.datasets.described import Described, describe, describe_ready
from mseg_studio.ui.workspaces.datasets.report_view import ReportView, split_words, verdict_of
from mseg_studio.ui.workspaces.page import WorkspacePage

_HINT = "Choose a dataset and the folder that holds it, then Check reads every file. Nothing is changed or downloaded."

_READING = "Every file is being read. The report comes when all are; you may go on working elsewhere meanwhile."


class DatasetsWorkspace(WorkspacePage):
    """Composes the list, the bar and the report. A child process reads the files."""

    open_asked = Signal(str)
    """Show this image in the Segment workspace."""

    def __init__(self, services: Services, theme: Theme) -> None:
        super().__init__()
        del services  # every workspace is made alike; this one needs the disk only
        self.setObjectName("panel")
        self.datasets = DatasetList()
        self.bar = CheckBar()
        self.report_view = ReportView(theme)
        self.hint = QLabel(_HINT)
        self.hint.setObjectName("dim")
        self.hint.setWordWrap(True)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.hint.setContentsMargins(80, 40, 80, 40)
        self.hint.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.checker = Checker(self)
        self.report: dict[str, Any] | None = None
        """The report that is shown."""
        self._reports: dict[str, dict[str, Any]] = {}
        self._roots: dict[str, str] = {}
        self._checked = ""
        self._lay_out()
        self._connect()
        in_background(self, describe_ready, self._on_ready)

    def _lay_out(self) -> None:
        self._pages = QStackedWidget()
        self._pages.addWidget(self.hint)
        self._pages.addWidget(self.report_view)
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(1)
        column.addWidget(self.bar)
        column.addWidget(self._pages, 1)
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.setHandleWidth(1)
        splitter.setChildrenCollapsible(False)
        splitter.addWidget(self.datasets)
        splitter.addWidget(right)
        splitter.setStretchFactor(1, 1)
        splitter.setSizes([WIDTH_PX, 900])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(splitter)

    def _connect(self) -> None:
        self.datasets.chosen.connect(self._on_chosen)
        self.datasets.open_asked.connect(self._ask_description)
        self.bar.check_asked.connect(self.check)
        self.bar.cancel_asked.connect(self.checker.cancel)
        self.bar.folder.textChanged.connect(self._on_folder)
        self.checker.progressed.connect(lambda _what, *numbers: self.bar.show_progress(*numbers))
        self.checker.answered.connect(self._on_report)
        self.checker.ended.connect(self._on_ended)
        self.report_view.open_asked.connect(self.open_asked)
        self.report_view.copy.clicked.connect(self.copy_report)
        self.report_view.save.clicked.connect(self._ask_where)

    # -- what the window asks ------------------------------------------------------------------------------------

    def facts(self) -> list[str]:
        """What is chosen, and what came out."""
        one = self.datasets.current
        if one is None:
            return []
        found = [verdict_of(self.report)] if self.report is not None else []
        return [one.name, one.taxonomy, *found]

    def focus_search(self) -> None:
        """Find among the findings."""
        self.report_view.search.setFocus()

    def showEvent(self, event: QShowEvent) -> None:
        """Listen for the end of the window: a check goes on while another workspace is shown, but no longer."""
        super().showEvent(event)
        self.window().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The window closes: end what runs."""
        if event.type() == QEvent.Type.Close and watched is self.window():
            self.checker.close()
        return False

    # -- choosing ------------------------------------------------------------------------------------------------

    def open_description(self, path: str) -> None:
        """Add the description at `path` and choose it."""
        self.datasets.offer([describe(path)])
        self.datasets.select(path)

    def check(self) -> None:
        """Check the chosen dataset."""
        one = self.datasets.current
        if one is None or one.problem or self.checker.running:
            return
        self._checked = one.key
        self._reports.pop(one.key, None)
        self._show(None)
        self.hint.setText(_READING)
        self.bar.show_progress(0, 0, -1)
        self.datasets.set_busy(True)
        root = self.bar.folder.text().strip()
        self.checker.start(one.key, "" if root == one.root else root, self.bar.splits)

    def _on_ready(self, described: Sequence[Described]) -> None:
        self.datasets.offer(described)

    def _on_chosen(self, one: Described) -> None:
        self.bar.offer(self._roots.get(one.key, one.root), one.splits)
        self.bar.go.setEnabled(not one.problem)
        self._show(self._reports.get(one.key))

    def _on_folder(self, folder: str) -> None:
        one = self.datasets.current
        if one is not None:
            self._roots[one.key] = folder

    def _ask_description(self) -> None:
        path, _kind = QFileDialog.getOpenFileName(self, "Open a description", "", "Descriptions (*.yaml *.yml)")
        if path:
            self.open_description(path)

    # -- the report ----------------------------------------------------------------------------------------------

    def _on_report(self, report: dict[str, Any]) -> None:
        self._reports[self._checked] = report
        self._show(report)

    def _on_ended(self, problem: str) -> None:
        self.bar.show_idle()
        self.datasets.set_busy(False)
        self.hint.setText(problem or _HINT)

    def _show(self, report: dict[str, Any] | None) -> None:
        self.report = report
        if report is None:
            self.hint.setText(_HINT)
            self._pages.setCurrentWidget(self.hint)
        else:
            self.report_view.show_report(report)
            self._pages.setCurrentWidget(self.report_view)
        self.facts_changed.emit()

    def copy_report(self) -> None:
        """Put the report into the clipboard, as text."""
        if self.report is not None:
            QGuiApplication.clipboard().setText(as_text(self.report))

    def save_report(self, path: Path) -> None:
        """Save the report: JSON for `.json`, else text. Raises OSError."""
        if self.report is not None:
            text = json.dumps(self.report, indent=1) if path.suffix == ".json" else as_text(self.report)
            write_atomic(path, (text + "\n").encode())

    def _ask_where(self) -> None:
        name = f"{self.report['dataset']}-report.txt" if self.report is not None else ""
        path, _kind = QFileDialog.getSaveFileName(self, "Save the report", name, "Text (*.txt);;JSON (*.json)")
        if not path:
            return
        try:
            self.save_report(Path(path))
        except OSError as error:
            self.report_view.verdict.setText(f"{path}: {error.strerror or error}")


def as_text(report: dict[str, Any]) -> str:
    """A report as lines to send to somebody."""
    lines = [f"{report['dataset']} ({report['taxonomy']}): {verdict_of(report)}", ""]
    for found in report["findings"]:
        words = printable(f"{found['file']}: {found['message']}")
        lines.append(f"{found['severity']:7} {found['code']}: {words}")
    named = Counter(found["code"] for found in report["findings"])
    more = {code: count - named[code] for code, count in report["codes"].items() if count > named[code]}
    lines += [f"        {code}: and {count} more" for code, count in more.items()]
    lines += ["", *(split_words(split) for split in report["splits"]), ""]
    lines += [f"{count['id']:5}  {count['name']}: {count['pixels']} pixels" for count in report["classes"]]
    return "\n".join(lines)

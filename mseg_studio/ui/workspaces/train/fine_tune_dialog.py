"""Fine-tune on labels at hand: where they are, which model starts, and what will happen before it does."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from mseg_studio.errors import printable
from mseg_studio.ui.child_command import ChildCommand
from mseg_studio.ui.services import Services
from mseg_studio.ui.widgets import Heading

_INTRO = (
    "Goes on training a model on labels that you corrected or made. A part of the images is held out: afterwards "
    "both models are scored on it, class by class."
)
_WAIT_MS = 350
"""After the last key, before the labels are looked at."""
_LOOKED_AT = 400
"""Entries of a folder that are looked at to see whether labels are in it."""


class FineTuneDialog(QDialog):
    """Source, model and name; the plan in words; Start. A child process reads the labels."""

    started = Signal(object)
    """A run has begun in this folder (a Path)."""

    def __init__(self, services: Services, *, source: str = "", model: str = "", parent: QWidget | None = None) -> None:
        """`source` is a folder of labels, a description's path or a ready dataset's name; `model` starts."""
        super().__init__(parent)
        self.setWindowTitle("Fine-tune on my labels")
        self.setMinimumWidth(640)
        self._services = services
        self._child: ChildCommand | None = None
        self._plan: dict[str, Any] | None = None
        self._starting = False
        self.source = QLineEdit(source)
        self.source.setPlaceholderText("Folder that Export wrote, or a dataset description")
        self.source.setAccessibleName("Labels: folder or dataset description")
        self.model = QComboBox()
        self.model.setAccessibleName("Model to start with")
        self.model.addItems([one.name for one in services.models()])
        self.model.setCurrentText(model)
        self.name = QLineEdit()
        self.name.setAccessibleName("Name of the run and of the new model")
        self.only_changed = QCheckBox("Only labels that were changed since they were exported")
        self.only_changed.hide()
        self.facts, self.warnings = self._words("small"), self._words("warn")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.hide()
        self._buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.go = self._buttons.addButton("Start", QDialogButtonBox.ButtonRole.AcceptRole)
        self.go.setObjectName("primary")
        self._buttons.accepted.connect(self._start)
        self._buttons.rejected.connect(self.reject)
        self._soon = QTimer(self, interval=_WAIT_MS, singleShot=True)
        self._soon.timeout.connect(self._look)
        self._lay_out()
        for changed in (self.source.textChanged, self.model.currentTextChanged, self.name.textEdited):
            changed.connect(lambda _text: self._ask())
        self.only_changed.toggled.connect(lambda _on: self._ask())
        self._ask()

    def _words(self, name: str) -> QLabel:
        label = QLabel()
        label.setObjectName(name)
        label.setWordWrap(True)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        return label

    def _lay_out(self) -> None:
        intro = QLabel(_INTRO)
        intro.setWordWrap(True)
        intro.setObjectName("dim")
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.source, 1)
        for text, act in (("Folder…", self._browse_folder), ("Dataset…", self._browse_file)):
            button = QPushButton(text)
            button.clicked.connect(act)
            row.addWidget(button)
        form = QFormLayout()
        form.setHorizontalSpacing(20)
        form.setVerticalSpacing(10)
        form.addRow("Labels", row)
        form.addRow("Start with", self.model)
        form.addRow("Name", self.name)
        form.addRow("", self.only_changed)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 16)
        column.setSpacing(12)
        column.addWidget(intro)
        column.addLayout(form)
        column.addWidget(Heading("What will happen"))
        column.addWidget(self.facts)
        column.addWidget(self.warnings)
        column.addWidget(self.bar)
        column.addWidget(self._buttons)

    def arguments(self, *more: str) -> list[str]:
        """The command line of the child."""
        found = ["fine-tune", self.source.text().strip(), "--model", self.model.currentText()]
        if self.name.isModified() and self.name.text().strip():
            found += ["--name", self.name.text().strip()]
        if self.only_changed.isChecked():
            found.append("--only-changed")
        return [*found, *more, "--json", "--progress-json"]

    # -- the plan ------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        """Something is another: the plan of before does not count."""
        self._plan = None
        self._drop_child()
        self._soon.start()
        self._refresh()

    def _look(self) -> None:
        if not self.source.text().strip():
            self.facts.setText("Choose the labels first.")
            self.warnings.setText("")
            return
        self.facts.setText("Looking at the labels…")
        self._run(self.arguments("--dry-run"))

    def _run(self, arguments: Sequence[str]) -> None:
        self._child = ChildCommand(arguments, self)
        self._child.told.connect(self._on_told)
        self._child.finished.connect(self._on_finished)
        self.bar.setRange(0, 0)
        self.bar.show()
        self._refresh()
        self._child.start()

    def _on_told(self, value: dict[str, Any]) -> None:
        if "progress" in value:
            self.bar.setRange(0, int(value["progress"]["total"]))
            self.bar.setValue(int(value["progress"]["done"]))
        elif "plan" in value and not self._starting:
            self._show_plan(value["plan"])
        elif "run" in value:
            self.started.emit(Path(str(value["run"])))

    def _show_plan(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self.facts.setText("\n".join(f"•  {printable(str(text))}" for text in plan["facts"]))
        self.warnings.setText("\n".join(f"•  {printable(str(text))}" for text in plan["warnings"]))
        if any("exactly as exported" in str(text) for text in plan["warnings"]):
            self.only_changed.show()
        if not self.name.isModified():
            self.name.setText(str(plan["name"]))

    def _on_finished(self, good: bool, message: str) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.deleteLater()
        self.bar.hide()
        if self._starting and good:
            self.accept()
            return
        if not good:
            self._plan = self._plan if self._starting else None
            self.facts.setText("" if self._plan is None else self.facts.text())
            self.warnings.setText(message)
        self._starting = False
        self._refresh()

    def _refresh(self) -> None:
        self.go.setEnabled(self._plan is not None and self._child is None)
        self.warnings.setVisible(bool(self.warnings.text()))
        for part in (self.source, self.model, self.name, self.only_changed):
            part.setEnabled(not self._starting)

    # -- what a person does --------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._starting = True
        # The scores on screen can be made again; a device that they fill would end the run at its first step.
        self._services.inference.free_device()
        self._run(self.arguments("--detach"))

    def _browse_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder of labels", self.source.text())
        if path:
            self.source.setText(path)

    def _browse_file(self) -> None:
        path, _kind = QFileDialog.getOpenFileName(self, "Dataset description", "", "Descriptions (*.yaml *.yml)")
        if path:
            self.source.setText(path)

    def done(self, result: int) -> None:
        """Close; what looks at labels ends, a run that has begun goes on."""
        self._soon.stop()
        self._drop_child()
        super().done(result)

    def _drop_child(self) -> None:
        if self._child is not None and not self._starting:
            self._child.end()
            self._child.deleteLater()
            self._child = None
            self.bar.hide()


def ask_fine_tune(services: Services, opened: str, model: str, parent: QWidget) -> Path | None:
    """Show the dialog for the labels of what is open (a path, or empty); gives the run that began, if one did."""
    found: list[Path] = []
    dialog = FineTuneDialog(services, source=labels_near(opened) if opened else "", model=model, parent=parent)
    dialog.started.connect(found.append)
    dialog.exec()
    dialog.deleteLater()
    return found[0] if found else None


def labels_near(opened: str) -> str:
    """The folder of labels that belongs to the image, folder or video that is open; empty where none is seen.

    Export suggests `segmented` beside what is open; labels may also lie beside the images.
    """
    path = Path(opened)
    places = (path.parent / "segmented", path if path.is_dir() else path.parent)
    return next((str(place) for place in places if _holds_labels(place)), "")


def _holds_labels(folder: Path) -> bool:
    """Whether one of the first entries is a sidecar with its label map."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            if number >= _LOOKED_AT:
                break
            if entry.name.endswith(".json") and Path(entry.path).with_suffix(".png").is_file():
                with contextlib.suppress(OSError, ValueError):
                    values = json.loads(Path(entry.path).read_bytes())
                    return isinstance(values, dict) and {"format", "taxonomy", "source"} <= set(values)
    return False

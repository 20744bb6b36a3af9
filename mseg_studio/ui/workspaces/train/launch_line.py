"""The exact command that computes a run, to read and to copy."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QFontDatabase, QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QWidget

from mseg_studio.training.launcher import LaunchPlan
from mseg_studio.training.slurm import sbatch_argv

_COPIED_MS = 1500
_LINES = 2


def local_lines(plan: LaunchPlan) -> list[str]:
    """The command of every machine, as a shell takes it."""
    chosen = f"CUDA_VISIBLE_DEVICES={','.join(plan.devices)} " if plan.devices else ""
    plans = (dataclasses.replace(plan, node_rank=rank) for rank in range(plan.nnodes))
    return [chosen + shlex.join(one.argv()) for one in plans]


def slurm_lines(folder: Path) -> list[str]:
    """The command that submits the batch script of a run."""
    return [shlex.join(sbatch_argv(folder))]


class LaunchLine(QWidget):
    """Shows the command; Copy takes all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("strip")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.text = QPlainTextEdit()
        self.text.setObjectName("line")
        self.text.setReadOnly(True)
        self.text.setTabChangesFocus(True)
        self.text.setAccessibleName("Command that computes the run")
        font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        font.setPixelSize(11)
        self.text.setFont(font)
        self.text.setFixedHeight(self.text.fontMetrics().lineSpacing() * _LINES + 16)
        self.what = QLabel("torchrun")
        self.what.setObjectName("small")
        self.copy = QPushButton("Copy")
        self.copy.setToolTip("Copy the command; it works once the run's folder is written")
        self.copy.setAccessibleName("Copy the command")
        self.copy.clicked.connect(self._copy)
        self._said = QTimer(self, interval=_COPIED_MS, singleShot=True)
        self._said.timeout.connect(lambda: self.copy.setText("Copy"))
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 4, 12, 4)
        row.setSpacing(8)
        row.addWidget(self.what)
        row.addWidget(self.text, 1)
        row.addWidget(self.copy)

    def show_lines(self, what: str, lines: list[str]) -> None:
        """Show another command, or one for each machine; none where it cannot be said."""
        self.what.setText(what)
        text = "\n".join(lines)
        if text != self.text.toPlainText():
            self.text.setPlainText(text)
        self.copy.setEnabled(bool(lines))

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.text.toPlainText())
        self.copy.setText("Copied")
        self._said.start()

"""What a person writes about a run: kept in notes.txt as it is typed."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QPlainTextEdit

from mseg_studio.training.runs import read_notes, write_notes
from mseg_studio.ui.workspaces.train.config_panel import Section

_SAVE_MS = 700


class NotesPanel(Section):
    """A text; saved a moment after the last key, and when another run is chosen."""

    failed = Signal(str)
    """It cannot be saved: why."""

    def __init__(self) -> None:
        super().__init__("Notes")
        self._folder: Path | None = None
        self._saved = ""
        self.text = QPlainTextEdit()
        self.text.setPlaceholderText("What this run is for, what came of it…")
        self.text.setAccessibleName("Notes on the run, saved as you type")
        self.text.setTabChangesFocus(True)
        self.text.setFixedHeight(84)
        self._soon = QTimer(self, interval=_SAVE_MS, singleShot=True)
        self._soon.timeout.connect(self.save)
        self.text.textChanged.connect(self._soon.start)
        self.column.addWidget(self.text)

    def show_run(self, folder: Path | None) -> None:
        """Show the notes of another run; those of the one before are saved."""
        if folder == self._folder:
            return
        self.save()
        self._folder = folder
        self._saved = read_notes(folder) if folder is not None else ""
        self.text.blockSignals(True)
        self.text.setPlainText(self._saved)
        self.text.blockSignals(False)
        self.setEnabled(folder is not None)

    def save(self) -> None:
        """Save what is not saved yet; a failed save is tried again with the next key."""
        self._soon.stop()
        text = self.text.toPlainText()
        if self._folder is None or text == self._saved or not self._folder.is_dir():
            return
        try:
            write_notes(self._folder, text)
        except OSError as error:
            self.failed.emit(f"The notes cannot be saved: {error.strerror or error}")
            return
        self._saved = text

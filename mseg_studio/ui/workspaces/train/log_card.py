"""The logs of a run: all ranks or one, with search, followed while they grow."""

from __future__ import annotations

from PySide6.QtCore import QTimer
from PySide6.QtGui import QFontDatabase
from PySide6.QtWidgets import QCheckBox, QComboBox, QLineEdit, QPlainTextEdit

from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.train.card import Card
from mseg_studio.ui.workspaces.train.log_tail import MOST_LINES, LogLine

_ALL = "all ranks"
_SEARCH_MS = 150


class LogCard(Card):
    """Shows the lines that pass the choice of rank and the search."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme, "Log")
        self._lines: tuple[LogLine, ...] = ()
        self._shown: tuple[LogLine, ...] = ()
        self.rank = QComboBox()
        self.rank.setAccessibleName("Whose log")
        self.rank.addItem(_ALL)
        self.rank.currentTextChanged.connect(lambda _text: self._refill())
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search…")
        self.search.setAccessibleName("Search the log; lines with the words stay")
        self.search.setClearButtonEnabled(True)
        self.search.setMaximumWidth(220)
        self._soon = QTimer(self, interval=_SEARCH_MS, singleShot=True)
        self._soon.timeout.connect(self._refill)
        self.search.textChanged.connect(lambda _text: self._soon.start())
        self.follow = QCheckBox("Follow")
        self.follow.setChecked(True)
        self.follow.setToolTip("Stay at the newest line")
        self.follow.toggled.connect(lambda on: self._to_end() if on else None)
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setMaximumBlockCount(MOST_LINES)
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setAccessibleName("Log of the run")
        font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        font.setPixelSize(12)
        self.text.setFont(font)
        self.head.insertWidget(1, self.rank)
        self.head.addWidget(self.search)
        self.head.addWidget(self.follow)
        self.body.addWidget(self.text)
        self.text.verticalScrollBar().sliderMoved.connect(lambda _place: self._on_scrolled())
        self.setMinimumHeight(110)

    def show_lines(self, lines: tuple[LogLine, ...], sources: tuple[str, ...]) -> None:
        """Take the lines there are now; nothing happens when they are the ones shown."""
        if [self.rank.itemText(n) for n in range(1, self.rank.count())] != list(sources):
            self._offer(sources)
        if lines is self._lines:
            return
        self._lines = lines
        self._refill()

    def _offer(self, sources: tuple[str, ...]) -> None:
        chosen = self.rank.currentText()
        self.rank.blockSignals(True)
        self.rank.clear()
        self.rank.addItems([_ALL, *sources])
        self.rank.setCurrentText(chosen if chosen in sources else _ALL)
        self.rank.blockSignals(False)

    def _refill(self) -> None:
        chosen, words = self.rank.currentText(), self.search.text().strip().lower()
        wanted = tuple(
            line
            for line in self._lines
            if chosen in (_ALL, line.source) and (not words or words in line.words().lower())
        )
        before = self._shown
        if before and len(wanted) >= len(before) and wanted[: len(before)] == before:
            fresh = wanted[len(before) :]
            if fresh:
                self._append(fresh)
        elif wanted != before:
            self.text.setPlainText("\n".join(line.words() for line in wanted))
            self._to_end()
        self._shown = wanted
        self.show_value("", f"{len(wanted)} of {len(self._lines)} lines" if words else "")

    def _append(self, lines: tuple[LogLine, ...]) -> None:
        bar = self.text.verticalScrollBar()
        place = bar.value()
        self.text.appendPlainText("\n".join(line.words() for line in lines))
        if self.follow.isChecked():
            self._to_end()
        else:
            bar.setValue(place)

    def _to_end(self) -> None:
        if self.follow.isChecked():
            bar = self.text.verticalScrollBar()
            bar.setValue(bar.maximum())

    def _on_scrolled(self) -> None:
        """Who scrolls back wants to read; who comes to the end wants to follow."""
        bar = self.text.verticalScrollBar()
        self.follow.setChecked(bar.value() >= bar.maximum())

"""Lines that open under the draft when something is asked: a name, words for a subset, what to do with unsaved work.

They take the place of dialogs, so that the list and the browser stay in sight and in reach.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QLineEdit, QPushButton, QSizePolicy, QVBoxLayout, QWidget

Answer = Callable[[], object]


class Question(QFrame):
    """One question at a time, in words with buttons or with a field; Escape takes it away."""

    opened = Signal(bool)
    """Whether something is asked now: the question takes the place of other buttons."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("note")
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.field = QLineEdit()
        self.field.returnPressed.connect(self._take)
        self.buttons = QWidget()
        self._row = QHBoxLayout(self.buttons)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(8)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 12, 8)
        column.setSpacing(6)
        for part in (self.words, self.field, self.buttons):
            column.addWidget(part)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self._on_text: Callable[[str], object] = lambda _text: None
        self.hide()

    def ask_text(self, words: str, *, text: str, hint: str, button: str, then: Callable[[str], object]) -> None:
        """A field that starts with `text`, selected; `then` gets what was typed, and closes the question itself."""
        self._on_text = then
        self.field.setPlaceholderText(hint)
        self.field.setText(text)
        self.field.setAccessibleName(words)
        self._open(words, ((button, self._take),))
        self.field.show()
        self.field.selectAll()
        self.field.setFocus()

    def ask(self, words: str, answers: Sequence[tuple[str, Answer]]) -> None:
        """Buttons, the first one the likeliest; `Cancel` is added. Every answer closes the question first."""
        self.field.hide()
        self._open(words, [(text, partial(self._answer, answer)) for text, answer in answers])
        self.button(answers[0][0]).setFocus()

    def close_question(self) -> None:
        """Nothing is asked any more."""
        self.hide()
        self.opened.emit(False)

    def button(self, text: str) -> QPushButton:
        """The button with these words."""
        return next(one for one in self.buttons.findChildren(QPushButton) if one.text() == text and not one.isHidden())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape cancels."""
        if event.key() == Qt.Key.Key_Escape:
            self.close_question()
        else:
            super().keyPressEvent(event)

    def _open(self, words: str, answers: Sequence[tuple[str, Answer]]) -> None:
        while (item := self._row.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.hide()
                old.deleteLater()
        self.words.setText(words)
        for number, (text, answer) in enumerate((*answers, ("Cancel", self.close_question))):
            button = QPushButton(text)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            if number == 0:
                button.setObjectName("primary")
            button.clicked.connect(lambda _checked=False, answer=answer: answer())
            self._row.addWidget(button)
        self._row.addStretch(1)
        self.show()
        self.opened.emit(True)

    def _take(self) -> None:
        self._on_text(self.field.text().strip())

    def _answer(self, answer: Answer) -> None:
        self.close_question()
        answer()

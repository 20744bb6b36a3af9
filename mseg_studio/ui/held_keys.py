"""Keys that are held in Segment, for the whole window, while that workspace is on screen."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QApplication

_KEYS = (QEvent.Type.KeyPress, QEvent.Type.KeyRelease)


class HeldKeys(QObject):
    """Listens to the keys of the program between `listen(True)` and `listen(False)`.

    A filter of the application sees every event of every widget. In Python that makes a page take twice as long to
    build, so nothing is listened to where no key is held.
    """

    def __init__(self, hold: Callable[[QObject, QEvent], bool], parent: QObject) -> None:
        """`hold` takes a key to a widget, and whether the event ends there."""
        super().__init__(parent)
        self._hold = hold

    def listen(self, on: bool) -> None:
        """Begin or end; twice is as good as once."""
        application = QApplication.instance()
        if application is None:
            return
        application.removeEventFilter(self)
        if on:
            application.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """All events of the program come along here."""
        return event.type() in _KEYS and self._hold(watched, event)

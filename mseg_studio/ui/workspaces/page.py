"""What every workspace but Segment is to the window: a widget that has words for its status bar."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget


class WorkspacePage(QWidget):
    """A workspace that fills the window; it is made when it is first visited."""

    notice = Signal(object)
    """A `Notice` for the bar over the page."""
    facts_changed = Signal()
    """What `facts` or `aside` say is another."""

    def facts(self) -> list[str]:
        """What stands at the left of the status bar."""
        return []

    def aside(self) -> str:
        """What stands at its right, as a link; empty for nothing."""
        return ""

    def on_aside(self) -> None:
        """A person clicked the link at the right of the status bar."""

    def unsaved(self) -> str:
        """What would be lost if the window closed now, as a sentence; empty for nothing."""
        return ""

    def focus_search(self) -> None:
        """Put the keys into the field that finds things, where there is one."""

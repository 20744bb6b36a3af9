"""Looks at runs again and again in the background, and tells the window what is new."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal

from mseg_studio.errors import MSegStudioError
from mseg_studio.training.run_state import RunState, read_state
from mseg_studio.training.runs import known_runs
from mseg_studio.ui.bridges import in_background
from mseg_studio.ui.workspaces.train.run_reader import RunLook, RunReader

_LOOK_MS = 500
_LIST_MS = 1500
_GIVE_UP_S = 60.0
"""A round that has not come back by then never will."""
_MOST_READERS = 8
"""Runs whose numbers are kept in memory, beside those on screen."""


class RunsWatcher(QObject):
    """Two rounds, each in a thread and never twice at once: the list of runs, and the runs whose charts are shown.

    A run of a cluster may take seconds to answer; the charts do not wait for it.
    """

    listed = Signal(object)
    """Mapping of folder to RunState, newest first."""
    looked = Signal(object)
    """Mapping of folder to RunLook: the chosen run and the ticked ones."""

    failed = Signal(str)
    """A folder cannot be read: why."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._chosen: Path | None = None
        self._ticked: tuple[Path, ...] = ()
        self._weight = 0.0
        self._readers: dict[Path, RunReader] = {}
        self._looking = self._listing = self._again = False
        self._began_s = self._listed_s = 0.0
        self._look = QTimer(self, interval=_LOOK_MS)
        self._look.timeout.connect(self.look_now)
        self._list = QTimer(self, interval=_LIST_MS)
        self._list.timeout.connect(self.list_now)

    def start(self) -> None:
        """The page is on screen: look now and again and again."""
        if not self._look.isActive():
            self._look.start()
            self._list.start()
            self.list_now()
            self.look_now()

    def stop(self) -> None:
        """Nobody is looking."""
        self._look.stop()
        self._list.stop()

    def watch(self, chosen: Path | None, ticked: Sequence[Path], *, weight: float) -> None:
        """These runs, the loss smoothed by `weight`; answered at once."""
        self._chosen, self._ticked, self._weight = chosen, tuple(ticked), weight
        self.look_now()

    def list_now(self) -> None:
        """Look at which runs there are and what each does."""
        if not self._listing or time.monotonic() - self._listed_s > _GIVE_UP_S:
            self._listing, self._listed_s = True, time.monotonic()
            in_background(self, _states, self._on_listed, failed=self._on_list_failed)

    def look_now(self) -> None:
        """Look at the runs on screen; once more when a look is under way, for what was asked meanwhile."""
        if self._looking and time.monotonic() - self._began_s < _GIVE_UP_S:
            self._again = True
            return
        if self._looking:
            # It failed in a way nobody foresaw, or a disk hangs: begin anew, beside it.
            self._readers.clear()
        wanted = list(dict.fromkeys([*([self._chosen] if self._chosen else []), *self._ticked]))
        if not wanted:
            return
        for folder in wanted:
            known = self._readers.pop(folder) if folder in self._readers else RunReader(folder)
            self._readers[folder] = known  # the newest last
        while len(self._readers) > len(wanted) + _MOST_READERS:
            self._readers.pop(next(iter(self._readers)))
        readers, chosen, weight = [self._readers[folder] for folder in wanted], self._chosen, self._weight
        self._looking, self._again, self._began_s = True, False, time.monotonic()

        def look() -> dict[Path, RunLook]:
            return {one.folder: one.look(weight=weight, whole=one.folder == chosen) for one in readers}

        in_background(self, look, self._on_looked, failed=self._on_look_failed)

    def _on_looked(self, looks: Mapping[Path, RunLook]) -> None:
        self._looking = False
        self.looked.emit(looks)
        if self._again:
            self.look_now()

    def _on_listed(self, states: Mapping[Path, RunState]) -> None:
        self._listing = False
        self.listed.emit(states)

    def _on_list_failed(self, error: MSegStudioError) -> None:
        self._listing = False
        self.failed.emit(f"The runs cannot be listed: {error}")

    def _on_look_failed(self, error: MSegStudioError) -> None:
        self._looking = False
        self.failed.emit(f"The run cannot be read: {error}")


def _states() -> dict[Path, RunState]:
    return {folder: read_state(folder) for folder in known_runs()}

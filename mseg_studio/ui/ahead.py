"""Imports the other workspaces while nobody waits for them."""

from __future__ import annotations

import importlib

from PySide6.QtCore import QObject, QTimer

from mseg_studio.ui.bridges import in_background

_AFTER_MS = 1200
"""The window is on screen and its worker processes are starting by then."""
_MODULES = (
    "mseg_studio.ui.workspaces.train.workspace",
    "mseg_studio.ui.workspaces.train.new_run",
    "mseg_studio.ui.workspaces.datasets.workspace",
    "mseg_studio.ui.workspaces.taxonomy.workspace",
)
"""Longest to import first: pyqtgraph alone takes half a second, in which the window would stand still."""


def import_ahead(owner: QObject) -> None:
    """Import in a thread what the first visit of each workspace needs; a visit before that waits for the rest."""
    QTimer.singleShot(_AFTER_MS, owner, lambda: in_background(owner, _import_all, lambda _none: None))


def _import_all() -> None:
    for name in _MODULES:
        importlib.import_module(name)

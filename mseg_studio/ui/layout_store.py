"""Where the window keeps how it was left: beside the settings file, and apart from it."""

from __future__ import annotations

from PySide6.QtCore import QSettings

from mseg_studio.settings import user_folder


def layout_store() -> QSettings:
    """Places of docks and window, the workspace, the columns of the taxonomy browser."""
    return QSettings(str(user_folder("config") / "layout.ini"), QSettings.Format.IniFormat)

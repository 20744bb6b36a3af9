"""Journeys use the window on doubles of the worker clients."""

from tests.ui.conftest import doubles, folder, open_window, picture  # noqa: F401

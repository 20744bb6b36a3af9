"""Colours of runs and datasets in the charts: well apart on either scheme, the chosen run's first."""

from __future__ import annotations

_DARK = ("#5b8cff", "#5fd08a", "#f0b64a", "#e8679c", "#b38cff", "#4cc9d8", "#ff8f5c", "#a9b665")
_LIGHT = ("#2f5be8", "#1e8a48", "#a06a00", "#b8246b", "#7a3fd0", "#0a7f8f", "#c24a12", "#63701f")


def run_colour(place: int, *, dark: bool) -> str:
    """#rrggbb of the run at a place, 0 for the chosen one."""
    colours = _DARK if dark else _LIGHT
    return colours[place % len(colours)]

"""What the window says to the person outside of dialogs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence for the person, shown over the canvas until it is closed or settled."""

    text: str
    kind: Kind = "error"
    about: str = ""
    """What it is about; a later notice with the same word replaces it, an empty text takes it away."""

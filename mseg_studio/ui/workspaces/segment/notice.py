"""What the window says to the person outside of dialogs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mseg_studio.media.events import SourceInfo
from mseg_studio.ui.workspaces.segment.estimate import counted

Kind = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence for the person, shown over the canvas until it is closed or settled."""

    text: str
    kind: Kind = "error"
    about: str = ""
    """What it is about; a later notice with the same word replaces it, an empty text takes it away."""


def notices_of(source: SourceInfo) -> list[Notice]:
    """What a person should know about a source that was opened."""
    found = [Notice(note, "warning", "notes") for note in source.notes]
    if source.skipped:
        first = source.skipped[0]
        text = f"{counted(len(source.skipped), 'entry')} left out, such as {Path(first.path).name}: {first.reason}"
        found.append(Notice(text, "info", "skipped"))
    return found

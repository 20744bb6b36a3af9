"""What the form remembers from one run to the next: where data lies, and what was chosen last. No widgets."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mseg_studio.settings import user_folder
from mseg_studio.storage import write_json_atomic

_MOST_FOLDERS = 200


@dataclass(slots=True)
class Memory:
    """Read when the form opens, written when a folder is chosen and when a run starts."""

    folders: dict[str, str] = field(default_factory=dict)
    """Description (a ready name or a path) to the folder that holds its data."""
    last: dict[str, Any] = field(default_factory=dict)
    """recipe, datasets (descriptions), processes, slurm (words), engine."""

    def remember_folder(self, description: str, folder: str) -> None:
        """Keep where the data of a description lies."""
        self.folders.pop(description, None)
        self.folders[description] = folder
        while len(self.folders) > _MOST_FOLDERS:
            self.folders.pop(next(iter(self.folders)))

    def folder_of(self, description: str) -> str:
        """The folder that was chosen last and is still there; else empty."""
        folder = self.folders.get(description, "")
        return folder if folder and Path(folder).is_dir() else ""

    def save(self) -> None:
        """Write it; a full disk must not keep a run from starting, it is only a convenience."""
        with contextlib.suppress(OSError):
            path = memory_file()
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json_atomic(path, {"format": 1, "folders": self.folders, "last": self.last})


def memory_file() -> Path:
    """Where it is kept; it need not exist."""
    return user_folder("config") / "new-run.json"


def load_memory() -> Memory:
    """What was kept; nothing where there is none or where it cannot be read."""
    try:
        raw = json.loads(memory_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Memory()
    if not isinstance(raw, Mapping):
        return Memory()
    folders, last = raw.get("folders"), raw.get("last")
    memory = Memory()
    if isinstance(folders, Mapping):
        memory.folders = {key: value for key, value in folders.items() if isinstance(value, str)}
    if isinstance(last, Mapping):
        memory.last = dict(last)
    return memory

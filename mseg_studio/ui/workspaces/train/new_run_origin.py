"""What a run was made from: `origin.json` in its folder, for its copies and for the diff. No widgets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mseg_studio.errors import ConfigError
from mseg_studio.storage import write_json_atomic
from mseg_studio.training.recipes import Recipe, load_recipe

FILE_NAME = "origin.json"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a run's configuration came from and how it was started."""

    recipe: str = ""
    """Name of the recipe; empty where it is not known."""
    clone_of: str = ""
    """Folder of the run that was copied."""
    processes: int = 0
    slurm: tuple[str, ...] = ()
    """Options of Slurm as `key=value` words."""


def write_origin(folder: Path, origin: Origin) -> None:
    """Keep it in the folder of the run. Raises OSError."""
    values = {"recipe": origin.recipe, "clone_of": origin.clone_of, "processes": origin.processes}
    write_json_atomic(folder / FILE_NAME, {"format": 1, **values, "slurm": list(origin.slurm)})


def origin_of(folder: Path) -> Origin:
    """What the folder says; nothing for runs that were started by other means."""
    try:
        raw = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Origin()
    if not isinstance(raw, Mapping):
        return Origin()
    processes, slurm = raw.get("processes"), raw.get("slurm")
    return Origin(
        str(raw.get("recipe") or ""),
        str(raw.get("clone_of") or ""),
        processes if isinstance(processes, int) else 0,
        tuple(str(word) for word in slurm) if isinstance(slurm, list) else (),
    )


def recipe_of(folder: Path) -> Recipe | None:
    """The recipe that a run was made from; None where it is not known, or gone."""
    name = origin_of(folder).recipe
    try:
        return load_recipe(name) if name else None
    except ConfigError:
        return None

"""What the window knows of a dataset description before anything is checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mseg_studio.datasets.description import load_dataset
from mseg_studio.datasets.ready import is_ready, ready_names
from mseg_studio.errors import MSegStudioError


@dataclass(frozen=True, slots=True)
class Described:
    """One description of the list."""

    key: str
    """What the command line is given: a ready name or a path."""
    name: str
    title: str = ""
    taxonomy: str = ""
    needs: str = ""
    where: str = ""
    licence: str = ""
    splits: tuple[str, ...] = ()
    root: str = ""
    """Its own root; empty for a ready one."""
    problem: str = ""
    """Why it cannot be used."""


def describe(key: str) -> Described:
    """The description at a path or of a ready name; a broken one says why."""
    try:
        dataset = load_dataset(key)
    except MSegStudioError as error:
        return Described(key, Path(key).stem, problem=str(error))
    own = "" if is_ready(dataset.path) and not dataset.roots else ", ".join(str(root) for root in dataset.roots)
    return Described(
        key,
        dataset.name,
        dataset.title,
        dataset.taxonomy.name,
        dataset.needs,
        dataset.where,
        dataset.licence,
        tuple(dataset.splits),
        own,
    )


def describe_ready() -> list[Described]:
    """All ready descriptions by name."""
    return [describe(name) for name in ready_names()]

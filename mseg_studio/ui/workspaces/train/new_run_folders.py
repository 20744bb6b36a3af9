"""Which dataset a dropped folder or file is. No widgets; reads the disk: for a background thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mseg_studio.datasets.description import DatasetDescription, load_dataset
from mseg_studio.datasets.pairing import FolderSplit, ListSplit, PatternSplit
from mseg_studio.datasets.ready import ready_names
from mseg_studio.errors import MSegStudioError
from mseg_studio.training.config import DatasetConfig

_DESCRIPTIONS = (".yaml", ".yml")


def dataset_at(path: Path) -> DatasetConfig | None:
    """The dataset that lies at `path`: a description file, a folder with one, or a folder in a ready one's layout.

    None where nothing fits.
    """
    if path.suffix.lower() in _DESCRIPTIONS and path.is_file():
        return chosen(str(path))
    if not path.is_dir():
        return None
    for file in sorted(one for one in path.iterdir() if one.suffix.lower() in _DESCRIPTIONS)[:20]:
        try:
            return chosen(str(file))
        except MSegStudioError:
            continue
    fitting = [(name, found) for name in ready_names() if (found := _fits(name, path))]
    if not fitting:
        return None
    name, _splits = max(fitting, key=lambda one: one[1])
    return chosen(name, root=str(path))


def chosen(key: str, *, root: str = "", name: str = "") -> DatasetConfig:
    """The dataset of a description (a ready name or a path), with its splits by name. Raises ConfigError."""
    dataset = load_dataset(key, root=root or None)
    train, val = default_splits(dataset)
    return DatasetConfig(key, root, name or dataset.name, train, val)


def default_splits(dataset: DatasetDescription) -> tuple[str, str]:
    """The split to train on and the one to judge by, by their names; empty where there is none."""
    names = list(dataset.splits)
    train = next((name for name in names if name.lower().startswith("train")), names[0] if names else "")
    val = next((name for name in names if name.lower().startswith(("val", "dev"))), "")
    if not val:
        val = next((name for name in names if name != train and name.lower().startswith("test")), "")
    return train, val


def _fits(name: str, folder: Path) -> int:
    """How many splits of a ready description are there; 0 also for one that cannot be read."""
    try:
        dataset = load_dataset(name, root=folder)
    except MSegStudioError:
        return 0
    try:
        return sum(_is_there(split) for split in dataset.splits.values())
    except OSError:
        return 0


def _is_there(split: Any) -> bool:
    if isinstance(split, FolderSplit):
        names = split.names is None or split.names.exists()
        return names and _any_picture(split.images, split.image_suffixes) and _any(split.labels, split.label_suffix)
    if isinstance(split, PatternSplit):
        return any(True for _ in split.root.glob(split.image)) and any(True for _ in split.root.glob(split.label))
    if isinstance(split, ListSplit):
        return split.file.is_file()
    parts = getattr(split, "parts", ())
    return bool(parts) and all(_is_there(part) for part in parts)


def _any_picture(folder: Path, suffixes: tuple[str, ...] | None) -> bool:
    return any(_any(folder, suffix) for suffix in suffixes or (".jpg", ".png", ".jpeg", ".tif", ".bmp"))


def _any(folder: Path, suffix: str) -> bool:
    """Whether a file with this end lies at most two folders below; the first one ends the search."""
    patterns = (f"*{suffix}", f"*/*{suffix}")
    return folder.is_dir() and any(True for pattern in patterns for _ in folder.glob(pattern))

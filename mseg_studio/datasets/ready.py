"""Descriptions that are known by name: shipped ones for public datasets, and those in the user's folder."""

from __future__ import annotations

from pathlib import Path

from mseg_studio.errors import ConfigError, nearest
from mseg_studio.settings import resource_folder, user_folder

_SUFFIX = ".yaml"


def ready_names() -> tuple[str, ...]:
    """Names of all ready descriptions in alphabetical order."""
    return tuple(sorted(_files()))


def is_shipped(name: str) -> bool:
    """Whether the description came with the program; the others lie in the user's folder."""
    path = _files().get(name)
    return path is not None and path.parent == resource_folder("datasets")


def is_ready(path: Path) -> bool:
    """Whether the file is a ready description: it lies among the program's or the user's files, not with the data."""
    return path.resolve().parent in {folder.resolve() for folder in _folders()}


def ready_path(name: str) -> Path:
    """The file of the ready description `name`. Raises ConfigError with the nearest names."""
    files = _files()
    if name not in files:
        raise ConfigError(f"no dataset description is called '{name}'{nearest(name, files)}")
    return files[name]


def find_description(given: str | Path, *, beside: Path | None = None) -> Path:
    """The file that `given` means: a path, or without such a file the name of a ready description.

    A relative path starts at `beside`. Raises ConfigError for a word that is neither, with the nearest names.
    """
    path = Path(given) if beside is None else beside / given
    if len(Path(given).parts) != 1 or Path(given).suffix:
        return path
    files = _files()
    try:
        if path.is_file() or (path.exists() and str(given) not in files):
            return path
    except OSError:
        return path  # a name that no file can have: the reader says so
    if str(given) not in files:
        known = nearest(str(given), files)
        raise ConfigError(f"'{given}' is neither a file nor the name of a ready description{known}")
    return files[str(given)]


def _files() -> dict[str, Path]:
    """Paths by name; what is shipped keeps its meaning, whatever lies in the user's folder."""
    found: dict[str, Path] = {}
    for folder in _folders():
        if folder.is_dir():
            for path in sorted(folder.glob(f"*{_SUFFIX}")):
                if not path.name.startswith("."):
                    found.setdefault(path.name.removesuffix(_SUFFIX), path)
    return found


def _folders() -> tuple[Path, Path]:
    return resource_folder("datasets"), user_folder("datasets")

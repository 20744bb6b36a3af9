"""Files whose names end as they should but for upper and lower case: there on one system, missing on the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mseg_studio.datasets.pairing import FolderSplit, JoinedSplit, Split

_ANY = (".jpg", ".jpeg", ".png")
"""Ends of images where the description names none: then case plays no part."""


@dataclass(slots=True)
class Miscased:
    """Such files of one split; what explains a missing file is taken out."""

    parts: list[FolderSplit] = field(default_factory=list)
    files: dict[str, tuple[Path, str]] = field(default_factory=dict)
    """By the path in lower case: the file, and how its name should end."""

    def take(self, path: Path) -> Path | None:
        """The file that `path` would be if case did not matter; it is told once."""
        found = self.files.pop(str(path).lower(), None)
        return None if found is None else found[0]

    def take_image_of(self, label: Path) -> Path | None:
        """The image of a label file, if case did not matter."""
        for part in self.parts:
            if label.is_relative_to(part.labels):
                stem = label.relative_to(part.labels).as_posix().removesuffix(part.label_suffix)
                for suffix in part.image_suffixes or _ANY:
                    found = self.take(part.images / f"{stem}{suffix}")
                    if found is not None:
                        return found
        return None

    def rest(self) -> Iterator[tuple[Path, str]]:
        """Files that explain nothing: image and label were both passed over."""
        yield from self.files.values()


def miscased(split: Split) -> Miscased:
    """All such files below the folders of a split. Lists and patterns name their files: there it is no question."""
    found = Miscased()
    for part in split.parts if isinstance(split, JoinedSplit) else (split,):
        if isinstance(part, FolderSplit):
            found.parts.append(part)
            for folder, suffixes in ((part.images, part.image_suffixes or ()), (part.labels, (part.label_suffix,))):
                for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
                    suffix = _odd_end(path.name, suffixes)
                    if suffix is not None:
                        found.files[str(path).lower()] = (path, suffix)
    return found


def _odd_end(name: str, suffixes: tuple[str, ...]) -> str | None:
    if name.endswith(suffixes):
        return None
    return next((suffix for suffix in suffixes if name.lower().endswith(suffix.lower())), None)

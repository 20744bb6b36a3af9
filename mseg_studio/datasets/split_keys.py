"""The part of a description under `splits`: folders, patterns or lists, below one or several roots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mseg_studio.datasets.keys import check_keys, mapping_of, text_of, texts_of
from mseg_studio.datasets.pairing import DEFAULT_LABEL_SUFFIX, FolderSplit, JoinedSplit, ListSplit, PatternSplit, Split
from mseg_studio.errors import ConfigError, nearest

_COMMON_KEYS = ("part_of", "annotations")
_FOLDER_KEYS = ("images", "labels", "image_suffix", "image_suffixes", "label_suffix", "names", *_COMMON_KEYS)
_PATTERN_KEYS = ("image", "label", "names", *_COMMON_KEYS)
_LIST_KEYS = ("list", "root", *_COMMON_KEYS)


@dataclass(frozen=True, slots=True)
class SplitParser:
    """Turns `splits` into splits whose paths start at the roots."""

    roots: tuple[Path, ...]
    """The first one that has a file or folder counts; where none has it, the first is named in messages."""
    file: Path
    """The description: `names` and `list` files may also lie beside it."""

    def splits(self, raw: Any) -> dict[str, Split]:
        """All splits by name. Raises ConfigError naming the key."""
        values = mapping_of(raw, "splits")
        if not values:
            raise ConfigError("splits is empty, expected at least one")
        return {str(name): self._split(str(name), value) for name, value in values.items()}

    def overlaps(self, raw: Any) -> dict[str, str]:
        """Splits that are `part_of` another one, by name. Raises ConfigError for one that does not exist."""
        found = {}
        for name, values in mapping_of(raw, "splits").items():
            if isinstance(values, dict) and "part_of" in values:
                other = text_of(values["part_of"], f"splits.{name}.part_of")
                if other not in raw or other == name:
                    raise ConfigError(f"splits.{name}.part_of: there is no other split '{other}'{nearest(other, raw)}")
                found[str(name)] = other
        return found

    def annotations(self, raw: Any) -> dict[str, Path]:
        """Annotation files of the splits that have their own, by name."""
        found = {}
        for name, values in mapping_of(raw, "splits").items():
            if isinstance(values, dict) and "annotations" in values:
                found[str(name)] = self.file_of(values["annotations"], f"splits.{name}.annotations")
        return found

    def file_of(self, raw: Any, where: str) -> Path:
        """A file below a root, or beside the description. Raises ConfigError."""
        return self._near(text_of(raw, where))

    def _split(self, name: str, raw: Any) -> Split:
        where = f"splits.{name}"
        values = mapping_of(raw, where)
        if "list" in values:
            return self._lists(name, values, where)
        if "image" in values:
            return self._pattern(name, values, where)
        return self._folders(name, values, where)

    def _lists(self, name: str, values: Mapping[str, Any], where: str) -> Split:
        check_keys(values, where, allowed=_LIST_KEYS, needed=("list",))
        roots = self.roots
        if "root" in values:
            below = text_of(values["root"], f"{where}.root")
            roots = tuple(root / below for root in self.roots)
        files = texts_of(values["list"], f"{where}.list")
        return _joined(name, [ListSplit(name, self._near(file), roots) for file in files])

    def _pattern(self, name: str, values: Mapping[str, Any], where: str) -> Split:
        check_keys(values, where, allowed=_PATTERN_KEYS, needed=("image", "label"))
        images, labels = (texts_of(values[key], f"{where}.{key}") for key in ("image", "label"))
        _check_equal(images, labels, where, "image", "label")
        for image, label in zip(images, labels, strict=True):
            if not image.count("*") or image.count("*") != label.count("*"):
                raise ConfigError(f"{where}: '{image}' and '{label}' must have the same number of *, at least one")
        parts = [
            PatternSplit(name, self._root_of(image.split("*", 1)[0]), image, label, self._names(values, where))
            for image, label in zip(images, labels, strict=True)
        ]
        return _joined(name, parts)

    def _folders(self, name: str, values: Mapping[str, Any], where: str) -> Split:
        check_keys(values, where, allowed=_FOLDER_KEYS, needed=("images", "labels"))
        images, labels = (texts_of(values[key], f"{where}.{key}") for key in ("images", "labels"))
        _check_equal(images, labels, where, "images", "labels")
        label_suffix = text_of(values.get("label_suffix", DEFAULT_LABEL_SUFFIX), f"{where}.label_suffix")
        suffixes, names = _suffixes(values, where), self._names(values, where)
        parts = [
            FolderSplit(name, self._below(image), self._below(label), suffixes, label_suffix, names)
            for image, label in zip(images, labels, strict=True)
        ]
        return _joined(name, parts)

    def _names(self, values: Mapping[str, Any], where: str) -> Path | None:
        return self._near(text_of(values["names"], f"{where}.names")) if "names" in values else None

    def _root_of(self, start: str) -> Path:
        folder = Path(start) if start.endswith("/") else Path(start).parent
        return next((root for root in self.roots if (root / folder).is_dir()), self.roots[0])

    def _below(self, text: str) -> Path:
        return next((path for root in self.roots if (path := root / text).exists()), self.roots[0] / text)

    def _near(self, text: str) -> Path:
        """A list: below a root, else beside the description, where people who cannot write to the data put it."""
        below, beside = self._below(text), self.file.parent / text
        return beside if not below.exists() and beside.is_file() else below


def _suffixes(values: Mapping[str, Any], where: str) -> tuple[str, ...] | None:
    given = [key for key in ("image_suffix", "image_suffixes") if values.get(key) is not None]
    if len(given) == 2:
        raise ConfigError(f"{where}: image_suffix and image_suffixes are the same, give one")
    return texts_of(values[given[0]], f"{where}.{given[0]}") if given else None


def _check_equal(ones: tuple[str, ...], others: tuple[str, ...], where: str, one: str, other: str) -> None:
    if len(ones) != len(others):
        raise ConfigError(f"{where}: {len(ones)} {one} and {len(others)} {other}, expected as many of both")


def _joined(name: str, parts: list[Any]) -> Split:
    return parts[0] if len(parts) == 1 else JoinedSplit(name, tuple(parts))

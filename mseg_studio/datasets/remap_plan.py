"""Where the labels of a dataset go in an output folder, and the description that makes them a dataset of their own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mseg_studio.datasets.description import FORMAT, DatasetDescription
from mseg_studio.datasets.output_folder import DESCRIPTION_FILE
from mseg_studio.datasets.pairing import FolderSplit, JoinedSplit, ListSplit, Pair, PatternSplit, Split
from mseg_studio.errors import ConfigError, DatasetError, ExportError
from mseg_studio.labels.export_errors import export_errors
from mseg_studio.storage import write_atomic
from mseg_studio.taxonomy.model import Taxonomy

_SUFFIX = ".png"


@dataclass(frozen=True, slots=True)
class RemapTask:
    """One label file to make."""

    pair: Pair
    output: Path
    splits: tuple[str, ...] = ()
    """Splits that the pair belongs to."""


@dataclass(frozen=True)
class OutputTree:
    """The output folder of a dataset: the labels' own tree below `folder`, whichever splits are written."""

    description: DatasetDescription
    folder: Path
    _base: str = field(init=False, repr=False)
    """Folder of the sources that `folder` stands for, links followed."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_base", _base(self.description.splits.values()))

    def tasks(self, splits: Iterable[str]) -> tuple[RemapTask, ...]:
        """What is to be made for some splits; a label of several splits is made once.

        Raises DatasetError and ConfigError as `pairs` does, and ExportError where a source would be overwritten or two
        sources have one output.
        """
        found: dict[str, RemapTask] = {}
        real = _RealPaths()
        for split in splits:
            for pair in self.description.pairs(split):
                output = self._output(split, pair)
                key = os.path.normcase(output)
                known = found.get(key)
                if known is None:
                    found[key] = RemapTask(pair, output, (split,))
                elif real.of(known.pair.label) == real.of(pair.label):
                    found[key] = RemapTask(known.pair, output, (*known.splits, split))
                else:
                    message = f"{known.pair.label} and {pair.label} would both be written here"
                    raise ExportError(message, path=output)
        sources = {real.of(path) for task in found.values() for path in (task.pair.label, task.pair.image)}
        for task in found.values():
            if real.of(task.output) in sources:
                message = "the output would replace a file of the dataset; choose another output folder"
                raise ExportError(message, path=task.output)
        return tuple(found.values())

    def refuse_sources(self) -> None:
        """Raise ExportError for an output folder inside the dataset's folders: its files would be found as labels."""
        place = Path(os.path.realpath(self.folder))
        for split in self.description.splits.values():
            for part in _parts(split):
                for source in (part.images, part.labels) if isinstance(part, FolderSplit) else ():
                    if place.is_relative_to(os.path.realpath(source)):
                        raise ExportError(f"the output folder lies in {source}; choose another one", path=self.folder)

    def write_description(self, target: Taxonomy, splits: Mapping[str, Sequence[RemapTask]], note: str) -> Path:
        """The description of the new labels, with the images where they are; gives its path. Raises ExportError."""
        source = self.description
        values: dict[str, Any] = {"format": FORMAT, "name": f"{source.name}-{target.name}", "taxonomy": target.name}
        values["splits"] = {name: self._split(name, tasks) for name, tasks in splits.items()}
        for name, whole in source.overlaps.items():
            if name in splits and whole in splits:
                values["splits"][name]["part_of"] = whole
        if source.to_universal and target.name == source.taxonomy.name:
            values["to_universal"] = dict(source.to_universal)
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)
        path = self.folder / DESCRIPTION_FILE
        with export_errors(path):
            write_atomic(path, f"# {' '.join(note.split())}\n{text}".encode())
        return path

    def _split(self, name: str, tasks: Sequence[RemapTask]) -> dict[str, str]:
        """A list of images and labels: it says any layout, with the images where they are."""
        lines = []
        for task in tasks:
            words = (self._image_path(task.pair.image), task.output.relative_to(self.folder).as_posix())
            refuse_in_list(task.pair.image, *words)
            lines.append(("./" if words[0].startswith("#") else "") + "\t".join(words) + "\n")
        file = self.folder / f"{name.replace('/', '_')}.txt"
        with export_errors(file):
            write_atomic(file, "".join(lines).encode())
        return {"list": file.name}

    def _output(self, split: str, pair: Pair) -> Path:
        for part in _parts(self.description.splits[split]):
            for root in _roots(part):
                if not pair.label.is_relative_to(root):
                    continue
                place = os.path.normpath(Path(os.path.realpath(root)) / pair.label.relative_to(root))
                relative = os.path.relpath(place, self._base)
                if not relative.startswith(".."):
                    return self.folder / _as_png(relative, part)
        raise DatasetError(f"lies outside of {self._base}, where the labels are", path=pair.label)

    def _image_path(self, path: Path) -> str:
        """Relative to the output folder where both lie in one tree, else absolute."""
        real, here = os.path.realpath(path), os.path.realpath(self.folder)
        try:
            shared = os.path.commonpath([real, here])
        except ValueError:  # two drives
            return real
        if len(Path(shared).parts) <= 2:
            return real
        return Path(os.path.relpath(real, here)).as_posix()


def _parts(split: Split) -> tuple[FolderSplit | PatternSplit | ListSplit, ...]:
    return split.parts if isinstance(split, JoinedSplit) else (split,)


def _roots(part: FolderSplit | PatternSplit | ListSplit) -> tuple[Path, ...]:
    if isinstance(part, FolderSplit):
        return (part.labels,)
    return (part.root,) if isinstance(part, PatternSplit) else part.roots


def _base(splits: Iterable[Split]) -> str:
    """The folder that all labels lie in; one level up where it is a folder of labels itself, to keep its name."""
    parts = [part for split in splits for part in _parts(split)]
    real = {(os.path.realpath(root), isinstance(part, FolderSplit)) for part in parts for root in _roots(part)}
    try:
        base = os.path.commonpath([path for path, _ in real])
    except ValueError as error:
        raise DatasetError(f"labels lie on several drives: {', '.join(sorted(path for path, _ in real))}") from error
    return str(Path(base).parent) if (base, True) in real else base


def _as_png(relative: str, part: FolderSplit | PatternSplit | ListSplit) -> str:
    """A label's path with `.png` as its file type: `_labelIds.png` stays, `.bmp` and `_ids` get one."""
    old = part.label_suffix if isinstance(part, FolderSplit) else Path(relative).suffix
    if old.endswith(_SUFFIX):
        return relative
    return relative.removesuffix(old) + Path(f"x{old}").with_suffix(_SUFFIX).name[1:]


class _RealPaths:
    """Paths with links in their folders followed; a folder is looked up once, not once a file."""

    def __init__(self) -> None:
        self._folders: dict[Path, str] = {}

    def of(self, path: Path) -> str:
        """A key of the file that `path` names; a file that is a link stands for itself."""
        if path.parent not in self._folders:
            self._folders[path.parent] = os.path.realpath(path.parent)
        return os.path.normcase(Path(self._folders[path.parent]) / path.name)


def refuse_in_list(path: Path, *words: str) -> None:
    """Raise ExportError about `path` for names that a list file, UTF-8 with a tab between, cannot hold."""
    for word in words:
        if any(mark in word for mark in "\t\n\r"):
            raise ExportError("a list cannot hold a name with a tab or line break", path=path)
        if any("\ud800" <= letter <= "\udfff" for letter in word):
            raise ExportError("a list cannot hold a name that is not UTF-8; rename the file", path=path)


def absent_splits(description: DatasetDescription) -> tuple[str, ...]:
    """Splits without their folder or list, where others are there: they were not downloaded. None when all lack it."""
    found = tuple(name for name, split in description.splits.items() if any(map(_is_absent, _parts(split))))
    return found if len(found) < len(description.splits) else ()


def _is_absent(part: FolderSplit | PatternSplit | ListSplit) -> bool:
    if isinstance(part, FolderSplit):
        return not (part.images.is_dir() and part.labels.is_dir())
    return not part.root.is_dir() if isinstance(part, PatternSplit) else not part.file.exists()


def chosen_splits(description: DatasetDescription, asked: Sequence[str] | None) -> tuple[str, ...]:
    """The splits asked for; for None all but `absent_splits`. Raises ConfigError for one that is not described."""
    if not asked:
        absent = absent_splits(description)
        return tuple(name for name in description.splits if name not in absent)
    for name in asked:
        if name not in description.splits:
            known = ", ".join(description.splits)
            raise ConfigError(f"dataset '{description.name}' has no split '{name}'; known: {known}")
    return tuple(dict.fromkeys(asked))

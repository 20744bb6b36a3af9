"""Which label file belongs to which image."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mseg_studio.errors import DatasetError
from mseg_studio.media.image import is_image_path
from mseg_studio.storage import is_leftover

DEFAULT_LABEL_SUFFIX = ".png"


class MissingLabelError(DatasetError):
    """An image has no label file."""


class MissingImageError(DatasetError):
    """A label file has no image, or a list names one that is not there."""


class MissingFolderError(DatasetError):
    """A folder or list of a split is not there: the split was not downloaded, or the root is another."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An image and its label file."""

    image: Path
    label: Path
    annotations: Path | None = None
    """The split's own annotation file, for label formats that have one."""


@dataclass(frozen=True, slots=True)
class FolderSplit:
    """Two folders with one tree: an image and its label have the same path up to their suffixes."""

    name: str
    images: Path
    labels: Path
    image_suffixes: tuple[str, ...] | None
    """Ends of an image's name (`_leftImg8bit.png`); None takes every picture."""
    label_suffix: str
    """End of a label's name, in place of the image's end."""
    names: Path | None = None
    """Text file of what belongs to the split: a path without suffixes a line, or a folder of them."""

    def pairs(self, missing: list[DatasetError] | None = None) -> tuple[Pair, ...]:
        """All pairs, sorted by path.

        Raises DatasetError for an image without label or a label without image; with `missing` these go there instead.
        """
        images = _by_stem(self.images, self.image_suffixes)
        if self.images == self.labels:
            images = {stem: path for stem, path in images.items() if not path.name.endswith(self.label_suffix)}
        labels = _by_stem(self.labels, (self.label_suffix,))
        if not images:
            ending = "" if self.image_suffixes is None else f" ending in {' or '.join(self.image_suffixes)}"
            raise DatasetError(f"split '{self.name}' has no images{ending} here", path=self.images)
        names = None if self.names is None else _read_names(self.names)
        return _join(self.name, images, labels, self.images, names, missing, self._label_of)

    def _label_of(self, stem: str) -> Path:
        return self.labels / f"{stem}{self.label_suffix}"


@dataclass(frozen=True, slots=True)
class PatternSplit:
    """Two patterns with the same number of `*`: an image and its label have the same text in each of them.

    A `*` stands for any text without `/`: `*/color/*.jpg` and `*/label/*.png`.
    """

    name: str
    root: Path
    image: str
    label: str
    names: Path | None = None
    """As in FolderSplit; the path is the texts of the stars, joined by `/`."""

    def pairs(self, missing: list[DatasetError] | None = None) -> tuple[Pair, ...]:
        """All pairs, sorted by the texts of the stars. Raises as FolderSplit does."""
        images, labels = _matching(self.root, self.image), _matching(self.root, self.label)
        if not images:
            raise DatasetError(f"split '{self.name}' has no images like {self.image} here", path=self.root)
        names = None if self.names is None else _read_names(self.names)
        return _join(self.name, images, labels, self.root, names, missing, self._label_of)

    def _label_of(self, stem: str) -> Path:
        found = self.label
        for text in stem.split("/"):
            found = found.replace("*", text, 1)
        return self.root / found


@dataclass(frozen=True, slots=True)
class ListSplit:
    """A text file with one `image label` a line, relative to a root; a tab between them allows spaces in names."""

    name: str
    file: Path
    roots: tuple[Path, ...]
    """Where the paths of a line start; the first root that has the file counts."""

    def pairs(self, missing: list[DatasetError] | None = None) -> tuple[Pair, ...]:
        """All pairs in the order of the file.

        Raises DatasetError naming the line, or the file that is missing; with `missing` the latter go there instead.
        """
        found = []
        told = False
        for number, line in _lines(self.file):
            words = line.split("\t") if "\t" in line else line.split()
            if len(words) != 2:
                raise DatasetError(f"line {number}: expected `image label`, got {line!r:.80}", path=self.file)
            image, label = (self._find(word.strip()) for word in words)
            reason = f"no such file, listed in {self.file} line {number}"
            complete = True
            for path, kind in ((image, MissingImageError), (label, MissingLabelError)):
                if not _is_file(path):
                    _report(kind(reason, path=path), missing)
                    complete, told = False, True
            if complete:
                found.append(Pair(image, label))
        if not found and not told:
            raise DatasetError(f"split '{self.name}' lists no images", path=self.file)
        return tuple(found)

    def _find(self, word: str) -> Path:
        return next((path for root in self.roots[:-1] if _is_file(path := root / word)), self.roots[-1] / word)


@dataclass(frozen=True, slots=True)
class JoinedSplit:
    """Several splits one after the other: more than one folder or list."""

    name: str
    parts: tuple[FolderSplit | PatternSplit | ListSplit, ...]

    def pairs(self, missing: list[DatasetError] | None = None) -> tuple[Pair, ...]:
        """The pairs of all parts in their order. Raises as the parts do."""
        return tuple(pair for part in self.parts for pair in part.pairs(missing))


Split = FolderSplit | PatternSplit | ListSplit | JoinedSplit


def _join(
    split: str,
    images: dict[str, Path],
    labels: dict[str, Path],
    where: Path,
    names: dict[str, str] | None,
    missing: list[DatasetError] | None,
    label_of: Callable[[str], Path],
) -> tuple[Pair, ...]:
    """Pairs of equal stems in order. Raises DatasetError for what is missing, or puts it into `missing`."""
    if names is not None:
        images, labels = _named(images, labels, split, where, names, missing)
    for stem, image in images.items():
        if stem not in labels:
            _report(MissingLabelError(f"the label of {image.name} is missing", path=label_of(stem)), missing)
    for stem, label in labels.items():
        if stem not in images:
            _report(MissingImageError(f"a label without an image in {where}", path=label), missing)
    return tuple(Pair(images[stem], labels[stem]) for stem in sorted(images) if stem in labels)


def _named(
    images: dict[str, Path],
    labels: dict[str, Path],
    split: str,
    where: Path,
    names: dict[str, str],
    missing: list[DatasetError] | None,
) -> tuple[dict[str, Path], dict[str, Path]]:
    """What `names` lists of images and labels. Files that it does not list are no mistake: other splits have them."""
    found: set[str] = set()

    def listed(stem: str) -> bool:
        parts = stem.split("/")
        name = next((n for n in ("/".join(parts[:k]) for k in range(len(parts), 0, -1)) if n in names), None)
        if name is not None:
            found.add(name)
        return name is not None

    kept_images = {stem: path for stem, path in images.items() if listed(stem)}
    kept_labels = {stem: path for stem, path in labels.items() if listed(stem)}
    for name, line in names.items():
        if name not in found:
            _report(MissingImageError(f"no image called {name}, listed in {line}", path=where), missing)
    if not kept_images and missing is None:
        raise DatasetError(f"split '{split}' lists no images", path=where)
    return kept_images, kept_labels


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, or a folder that may not be entered
        return False


def _report(error: DatasetError, missing: list[DatasetError] | None) -> None:
    if missing is None:
        raise error
    missing.append(error)


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise MissingFolderError("no such list of images", path=file) from error
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror or error}", path=file) from error
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"byte {error.start} is not UTF-8, expected a list of images and labels", path=file
        ) from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def _read_names(file: Path) -> dict[str, str]:
    """Names of a split, the first word of each line, with the place of the line."""
    names = {line.split()[0].strip("/"): f"{file} line {number}" for number, line in _lines(file)}
    if not names:
        raise DatasetError("lists no images", path=file)
    return names


def _by_stem(root: Path, suffixes: tuple[str, ...] | None) -> dict[str, Path]:
    """Files below `root` by their relative path without the suffix. Raises DatasetError without such a folder."""
    found: dict[str, Path] = {}
    for folder, names in _folders(root):
        for name in names:
            path = folder / name
            suffix = path.suffix if suffixes is None else next((end for end in suffixes if name.endswith(end)), None)
            if is_leftover(path) or suffix is None or (suffixes is None and not is_image_path(path)):
                continue
            stem = path.relative_to(root).as_posix().removesuffix(suffix)
            if stem in found:
                raise DatasetError(f"as well as {found[stem].name}: two files for one label", path=path)
            found[stem] = path
    return found


def _matching(root: Path, pattern: str) -> dict[str, Path]:
    """Files that match `pattern` by the texts of its stars. Raises DatasetError without the folder before the stars."""
    fixed = Path(*Path(pattern.split("*", 1)[0] + "x").parts[:-1])
    expression = re.compile(re.escape(pattern).replace(r"\*", "([^/]*)"))
    found: dict[str, Path] = {}
    for folder, names in _folders(root / fixed):
        for name in names:
            path = folder / name
            match = None if is_leftover(path) else expression.fullmatch(path.relative_to(root).as_posix())
            if match is not None:
                found["/".join(match.groups())] = path
    return found


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """`root` and every folder below it with its files, sorted; links are followed, each folder is visited once.

    Raises DatasetError for a folder that cannot be listed: what is in it would be missing without a word.
    """
    if not root.is_dir():
        raise MissingFolderError("no such folder", path=root)

    def fail(error: OSError) -> None:
        raise DatasetError(f"the folder cannot be read: {error.strerror or error}", path=error.filename) from error

    seen: set[str] = set()
    for folder, folders, files in os.walk(root, onerror=fail, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield Path(folder), sorted(files)

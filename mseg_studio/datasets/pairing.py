"""Which label file belongs to which image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mseg_studio.errors import DatasetError
from mseg_studio.media.image import is_image_path
from mseg_studio.storage import is_leftover

DEFAULT_LABEL_SUFFIX = ".png"


@dataclass(frozen=True, slots=True)
class Pair:
    """An image and its label file."""

    image: Path
    label: Path


@dataclass(frozen=True, slots=True)
class FolderSplit:
    """Two folders with one tree: an image and its label have the same path up to their suffixes."""

    name: str
    images: Path
    labels: Path
    image_suffix: str | None
    """End of an image's name (`_leftImg8bit.png`); None takes every picture."""
    label_suffix: str
    """End of a label's name, in place of the image's end."""

    def pairs(self, missing: list[DatasetError] | None = None) -> tuple[Pair, ...]:
        """All pairs, sorted by path.

        Raises DatasetError for an image without label or a label without image; with `missing` these go there instead.
        """
        images = _by_stem(self.images, self.image_suffix)
        labels = _by_stem(self.labels, self.label_suffix)
        if not images:
            ending = "" if self.image_suffix is None else f" ending in {self.image_suffix}"
            raise DatasetError(f"split '{self.name}' has no images{ending} here", path=self.images)
        for stem, image in images.items():
            if stem not in labels:
                label = self.labels / f"{stem}{self.label_suffix}"
                _report(DatasetError(f"the label of {image.name} is missing", path=label), missing)
        for stem, label in labels.items():
            if stem not in images:
                _report(DatasetError(f"a label without an image in {self.images}", path=label), missing)
        return tuple(Pair(images[stem], labels[stem]) for stem in sorted(images) if stem in labels)


@dataclass(frozen=True, slots=True)
class ListSplit:
    """A text file with one `image label` a line, relative to `root`; a tab between them allows spaces in names."""

    name: str
    file: Path
    root: Path

    def pairs(self, missing: list[DatasetError] | None = None) -> tuple[Pair, ...]:
        """All pairs in the order of the file.

        Raises DatasetError naming the line, or the file that is missing; with `missing` the latter go there instead.
        """
        found = []
        for number, line in self._lines():
            words = line.split("\t") if "\t" in line else line.split()
            if len(words) != 2:
                raise DatasetError(f"line {number}: expected `image label`, got {line!r:.80}", path=self.file)
            image, label = (self.root / word.strip() for word in words)
            absent = [path for path in (image, label) if not path.is_file()]
            for path in absent:
                _report(DatasetError(f"no such file, listed in {self.file} line {number}", path=path), missing)
            if not absent:
                found.append(Pair(image, label))
        if not found and not missing:
            raise DatasetError(f"split '{self.name}' lists no images", path=self.file)
        return tuple(found)

    def _lines(self) -> Iterator[tuple[int, str]]:
        try:
            text = self.file.read_text(encoding="utf-8-sig")
        except FileNotFoundError as error:
            raise DatasetError("no such list of images", path=self.file) from error
        except OSError as error:
            raise DatasetError(f"cannot be read: {error.strerror or error}", path=self.file) from error
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"byte {error.start} is not UTF-8, expected a list of images and labels", path=self.file
            ) from error
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip() and not line.lstrip().startswith("#"):
                yield number, line.strip()


Split = FolderSplit | ListSplit


def _report(error: DatasetError, missing: list[DatasetError] | None) -> None:
    if missing is None:
        raise error
    missing.append(error)


def _by_stem(root: Path, suffix: str | None) -> dict[str, Path]:
    """Files below `root` by their relative path without the suffix. Raises DatasetError without such a folder."""
    found: dict[str, Path] = {}
    for folder, names in _folders(root):
        for name in names:
            path = folder / name
            if is_leftover(path) or not (is_image_path(path) if suffix is None else name.endswith(suffix)):
                continue
            relative = path.relative_to(root).as_posix()
            stem = relative.removesuffix(path.suffix if suffix is None else suffix)
            if stem in found:
                raise DatasetError(f"as well as {found[stem].name}: two files for one label", path=path)
            found[stem] = path
    return found


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """`root` and every folder below it with its files, sorted; links are followed, each folder is visited once.

    Raises DatasetError for a folder that cannot be listed: what is in it would be missing without a word.
    """
    if not root.is_dir():
        raise DatasetError("no such folder", path=root)

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

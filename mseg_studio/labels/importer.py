"""What an importer is: label files of another program or dataset, read into a taxonomy.

Nothing is guessed: what a file calls a class must be a class of the taxonomy, be declared by the caller, or be what the
format itself publishes as no class. Anything else stops with the file and the name, or is counted and ignored when
asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mseg_studio.discovery import discover
from mseg_studio.errors import DatasetError, nearest
from mseg_studio.labels.label_map import Ids, LabelMap, as_ids
from mseg_studio.taxonomy.model import Taxonomy

IGNORE = "ignore"
"""Word in `id_map`, `colour_map` and `names` for pixels that are no class."""
BACKGROUND = "background"
"""What pixels are called that no shape of a file covers; ignored where the taxonomy has no such class."""
UNDECLARED = -1
"""Class id of what nobody declared."""

Unknown = Literal["stop", "ignore"]


class UndeclaredError(DatasetError):
    """A label file is what its format says, but holds a name, number or colour that is no class."""


_MOST_STRANGERS = 20
"""Unknown names that are listed of one file."""


@dataclass(frozen=True, eq=False, slots=True)
class ImportOptions:
    """What an importer is asked for: the taxonomy, and what the caller says of the numbers, colours and names."""

    taxonomy: Taxonomy
    annotations: Path | None = None
    """The file beside the labels that some formats have: a JSON of annotations, a list of classes."""
    id_map: Mapping[int, str] = field(default_factory=dict)
    """Number in the files to class name or `ignore`."""
    colour_map: Mapping[tuple[int, int, int], str] = field(default_factory=dict)
    """RGB in the files to class name or `ignore`."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Name in the files to class name or `ignore`; a name that is not here stands for itself."""
    unknown: Unknown = "stop"
    _ids: Mapping[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ids", {info.name: info.id for info in reversed(self.taxonomy.classes)})
        for target in (*self.id_map.values(), *self.colour_map.values(), *self.names.values()):
            if target != IGNORE:
                self.taxonomy.id_of(target)

    def class_id(self, name: str) -> int:
        """Id of the class that files call `name`: a class, the ignore id, or UNDECLARED."""
        target = self.names.get(name, name)
        if target == IGNORE and name in self.names:
            return self.taxonomy.ignore_id
        return self._ids.get(target, UNDECLARED)

    def class_id_or_ignored(self, name: str) -> int:
        """`class_id` for names that their format publishes as no class of its benchmark: ignored where no class is."""
        found = self.class_id(name)
        return self.taxonomy.ignore_id if found == UNDECLARED else found

    def declared(self, name: str) -> int:
        """Id of a target in `id_map` or `colour_map`."""
        return self.taxonomy.ignore_id if name == IGNORE else self._ids[name]


@dataclass(frozen=True, eq=False, slots=True)
class Painted:
    """A label file as its format has it: a number a pixel, and the class id of every number."""

    numbers_HW: Ids
    class_ids: npt.NDArray[np.int32]
    """By number; UNDECLARED, as is everything behind its end."""
    word: Callable[[int], str] = lambda number: f"id {number}"
    """What a number stands for, in a message."""
    advice: Callable[[int], str] = lambda number: ""
    """What to say to a person whose number is undeclared; starts with `;`."""
    strangers: Mapping[str, int] | None = None
    """For files whose undeclared pixels share one number: what they are, with their pixels."""
    notes: tuple[str, ...] = ()
    """What was left out, in words."""


@dataclass(frozen=True, eq=False, slots=True)
class Reading:
    """Labels of one file, what was unknown in it (word to pixels; ignored), and what was left out."""

    labels: LabelMap
    unknown: Mapping[str, int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class LabelReader:
    """Reads label files of one format into one taxonomy. Holds nothing that changes: threads may share it."""

    options: ImportOptions
    paint: Callable[[Path], Painted]

    def read(self, label: Path) -> LabelMap:
        """The labels of the file (of the image, where one annotation file holds all). See `reading`."""
        return self.reading(label).labels

    def reading(self, label: Path) -> Reading:
        """The labels and what was unknown in them.

        Raises UndeclaredError naming the file and the number, colour or name that is unknown, unless unknown ones are
        to be ignored; ImageReadError or DatasetError for a file that is not what its format says.
        """
        painted, taxonomy = self.paint(label), self.options.taxonomy
        pixels = np.bincount(painted.numbers_HW.ravel())
        table = np.full(max(len(pixels), len(painted.class_ids)), UNDECLARED, np.int32)
        table[: len(painted.class_ids)] = painted.class_ids
        undeclared = [int(number) for number in np.flatnonzero(pixels) if table[number] == UNDECLARED]
        unknown: dict[str, int] = {}
        if undeclared:
            undeclared.sort(key=lambda number: -pixels[number])
            found = {painted.word(number): int(pixels[number]) for number in undeclared}
            unknown = found if painted.strangers is None else dict(painted.strangers)
            if self.options.unknown == "stop":
                raise UndeclaredError(_complaint(unknown, taxonomy) + painted.advice(undeclared[0]), path=label)
            table[table == UNDECLARED] = taxonomy.ignore_id
        ids = as_ids(table, taxonomy)[painted.numbers_HW]
        return Reading(LabelMap(ids, taxonomy, "hard"), unknown, painted.notes)


@dataclass(frozen=True, slots=True)
class Importer:
    """One format. A module in `labels/importers/` that defines IMPORTER adds one."""

    name: str
    """Word for `--format` and for `label_format` in a description."""
    title: str
    """A few words that say what is read."""
    label_suffixes: tuple[str, ...]
    """How names of label files end; of images, where one annotation file holds all labels."""
    make: Callable[[ImportOptions], Callable[[Path], Painted]]
    """The reader of one file, made once for a dataset: what all files share is read here."""
    annotations: str = ""
    """What the annotation file is; empty for a format that has none."""
    needs_annotations: bool = False
    by_image: bool = False
    """Whether the annotation file holds all labels, and a reader is asked for an image by its path."""

    def open(
        self,
        taxonomy: Taxonomy,
        *,
        annotations: Path | None = None,
        id_map: Mapping[int, str] | None = None,
        colour_map: Mapping[tuple[int, int, int], str] | None = None,
        names: Mapping[str, str] | None = None,
        unknown: Unknown = "stop",
    ) -> LabelReader:
        """A reader into `taxonomy`; the arguments are those of `ImportOptions`.

        Raises DatasetError when the annotation file is missing or is not what was expected, TaxonomyError when a map
        names a class that does not exist.
        """
        if annotations is None and self.needs_annotations:
            raise DatasetError(f"labels of the format {self.name} need {self.annotations}")
        if annotations is not None and not self.annotations:
            raise DatasetError(f"labels of the format {self.name} have no annotation file", path=annotations)
        options = ImportOptions(taxonomy, annotations, id_map or {}, colour_map or {}, names or {}, unknown)
        return LabelReader(options, self.make(options))


@cache
def importers() -> dict[str, Importer]:
    """All importers by name, those of other installed packages included."""
    return discover("mseg_studio.labels.importers", "IMPORTER", group="mseg_studio.importers")


def importer(name: str) -> Importer:
    """The importer called `name`. Raises DatasetError with the nearest names."""
    found = importers()
    if name not in found:
        raise DatasetError(f"unknown label format '{name}'{nearest(name, found)}")
    return found[name]


def table_of(class_ids: Mapping[int, int]) -> npt.NDArray[np.int32]:
    """Class ids by number, UNDECLARED between."""
    table = np.full(max(class_ids, default=0) + 1, UNDECLARED, np.int32)
    for number, class_id in class_ids.items():
        table[number] = class_id
    return table


def listed(unknown: Mapping[str, int]) -> dict[str, int]:
    """`unknown` with the most frequent words, the others together."""
    ordered = sorted(unknown.items(), key=lambda item: -item[1])
    found = dict(ordered[:_MOST_STRANGERS])
    if len(ordered) > _MOST_STRANGERS:
        found[f"{len(ordered) - _MOST_STRANGERS} others"] = sum(count for _, count in ordered[_MOST_STRANGERS:])
    return found


def _complaint(unknown: Mapping[str, int], taxonomy: Taxonomy) -> str:
    word, pixels = next(iter(unknown.items()))
    more = f", and {len(unknown) - 1} more" if len(unknown) > 1 else ""
    count = "1 pixel" if pixels == 1 else f"{pixels} pixels"
    return f"{word} ({count}) is not declared for {taxonomy.name}{more}"

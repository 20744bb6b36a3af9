"""What a label means: a taxonomy is an ordered list of classes with explicit ids."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from mseg_studio.errors import TaxonomyError, nearest

UNLABELED = "unlabeled"
"""Name that source tables give to rows that are no class; the only name that may repeat."""
MAX_NAME = 200
"""Letters of a class name in what is made or imported here; YAML takes keys of up to 1024."""


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One class: its integer in label files, its name and how it is drawn."""

    id: int
    name: str
    rgb: tuple[int, int, int]
    parent: str | None = None
    wordnet: str | None = None
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.id <= 65534:
            raise TaxonomyError(f"class '{self.name}' has id {self.id}, expected 0 to 65534")
        if not self.name or self.name != self.name.strip():
            raise TaxonomyError(f"class {self.id} is called {self.name!r}, expected a name without outer white space")
        if not self.name.isprintable():
            raise TaxonomyError(
                f"class {self.id} is called {self.name!r}, expected one line without control characters"
            )
        if len(self.rgb) != 3 or not all(0 <= value <= 255 for value in self.rgb):
            raise TaxonomyError(f"class '{self.name}' has colour {self.rgb}, expected three numbers 0 to 255")


@dataclass(frozen=True)
class Taxonomy:
    """Classes in order of id. Ids increase, holes are allowed; `ignore_id` marks pixels that are no class."""

    name: str
    classes: tuple[ClassInfo, ...]
    ignore_id: int = 255
    source: str = ""
    _by_id: MappingProxyType[int, ClassInfo] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.classes:
            raise TaxonomyError(f"taxonomy '{self.name}' has no classes")
        ids = [info.id for info in self.classes]
        if any(a >= b for a, b in itertools.pairwise(ids)):
            raise TaxonomyError(f"taxonomy '{self.name}': ids must increase from class to class")
        if self.ignore_id in ids:
            raise TaxonomyError(f"taxonomy '{self.name}': id {self.ignore_id} is both a class and the ignore id")
        expected_ignore_id = 255 if ids[-1] < 255 else 65535
        if self.ignore_id != expected_ignore_id:
            raise TaxonomyError(f"taxonomy '{self.name}': ignore id is {self.ignore_id}, expected {expected_ignore_id}")
        seen: set[str] = set()
        for info in self.classes:
            if info.name in seen and info.name != UNLABELED:
                raise TaxonomyError(f"taxonomy '{self.name}' names class '{info.name}' twice")
            seen.add(info.name)
        object.__setattr__(self, "_by_id", MappingProxyType({info.id: info for info in self.classes}))

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def num_channels(self) -> int:
        """Channels of a network in this taxonomy: the largest id + 1, holes included."""
        return self.classes[-1].id + 1

    @property
    def id_dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """uint8 where ids and the ignore id fit, else uint16."""
        return np.dtype(np.uint8) if self.ignore_id == 255 else np.dtype(np.uint16)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in order of id."""
        return tuple(info.name for info in self.classes)

    def get(self, class_id: int) -> ClassInfo | None:
        """The class with this id, None for a hole, the ignore id or any other number."""
        return self._by_id.get(class_id)

    def id_of(self, name: str) -> int:
        """Id of the class called `name`. Raises TaxonomyError with the nearest names."""
        for info in self.classes:
            if info.name == name:
                return info.id
        raise TaxonomyError(f"taxonomy '{self.name}' has no class '{name}'{nearest(name, self.names)}")

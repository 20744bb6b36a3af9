"""The `categories` of a COCO file: number, name and class of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mseg_studio.errors import DatasetError
from mseg_studio.labels.import_json import value_of
from mseg_studio.labels.importer import UNDECLARED, ImportOptions


@dataclass(frozen=True, slots=True)
class Categories:
    """Names and class ids by category id."""

    names: Mapping[int, str]
    class_ids: Mapping[int, int]

    @classmethod
    def of(cls, file: Mapping[str, Any], path: Path, options: ImportOptions) -> Categories:
        """From the top of a COCO file; an id map of the options goes before names. Raises DatasetError."""
        names: dict[int, str] = {}
        for place, item in enumerate(value_of(file, "categories", list, "the file", path)):
            where = f"categories[{place}]"
            number, name = value_of(item, "id", int, where, path), value_of(item, "name", str, where, path)
            if number in names:
                raise DatasetError(f"{where}: category {number} is listed twice", path=path)
            names[number] = name
        class_ids = {number: options.class_id(name) for number, name in names.items()}
        class_ids |= {number: options.declared(name) for number, name in options.id_map.items()}
        return cls(names, class_ids)

    def class_id(self, number: int) -> int:
        """Class of a category, UNDECLARED when there is none."""
        return self.class_ids.get(number, UNDECLARED)

    def name(self, number: int) -> str:
        """Name of a category, its number when it has none."""
        return self.names.get(number, str(number))

    def word(self, number: int) -> str:
        """A category in a message."""
        name = self.names.get(number)
        return f"category {number}, which the JSON does not list," if name is None else f"category '{name}'"

"""Labels of a dataset in the format of another program: the description's keys `label_format` and `annotations`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mseg_studio.datasets.keys import mapping_of, text_of
from mseg_studio.datasets.pairing import Pair
from mseg_studio.errors import ConfigError, DatasetError, TaxonomyError
from mseg_studio.labels.importer import ImportOptions, LabelReader, Reading, Unknown, importer
from mseg_studio.taxonomy.model import Taxonomy


@dataclass(frozen=True, eq=False)
class LabelFormat:
    """Reads the labels of pairs through an importer. Threads may share it: an annotation file is read once."""

    name: str
    """Name of the importer."""
    options: ImportOptions
    """What the description says of numbers, colours and names; its annotation file is that of all splits."""
    split_annotations: Mapping[str, Path] = field(default_factory=dict)
    """Annotation files of splits that have their own."""
    _readers: dict[tuple[Path | None, Unknown], LabelReader] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def reading(self, pair: Pair, *, unknown: Unknown = "stop") -> Reading:
        """The labels of a pair, read as `LabelReader.reading` does. Raises DatasetError, ImageReadError."""
        return self._reader(pair.annotations or self.options.annotations, unknown).reading(pair.label)

    def facts(self) -> tuple[Any, ...]:
        """All that decides labels but for the taxonomy and the label files, to hash: JSON values."""
        files = {
            str(path): _stamp(path) for path in (self.options.annotations, *self.split_annotations.values()) if path
        }
        options = self.options
        colours = [[list(rgb), name] for rgb, name in options.colour_map.items()]
        return self.name, sorted(options.id_map.items()), colours, sorted(options.names.items()), sorted(files.items())

    def _reader(self, annotations: Path | None, unknown: Unknown) -> LabelReader:
        options = self.options
        with self._lock:
            key = (annotations, unknown)
            if key not in self._readers:
                self._readers[key] = importer(self.name).open(
                    options.taxonomy,
                    annotations=annotations,
                    id_map=options.id_map,
                    colour_map=options.colour_map,
                    names=options.names,
                    unknown=unknown,
                )
            return self._readers[key]


def parse_label_format(
    values: Mapping[str, Any],
    taxonomy: Taxonomy,
    *,
    id_map: Mapping[int, str],
    colour_map: Mapping[tuple[int, int, int], str],
    annotations: Path | None,
    split_annotations: Mapping[str, Path],
) -> LabelFormat | None:
    """The keys `label_format` and `label_names` of a description, None without. Raises ConfigError naming the key."""
    if "label_format" not in values:
        for key in ("label_names", "annotations"):
            if key in values:
                raise ConfigError(f"{key} needs a label_format")
        if split_annotations:
            raise ConfigError(f"splits.{next(iter(split_annotations))}.annotations needs a label_format")
        return None
    name = text_of(values["label_format"], "label_format")
    raw = mapping_of(values.get("label_names", {}), "label_names")
    names = {text_of(key, "label_names"): text_of(value, f"label_names.{key}") for key, value in raw.items()}
    try:
        one = importer(name)
    except DatasetError as error:
        raise ConfigError(f"label_format: {error.reason}") from error
    if not one.annotations and (annotations or split_annotations):
        raise ConfigError(f"annotations: labels of the format {name} have no annotation file")
    if one.needs_annotations and not (annotations or split_annotations):
        raise ConfigError(f"label_format: {name} needs annotations: {one.annotations}")
    try:
        options = ImportOptions(taxonomy, annotations, id_map, colour_map, names)
    except TaxonomyError as error:
        raise ConfigError(f"label_names: {error.reason}") from error
    return LabelFormat(name, options, split_annotations)


def _stamp(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]

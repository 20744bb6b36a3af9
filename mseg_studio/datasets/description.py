"""A dataset on disk: which images belong to which label files, and what the numbers in those files mean.

The format is described in docs/datasets.md; paths in a description start at its `root`, without one at the YAML file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from mseg_studio.datasets.keys import check_keys, mapping_of, number_of, text_of, texts_of
from mseg_studio.datasets.label_format import LabelFormat, parse_label_format
from mseg_studio.datasets.pairing import Pair, Split
from mseg_studio.datasets.ready import find_description, is_ready, ready_path
from mseg_studio.datasets.split_keys import SplitParser
from mseg_studio.errors import ConfigError, DatasetError, TaxonomyError, nearest
from mseg_studio.plain_yaml import read_yaml
from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog, default_catalog
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.projection import Projection

FORMAT = 1
IGNORE = "ignore"
"""Word in `id_map` and `colour_map` for pixels that are not scored."""

_TEXTS = ("title", "needs", "where", "licence")
_KEYS = (
    *("format", "based_on", "name", *_TEXTS, "taxonomy", "ignore_id", "root", "roots"),
    *("splits", "id_map", "colour_map", "label_format", "annotations", "label_names", "to_universal"),
)


@dataclass(frozen=True, eq=False)
class DatasetDescription:
    """A dataset as its YAML describes it, checked against its taxonomy."""

    path: Path
    name: str
    taxonomy: Taxonomy
    """What the labels mean once they are read."""
    splits: Mapping[str, Split]
    id_map: Mapping[int, str]
    """Number in a label file to class name or `ignore`."""
    colour_map: Mapping[tuple[int, int, int], str]
    """For label pictures in colour: RGB to class name or `ignore`; empty for files of ids."""
    to_universal: Mapping[str, str]
    """Class name to universal class; empty where the catalog knows the way."""
    roots: tuple[Path, ...] = ()
    """Folders that the paths of the splits start at; none: a ready description that was not told where the data is."""
    overlaps: Mapping[str, str] = field(default_factory=dict)
    """Splits that are meant to be part of another one (`part_of`): to keep out of training, or to look at."""
    formatted: LabelFormat | None = None
    """How labels in the format of another program are read; None for files of ids and for colours."""
    title: str = ""
    """The dataset's own name and version, one line."""
    needs: str = ""
    """What must be done before it can be used."""
    where: str = ""
    """Where people get it."""
    licence: str = ""
    """On what terms."""

    def pairs(self, split: str, *, missing: list[DatasetError] | None = None) -> tuple[Pair, ...]:
        """Image and label files of a split, sorted by image or as listed.

        Raises ConfigError for an unknown split, DatasetError naming the first file that is missing; with `missing` all
        of these are put there, and the complete pairs come back.
        """
        self.require_root()
        if split not in self.splits:
            raise ConfigError(
                f"dataset '{self.name}' has no split '{split}'{nearest(split, self.splits)}", path=self.path
            )
        found = self.splits[split].pairs(missing)
        own = self.formatted.split_annotations.get(split) if self.formatted else None
        return found if own is None else tuple(replace(pair, annotations=own) for pair in found)

    @property
    def label_format(self) -> str | None:
        """Name of the importer that reads the labels; None for files of ids and for colours."""
        return None if self.formatted is None else self.formatted.name

    def require_root(self) -> None:
        """Raise ConfigError when this is a ready description that was not told where the data is."""
        if not self.roots:
            raise ConfigError(
                f"it is not known where '{self.name}' lies; give --root DIR, or name a description of your own "
                f"with `based_on: {self.name}` and `root: DIR`"
            )

    def universal_projection(self, universal: Taxonomy, catalog: Catalog | None = None) -> Projection:
        """Hard links from the dataset's classes to the universal ones: the file's `to_universal`, else the catalog's.

        Raises TaxonomyError when neither knows the way.
        """
        if not self.to_universal:
            return (catalog or default_catalog()).projection(self.taxonomy.name, universal.name)
        weights = np.zeros((universal.num_channels, self.taxonomy.num_channels), np.float32)
        for name, target in self.to_universal.items():
            weights[universal.id_of(target), self.taxonomy.id_of(name)] = 1
        return Projection(self.taxonomy, universal, weights)


def load_dataset(
    path: str | Path, *, root: str | Path | Sequence[str | Path] | None = None, catalog: Catalog | None = None
) -> DatasetDescription:
    """Read a dataset description: a YAML file, or a ready one by its name (`cityscapes`).

    `root`, a folder or several, takes the place of the one in the file. Raises ConfigError, one line, naming the file,
    the key and the nearest valid one.
    """
    file = find_description(path)
    given = () if root is None else ((root,) if isinstance(root, str | Path) else tuple(root))
    raw = read_yaml(file)
    try:
        raw = _with_base(raw)
        roots = tuple(Path(folder) for folder in given)
        return _Parser(file, catalog or default_catalog(), roots).description(raw)
    except (ConfigError, TaxonomyError) as error:
        raise ConfigError(error.reason, path=file) from error


def _with_base(raw: Any) -> Any:
    """A description that is `based_on` a ready one has its keys, but for those given."""
    if not isinstance(raw, dict) or "based_on" not in raw:
        return raw
    base = read_yaml(ready_path(text_of(raw["based_on"], "based_on")))
    if not isinstance(base, dict) or "based_on" in base:
        raise ConfigError(f"based_on: '{raw['based_on']}' is based on another one itself")
    return base | {key: value for key, value in raw.items() if key != "based_on"}


@dataclass(frozen=True, slots=True)
class _Parser:
    path: Path
    catalog: Catalog
    given_roots: tuple[Path, ...]

    def description(self, raw: Any) -> DatasetDescription:
        values = mapping_of(raw, "a dataset description", allowed=_KEYS)
        if values.get("format", FORMAT) != FORMAT:
            raise ConfigError(f"dataset description of format {values['format']}, this version reads {FORMAT}")
        check_keys(values, "a dataset description", allowed=_KEYS, needed=("name", "taxonomy", "splits"))
        taxonomy = self.catalog.taxonomy(text_of(values["taxonomy"], "taxonomy"))
        roots = self.given_roots or self._roots(values)
        splits = SplitParser(roots or (Path(),), self.path)
        id_map, colour_map = _id_map(values, taxonomy), _colour_map(values.get("colour_map"), taxonomy)
        return DatasetDescription(
            path=self.path,
            name=text_of(values["name"], "name"),
            taxonomy=taxonomy,
            splits=MappingProxyType(splits.splits(values["splits"])),
            overlaps=MappingProxyType(splits.overlaps(values["splits"])),
            id_map=MappingProxyType(id_map),
            colour_map=MappingProxyType(colour_map),
            to_universal=MappingProxyType(self._to_universal(values.get("to_universal"), taxonomy)),
            roots=roots,
            formatted=parse_label_format(
                values,
                taxonomy,
                id_map=id_map if "id_map" in values else {},
                colour_map=colour_map,
                annotations=splits.file_of(values["annotations"], "annotations") if "annotations" in values else None,
                split_annotations=splits.annotations(values["splits"]),
            ),
            **{key: " ".join(text_of(values[key], key).split()) for key in _TEXTS if key in values},
        )

    def _roots(self, values: Mapping[str, Any]) -> tuple[Path, ...]:
        if "root" in values and "roots" in values:
            raise ConfigError("root and roots are the same, give one")
        key = "roots" if "roots" in values else "root"
        if key not in values:
            return () if is_ready(self.path) else (self.path.parent,)
        return tuple(self.path.parent / text for text in texts_of(values[key], key))

    def _to_universal(self, raw: Any, taxonomy: Taxonomy) -> dict[str, str]:
        if raw is None:
            return {}
        universal = self.catalog.taxonomy(UNIVERSAL)
        links = {}
        for name, target in mapping_of(raw, "to_universal").items():
            links[_class(name, taxonomy, "to_universal")] = _class(target, universal, f"to_universal.{name}")
        return links


def _id_map(values: Mapping[str, Any], taxonomy: Taxonomy) -> dict[int, str]:
    """Declared ids; without `id_map` the taxonomy's own and its ignore id. `ignore_id` adds one that is not scored."""
    raw = values.get("id_map")
    if raw is None:
        found = {info.id: info.name for info in taxonomy.classes} | {taxonomy.ignore_id: IGNORE}
    else:
        found = {
            number_of(number, f"id_map.{number}", 65535): _class(name, taxonomy, f"id_map.{number}", or_ignore=True)
            for number, name in mapping_of(raw, "id_map").items()
        }
    if values.get("ignore_id") is not None:
        number = number_of(values["ignore_id"], "ignore_id", 65535)
        if found.get(number, IGNORE) != IGNORE:
            raise ConfigError(f"ignore_id {number} is class '{found[number]}' in id_map")
        found[number] = IGNORE
    return found


def _colour_map(raw: Any, taxonomy: Taxonomy) -> dict[tuple[int, int, int], str]:
    found = {}
    for colour, name in mapping_of({} if raw is None else raw, "colour_map").items():
        if not isinstance(colour, tuple) or len(colour) != 3:
            raise ConfigError(f"colour_map: {colour!r} is no colour, expected [red, green, blue]")
        red, green, blue = (number_of(value, f"colour_map.{list(colour)}", 255) for value in colour)
        found[red, green, blue] = _class(name, taxonomy, f"colour_map.{list(colour)}", or_ignore=True)
    return found


def _class(name: Any, taxonomy: Taxonomy, where: str, *, or_ignore: bool = False) -> str:
    text = text_of(name, where)
    if or_ignore and text == IGNORE:
        return text
    try:
        taxonomy.id_of(text)
    except TaxonomyError as error:
        raise ConfigError(f"{where}: {error.reason}") from error
    return text

"""A dataset on disk: which images belong to which label files, and what the numbers in those files mean.

The format is that of contracts.md, "Dataset description"; paths in it are relative to the YAML file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from mseg_studio.datasets import pairing
from mseg_studio.datasets.pairing import FolderSplit, ListSplit, Pair, Split
from mseg_studio.errors import ConfigError, DatasetError, TaxonomyError, nearest
from mseg_studio.labels.label_map import LabelMap, as_ids
from mseg_studio.media.image import read_image, read_label_ids
from mseg_studio.plain_yaml import read_yaml
from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog, default_catalog
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.projection import Projection

FORMAT = 1
IGNORE = "ignore"
"""Word in `id_map` and `colour_map` for pixels that are not scored."""

_KEYS = ("format", "name", "taxonomy", "ignore_id", "splits", "id_map", "colour_map", "to_universal")


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
    _ids: npt.NDArray[np.int32] = field(init=False, repr=False)
    _colours: npt.NDArray[np.int64] = field(init=False, repr=False)
    _colour_ids: npt.NDArray[np.int32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        table = np.full(65536, -1, np.int32)
        for number, name in self.id_map.items():
            table[number] = self._id_of(name)
        object.__setattr__(self, "_ids", table)
        codes = sorted((_code(rgb), self._id_of(name)) for rgb, name in self.colour_map.items())
        object.__setattr__(self, "_colours", np.array([code for code, _ in codes], np.int64))
        object.__setattr__(self, "_colour_ids", np.array([class_id for _, class_id in codes], np.int32))

    def pairs(self, split: str, *, missing: list[DatasetError] | None = None) -> tuple[Pair, ...]:
        """Image and label files of a split, sorted by image or as listed.

        Raises ConfigError for an unknown split, DatasetError naming the first file that is missing; with `missing` all
        of these are put there, and the complete pairs come back.
        """
        if split not in self.splits:
            raise ConfigError(
                f"dataset '{self.name}' has no split '{split}'{nearest(split, self.splits)}", path=self.path
            )
        return self.splits[split].pairs(missing)

    def label_ids(self, pair: Pair) -> LabelMap:
        """The label file of a pair in the dataset's taxonomy.

        Raises DatasetError naming the file and the id (or colour) that the description does not declare, and
        ImageReadError when the file cannot be read.
        """
        if self.colour_map:
            return self._from_colours(pair.label)
        stored = read_label_ids(pair.label)
        ids = self._ids[stored]
        if ids.min() < 0:
            unknown, counts = np.unique(stored[ids < 0], return_counts=True)
            more = "" if len(unknown) == 1 else f", and {len(unknown) - 1} more undeclared ids"
            raise DatasetError(
                f"id {unknown[0]} ({counts[0]} pixels) is not declared in {self.path.name}{more}", path=pair.label
            )
        return LabelMap(as_ids(ids, self.taxonomy), self.taxonomy, "hard")

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

    def _from_colours(self, path: Path) -> LabelMap:
        pixels = read_image(path).pixels_HW3.astype(np.int64)
        codes = (pixels[..., 0] << 16) | (pixels[..., 1] << 8) | pixels[..., 2]
        at = np.searchsorted(self._colours, codes).clip(max=len(self._colours) - 1)
        strange = self._colours[at] != codes
        if strange.any():
            first = int(codes[strange][0])
            rgb = [first >> 16, first >> 8 & 255, first & 255]
            raise DatasetError(f"colour {rgb} is not declared in {self.path.name}", path=path)
        return LabelMap(as_ids(self._colour_ids[at], self.taxonomy), self.taxonomy, "hard")

    def _id_of(self, name: str) -> int:
        return self.taxonomy.ignore_id if name == IGNORE else self.taxonomy.id_of(name)


def load_dataset(path: str | Path, *, catalog: Catalog | None = None) -> DatasetDescription:
    """Read a dataset description. Raises ConfigError, one line, naming the file, the key and the nearest valid one."""
    path = Path(path)
    raw = read_yaml(path)
    try:
        return _Parser(path, catalog or default_catalog()).description(raw)
    except (ConfigError, TaxonomyError) as error:
        raise ConfigError(error.reason, path=path) from error


@dataclass(frozen=True, slots=True)
class _Parser:
    path: Path
    catalog: Catalog

    def description(self, raw: Any) -> DatasetDescription:
        values = _mapping(raw, "a dataset description", allowed=_KEYS, needed=("name", "taxonomy", "splits"))
        if values.get("format", FORMAT) != FORMAT:
            raise ConfigError(f"dataset description of format {values['format']}, this version reads {FORMAT}")
        taxonomy = self.catalog.taxonomy(_text(values["taxonomy"], "taxonomy"))
        splits = _mapping(values["splits"], "splits")
        if not splits:
            raise ConfigError("splits is empty, expected at least one")
        return DatasetDescription(
            path=self.path,
            name=_text(values["name"], "name"),
            taxonomy=taxonomy,
            splits=MappingProxyType({str(name): self._split(str(name), value) for name, value in splits.items()}),
            id_map=MappingProxyType(_id_map(values, taxonomy)),
            colour_map=MappingProxyType(_colour_map(values.get("colour_map"), taxonomy)),
            to_universal=MappingProxyType(self._to_universal(values.get("to_universal"), taxonomy)),
        )

    def _split(self, name: str, raw: Any) -> Split:
        where = f"splits.{name}"
        values = _mapping(raw, where)
        if "list" in values:
            _check_keys(values, where, allowed=("list", "root"), needed=("list",))
            root = _text(values.get("root", "."), f"{where}.root")
            return ListSplit(name, self._below(values["list"], f"{where}.list"), self.path.parent / root)
        _check_keys(
            values, where, allowed=("images", "labels", "image_suffix", "label_suffix"), needed=("images", "labels")
        )
        image_suffix = values.get("image_suffix")
        return FolderSplit(
            name,
            self._below(values["images"], f"{where}.images"),
            self._below(values["labels"], f"{where}.labels"),
            None if image_suffix is None else _text(image_suffix, f"{where}.image_suffix"),
            _text(values.get("label_suffix", pairing.DEFAULT_LABEL_SUFFIX), f"{where}.label_suffix"),
        )

    def _below(self, value: Any, where: str) -> Path:
        return self.path.parent / _text(value, where)

    def _to_universal(self, raw: Any, taxonomy: Taxonomy) -> dict[str, str]:
        if raw is None:
            return {}
        universal = self.catalog.taxonomy(UNIVERSAL)
        links = {}
        for name, target in _mapping(raw, "to_universal").items():
            links[_class(name, taxonomy, "to_universal")] = _class(target, universal, f"to_universal.{name}")
        return links


def _id_map(values: Mapping[str, Any], taxonomy: Taxonomy) -> dict[int, str]:
    """Declared ids; without `id_map` the taxonomy's own and its ignore id. `ignore_id` adds one that is not scored."""
    raw = values.get("id_map")
    if raw is None:
        found = {info.id: info.name for info in taxonomy.classes} | {taxonomy.ignore_id: IGNORE}
    else:
        found = {
            _number(number, f"id_map.{number}", 65535): _class(name, taxonomy, f"id_map.{number}", or_ignore=True)
            for number, name in _mapping(raw, "id_map").items()
        }
    if values.get("ignore_id") is not None:
        number = _number(values["ignore_id"], "ignore_id", 65535)
        if found.get(number, IGNORE) != IGNORE:
            raise ConfigError(f"ignore_id {number} is class '{found[number]}' in id_map")
        found[number] = IGNORE
    return found


def _colour_map(raw: Any, taxonomy: Taxonomy) -> dict[tuple[int, int, int], str]:
    found = {}
    for colour, name in _mapping({} if raw is None else raw, "colour_map").items():
        if not isinstance(colour, tuple) or len(colour) != 3:
            raise ConfigError(f"colour_map: {colour!r} is no colour, expected [red, green, blue]")
        red, green, blue = (_number(value, f"colour_map.{list(colour)}", 255) for value in colour)
        found[red, green, blue] = _class(name, taxonomy, f"colour_map.{list(colour)}", or_ignore=True)
    return found


def _class(name: Any, taxonomy: Taxonomy, where: str, *, or_ignore: bool = False) -> str:
    text = _text(name, where)
    if or_ignore and text == IGNORE:
        return text
    try:
        taxonomy.id_of(text)
    except TaxonomyError as error:
        raise ConfigError(f"{where}: {error.reason}") from error
    return text


def _mapping(
    raw: Any, where: str, *, allowed: Collection[str] | None = None, needed: Collection[str] = ()
) -> dict[Any, Any]:
    if not isinstance(raw, dict):
        came = "nothing" if raw is None else _shown(raw)
        raise ConfigError(f"{where}: expected `key: value` lines, got {came}")
    if allowed is not None:
        _check_keys(raw, where, allowed=allowed, needed=needed)
    return raw


def _check_keys(raw: Mapping[Any, Any], where: str, *, allowed: Collection[str], needed: Collection[str]) -> None:
    for key in raw:
        if key not in allowed:
            raise ConfigError(f"{where}: unknown key '{key}'{nearest(str(key), allowed)}")
    for key in needed:
        if key not in raw:
            raise ConfigError(f"{where}: '{key}' is missing")


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ConfigError(f"{where} is {_shown(value)}, expected text")
    return value


def _number(value: Any, where: str, largest: int) -> int:
    if type(value) is not int or not 0 <= value <= largest:
        raise ConfigError(f"{where}: {_shown(value)} is no whole number from 0 to {largest}")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _code(rgb: tuple[int, int, int]) -> int:
    return rgb[0] << 16 | rgb[1] << 8 | rgb[2]

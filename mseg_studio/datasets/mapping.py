"""From the numbers (or colours) in a dataset's label files to ids of any taxonomy: one table, one look-up a file.

Training, validation, `dataset remap` and `dataset relabel` read labels through it. A number that the description does
not declare is an error or the ignore id, never a class: the published code fills its tables with zeros, which makes
every such number class 0 (parity.md 2.3).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from mseg_studio.datasets.description import IGNORE, DatasetDescription
from mseg_studio.datasets.pairing import Pair
from mseg_studio.errors import DatasetError, TaxonomyError
from mseg_studio.labels.label_map import Ids, LabelMap, as_ids
from mseg_studio.media.image import read_image, read_label_ids
from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog, default_catalog
from mseg_studio.taxonomy.model import UNLABELED, Taxonomy
from mseg_studio.taxonomy.projection import Links, Projection, identity

Unknown = Literal["stop", "ignore"]
"""What becomes of a number or colour that the description does not declare: an error, or the target's ignore id."""

_UNDECLARED = -1
_EXACT_COUNT = 1 << 24
"""Pixels up to which OpenCV's histogram, in float32, counts exactly."""


@dataclass(frozen=True, eq=False)
class LabelMapping:
    """Label files of a dataset as labels in `target`. Merges are fine; a class without a target becomes ignored."""

    description: DatasetDescription
    target: Taxonomy
    class_links: Mapping[str, str]
    """Class of the dataset's taxonomy to class of the target; what is missing has no target."""
    links: Links = "exact"
    through: str | None = None
    """The taxonomy in between where no links lead there directly (then `links` is approximate)."""
    unknown: Unknown = "stop"
    _by_class: npt.NDArray[np.int32] = field(init=False, repr=False)
    """(65536,): id in the dataset's taxonomy to id of the target."""
    _by_number: npt.NDArray[np.int32] = field(init=False, repr=False)
    """(65536,): number in a file to id of the target, `_UNDECLARED` for others."""

    def __post_init__(self) -> None:
        own, ignore_id = self.description.taxonomy, self.target.ignore_id
        if self.unknown not in ("stop", "ignore"):
            raise ValueError(f"unknown is stop or ignore, got {self.unknown!r}")
        by_class = np.full(65536, ignore_id, np.int32)
        for source, target in self.class_links.items():
            by_class[own.id_of(source)] = self.target.id_of(target)
        by_number = np.full(65536, _UNDECLARED, np.int32)
        for number, name in self.description.id_map.items():
            by_number[number] = ignore_id if name == IGNORE else by_class[own.id_of(name)]
        for table, key in ((by_class, "_by_class"), (by_number, "_by_number")):
            table.setflags(write=False)
            object.__setattr__(self, key, table)

    @property
    def unmapped(self) -> tuple[str, ...]:
        """Classes of the dataset's taxonomy without a target, in its order."""
        names = dict.fromkeys(self.description.taxonomy.names)
        return tuple(name for name in names if name not in self.class_links and name != UNLABELED)

    @property
    def sha256(self) -> str:
        """Hash over all that decides a label: two mappings that give the same labels of every file share it."""
        colours = sorted((*rgb, self._id_of(name)) for rgb, name in self.description.colour_map.items())
        formatted = self.description.formatted
        facts = (
            *(self.target.name, self.target.names, self.target.ignore_id, self.unknown, colours),
            formatted and formatted.facts(),
        )
        digest = hashlib.sha256(json.dumps(facts).encode())
        digest.update(self._by_number.tobytes())
        digest.update(self._by_class.tobytes())
        return digest.hexdigest()

    def labels(self, pair: Pair) -> LabelMap:
        """The label file of a pair in the target taxonomy.

        Raises DatasetError naming the file and the number (or colour) that is not declared, where these stop, and
        ImageReadError when the file cannot be read.
        """
        if self.description.formatted is not None:
            found = self.description.formatted.reading(pair, unknown=self.unknown).labels
            ids: npt.NDArray[np.integer] = self._by_class[found.ids_HW]
        elif self.description.colour_map:
            ids = self._from_colours(pair)
        else:
            ids = self._from_numbers(pair)
        return LabelMap(as_ids(ids, self.target), self.target, "hard")

    def _from_numbers(self, pair: Pair) -> npt.NDArray[np.integer]:
        stored = read_label_ids(pair.label)
        numbers = np.flatnonzero(pixels_by_number(stored))
        strange = numbers[self._by_number[numbers] == _UNDECLARED]
        table = self._by_number
        if len(strange):
            self._stop(pair, f"id {strange[0]}", int((stored == strange[0]).sum()), more=f"{len(strange) - 1} more ids")
            table = np.where(table == _UNDECLARED, self.target.ignore_id, table)
        if stored.dtype == np.uint8 and self.target.ignore_id == 255:
            # 255 stands where a number does not occur: such entries are never looked up.
            small = np.where(table[:256] == _UNDECLARED, 255, table[:256]).astype(np.uint8)
            found: npt.NDArray[np.integer] = np.asarray(cv2.LUT(stored, small))
            return found
        return table[stored]

    def _from_colours(self, pair: Pair) -> npt.NDArray[np.integer]:
        known = sorted((_code(rgb), self._id_of(name)) for rgb, name in self.description.colour_map.items())
        codes = np.array([code for code, _ in known], np.int64)
        ids = np.array([class_id for _, class_id in known], np.int32)
        pixels = read_image(pair.label).pixels_HW3.astype(np.int64)
        found = (pixels[..., 0] << 16) | (pixels[..., 1] << 8) | pixels[..., 2]
        at = np.searchsorted(codes, found).clip(max=len(codes) - 1)
        strange = codes[at] != found
        if strange.any():
            others = np.unique(found[strange])
            first = int(others[0])
            rgb = [first >> 16, first >> 8 & 255, first & 255]
            self._stop(pair, f"colour {rgb}", int((found == first).sum()), more=f"{len(others) - 1} more colours")
        return np.where(strange, self.target.ignore_id, ids[at])

    def _id_of(self, name: str) -> int:
        if name == IGNORE:
            return self.target.ignore_id
        return int(self._by_class[self.description.taxonomy.id_of(name)])

    def _stop(self, pair: Pair, what: str, pixels: int, *, more: str) -> None:
        """Raise DatasetError where undeclared values stop."""
        if self.unknown == "ignore":
            return
        rest = "" if more.startswith("0 ") else f", nor are {more}"
        count = "1 pixel" if pixels == 1 else f"{pixels} pixels"
        raise DatasetError(f"{what} ({count}) is not declared in {self.description.path.name}{rest}", path=pair.label)


def own_mapping(description: DatasetDescription) -> LabelMapping:
    """Labels of a dataset in its own taxonomy."""
    own = description.taxonomy
    return LabelMapping(description, own, {name: name for name in own.names})


def label_mapping(
    description: DatasetDescription, target: str, catalog: Catalog | None = None, *, unknown: Unknown = "stop"
) -> LabelMapping:
    """Labels of a dataset in the taxonomy called `target`: its own, universal or any other that links lead to.

    Raises TaxonomyError: no such taxonomy, or no links lead there.
    """
    projection, through = label_projection(description, target, catalog or default_catalog())
    links = {}
    for info in projection.source.classes:
        found = projection.target.get(int(projection.lookup[info.id]))
        if found is not None:
            links[info.name] = found.name
    return LabelMapping(description, projection.target, links, projection.links, through, unknown)


def label_projection(description: DatasetDescription, target: str, catalog: Catalog) -> tuple[Projection, str | None]:
    """The hard links from the dataset's taxonomy to `target`, and the taxonomy in between where they are composed.

    Published links come first; where there are none the description's `to_universal` and the target's links from
    there, at last the catalog's own way through the universal taxonomy. Raises TaxonomyError when there is no way.
    """
    own = description.taxonomy
    taxonomy = catalog.taxonomy(target)
    if target == own.name:
        return identity(own), None
    if target == UNIVERSAL:
        return description.universal_projection(taxonomy, catalog), None
    try:
        found = catalog.projection(own.name, target)
    except TaxonomyError:
        if not description.to_universal:
            raise
        found = None
    if found is not None and (found.links == "exact" or own.name == UNIVERSAL):
        return found, None
    if found is not None and not description.to_universal:
        return found, UNIVERSAL
    first = description.universal_projection(catalog.taxonomy(UNIVERSAL), catalog)
    second = catalog.projection(UNIVERSAL, target)
    weights = np.zeros((taxonomy.num_channels, own.num_channels), np.float32)
    for info in own.classes:
        reached = int(second.lookup[first.lookup[info.id]]) if first.weights[:, info.id].any() else taxonomy.ignore_id
        if reached != taxonomy.ignore_id:
            weights[reached, info.id] = 1
    return Projection(own, taxonomy, weights, "approximate"), UNIVERSAL


def pixels_by_number(stored_HW: Ids) -> npt.NDArray[np.int64]:
    """How often every number occurs, (256,) or (65536,) by the type of the array."""
    if stored_HW.dtype == np.uint8 and 0 < stored_HW.size <= _EXACT_COUNT:  # several times faster than numpy's
        counts = cv2.calcHist([stored_HW], [0], None, [256], [0, 256])[:, 0]
        return np.asarray(counts, np.int64)
    return np.bincount(stored_HW.ravel(), minlength=256 if stored_HW.dtype == np.uint8 else 65536)


def _code(rgb: tuple[int, int, int]) -> int:
    return rgb[0] << 16 | rgb[1] << 8 | rgb[2]

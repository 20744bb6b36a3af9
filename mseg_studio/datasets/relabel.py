"""Apply relabeling records to a copy of a dataset's labels."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mseg_studio.datasets.description import IGNORE, DatasetDescription
from mseg_studio.datasets.mapping import LabelMapping
from mseg_studio.datasets.pairing import Pair
from mseg_studio.datasets.records import Record
from mseg_studio.datasets.relabel_segments import SegmentSource
from mseg_studio.datasets.remap import LabelWriter, OnLabel, OnProgress, RemapOptions, Remapped, write_labels
from mseg_studio.datasets.remap_plan import chosen_splits
from mseg_studio.errors import DatasetError, ImageReadError, TaxonomyError
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.progress import CancelToken, ProgressClock
from mseg_studio.taxonomy.model import UNLABELED, Taxonomy

Outcome = Literal["changed", "confirmed", "already", "nothing", "conflict", "no image", "no segment"]
"""changed: pixels have another class. confirmed: from and to are the same. already: the segment holds none of `from`
but some of `to`. nothing: neither. conflict: an earlier record says another class of some of these pixels, which stay.
no image: none of the splits has it. no segment: the mask is missing or cannot be read."""

_FAMILIES = (("train", "training"), ("val", "validation", "test", "testing"))


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one record."""

    record: Record
    outcome: Outcome
    pixels: int = 0
    """Changed, or in conflict."""
    detail: str = ""

    def line(self) -> str:
        """One line for a person."""
        segment = " ".join(str(value) for value in self.record.segment.as_dict().values())[:60]
        what = f"{self.record.image} segment {segment}: {self.record.from_class} -> {self.record.to_class}"
        return f"{what}: {self.outcome}{f', {self.pixels} pixels' if self.pixels else ''}{_after(self.detail)}"


@dataclass(frozen=True)
class Relabeled:
    """What a run did."""

    applied: tuple[Applied, ...]
    """In the order of the records; those of other splits and of label files done before are not among them."""
    labels: Remapped | None
    """None for a dry run."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Records by outcome."""
        return Counter(one.outcome for one in self.applied)


def relabel(
    mapping: LabelMapping,
    records: Sequence[Record],
    source: SegmentSource,
    output: Path,
    *,
    splits: Sequence[str] | None = None,
    options: RemapOptions | None = None,
    on_progress: OnProgress | None = None,
    on_label: OnLabel | None = None,
    cancel: CancelToken | None = None,
) -> Relabeled:
    """Write the labels of `splits` in the taxonomy of `mapping` into `output`, with the records applied.

    The sources stay as they are, so that running it again gives the same. Of pixels that several records are about the
    first decides; one that goes on from its result (a -> b, then b -> c) is no conflict. Raises as `remap` does, and
    DatasetError for a class that is none of the taxonomy's.
    """
    work = _Relabeling(mapping, records, source, splits)
    by = ", ".join(sorted({record.who for record in records if record.who})[:3])
    note = f"Labels of {mapping.description.path.name} in {mapping.target.name}, {len(records)} records applied"
    writer = LabelWriter(mapping.target, work.labels, work.key, f"{note}{f', by {by}' if by else ''}.")
    done = write_labels(
        mapping.description,
        writer,
        output,
        splits=splits,
        options=options or RemapOptions(),
        on_progress=on_progress,
        on_label=on_label,
        cancel=cancel,
    )
    return Relabeled(work.applied(), done)


def try_relabel(
    mapping: LabelMapping,
    records: Sequence[Record],
    source: SegmentSource,
    *,
    splits: Sequence[str] | None = None,
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
) -> Relabeled:
    """What `relabel` would do; nothing is written and only images with records are read. Raises as `relabel` does."""
    work = _Relabeling(mapping, records, source, splits)
    clock = ProgressClock(len(work.pairs), "labels")
    for done, pair in enumerate(work.pairs, start=1):
        if cancel is not None:
            cancel.raise_if_cancelled()
        work.labels(pair)
        if on_progress is not None:
            on_progress(clock.at(done))
    return Relabeled(work.applied(), None)


@dataclass
class _Relabeling:
    """Records by image, and what became of them. `labels` may be called from several threads."""

    mapping: LabelMapping
    records: Sequence[Record]
    source: SegmentSource
    splits: Sequence[str] | None
    _of_label: dict[Path, list[int]] = field(init=False)
    _found: dict[int, Applied] = field(init=False, default_factory=dict)
    _ids: dict[str, int] = field(init=False)
    _local: threading.local = field(init=False, default_factory=threading.local)
    _mapping_key: str = field(init=False)
    pairs: tuple[Pair, ...] = field(init=False)
    """Those of the splits that records are about."""

    def __post_init__(self) -> None:
        names = dict.fromkeys(name for record in self.records for name in (record.from_class, record.to_class))
        self._ids = {name: _id_of(self.mapping.target, name) for name in names}
        images = _Images(self.mapping.description, chosen_splits(self.mapping.description, self.splits))
        self._mapping_key = self.mapping.sha256
        self._of_label, pairs = defaultdict(list), {}
        for number, record in enumerate(self.records):
            pair, detail = images.of(record)
            if pair is None:
                self._found[number] = Applied(record, "no image", detail=detail)
            else:
                self._of_label[pair.label].append(number)
                if pair.label in images.chosen:
                    pairs[pair.label] = pair
        self.pairs = tuple(pairs.values())
        self.source = self.source.fork()

    def applied(self) -> tuple[Applied, ...]:
        """What is known so far, in the order of the records."""
        return tuple(self._found[number] for number in sorted(self._found))

    def key(self, pair: Pair) -> str:
        """Hash of the mapping, the records of this label and the files of their segments."""
        facts: list[object] = [self._mapping_key]
        for number in self._of_label.get(pair.label, ()):
            record = self.records[number]
            facts.append([record.image, record.segment.as_dict(), record.from_class, record.to_class])
            try:
                file = self.source.file_of(record, pair)
                status = None if file is None else file.stat()
                facts.append(None if status is None else [str(file), status.st_size, status.st_mtime_ns])
            except (DatasetError, OSError):
                facts.append("missing")
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def labels(self, pair: Pair) -> LabelMap:
        """The labels of a pair with its records applied, one after the other."""
        labels = self.mapping.labels(pair)
        numbers = self._of_label.get(pair.label)
        if not numbers:
            return labels
        if not hasattr(self._local, "source"):
            self._local.source = self.source.fork()
        canvas = _Canvas(labels.ids_HW.copy())
        for number in numbers:
            record = self.records[number]
            try:
                mask = self._local.source.mask(record, pair, labels.ids_HW.shape)
            except (DatasetError, ImageReadError) as error:
                self._found[number] = Applied(record, "no segment", detail=str(error))
                continue
            outcome, pixels = canvas.apply(mask, self._ids[record.from_class], self._ids[record.to_class])
            self._found[number] = Applied(record, outcome, pixels)
        return LabelMap(canvas.ids_HW, labels.taxonomy, "hard")


class _Canvas:
    """Labels of one image while records are applied."""

    def __init__(self, ids_HW: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> None:
        self.ids_HW = ids_HW
        # What the record that decided a pixel said: from and to; -1 where none did.
        self._from_HW = np.full(ids_HW.shape, -1, np.int32)
        self._to_HW = np.full(ids_HW.shape, -1, np.int32)

    def apply(self, mask: npt.NDArray[np.bool_], before: int, after: int) -> tuple[Outcome, int]:
        """Change pixels of `before` in the mask; gives the outcome and the pixels it is about."""
        conflict = mask & (self._from_HW == before) & (self._to_HW != after)
        decided = mask & (self.ids_HW == before) & ~conflict
        self.ids_HW[decided] = after
        self._from_HW[decided], self._to_HW[decided] = before, after
        if conflict.any():
            return "conflict", int(conflict.sum())
        if decided.any():
            return ("confirmed", 0) if before == after else ("changed", int(decided.sum()))
        return ("already", 0) if (self.ids_HW[mask] == after).any() else ("nothing", 0)


class _Images:
    """Finds the pair that a record names, in the chosen splits and the others: earlier runs may have written those."""

    def __init__(self, description: DatasetDescription, chosen: Sequence[str]) -> None:
        self._by_stem: dict[str, list[tuple[str, Pair]]] = defaultdict(list)
        self.chosen: set[Path] = set()
        for split in description.splits:
            for pair in description.pairs(split) if split in chosen else _whole_pairs(description, split):
                self._by_stem[pair.image.stem].append((split, pair))
                if split in chosen:
                    self.chosen.add(pair.label)

    def of(self, record: Record) -> tuple[Pair | None, str]:
        """The pair, or None and why."""
        *folders, name = Path(record.image).parts or ("",)
        found = self._by_stem.get(name) or [
            entry for entry in self._by_stem.get(Path(name).stem, ()) if entry[1].image.name == name
        ]
        if folders:
            found = [entry for entry in found if list(entry[1].image.parent.parts[-len(folders) :]) == folders]
        if record.split and len({pair.label for _, pair in found}) > 1:
            same = [entry for entry in found if _same_split(entry[0], record.split)]
            found = same or found
        pairs = {pair.label: pair for _, pair in found}
        if len(pairs) == 1:
            return next(iter(pairs.values())), ""
        return None, f"{len(pairs)} images have this name" if pairs else ""


def _whole_pairs(description: DatasetDescription, split: str) -> tuple[Pair, ...]:
    """Pairs of a split that nobody asked for: what is wrong with it is no matter."""
    try:
        return description.pairs(split, missing=[])
    except DatasetError:
        return ()


def _same_split(one: str, other: str) -> bool:
    return one == other or any(one in family and other in family for family in _FAMILIES)


def _id_of(taxonomy: Taxonomy, name: str) -> int:
    if name in (IGNORE, UNLABELED) and name not in taxonomy.names:
        return taxonomy.ignore_id
    try:
        return taxonomy.id_of(name)
    except TaxonomyError as error:
        raise DatasetError(f"a record names '{name}': {error.reason}") from error


def _after(detail: str) -> str:
    return f", {detail}" if detail else ""

"""The dataset doctor: reads every file of a dataset once and says what is wrong, before training or a score does.

Threads read and decode side by side (decoding and hashing leave Python); a few dozen pairs are under way at a time, and
of each only counts stay: memory grows with the number of file names alone.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mseg_studio.datasets.description import DatasetDescription
from mseg_studio.datasets.doctor_case import miscased
from mseg_studio.datasets.doctor_findings import Finding, Findings, Severity
from mseg_studio.datasets.doctor_pair import PairDoctor, PairFacts
from mseg_studio.datasets.doctor_report import ClassCount, Report, SplitCount
from mseg_studio.datasets.pairing import MissingFolderError, MissingLabelError, Pair
from mseg_studio.errors import ConfigError, DatasetError, nearest
from mseg_studio.progress import CancelToken, Progress, ProgressClock
from mseg_studio.settings import available_cores

_UNDER_WAY = 8
"""Pairs under way for each thread."""
_SIZES = 12
"""Sizes that a report tells apart in a split; many datasets have one for every image."""


def check(
    description: DatasetDescription,
    *,
    splits: Sequence[str] | None = None,
    workers: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Examine every pair of the dataset (of some `splits` of it) with `workers` threads, all cores without.

    What is wrong with files is in the report. Raises ConfigError for an unknown split or a description that was not
    told where the data is, Cancelled.
    """
    started_s = time.monotonic()
    names = _chosen(description, splits)
    findings = Findings()
    found = {name: _pairs(description, name, findings) for name in names}
    if splits is None and any(pairs for pairs, _, _ in found.values()):
        absent = [name for name, (_, _, gone) in found.items() if gone]
    else:
        absent = []
    for name, (_, _, gone) in found.items():
        if gone is not None:
            findings.add(_absent(gone, name, "warning" if name in absent else "error"))
    tally = _Tally(description, findings, names)
    clock = ProgressClock(sum(len(pairs) for pairs, _, _ in found.values()), "pairs")
    if on_progress is not None:
        on_progress(clock.at(0))
    work = ((pair, name) for name, (pairs, _, _) in found.items() for pair in pairs)
    for done, facts in enumerate(_examined(description, work, workers, cancel), start=1):
        tally.add(facts)
        if on_progress is not None:
            on_progress(clock.at(done))
    return Report(
        dataset=description.name,
        file=description.path,
        taxonomy=description.taxonomy.name,
        roots=description.roots,
        splits=tuple(
            tally.split(name, len(pairs), missing) for name, (pairs, missing, _) in found.items() if name not in absent
        ),
        classes=tally.classes(),
        ignored_pixels=tally.ignored,
        findings=findings.all(),
        seconds=time.monotonic() - started_s,
    )


def _chosen(description: DatasetDescription, splits: Sequence[str] | None) -> list[str]:
    names = list(description.splits if splits is None else dict.fromkeys(splits))
    for name in names:
        if name not in description.splits:
            raise ConfigError(
                f"dataset '{description.name}' has no split '{name}'{nearest(name, description.splits)}",
                path=description.path,
            )
    description.require_root()
    return names


def _pairs(
    description: DatasetDescription, name: str, findings: Findings
) -> tuple[tuple[Pair, ...], int, DatasetError | None]:
    """Pairs of a split, how many files lack the other, and the folder or list without which there is no split."""
    missing: list[DatasetError] = []
    pairs: tuple[Pair, ...] = ()
    gone: DatasetError | None = None
    try:
        pairs = description.pairs(name, missing=missing)
    except MissingFolderError as error:
        gone = error
    except DatasetError as error:
        path = Path(error.path or description.path)
        findings.add(Finding("pairing", "error", path, error.reason, name))
    odd = miscased(description.splits[name])
    for lack in missing:
        path = Path(lack.path or description.path)
        is_label = isinstance(lack, MissingLabelError)
        other = odd.take(path) if is_label else odd.take_image_of(path)
        if other is not None:
            found = f"{lack.reason}, but {other.name} is there: upper and lower case differ"
            findings.add(Finding("case", "error", path, found, name))
        else:
            findings.add(Finding("no-label" if is_label else "no-image", "error", path, lack.reason, name))
    for path, suffix in odd.rest():
        found = f"upper and lower case differ from {suffix}: it is no part of the split"
        findings.add(Finding("case", "error", path, found, name))
    return pairs, len(missing), gone


def _absent(error: DatasetError, split: str, severity: Severity) -> Finding:
    return Finding("no-split", severity, Path(error.path or ""), f"split '{split}' is not here: {error.reason}", split)


def _examined(
    description: DatasetDescription, work: Iterator[tuple[Pair, str]], workers: int | None, cancel: CancelToken | None
) -> Iterator[PairFacts]:
    """Facts of each pair in order. Raises Cancelled; what is under way then is waited for, the rest is dropped."""
    doctor = PairDoctor(description)
    count = workers or available_cores()
    under_way: deque[Future[PairFacts]] = deque()
    pool = ThreadPoolExecutor(max_workers=count, thread_name_prefix="dataset-doctor")
    try:
        for pair, split in work:
            if cancel is not None:
                cancel.raise_if_cancelled()
            under_way.append(pool.submit(doctor.examine, pair, split))
            if len(under_way) >= _UNDER_WAY * count:
                yield under_way.popleft().result()
        while under_way:
            if cancel is not None:
                cancel.raise_if_cancelled()
            yield under_way.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Tally:
    """Sums over the pairs that were examined."""

    def __init__(self, description: DatasetDescription, findings: Findings, splits: Sequence[str]) -> None:
        self._taxonomy, self._findings = description.taxonomy, findings
        self._overlaps = {name: other for name, other in description.overlaps.items() if other in splits}
        self._pixels = np.zeros(self._taxonomy.ignore_id + 1, np.int64)
        self._images = np.zeros_like(self._pixels)
        self._seen: dict[bytes, tuple[str, Path]] = {}
        self._sizes: dict[str, Counter[str]] = {}
        self._image_kinds: dict[str, Counter[str]] = {}
        self._label_kinds: dict[str, Counter[str]] = {}
        self.ignored = 0

    def add(self, facts: PairFacts) -> None:
        """Add one pair."""
        for finding in facts.findings:
            self._findings.add(finding)
        if facts.image_size is not None:
            width, height = facts.image_size
            self._sizes.setdefault(facts.split, Counter())[f"{width}x{height}"] += 1
            self._image_kinds.setdefault(facts.split, Counter())[facts.image_kind] += 1
        if facts.label_kind:
            self._label_kinds.setdefault(facts.split, Counter())[facts.label_kind] += 1
        if facts.pixels is not None and facts.split not in self._overlaps:
            self._pixels += facts.pixels
            self._images += facts.pixels > 0
            self.ignored += facts.ignored
        if facts.digest:
            self._look_for_twin(facts)

    def _look_for_twin(self, facts: PairFacts) -> None:
        if facts.digest not in self._seen:
            self._seen[facts.digest] = facts.split, facts.pair.image
            return
        split, twin = self._seen[facts.digest]
        if split == facts.split:
            found = "listed more than once" if twin == facts.pair.image else f"the same picture as {twin.name}"
            self._find("repeated-image", "warning", facts, found)
        elif self._overlaps.get(facts.split) != split and self._overlaps.get(split) != facts.split:
            found = f"the same picture as {twin} of split '{split}', this is '{facts.split}'"
            self._find("in-two-splits", "error", facts, found)

    def _find(self, code: str, severity: Severity, facts: PairFacts, message: str) -> None:
        image = facts.pair.image
        self._findings.add(Finding(code, severity, image, message, facts.split, image=image))

    def split(self, name: str, pairs: int, missing: int) -> SplitCount:
        """One split in numbers."""
        sizes = self._sizes.get(name, Counter()).most_common()
        rest = sum(number for _, number in sizes[_SIZES:])
        return SplitCount(
            name=name,
            pairs=pairs,
            missing=missing,
            sizes=dict(sizes[:_SIZES]) | ({"other": rest} if rest else {}),
            images=dict(self._image_kinds.get(name, Counter()).most_common()),
            labels=dict(self._label_kinds.get(name, Counter()).most_common()),
        )

    def classes(self) -> tuple[ClassCount, ...]:
        """All classes of the taxonomy in its order."""
        return tuple(
            ClassCount(info.id, info.name, info.rgb, int(self._pixels[info.id]), int(self._images[info.id]))
            for info in self._taxonomy.classes
        )

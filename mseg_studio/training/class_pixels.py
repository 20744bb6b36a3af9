"""How many pixels each class has in the label files of datasets, for class weights and for people. Torch-free.

Decoding all label files takes minutes for large sets, so the counts of a split are kept in the user's cache folder, by
classes of the dataset's own taxonomy: they serve every head and every choice of classes. They are used while the paths,
sizes and times of all label files are the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mseg_studio.datasets.mapping import LabelMapping, own_mapping, pixels_by_number
from mseg_studio.datasets.pairing import Pair
from mseg_studio.errors import DatasetError
from mseg_studio.labels.label_map import Ids
from mseg_studio.progress import CancelToken, Progress, ProgressClock
from mseg_studio.settings import available_cores, user_folder
from mseg_studio.storage import write_json_atomic
from mseg_studio.training.config import DatasetConfig, TrainConfig
from mseg_studio.training.data_files import listed_pairs
from mseg_studio.training.head import Head, head_of, open_dataset, resolved

_FORMAT = 1

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Histogram:
    """What label files hold, in pixels."""

    classes: Mapping[str, int]
    """Pixels of every class, classes without a pixel included."""
    ignored_pixels: int
    """Pixels that are no class, or one that is not trained."""
    images: int
    """How many label files were counted."""


def class_histogram(
    config: TrainConfig, *, cancel: CancelToken | None = None, on_progress: OnProgress | None = None
) -> dict[str, int]:
    """Pixels of every class that is trained, see `histogram`."""
    return dict(histogram(config, cancel=cancel, on_progress=on_progress).classes)


def histogram(
    config: TrainConfig, *, cancel: CancelToken | None = None, on_progress: OnProgress | None = None
) -> Histogram:
    """What the label files of all training splits hold after mapping, classes in the order of the head's rows.

    Raises ConfigError, TaxonomyError, DatasetError, ImageReadError and Cancelled.
    """
    config = resolved(config)
    totals = dict.fromkeys(head_of(config).trained, 0)
    parts = [mapped_pixels(dataset, cancel=cancel, on_progress=on_progress) for dataset in config.trained]
    for part in parts:
        for name, pixels in part.classes.items():
            totals[name] += pixels
    return Histogram(totals, sum(part.ignored_pixels for part in parts), sum(part.images for part in parts))


def drawn_pixels(
    config: TrainConfig, head: Head, *, cancel: CancelToken | None = None, on_progress: OnProgress | None = None
) -> npt.NDArray[np.int64]:
    """Labelled pixels (rows,) of every row of the head of a `resolved` configuration, for class weights.

    All datasets count alike, as they do in a step: the counts of each are brought to the sum of the largest. Raises as
    `histogram`.
    """
    found = []
    for dataset in config.trained:
        pixels = mapped_pixels(dataset, cancel=cancel, on_progress=on_progress).classes
        found.append(np.array([pixels.get(name, 0) for name in head.rows], np.int64))
    largest = max(int(counts.sum()) for counts in found)
    scaled = [counts * (largest / max(1, int(counts.sum()))) for counts in found]
    return np.asarray(np.rint(np.sum(scaled, axis=0)), np.int64)


def mapped_pixels(
    dataset: DatasetConfig, *, cancel: CancelToken | None = None, on_progress: OnProgress | None = None
) -> Histogram:
    """What the training split of one `resolved` dataset holds, by classes of the network's taxonomy."""
    mapping = own_mapping(open_dataset(dataset))
    pairs = listed_pairs(dataset, dataset.train_split, leave_out=dataset.leave_out)
    own = own_pixels(mapping, pairs, cancel=cancel, on_progress=on_progress)
    totals: dict[str, int] = {}
    for source, target in dataset.classes.items():
        totals[target] = totals.get(target, 0) + own.classes.get(source, 0)
    labelled = sum(own.classes.values())
    return Histogram(totals, own.ignored_pixels + labelled - sum(totals.values()), own.images)


def own_pixels(
    mapping: LabelMapping,
    pairs: Sequence[Pair],
    *,
    cancel: CancelToken | None = None,
    on_progress: OnProgress | None = None,
) -> Histogram:
    """Pixels of the dataset's own classes, from the cache where the label files are the same as then.

    Raises DatasetError and ImageReadError naming the file, Cancelled.
    """
    file = user_folder("cache") / "class-pixels" / f"{_key(mapping, pairs)}.json"
    kept = _kept(file)
    if kept is not None:
        return kept
    totals = np.zeros(65536, np.int64)
    clock = ProgressClock(len(pairs), "label files")
    for done, counts in enumerate(_counted(mapping, pairs, cancel or CancelToken()), start=1):
        totals[: len(counts)] += counts
        if on_progress is not None:
            on_progress(clock.at(done))
    taxonomy = mapping.target
    classes = dict.fromkeys(taxonomy.names, 0)
    for info in taxonomy.classes:  # names may repeat
        classes[info.name] += int(totals[info.id])
    found = Histogram(classes, int(totals[taxonomy.ignore_id]), len(pairs))
    with contextlib.suppress(OSError):  # without a cache it is counted again next time
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomic(file, {"format": _FORMAT, **dataclasses.asdict(found)})
    return found


def _kept(file: Path) -> Histogram | None:
    """What the cache has; None where there is nothing, or something damaged."""
    try:
        raw = json.loads(file.read_bytes())
        classes = {str(name): int(pixels) for name, pixels in raw["classes"].items()}
        return Histogram(classes, int(raw["ignored_pixels"]), int(raw["images"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _counted(mapping: LabelMapping, pairs: Sequence[Pair], cancel: CancelToken) -> Iterator[npt.NDArray[np.int64]]:
    """Pixels by id of every pair, in any order; few are on the way at once."""

    def count(pair: Pair) -> npt.NDArray[np.int64]:
        ids_HW: Ids = mapping.labels(pair).ids_HW
        return pixels_by_number(ids_HW)

    workers = min(8, available_cores())
    rest = iter(pairs)
    coming: set[Future[npt.NDArray[np.int64]]] = set()
    with ThreadPoolExecutor(workers, "class-pixels") as pool:
        try:
            while True:
                cancel.raise_if_cancelled()
                for pair in rest:
                    coming.add(pool.submit(count, pair))
                    if len(coming) >= 2 * workers:
                        break
                if not coming:
                    return
                done, coming = wait(coming, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            for future in coming:
                future.cancel()


def _key(mapping: LabelMapping, pairs: Sequence[Pair]) -> str:
    digest = hashlib.sha256(f"{_FORMAT} {mapping.sha256}".encode())
    for pair in pairs:
        for path in filter(None, (pair.label, pair.annotations)):
            digest.update(repr((str(path), *_facts(path))).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _facts(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror}", path=path) from error
    return found.st_size, found.st_mtime_ns

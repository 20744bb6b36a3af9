"""How many pixels each class has in the label files of datasets, for class weights and for people. Torch-free.

Decoding all label files takes minutes for large sets, so the counts of a split are kept in the user's cache folder, by
classes of the dataset's own taxonomy: they serve every head and every choice of classes. They are used while the paths,
sizes and times of all label files are the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
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


def class_histogram(
    config: TrainConfig, *, cancel: CancelToken | None = None, on_progress: OnProgress | None = None
) -> dict[str, int]:
    """Pixels of every class that is trained, after mapping, over the label files of all training splits.

    In the order of the head's rows, classes without a pixel included. Raises ConfigError, TaxonomyError, DatasetError,
    ImageReadError and Cancelled.
    """
    config = resolved(config)
    totals = dict.fromkeys(head_of(config).trained, 0)
    for dataset in config.trained:
        for name, pixels in mapped_pixels(dataset, cancel=cancel, on_progress=on_progress).items():
            totals[name] += pixels
    return totals


def drawn_pixels(
    config: TrainConfig, head: Head, *, cancel: CancelToken | None = None, on_progress: OnProgress | None = None
) -> npt.NDArray[np.int64]:
    """Labelled pixels (rows,) of every row of the head of a `resolved` configuration, for class weights.

    All datasets count alike, as they do in a step: the counts of each are brought to the sum of the largest. Raises as
    `class_histogram`.
    """
    found = []
    for dataset in config.trained:
        pixels = mapped_pixels(dataset, cancel=cancel, on_progress=on_progress)
        found.append(np.array([pixels.get(name, 0) for name in head.rows], np.int64))
    largest = max(int(counts.sum()) for counts in found)
    scaled = (counts * (largest / max(1, int(counts.sum()))) for counts in found)
    return np.asarray(np.rint(np.sum(list(scaled), axis=0)), np.int64)


def mapped_pixels(
    dataset: DatasetConfig, *, cancel: CancelToken | None = None, on_progress: OnProgress | None = None
) -> dict[str, int]:
    """Pixels of every class of the network's taxonomy that the training split of one `resolved` dataset has."""
    mapping = own_mapping(open_dataset(dataset))
    pairs = listed_pairs(dataset, dataset.train_split, leave_out=dataset.leave_out)
    found = own_pixels(mapping, pairs, cancel=cancel, on_progress=on_progress)
    totals: dict[str, int] = {}
    for source, target in dataset.classes.items():
        totals[target] = totals.get(target, 0) + found.get(source, 0)
    return totals


def own_pixels(
    mapping: LabelMapping,
    pairs: Sequence[Pair],
    *,
    cancel: CancelToken | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, int]:
    """Pixels of the dataset's own classes, from the cache where the label files are the same as then.

    Raises DatasetError and ImageReadError naming the file, Cancelled.
    """
    file = user_folder("cache") / "class-pixels" / f"{_key(mapping, pairs)}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        return {str(name): int(pixels) for name, pixels in json.loads(file.read_bytes())["pixels"].items()}
    totals = np.zeros(65536, np.int64)
    clock = ProgressClock(len(pairs), "label files")
    for done, counts in enumerate(_counted(mapping, pairs, cancel or CancelToken()), start=1):
        totals[: len(counts)] += counts
        if on_progress is not None:
            on_progress(clock.at(done))
    pixels = {info.name: int(totals[info.id]) for info in mapping.target.classes}
    with contextlib.suppress(OSError):  # without a cache it is counted again next time
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomic(file, {"format": _FORMAT, "dataset": mapping.description.name, "pixels": pixels})
    return pixels


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

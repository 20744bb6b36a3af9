"""The image and label files of a run's datasets: listed at its start, read when they are needed, and their hash.

The hash says whether a run may go on. It follows the names, sizes and contents of the files, never their folder or
times: a dataset may be moved or copied. Contents are read whole up to `_READ_WHOLE` bytes of files; of larger sets
every name and size counts, and the contents of `_READ_PAIRS` pairs evenly spread over each dataset, so that a start
does not wait for terabytes. In such a set a file that is exchanged for another of the same size may pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mseg_studio.datasets.mapping import LabelMapping
from mseg_studio.datasets.pairing import Pair
from mseg_studio.errors import DatasetError
from mseg_studio.labels.label_map import Ids
from mseg_studio.media.image import read_image
from mseg_studio.settings import available_cores
from mseg_studio.training.config import DatasetConfig
from mseg_studio.training.head import open_dataset

_READ_WHOLE = 1 << 30
_READ_PAIRS = 256


def listed_pairs(config: DatasetConfig, split: str, *, leave_out: tuple[str, ...] = ()) -> tuple[Pair, ...]:
    """The image and label files of a split, without the images whose file name starts with one of `leave_out`.

    Raises ConfigError, and DatasetError naming the first file that is missing and how many others are.
    """
    missing: list[DatasetError] = []
    pairs = open_dataset(config).pairs(split, missing=missing)
    if missing:
        others = {1: "", 2: " (1 more file is missing)"}.get(
            len(missing), f" ({len(missing) - 1} more files are missing)"
        )
        raise DatasetError(f"{missing[0].reason}{others}", path=missing[0].path)
    kept = tuple(pair for pair in pairs if not (leave_out and pair.image.name.startswith(leave_out)))
    if not kept:
        raise DatasetError(f"split '{split}' has no images that are not left out", path=config.description)
    return kept


def read_pair(pair: Pair, mapping: LabelMapping) -> tuple[npt.NDArray[np.uint8], Ids]:
    """RGB pixels (H, W, 3) and labels (H, W) of one size in the mapping's target.

    Raises DatasetError and ImageReadError naming the file.
    """
    pixels_HW3, labels_HW = read_image(pair.image).pixels_HW3, mapping.labels(pair).ids_HW
    if labels_HW.shape != pixels_HW3.shape[:2]:
        raise DatasetError(f"labels are {_size(labels_HW)}, the image is {_size(pixels_HW3)}", path=pair.label)
    return pixels_HW3, labels_HW


def data_sha256(datasets: Sequence[tuple[str, Sequence[Pair]]]) -> str:
    """Hash over named datasets, see the head of this file.

    Raises DatasetError for a file that is empty or cannot be read: found before the first step.
    """
    digest = hashlib.sha256()
    with ThreadPoolExecutor(min(8, available_cores()), "data-hash") as pool:
        sizes = [list(pool.map(_bytes_of, _files(pairs))) for _, pairs in datasets]
        whole = sum(map(sum, sizes)) <= _READ_WHOLE
        for (name, pairs), size_of_each in zip(datasets, sizes, strict=True):
            names = [path.name for path in _files(pairs)]
            digest.update(repr((name, names, size_of_each)).encode("utf-8", "surrogateescape"))
            read = _files(pairs if whole else evenly_spread(pairs, _READ_PAIRS))
            for hashed in pool.map(_content_hash, read):
                digest.update(hashed)
    return digest.hexdigest()


def _files(pairs: Sequence[Pair]) -> list[Path]:
    """Image and label of every pair, and the annotation files that some labels are read from, each once."""
    both = [path for pair in pairs for path in (pair.image, pair.label)]
    return both + list(dict.fromkeys(pair.annotations for pair in pairs if pair.annotations is not None))


def evenly_spread(pairs: Sequence[Pair], most: int) -> tuple[Pair, ...]:
    """At most `most` of the pairs, evenly spread, in their order; all of them for 0."""
    if most == 0 or most >= len(pairs):
        return tuple(pairs)
    return tuple(pairs[k * len(pairs) // most] for k in range(most))


def _bytes_of(path: Path) -> int:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror}", path=path) from error
    if size == 0:
        raise DatasetError("is empty: it was not copied whole", path=path)
    return size


def _content_hash(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror}", path=path) from error


def _size(array: npt.NDArray[Any]) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"

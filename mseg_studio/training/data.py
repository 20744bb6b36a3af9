"""Training and validation samples in memory: decoded once, labels as rows of the head."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mseg_studio.datasets.description import load_dataset
from mseg_studio.errors import DatasetError
from mseg_studio.media.image import read_image
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.training.augment import IGNORE
from mseg_studio.training.config import DatasetConfig


@dataclass(frozen=True, slots=True)
class Sample:
    """One image and its labels."""

    name: str
    pixels_HW3: npt.NDArray[np.uint8]
    """RGB."""
    labels_HW: npt.NDArray[np.uint8]
    """Row of the head, 255 where nothing is labelled."""


@dataclass(frozen=True, slots=True)
class SampleSet:
    """All samples of a split."""

    samples: tuple[Sample, ...]
    sha256: str
    """Hash over the names and files in order: a run goes on only with the data it began with."""

    def pixels_of_classes(self, num_classes: int) -> npt.NDArray[np.int64]:
        """Labelled pixels (num_classes,) of every row of the head."""
        counts = np.zeros(256, np.int64)
        for sample in self.samples:
            counts += np.bincount(sample.labels_HW.ravel(), minlength=256)
        return counts[:num_classes]


def load_samples(config: DatasetConfig, *, split: str, leave_out: tuple[str, ...] = ()) -> SampleSet:
    """Decode a split, without the images whose file name starts with one of `leave_out`.

    Raises ConfigError, TaxonomyError, DatasetError and ImageReadError, each naming the file.
    """
    dataset = load_dataset(Path(config.description), root=config.root or None)
    table = _head_rows(dataset.taxonomy, config.classes)
    digest, samples = hashlib.sha256(), []
    for pair in dataset.pairs(split):
        if leave_out and pair.image.name.startswith(leave_out):
            continue
        for piece in (pair.image.name.encode(), _read(pair.image), _read(pair.label)):
            digest.update(hashlib.sha256(piece).digest())
        pixels_HW3, ids_HW = read_image(pair.image).pixels_HW3, dataset.label_ids(pair).ids_HW
        if ids_HW.shape != pixels_HW3.shape[:2]:
            raise DatasetError(f"labels are {_size(ids_HW)}, the image is {_size(pixels_HW3)}", path=pair.label)
        samples.append(Sample(pair.image.name, pixels_HW3, table[ids_HW]))
    if not samples:
        raise DatasetError(f"split '{split}' has no images that are not left out", path=config.description)
    return SampleSet(tuple(samples), digest.hexdigest())


def _head_rows(taxonomy: Taxonomy, classes: Mapping[str, str]) -> npt.NDArray[np.uint8]:
    """Table from ids of the dataset's taxonomy to rows of the head; 255 for classes that are not trained."""
    table = np.full(65536, IGNORE, np.uint8)
    for row, name in enumerate(classes):
        table[taxonomy.id_of(name)] = row
    return table


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror}", path=path) from error


def _size(array: npt.NDArray[Any]) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"

"""Training and validation samples in memory: decoded once, labels as rows of the head."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mseg_studio.errors import DatasetError
from mseg_studio.media.image import read_image
from mseg_studio.training.config import DatasetConfig
from mseg_studio.training.head import Head, head_mapping, open_dataset


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


def load_samples(config: DatasetConfig, head: Head, *, split: str, leave_out: tuple[str, ...] = ()) -> SampleSet:
    """Decode a split, without the images whose file name starts with one of `leave_out`.

    Raises ConfigError, TaxonomyError, DatasetError and ImageReadError, each naming the file.
    """
    dataset = open_dataset(config)
    mapping = head_mapping(dataset, config, head)
    digest, samples = hashlib.sha256(), []
    for pair in dataset.pairs(split):
        if leave_out and pair.image.name.startswith(leave_out):
            continue
        for piece in (pair.image.name.encode(), _read(pair.image), _read(pair.label)):
            digest.update(hashlib.sha256(piece).digest())
        pixels_HW3, labels_HW = read_image(pair.image).pixels_HW3, mapping.labels(pair).ids_HW.astype(np.uint8)
        if labels_HW.shape != pixels_HW3.shape[:2]:
            raise DatasetError(f"labels are {_size(labels_HW)}, the image is {_size(pixels_HW3)}", path=pair.label)
        samples.append(Sample(pair.image.name, pixels_HW3, labels_HW))
    if not samples:
        raise DatasetError(f"split '{split}' has no images that are not left out", path=config.description)
    return SampleSet(tuple(samples), digest.hexdigest())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror}", path=path) from error


def _size(array: npt.NDArray[Any]) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"

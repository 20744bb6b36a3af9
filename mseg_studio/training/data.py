"""Training and validation samples in memory: decoded once, labels as rows of the head."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mseg_studio.datasets.description import DatasetDescription, load_dataset
from mseg_studio.datasets.mapping import LabelMapping, label_mapping
from mseg_studio.errors import ConfigError, DatasetError
from mseg_studio.media.image import read_image
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.training.augment import IGNORE
from mseg_studio.training.config import DatasetConfig, TrainConfig


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
    mapping = head_mapping(dataset, config)
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


def head_mapping(dataset: DatasetDescription, config: DatasetConfig) -> LabelMapping:
    """Label files to rows of the head, through the same table as `dataset remap`; 255 for what is not trained.

    Raises TaxonomyError for a class that the dataset does not have.
    """
    rows = tuple(ClassInfo(row, name, (0, 0, 0)) for row, name in enumerate(config.row_names))
    names = dict(zip(config.targets, config.row_names, strict=True))
    links = {source: names[target] for source, target in config.classes.items()}
    return LabelMapping(dataset, Taxonomy("head", rows, IGNORE), links)


def with_classes(config: TrainConfig) -> TrainConfig:
    """The same configuration; one that names no classes gets all of the dataset that have one in its taxonomy.

    Raises ConfigError and TaxonomyError: no such taxonomy, no links lead there, or to fewer than two classes.
    """
    if config.dataset.classes:
        return config
    dataset = load_dataset(Path(config.dataset.description), root=config.dataset.root or None)
    mapping = label_mapping(dataset, config.taxonomy)
    shown = {*dataset.id_map.values(), *dataset.colour_map.values()}
    classes = {source: target for source, target in mapping.class_links.items() if source in shown}
    if not classes:
        raise ConfigError(f"no class of '{dataset.name}' has one in {config.taxonomy}", path=dataset.path)
    return dataclasses.replace(config, dataset=dataclasses.replace(config.dataset, classes=classes))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror}", path=path) from error


def _size(array: npt.NDArray[Any]) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"

"""Training and validation samples in memory: decoded once, labels as rows of the head."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import yaml

from mseg_studio.errors import DatasetError
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
    """Decode a split. Raises DatasetError naming the file."""
    path = Path(config.description)
    raw = yaml.safe_load(path.read_text())
    part = raw["splits"][split]
    images, labels = path.parent / part["images"], path.parent / part["labels"]
    table = _label_table(raw["id_map"], config.classes, path)
    digest, samples = hashlib.sha256(), []
    for image in sorted(images.glob("*" + part["image_suffix"])):
        if leave_out and image.name.startswith(leave_out):
            continue
        label = labels / (image.name.removesuffix(part["image_suffix"]) + part["label_suffix"])
        image_bytes, label_bytes = image.read_bytes(), label.read_bytes()
        for piece in (image.name.encode(), image_bytes, label_bytes):
            digest.update(hashlib.sha256(piece).digest())
        bgr = cv2.imdecode(np.frombuffer(image_bytes, np.uint8), cv2.IMREAD_COLOR)
        ids = cv2.imdecode(np.frombuffer(label_bytes, np.uint8), cv2.IMREAD_UNCHANGED)
        if bgr is None or ids is None or ids.shape != bgr.shape[:2]:
            raise DatasetError("image and label do not match or cannot be read", path=image)
        samples.append(Sample(image.name, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), table[ids]))
    if not samples:
        raise DatasetError(f"split '{split}' has no images", path=path)
    return SampleSet(tuple(samples), digest.hexdigest())


def _label_table(id_map: Mapping[int, str], classes: Mapping[str, str], path: Path) -> npt.NDArray[np.uint8]:
    names = list(classes)
    table = np.full(256, IGNORE, np.uint8)
    for file_id, name in id_map.items():
        if name in classes:
            table[int(file_id)] = names.index(name)
    missing = set(names) - set(id_map.values())
    if missing:
        raise DatasetError(f"the dataset has no class {', '.join(sorted(missing))}", path=path)
    return table

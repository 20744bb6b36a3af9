"""What a run is judged by: files listed at the start, decoded one ahead of the network, never all in memory."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mseg_studio.datasets.mapping import LabelMapping
from mseg_studio.datasets.pairing import Pair
from mseg_studio.errors import ConfigError
from mseg_studio.labels.label_map import Ids
from mseg_studio.training.config import DatasetConfig, TrainConfig
from mseg_studio.training.data_files import evenly_spread, listed_pairs, read_pair
from mseg_studio.training.head import Head, head_mapping, open_dataset

_AHEAD = 2


@dataclass(frozen=True, eq=False)
class ValidationSplit:
    """One dataset that a run is judged by."""

    config: DatasetConfig
    pairs: tuple[Pair, ...]
    mapping: LabelMapping
    """From its label files to rows of the head."""
    classes: tuple[str, ...]
    """Rows of the head that it has: only these count in its mean."""

    def read(self, index: int) -> tuple[npt.NDArray[np.uint8], Ids]:
        """RGB pixels (H, W, 3) and rows of the head (H, W), the mapping's ignore id where none is labelled.

        Raises DatasetError and ImageReadError naming the file.
        """
        return read_pair(self.pairs[index], self.mapping)


@dataclass(frozen=True, eq=False)
class ValidationData:
    """All datasets that a run is judged by; an image is an index over all of them in order."""

    splits: tuple[ValidationSplit, ...]
    label_stride: int
    """Pixels between the points where the loss looks at labels."""
    short_side: int | None
    """Short side in pixels that the network sees; None takes images as they are."""

    @classmethod
    def open(cls, config: TrainConfig, head: Head) -> ValidationData:
        """List the files of a `resolved` configuration, `validate_images` of each dataset.

        Raises ConfigError (also for a dataset without a class of the head), TaxonomyError, and DatasetError naming the
        first file that is missing.
        """
        splits = []
        for dataset in config.validated:
            classes = judged_classes(dataset, head)
            pairs = evenly_spread(listed_pairs(dataset, dataset.val_split), config.validate_images)
            mapping = head_mapping(open_dataset(dataset), dataset, head)
            splits.append(ValidationSplit(dataset, pairs, mapping, classes))
        return cls(tuple(splits), config.loss.label_stride, config.augment.short_side)

    def __len__(self) -> int:
        return sum(len(split.pairs) for split in self.splits)

    def place_of(self, image: int) -> tuple[int, int]:
        """Index of the dataset and of the pair in it."""
        for number, split in enumerate(self.splits):
            if image < len(split.pairs):
                return number, image
            image -= len(split.pairs)
        raise IndexError(f"image {image} of {len(self)}")

    def read_ahead(self, images: Sequence[int]) -> Generator[tuple[npt.NDArray[np.uint8], Ids], None, None]:
        """Pixels and labels of `images` in order; the next ones are decoded while the caller works.

        Raises as `ValidationSplit.read`.
        """
        coming: list[Future[tuple[npt.NDArray[np.uint8], Ids]]] = []
        with ThreadPoolExecutor(1, "validation") as pool:
            try:
                for place in range(len(images) + _AHEAD):
                    if place < len(images):
                        dataset, index = self.place_of(images[place])
                        coming.append(pool.submit(self.splits[dataset].read, index))
                    if place >= _AHEAD:
                        yield coming.pop(0).result()
            finally:
                for future in coming:
                    future.cancel()


def judged_classes(dataset: DatasetConfig, head: Head) -> tuple[str, ...]:
    """Rows of the head that a `resolved` dataset has, in their order.

    Raises ConfigError when there is none: nothing of it could be judged.
    """
    has = set(dataset.classes.values())
    classes = tuple(name for name in head.rows if name in has)
    if not classes:
        raise ConfigError(
            f"dataset '{dataset.name}' has no class that the run learns, so it cannot judge it: leave its val_split "
            "empty, or take it out"
        )
    return classes

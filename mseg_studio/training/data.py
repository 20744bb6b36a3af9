"""What a run learns from: decoded when a crop needs it, and kept in memory as far as there is room."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mseg_studio.datasets.mapping import LabelMapping
from mseg_studio.datasets.pairing import Pair
from mseg_studio.errors import ConfigError
from mseg_studio.labels.label_map import Ids
from mseg_studio.progress import CancelToken
from mseg_studio.training.augment import augment
from mseg_studio.training.class_pixels import OnProgress, drawn_pixels
from mseg_studio.training.config import AugmentConfig, DatasetConfig, TrainConfig
from mseg_studio.training.data_files import data_sha256, listed_pairs, read_pair
from mseg_studio.training.head import IGNORE, Head, head_mapping, open_dataset
from mseg_studio.training.published_augment import published_augment, shortened
from mseg_studio.training.sample_cache import SampleCache, default_cache_bytes
from mseg_studio.training.sampler import Draw, draw_index, draw_random


@dataclass(frozen=True, slots=True)
class Sample:
    """One image and its labels."""

    name: str
    pixels_HW3: npt.NDArray[np.uint8]
    """RGB."""
    labels_HW: Ids
    """Row of the head, 255 where nothing is labelled; uint8, or uint16 for heads of more than 255 rows."""

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return self.pixels_HW3.nbytes + self.labels_HW.nbytes


@dataclass(frozen=True, slots=True)
class Crop:
    """What the network sees of a sample: `crop_px` on each side."""

    pixels_HW3: npt.NDArray[np.uint8]
    labels_HW: Ids
    name: str
    """Dataset and image file, for messages."""


@dataclass(frozen=True, eq=False)
class TrainSplit:
    """One dataset that is trained on."""

    config: DatasetConfig
    pairs: tuple[Pair, ...]
    mapping: LabelMapping
    """From its label files to rows of the head."""
    rare_rows: tuple[int, ...]
    """Rows of the head that crops may be centred on."""
    published_short_side: int | None = None
    """Short side in pixels that the published changes begin with, where they are made."""

    def sample(self, index: int) -> Sample:
        """Decode one pair. Raises DatasetError and ImageReadError naming the file."""
        pair = self.pairs[index]
        pixels_HW3, labels_HW = read_pair(pair, self.mapping)
        if self.mapping.target.ignore_id != IGNORE:
            labels_HW[labels_HW == self.mapping.target.ignore_id] = IGNORE
        if self.published_short_side is not None and min(labels_HW.shape) > self.published_short_side:
            # The first step has nothing random: done once, and less is kept.
            pixels_HW3, labels_HW = shortened(pixels_HW3, labels_HW, self.published_short_side)
        return Sample(f"{self.config.name}/{pair.image.name}", pixels_HW3, labels_HW)


class TrainData:
    """All datasets that a run is trained on. Threads may ask for crops at once."""

    def __init__(self, config: TrainConfig, head: Head, splits: tuple[TrainSplit, ...], cache: SampleCache) -> None:
        self.splits = splits
        self.cache = cache
        self._config, self._head = config, head

    @classmethod
    def open(
        cls,
        config: TrainConfig,
        head: Head,
        *,
        cancel: CancelToken | None = None,
        processes: int = 1,
        cache_bytes: int | None = None,
    ) -> TrainData:
        """List the files of a `resolved` configuration; nothing is decoded yet.

        `cache_bytes` bounds the decoded samples that are kept; by default a share of the free memory, divided by the
        `processes` of this machine. Raises ConfigError, TaxonomyError, and DatasetError naming the first file that is
        missing and the number of others; Cancelled.
        """
        _check_changes(config.augment)
        splits = []
        for dataset in config.trained:
            if cancel is not None:
                cancel.raise_if_cancelled()
            splits.append(_train_split(dataset, config, head))
        budget = default_cache_bytes(processes) if cache_bytes is None else cache_bytes
        return cls(config, head, tuple(splits), SampleCache(budget))

    @property
    def label_type(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """Type of the labels of crops."""
        return self._head.as_taxonomy.id_dtype

    @functools.cached_property
    def sha256(self) -> str:
        """Hash over the data, see `data_files`. Raises DatasetError for a file that cannot be read."""
        return data_sha256([(split.config.name, split.pairs) for split in self.splits])

    def class_pixels(
        self, *, cancel: CancelToken | None = None, on_progress: OnProgress | None = None
    ) -> npt.NDArray[np.int64]:
        """Labelled pixels (rows,) of every row of the head, see `class_pixels.drawn_pixels`."""
        return drawn_pixels(self._config, self._head, cancel=cancel, on_progress=on_progress)

    def name_of(self, draw: Draw) -> str:
        """Dataset and image file of a draw."""
        split = self.splits[draw.dataset]
        return f"{split.config.name}/{split.pairs[self._index(draw)].image.name}"

    def crop(self, draw: Draw) -> Crop:
        """The crop of a draw: the same on any process, at any time. Raises DatasetError and ImageReadError."""
        config, split = self._config, self.splits[draw.dataset]
        sample = self._sample(draw.dataset, self._index(draw))
        random = draw_random(config.seed, split.config.name, n=draw.n)
        whole = (sample.pixels_HW3, sample.labels_HW)
        if config.augment.pipeline == "published":
            pixels_HW3, labels_HW = published_augment(*whole, config=config.augment, random=random)
        else:
            pixels_HW3, labels_HW = augment(*whole, config=config.augment, rare_ids=split.rare_rows, random=random)
        return Crop(pixels_HW3, labels_HW, sample.name)

    def _index(self, draw: Draw) -> int:
        split = self.splits[draw.dataset]
        return draw_index(self._config.seed, split.config.name, n=draw.n, size=len(split.pairs))

    def _sample(self, dataset: int, index: int) -> Sample:
        found = self.cache.get((dataset, index))
        if found is None:
            found = self.splits[dataset].sample(index)
            self.cache.offer((dataset, index), found)
        return found


def _check_changes(changes: AugmentConfig) -> None:
    """Raise ConfigError for changes that the published code does not make."""
    if changes.pipeline == "published" and (changes.colour_p or changes.rare_p):
        raise ConfigError(
            "augment: the published steps change no colours and look for no rare classes; "
            "set colour_p and rare_p to 0, or pipeline to affine"
        )


def _train_split(dataset: DatasetConfig, config: TrainConfig, head: Head) -> TrainSplit:
    rare = tuple(
        head.rows.index(dataset.classes[name]) for name in config.augment.rare_classes if name in dataset.classes
    )
    mapping = head_mapping(open_dataset(dataset), dataset, head)
    pairs = listed_pairs(dataset, dataset.train_split, leave_out=dataset.leave_out)
    published = config.augment.short_side if config.augment.pipeline == "published" else None
    return TrainSplit(dataset, pairs, mapping, rare, published)

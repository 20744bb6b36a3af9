"""Which class every row of a run's head stands for, and how label files become rows. Torch-free."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from mseg_studio.datasets.description import DatasetDescription, load_dataset
from mseg_studio.datasets.mapping import LabelMapping, label_mapping
from mseg_studio.errors import ConfigError, TaxonomyError
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.training.config import DatasetConfig, TrainConfig

IGNORE = 255
"""Label of pixels that do not count, and of the padding; no head has a class in row 255."""
_IGNORE_16_BIT = 65535


@dataclass(frozen=True, slots=True)
class Head:
    """The rows of a run's last layer."""

    taxonomy: Taxonomy
    """The network's taxonomy."""
    rows: tuple[str, ...]
    """Class of every row; empty for a row that stands for none (an id the taxonomy leaves free)."""
    trained: tuple[str, ...]
    """Classes that some dataset has, in the order of their rows."""

    @property
    def as_taxonomy(self) -> Taxonomy:
        """Rows as ids, for label maps and confusion matrices; above 255 rows its ignored id is not IGNORE but 65535."""
        classes = tuple(ClassInfo(row, name, (0, 0, 0)) for row, name in enumerate(self.rows) if name)
        return Taxonomy("head", classes, IGNORE if len(self.rows) <= IGNORE else _IGNORE_16_BIT)


def resolved(config: TrainConfig) -> TrainConfig:
    """The same configuration with every dataset's classes named.

    A dataset that names none gets all of its classes that have one in the network's taxonomy, by the links of the
    catalog and the description. Raises ConfigError and TaxonomyError: no such taxonomy, no links lead there.
    """
    return dataclasses.replace(config, datasets=tuple(_with_classes(one, config.taxonomy) for one in config.datasets))


def head_of(config: TrainConfig) -> Head:
    """The rows of the head of a `resolved` configuration: all ids of the taxonomy, or the datasets' classes by id.

    Raises ConfigError and TaxonomyError: no such taxonomy or class, fewer than two classes, too many for `trained`.
    """
    taxonomy = default_catalog().taxonomy(config.taxonomy)
    ids = {taxonomy.id_of(target) for dataset in config.trained for target in dataset.classes.values()}
    names = {info.id: info.name for info in taxonomy.classes}
    trained = tuple(names[number] for number in sorted(ids))
    if len(trained) < 2:
        raise ConfigError(f"the datasets have {len(trained)} classes in {config.taxonomy}, expected at least 2")
    every = tuple(names.get(number, "") for number in range(taxonomy.num_channels))
    rows = every if config.head == "all" else trained
    if len(rows) > IGNORE and rows[IGNORE]:
        raise ConfigError(f"head: {config.head} has a class in row {IGNORE}, which stands for ignored pixels")
    return Head(taxonomy, rows, trained)


def head_mapping(dataset: DatasetDescription, config: DatasetConfig, head: Head) -> LabelMapping:
    """Label files to rows of the head, through the same table as `dataset remap`; IGNORE for what is not trained.

    Raises TaxonomyError for a class that the dataset does not have.
    """
    links = {source: target for source, target in config.classes.items() if target in head.rows}
    return LabelMapping(dataset, head.as_taxonomy, links)


def open_dataset(config: DatasetConfig) -> DatasetDescription:
    """The description of a dataset, with its root. Raises ConfigError naming the file."""
    return load_dataset(Path(config.description), root=config.root or None)


def _with_classes(config: DatasetConfig, taxonomy: str) -> DatasetConfig:
    if config.classes:
        return config
    dataset = open_dataset(config)
    default_catalog().taxonomy(taxonomy)  # an unknown one is another mistake than one without links
    try:
        mapping = label_mapping(dataset, taxonomy)
    except TaxonomyError as error:
        raise TaxonomyError(
            f"{error}: dataset '{config.name}' needs `classes` (class of the dataset to class of {taxonomy}) in the "
            f"configuration, or, for universal, `to_universal` in its description; or train in "
            f"taxonomy={dataset.taxonomy.name}"
        ) from error
    shown = {*dataset.id_map.values(), *dataset.colour_map.values()}
    classes = {source: target for source, target in mapping.class_links.items() if source in shown}
    if not classes:
        raise ConfigError(f"no class of '{dataset.name}' has one in {taxonomy}", path=dataset.path)
    return dataclasses.replace(config, classes=classes)

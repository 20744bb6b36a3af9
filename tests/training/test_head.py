from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mseg_studio.errors import ConfigError, TaxonomyError
from mseg_studio.settings import user_folder
from mseg_studio.training.config import DatasetConfig, TrainConfig
from mseg_studio.training.head import Head, head_mapping, head_of, open_dataset, resolved
from tests.training.factory import make_config, make_dataset, stored_ids, with_dataset

MINE = """format: 1
name: mine
ignore_id: 255
classes:
  - {id: 0, name: ground, rgb: [0, 0, 0]}
  - {id: 2, name: other, rgb: [9, 9, 9]}
from_universal: {road: ground, sky: other, car: other}
"""
TO_UNIVERSAL = "to_universal: {Sky: sky, Road: road, Car: car, Building: building}\n"


def _labels(folder: Path, config: TrainConfig, head: Head) -> np.ndarray:
    dataset = config.trained[0]
    description = open_dataset(dataset)
    return head_mapping(description, dataset, head).labels(description.pairs("train")[0]).ids_HW


def _unnamed(description: Path, taxonomy: str, links: str = "") -> TrainConfig:
    description.write_text(description.read_text() + links)
    config = make_config(description, taxonomy=taxonomy)
    no_rare = dataclasses.replace(config.augment, rare_classes=())
    return resolved(with_dataset(dataclasses.replace(config, augment=no_rare), classes={}))


def test_rows_are_the_datasets_classes_in_the_taxonomys_order(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path))
    head = head_of(config)
    assert head.rows == head.trained == ("road", "sky", "car")
    stored = stored_ids(tmp_path / "trainannot" / "a_0.png")
    expected = np.select([stored == 3, stored == 0, stored == 8], [0, 1, 2], 255)
    assert np.array_equal(_labels(tmp_path, config, head), expected)


def test_classes_may_share_a_row(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path))
    config = with_dataset(config, classes={"Sky": "building", "Car": "car", "Road": "building"})
    head = head_of(config)
    assert head.rows == ("building", "car")
    stored = stored_ids(tmp_path / "trainannot" / "a_0.png")
    assert np.array_equal(
        _labels(tmp_path, config, head), np.select([stored == 3, stored == 0, stored == 8], [0, 0, 1], 255)
    )


def test_all_rows_of_the_taxonomy(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path), head="all")
    head = head_of(config)
    assert len(head.rows) == head.taxonomy.num_channels
    assert head.trained == ("road", "sky", "car")
    assert set(np.unique(_labels(tmp_path, config, head))) == {*map(head.taxonomy.id_of, head.trained), 255}


def test_several_datasets_share_the_head(tmp_path: Path) -> None:
    one, two = (make_dataset(tmp_path / name) for name in ("one", "two"))
    datasets = (
        DatasetConfig(str(one), name="one", classes={"Sky": "sky", "Road": "road"}),
        DatasetConfig(str(two), name="two", classes={"Car": "car", "Sky": "sky"}),
    )
    config = make_config(datasets=datasets)
    head = head_of(config)
    assert head.rows == ("road", "sky", "car")
    description = open_dataset(datasets[1])
    pair = description.pairs("train")[0]
    labels = head_mapping(description, datasets[1], head).labels(pair).ids_HW
    stored = stored_ids(pair.label)
    assert np.array_equal(labels, np.select([stored == 0, stored == 8], [1, 2], 255))


def test_a_dataset_that_only_judges_adds_no_row(tmp_path: Path) -> None:
    description = make_dataset(tmp_path)
    datasets = (
        DatasetConfig(str(description), name="one", classes={"Sky": "sky", "Road": "road"}),
        DatasetConfig(str(description), name="two", classes={"Sky": "sky", "Car": "car"}, train_split=""),
    )
    head = head_of(make_config(datasets=datasets))
    assert head.rows == ("road", "sky")
    mapping = head_mapping(open_dataset(datasets[1]), datasets[1], head)
    assert set(np.unique(mapping.labels(open_dataset(datasets[1]).pairs("val")[0]).ids_HW)) == {1, 255}


def test_a_naive_head_leaves_row_255_free(tmp_path: Path) -> None:
    """316 names of seven datasets as they are: more than a byte holds, and 255 still means ignored."""
    config = make_config(make_dataset(tmp_path), taxonomy="naive", head="all")
    config = with_dataset(config, classes={"Sky": "sky", "Road": "road", "Car": "car"})
    head = head_of(config)
    assert len(head.rows) == 316
    assert head.rows[255] == ""
    assert head.as_taxonomy.ignore_id == 65535
    assert _labels(tmp_path, config, head).dtype == np.uint16


@pytest.mark.parametrize(
    ("taxonomy", "links", "expected"),
    [
        ("camvid-11", "", {"Sky": "Sky", "Car": "Car", "Road": "Road"}),
        ("universal", TO_UNIVERSAL, {"Sky": "sky", "Car": "car", "Road": "road"}),
        ("kitti-19", TO_UNIVERSAL, {"Sky": "sky", "Car": "car", "Road": "road"}),
        ("mine", TO_UNIVERSAL, {"Sky": "other", "Car": "other", "Road": "ground"}),
    ],
)
def test_without_classes_all_that_the_taxonomy_has_are_trained(
    tmp_path: Path, taxonomy: str, links: str, expected: dict[str, str]
) -> None:
    """In any taxonomy, the user's own included; classes that the label files cannot show have no row."""
    folder = user_folder("taxonomies")
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(MINE)
    config = _unnamed(make_dataset(tmp_path), taxonomy, links)
    assert config.datasets[0].classes == expected
    head = head_of(config)
    assert set(head.rows) == set(expected.values())
    stored, labels = stored_ids(tmp_path / "trainannot" / "a_0.png"), _labels(tmp_path, config, head)
    for number, name in ((0, "Sky"), (3, "Road"), (8, "Car")):
        assert set(labels[stored == number]) == {head.rows.index(expected[name])}


def test_a_taxonomy_that_no_links_lead_to_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        TaxonomyError,
        match=r"no links lead from taxonomy 'camvid-11' to 'universal': dataset 'tiny' needs `classes`.*camvid-11$",
    ):
        _unnamed(make_dataset(tmp_path), "universal")
    with pytest.raises(ConfigError, match="expected at least 2"):
        head_of(_unnamed(tmp_path / "data.yaml", "universal", "to_universal: {Sky: sky, Road: sky, Car: sky}\n"))


def test_a_class_that_the_dataset_lacks_is_named(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path))
    config = with_dataset(config, classes={"Sky": "sky", "Rood": "road", "Car": "car"})
    head = head_of(config)
    with pytest.raises(TaxonomyError, match="Rood"):
        head_mapping(open_dataset(config.datasets[0]), config.datasets[0], head)

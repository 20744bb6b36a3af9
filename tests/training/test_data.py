from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from mseg_studio.errors import ConfigError, DatasetError, MSegStudioError, TaxonomyError
from mseg_studio.settings import user_folder
from mseg_studio.training.config import DatasetConfig
from mseg_studio.training.data import load_samples, with_classes
from tests.datasets.camvid_like import make_camvid
from tests.training.factory import CLASSES, make_config, make_dataset

MINE = """format: 1
name: mine
ignore_id: 255
classes:
  - {id: 0, name: ground, rgb: [0, 0, 0]}
  - {id: 2, name: other, rgb: [9, 9, 9]}
from_universal: {road: ground, sky: other, car: other}
"""


def _config(description: Path) -> DatasetConfig:
    return DatasetConfig(str(description), name="tiny", classes=CLASSES)


def test_labels_are_rows_of_the_head(tmp_path: Path) -> None:
    """The label files say 0 sky, 3 road, 8 car and 11 nothing; the head's rows are in the configuration's order."""
    data = load_samples(_config(make_dataset(tmp_path)), split="train")
    stored = cv2.imread(str(tmp_path / "trainannot" / "a_0.png"), cv2.IMREAD_UNCHANGED)
    expected = np.select([stored == 0, stored == 3, stored == 8], [0, 1, 2], 255)
    assert data.samples[0].name == "a_0.png"
    assert np.array_equal(data.samples[0].labels_HW, expected)
    total = sum(np.bincount(sample.labels_HW.ravel(), minlength=256) for sample in data.samples)
    assert np.array_equal(data.pixels_of_classes(3), total[:3])


def test_pixels_are_rgb(tmp_path: Path) -> None:
    data = load_samples(_config(make_dataset(tmp_path)), split="val")
    assert np.array_equal(data.samples[0].pixels_HW3, cv2.imread(str(tmp_path / "val" / "a_0.png"))[..., ::-1])


def test_classes_that_are_not_trained_do_not_count(tmp_path: Path) -> None:
    config = dataclasses.replace(_config(make_dataset(tmp_path)), classes={"Car": "car", "Sky": "sky"})
    labels = np.concatenate([sample.labels_HW.ravel() for sample in load_samples(config, split="train").samples])
    assert set(labels.tolist()) == {0, 1, 255}


def test_the_hash_follows_the_files(tmp_path: Path) -> None:
    config = _config(make_dataset(tmp_path))
    before = load_samples(config, split="train")
    assert load_samples(config, split="train").sha256 == before.sha256
    left_out = load_samples(config, split="train", leave_out=("b_",))
    assert left_out.sha256 != before.sha256
    assert {sample.name[0] for sample in left_out.samples} == {"a"}
    changed = tmp_path / "trainannot" / "a_0.png"
    ids = cv2.imread(str(changed), cv2.IMREAD_UNCHANGED)
    ids[5, 5] = 8
    cv2.imwrite(str(changed), ids)
    assert load_samples(config, split="train").sha256 != before.sha256


def _shrink_label(folder: Path) -> None:
    cv2.imwrite(str(folder / "trainannot" / "a_0.png"), np.zeros((10, 10), np.uint8))


def _write_text(folder: Path) -> None:
    (folder / "train" / "a_0.png").write_text("no picture", encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "split", "kind", "message"),
    [
        (_shrink_label, "train", DatasetError, r"a_0\.png: labels are 10x10, the image is 64x48"),
        (_write_text, "train", MSegStudioError, r"a_0\.png"),
        (lambda folder: (folder / "trainannot" / "b_1.png").unlink(), "train", DatasetError, r"b_1\.png"),
        (lambda folder: None, "test", ConfigError, "test"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change, split: str, kind: type[Exception], message: str) -> None:
    config = _config(make_dataset(tmp_path))
    change(tmp_path)
    with pytest.raises(kind, match=message):
        load_samples(config, split=split)


def test_leaving_out_everything_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no images that are not left out"):
        load_samples(_config(make_dataset(tmp_path)), split="train", leave_out=("a", "b"))


def test_a_class_that_the_dataset_lacks_is_named(tmp_path: Path) -> None:
    config = dataclasses.replace(_config(make_dataset(tmp_path)), classes={"Sky": "sky", "Rood": "road"})
    with pytest.raises(TaxonomyError, match="Rood"):
        load_samples(config, split="train")


def test_classes_may_share_a_row(tmp_path: Path) -> None:
    config = dataclasses.replace(
        _config(make_dataset(tmp_path)), classes={"Sky": "building", "Car": "car", "Road": "building"}
    )
    assert (config.targets, config.row_names) == (("building", "car"), ("building", "car"))
    data = load_samples(config, split="train")
    stored = cv2.imread(str(tmp_path / "trainannot" / "a_0.png"), cv2.IMREAD_UNCHANGED)
    expected = np.select([stored == 0, stored == 3, stored == 8], [0, 0, 1], 255)
    assert np.array_equal(data.samples[0].labels_HW, expected)


def _unnamed(description: Path, taxonomy: str, links: str = "") -> DatasetConfig:
    description.write_text(description.read_text() + links)
    dataset = DatasetConfig(str(description), name="tiny")
    config = make_config(dataset=dataset, taxonomy=taxonomy)
    no_rare = dataclasses.replace(config.augment, rare_classes=())
    return with_classes(dataclasses.replace(config, augment=no_rare)).dataset


TO_UNIVERSAL = "to_universal: {Sky: sky, Road: road, Car: car, Building: building}\n"


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
    assert config.classes == expected
    data = load_samples(config, split="val")
    stored = cv2.imread(str(tmp_path / "valannot" / "a_0.png"), cv2.IMREAD_UNCHANGED)
    for number, name in ((0, "Sky"), (3, "Road"), (8, "Car")):
        assert set(data.samples[0].labels_HW[stored == number]) == {config.targets.index(expected[name])}


def test_a_taxonomy_that_no_links_lead_to_is_said(tmp_path: Path) -> None:
    with pytest.raises(TaxonomyError, match="no links lead from taxonomy 'camvid-11' to 'universal'"):
        _unnamed(make_dataset(tmp_path), "universal")
    with pytest.raises(ConfigError, match="must lead to 2 to 255 classes"):
        _unnamed(tmp_path / "data.yaml", "universal", "to_universal: {Sky: sky, Road: sky, Car: sky}\n")


def test_an_undeclared_id_stops(tmp_path: Path) -> None:
    config = _config(make_dataset(tmp_path))
    cv2.imwrite(str(tmp_path / "trainannot" / "b_1.png"), np.full((48, 64), 77, np.uint8))
    with pytest.raises(DatasetError, match=r"b_1\.png: id 77 \(3072 pixels\) is not declared in data\.yaml$"):
        load_samples(config, split="train")


def test_a_ready_description_with_the_folder_of_its_data(tmp_path: Path) -> None:
    make_camvid(tmp_path / "c", train=2, val=1)
    config = DatasetConfig("camvid-480x360", root=str(tmp_path / "c"), classes={"Sky": "sky", "Road": "road"})
    (sample, _) = load_samples(config, split="train").samples
    stored = cv2.imread(str(tmp_path / "c" / "trainannot" / "train_000.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(sample.labels_HW, np.select([stored == 0, stored == 3], [0, 1], 255))

"""Descriptions whose labels are in the format of another program."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mseg_studio.datasets.description import DatasetDescription, load_dataset
from mseg_studio.datasets.doctor import check
from mseg_studio.datasets.mapping import label_mapping, own_mapping
from mseg_studio.errors import ConfigError, DatasetError
from mseg_studio.labels import import_json
from mseg_studio.media.image import write_ids_png, write_rgb_png
from tests.datasets.factories import fake_catalog
from tests.labels.importers.writers import as_numbers, corners, runs_of, write_json

HEAD = "name: tiny\ntaxonomy: street\n"


def load(path: Path) -> DatasetDescription:
    return load_dataset(path, catalog=fake_catalog())


def write(folder: Path, text: str) -> Path:
    (folder / "tiny.yaml").write_text(HEAD + text)
    return folder / "tiny.yaml"


def make_labelme(folder: Path, label: str = "auto") -> Path:
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    for name in ("a", "b"):
        write_rgb_png(folder / "images" / f"{name}.png", np.full((4, 6, 3), ord(name), np.uint8))
        shapes = [{"label": label, "points": corners(0, 0, 3, 4)}, {"label": "sky", "points": corners(3, 0, 5, 4)}]
        write_json(folder / "labels" / f"{name}.json", {"imageHeight": 4, "imageWidth": 6, "shapes": shapes})
    return write(
        folder,
        "label_format: labelme\nlabel_names: {auto: car}\n"
        "to_universal: {road: road, car: car, sky: sky}\n"
        "splits: {val: {images: images, labels: labels, label_suffix: .json}}\n",
    )


def test_labelme_in_a_description(tmp_path: Path) -> None:
    dataset = load(make_labelme(tmp_path))
    labels = own_mapping(dataset).labels(dataset.pairs("val")[0])
    assert labels.ids_HW[0].tolist() == [1, 1, 1, 2, 2, 255]
    mapping = label_mapping(dataset, "universal", fake_catalog())
    assert mapping.labels(dataset.pairs("val")[0]).ids_HW[0].tolist() == [2, 2, 2, 0, 0, 255]
    assert not [finding for finding in check(dataset).findings if finding.severity == "error"]


def test_a_name_that_is_not_declared_stops_or_is_ignored(tmp_path: Path) -> None:
    dataset = load(make_labelme(tmp_path, label="vehicle"))
    pair = dataset.pairs("val")[0]
    with pytest.raises(DatasetError, match=r"a\.json: class 'vehicle' \(12 pixels\) is not declared for street"):
        own_mapping(dataset).labels(pair)
    with pytest.raises(DatasetError, match="class 'vehicle'"):
        label_mapping(dataset, "street", fake_catalog()).labels(pair)
    ignoring = label_mapping(dataset, "street", fake_catalog(), unknown="ignore")
    assert ignoring.labels(pair).ids_HW[0].tolist() == [255, 255, 255, 2, 2, 255]
    assert [finding.code for finding in check(dataset).findings if finding.severity == "error"]


def make_instances(folder: Path, splits: tuple[str, ...] = ("train", "val")) -> Path:
    text = "label_format: coco-instances\nsplits:\n"
    for number, split in enumerate(splits):
        (folder / split).mkdir()
        write_rgb_png(folder / split / "a.png", np.full((4, 6, 3), number, np.uint8))
        mask = np.zeros((4, 6), np.bool_)
        mask[:, : number + 1] = True
        annotation = {"image_id": 1, "category_id": 5, "segmentation": {"counts": runs_of(mask)}}
        file = {
            "images": [{"id": 1, "file_name": "a.png", "height": 4, "width": 6}],
            "annotations": [annotation],
            "categories": [{"id": 5, "name": "car"}],
        }
        write_json(folder / f"{split}.json", file)
        text += f"  {split}: {{image: '{split}/*.png', label: '{split}/*.png', annotations: {split}.json}}\n"
    return write(folder, text)


def test_every_split_has_its_own_annotations(tmp_path: Path) -> None:
    dataset = load(make_instances(tmp_path))
    for number, split in enumerate(("train", "val"), start=1):
        (pair,) = dataset.pairs(split)
        assert pair.annotations == tmp_path / f"{split}.json"
        assert int((own_mapping(dataset).labels(pair).ids_HW == 1).sum()) == 4 * number
    assert not [finding for finding in check(dataset).findings if finding.severity == "error"]


def test_an_annotation_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load(make_instances(tmp_path))
    reads: list[Path] = []
    scan = import_json.read_regular

    def counted(path: Path, error: type[DatasetError]) -> bytes:
        reads.append(path)
        return scan(path, error)

    monkeypatch.setattr(import_json, "read_regular", counted)
    pairs = [*dataset.pairs("train"), *dataset.pairs("val")] * 8
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(own_mapping(dataset).labels, pairs))) == 16
    assert sorted(reads) == [tmp_path / "train.json", tmp_path / "val.json"]


def test_an_id_map_speaks_of_the_numbers_in_the_format(tmp_path: Path) -> None:
    path = make_instances(tmp_path, ("val",))
    path.write_text(path.read_text() + "id_map: {5: sky}\n")
    dataset = load(path)
    assert int((own_mapping(dataset).labels(dataset.pairs("val")[0]).ids_HW == 2).sum()) == 4


def test_other_annotations_make_another_mapping(tmp_path: Path) -> None:
    path = make_instances(tmp_path, ("val",))
    first = label_mapping(load(path), "street", fake_catalog()).sha256
    assert label_mapping(load(path), "street", fake_catalog()).sha256 == first
    file = json.loads((tmp_path / "val.json").read_text())
    write_json(tmp_path / "val.json", file | {"info": "changed"})
    assert label_mapping(load(path), "street", fake_catalog()).sha256 != first


def test_cityscapes_names_tell_the_kind_of_ids(tmp_path: Path) -> None:
    numbers = {"road": 7, "car": 26, "person": 24, "sky": 23}
    write_rgb_png(tmp_path / "a_leftImg8bit.png", np.zeros((1, 3, 3), np.uint8))
    write_ids_png(tmp_path / "a_labelIds.png", as_numbers(np.array([[0, 1, 3]], np.uint8), numbers, 0), None)
    path = write(
        tmp_path, "label_format: cityscapes\nsplits: {v: {image: '*_leftImg8bit.png', label: '*_labelIds.png'}}\n"
    )
    dataset = load(path)
    assert own_mapping(dataset).labels(dataset.pairs("v")[0]).ids_HW.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label_format: labelm", "label_format: unknown label format 'labelm'; did you mean labelme"),
        ("label_format: 3", "label_format is 3, expected text"),
        ("label_format: coco-panoptic", "label_format: coco-panoptic needs annotations: its JSON"),
        ("label_format: voc\nannotations: a.json", "annotations: labels of the format voc have no annotation file"),
        ("annotations: a.json", "annotations needs a label_format"),
        ("label_names: {a: car}", "label_names needs a label_format"),
        (
            "label_format: labelme\nlabel_names: {a: cra}",
            "label_names: taxonomy 'street' has no class 'cra'; did you mean",
        ),
        ("label_format: labelme\nlabel_names: [a]", "label_names: expected `key: value` lines"),
    ],
)
def test_wrong_keys(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, f"{text}\nsplits: {{val: {{images: images, labels: labels}}}}\n")
    with pytest.raises(ConfigError, match=rf"tiny\.yaml: {message}"):
        load(path)


def test_annotations_of_a_split_need_a_format(tmp_path: Path) -> None:
    path = write(tmp_path, "splits: {val: {images: images, labels: labels, annotations: a.json}}\n")
    with pytest.raises(ConfigError, match=r"splits\.val\.annotations needs a label_format"):
        load(path)

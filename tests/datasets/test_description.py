from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mseg_studio.datasets.description import DatasetDescription, load_dataset
from mseg_studio.datasets.mapping import own_mapping
from mseg_studio.datasets.pairing import Pair
from mseg_studio.errors import ConfigError, DatasetError, ImageReadError
from mseg_studio.media.image import read_label_ids, write_ids_png, write_rgb_png
from tests.datasets.factories import DESCRIPTION, UNIVERSAL, fake_catalog, write_dataset


def load(path: Path) -> DatasetDescription:
    return load_dataset(path, catalog=fake_catalog())


def test_pairs_of_folders_keep_the_tree(tmp_path: Path) -> None:
    dataset = load(write_dataset(tmp_path))
    names = [(p.image.relative_to(tmp_path).as_posix(), p.label.name) for p in dataset.pairs("val")]
    assert names == [
        ("images/0.png", "0_ids.png"),
        ("images/2.png", "2_ids.png"),
        ("images/sub/1.png", "1_ids.png"),
    ]


def test_pairs_of_a_list(tmp_path: Path) -> None:
    dataset = load(write_dataset(tmp_path))
    assert dataset.pairs("listed") == (Pair(tmp_path / "images/0.png", tmp_path / "labels/0_ids.png"),)
    (tmp_path / "with space.png").write_bytes((tmp_path / "images/0.png").read_bytes())
    (tmp_path / "list.txt").write_text("with space.png\tlabels/0_ids.png\r\n\n# end\n")
    assert dataset.pairs("listed")[0].image.name == "with space.png"


def test_labels_come_in_the_taxonomy(tmp_path: Path) -> None:
    dataset = load(write_dataset(tmp_path))
    pair = dataset.pairs("val")[0]
    stored, labels = read_label_ids(pair.label), own_mapping(dataset).labels(pair)
    for number, class_id in ((0, 2), (1, 0), (7, 1), (9, 255)):
        assert (labels.ids_HW[stored == number] == class_id).all()
    assert labels.taxonomy.name == "street"
    assert labels.mapping == "hard"


def test_without_id_map_the_taxonomys_own_ids_count(tmp_path: Path) -> None:
    path = write_dataset(tmp_path)
    path.write_text("\n".join(line for line in DESCRIPTION.splitlines() if "id_map" not in line) + "\nignore_id: 99\n")
    dataset = load(path)
    write_ids_png(tmp_path / "a.png", np.array([[0, 1, 2, 255, 99]], np.uint8), None)
    assert own_mapping(dataset).labels(Pair(tmp_path, tmp_path / "a.png")).ids_HW.tolist() == [[0, 1, 2, 255, 255]]


@pytest.mark.parametrize("bad", [2, 254, 255])
def test_an_undeclared_id_names_file_and_id(tmp_path: Path, bad: int) -> None:
    dataset = load(write_dataset(tmp_path))
    pair = dataset.pairs("val")[0]
    write_ids_png(pair.label, np.array([[0, bad, bad]], np.uint8), None)
    with pytest.raises(DatasetError, match=rf"0_ids\.png: id {bad} \(2 pixels\) is not declared in tiny\.yaml$"):
        own_mapping(dataset).labels(pair)


def test_sixteen_bit_ids(tmp_path: Path) -> None:
    path = write_dataset(tmp_path)
    path.write_text(DESCRIPTION.replace("9: ignore", "9: ignore, 1000: car"))
    dataset = load(path)
    pair = dataset.pairs("val")[0]
    write_ids_png(pair.label, np.array([[0, 1000]], np.uint16), None)
    assert own_mapping(dataset).labels(pair).ids_HW.tolist() == [[2, 1]]
    write_ids_png(pair.label, np.array([[0, 1001]], np.uint16), None)
    with pytest.raises(DatasetError, match="id 1001"):
        own_mapping(dataset).labels(pair)


def test_colours_as_labels(tmp_path: Path) -> None:
    path = write_dataset(tmp_path)
    path.write_text(DESCRIPTION + "colour_map: {[0, 0, 0]: ignore, [10, 20, 30]: car, [255, 255, 255]: sky}\n")
    dataset = load(path)
    pair = dataset.pairs("val")[0]
    write_rgb_png(pair.label, np.array([[[10, 20, 30], [0, 0, 0], [255, 255, 255]]], np.uint8))
    assert own_mapping(dataset).labels(pair).ids_HW.tolist() == [[1, 255, 2]]
    write_rgb_png(pair.label, np.array([[[10, 20, 31]]], np.uint8))
    with pytest.raises(DatasetError, match=r"0_ids\.png: colour \[10, 20, 31\] \(1 pixel\) is not declared"):
        own_mapping(dataset).labels(pair)


def test_a_colour_picture_where_ids_are_expected_is_refused(tmp_path: Path) -> None:
    dataset = load(write_dataset(tmp_path))
    pair = dataset.pairs("val")[0]
    write_rgb_png(pair.label, np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(ImageReadError, match=r"0_ids\.png"):
        own_mapping(dataset).labels(pair)


def test_the_way_to_universal(tmp_path: Path) -> None:
    projection = load(write_dataset(tmp_path)).universal_projection(UNIVERSAL)
    assert projection.lookup[[0, 1, 2]].tolist() == [3, 2, 0]
    assert projection.links == "exact"


@pytest.mark.parametrize(
    ("remove", "split", "message"),
    [
        ("labels/0_ids.png", "val", r"labels/0_ids\.png: the label of 0\.png is missing"),
        ("images/0.png", "val", r"labels/0_ids\.png: a label without an image"),
        ("images/0.png", "listed", r"images/0\.png: no such file, listed in .*list\.txt line 2"),
        ("labels/0_ids.png", "listed", r"labels/0_ids\.png: no such file, listed in .*list\.txt line 2"),
        ("list.txt", "listed", r"list\.txt: no such list"),
    ],
)
def test_missing_files_are_named(tmp_path: Path, remove: str, split: str, message: str) -> None:
    dataset = load(write_dataset(tmp_path))
    (tmp_path / remove).unlink()
    with pytest.raises(DatasetError, match=message):
        dataset.pairs(split)


def test_missing_files_can_be_collected(tmp_path: Path) -> None:
    dataset = load(write_dataset(tmp_path))
    (tmp_path / "labels/0_ids.png").unlink()
    (tmp_path / "images/2.png").unlink()
    missing: list[DatasetError] = []
    assert [pair.image.name for pair in dataset.pairs("val", missing=missing)] == ["1.png"]
    assert [Path(error.path or "").name for error in missing] == ["0_ids.png", "2_ids.png"]
    missing.clear()
    assert dataset.pairs("listed", missing=missing) == ()
    assert len(missing) == 1


@pytest.mark.parametrize(
    ("old", "new", "split", "message"),
    [
        ("images: images", "images: nowhere", "val", r"nowhere: no such folder"),
        ("image_suffix: .png", "image_suffix: .tif", "val", r"no images ending in \.tif"),
        ("root: .", "root: .", "vall", "has no split 'vall'; did you mean val"),
    ],
)
def test_splits_that_do_not_work(tmp_path: Path, old: str, new: str, split: str, message: str) -> None:
    path = write_dataset(tmp_path)
    path.write_text(DESCRIPTION.replace(old, new))
    with pytest.raises((DatasetError, ConfigError), match=message):
        load(path).pairs(split)


def test_a_broken_line_of_a_list(tmp_path: Path) -> None:
    dataset = load(write_dataset(tmp_path))
    (tmp_path / "list.txt").write_text("images/0.png labels/0_ids.png\nonly-one\n")
    with pytest.raises(DatasetError, match=r"list\.txt: line 2: expected `image label`"):
        dataset.pairs("listed")


def test_a_list_that_is_no_text(tmp_path: Path) -> None:
    dataset = load(write_dataset(tmp_path))
    (tmp_path / "list.txt").write_bytes(b"a\xffb c")
    with pytest.raises(DatasetError, match=r"list\.txt: byte 1 is not UTF-8, expected a list of images"):
        dataset.pairs("listed")
    (tmp_path / "list.txt").unlink()
    (tmp_path / "list.txt").mkdir()
    with pytest.raises(DatasetError, match=r"list\.txt: cannot be read: Is a directory$"):
        dataset.pairs("listed")


def test_linked_folders_are_part_of_the_tree_and_loops_end(tmp_path: Path) -> None:
    dataset = load(write_dataset(tmp_path))
    for kind in ("images", "labels"):
        (tmp_path / kind / "sub").rename(tmp_path / f"{kind}-elsewhere")
        (tmp_path / kind / "sub").symlink_to(tmp_path / f"{kind}-elsewhere")
        (tmp_path / kind / "sub" / "up").symlink_to(tmp_path / kind)
    assert [p.image.relative_to(tmp_path).as_posix() for p in dataset.pairs("val")] == [
        "images/0.png",
        "images/2.png",
        "images/sub/1.png",
    ]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    dataset = load(write_dataset(tmp_path))
    (tmp_path / "images" / "sub").chmod(0)
    try:
        with pytest.raises(DatasetError, match=r"images/sub: the folder cannot be read: Permission denied"):
            dataset.pairs("val")
    finally:
        (tmp_path / "images" / "sub").chmod(0o700)


def test_two_images_for_one_label(tmp_path: Path) -> None:
    path = write_dataset(tmp_path)
    path.write_text(DESCRIPTION.replace(", image_suffix: .png", ""))
    (tmp_path / "images/0.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match="two files for one label"):
        load(path).pairs("val")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format: 1", "format: 2", "format 2, this version reads 1"),
        ("name: tiny", "nam: tiny", "unknown key 'nam'; did you mean name"),
        ("name: tiny", "", "'name' is missing"),
        ("name: tiny", "name: 3", "name is 3, expected text"),
        ("taxonomy: street", "taxonomy: sreet", "unknown taxonomy 'sreet'"),
        ("image_suffix", "image_sufix", r"splits\.val: unknown key 'image_sufix'; did you mean image_suffix"),
        ("labels: labels, ", "", r"splits\.val: 'labels' is missing"),
        ("{list: list.txt, root: .}", "[]", r"splits\.listed: expected `key: value` lines, got \[\]"),
        ("list: list.txt", "list: 3", r"splits\.listed\.list is 3, expected text"),
        ("7: car", "7: cra", r"id_map\.7: taxonomy 'street' has no class 'cra'; did you mean car"),
        ("7: car", "x: car", r"id_map\.x: 'x' is no whole number"),
        ("7: car", "70000: car", "70000 is no whole number from 0 to 65535"),
        ("7: car", "7: car, 7: sky", "line 8: '7' is given twice"),
        ("sky: sky", "sky: skies", r"to_universal\.sky: taxonomy 'universal' has no class 'skies'"),
        ("sky: sky", "skies: sky", r"to_universal: taxonomy 'street' has no class 'skies'"),
        ("format: 1", "ignore_id: 7", "ignore_id 7 is class 'car'"),
        ("format: 1", "colour_map: {[1, 2]: car}", "is no colour"),
        ("format: 1", "colour_map: {[1, 2, 256]: car}", "256 is no whole number from 0 to 255"),
        ("format: 1", "format: [1", "not YAML: line"),
        ("name: tiny", "name: &a tiny\nignore_id: *a", "not YAML: line 4: aliases are not allowed"),
        ("format: 1", "format: !!python/object/apply:os.system [ls]", "not YAML: line"),
        ("format: 1", "format: !!timestamp abc", "not YAML: line"),
        ("list: list.txt", 'list: "a\\0b"', r"splits\.listed\.list is 'a.x00b', expected text"),
        ("format: 1", '"a\\nb": 1', r"unknown key 'a.nb'"),
        ("7: car", "2026-99-99: car", "'2026-99-99' is no whole number"),
    ],
)
def test_mistakes_in_a_description_are_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write_dataset(tmp_path)
    path.write_text(DESCRIPTION.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message) as error:
        load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_no_yaml_at_all(tmp_path: Path) -> None:
    for content, message in ((None, "no such file"), (b"\xff\xfe\x00", "not YAML"), (b"", "expected `key: value`")):
        path = tmp_path / "a.yaml"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=message):
            load(path)


def test_camvid_is_described_as_it_lies(shared: Path) -> None:
    dataset = load_dataset(Path(__file__).parents[2] / "examples" / "camvid.yaml")
    assert {name: len(dataset.pairs(name)) for name in dataset.splits} == {
        "train": 367,
        "val": 101,
        "held-out-0001TP": 62,
    }
    assert all(pair.image.name.startswith("0001TP") for pair in dataset.pairs("held-out-0001TP"))
    pair = dataset.pairs("val")[0]
    stored, labels = read_label_ids(pair.label), own_mapping(dataset).labels(pair)
    assert dataset.taxonomy.name == "camvid-11"
    assert (labels.ids_HW[stored == 0] == dataset.taxonomy.id_of("Sky")).all()
    assert (labels.ids_HW[stored == 11] == 255).all()
    assert set(dataset.to_universal) == set(dataset.taxonomy.names)

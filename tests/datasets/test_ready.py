"""Ready descriptions against small trees in the layout that the official archives unpack to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mseg_studio.datasets.description import load_dataset
from mseg_studio.datasets.doctor import check
from mseg_studio.datasets.mapping import own_mapping
from mseg_studio.datasets.ready import find_description, is_shipped, ready_names, ready_path
from mseg_studio.errors import ConfigError
from mseg_studio.media.image import write_ids_png, write_rgb_png
from mseg_studio.settings import user_folder

# What lies where, and what some numbers of the label files mean.
LAYOUTS: dict[str, tuple[dict[str, list[tuple[str, str]]], dict[int, str]]] = {
    "ade20k": (
        {
            "train": [("images/training/ADE_train_00000001.jpg", "annotations/training/ADE_train_00000001.png")],
            "val": [("images/validation/ADE_val_00000001.jpg", "annotations/validation/ADE_val_00000001.png")],
        },
        {0: "ignore", 1: "wall", 4: "floor", 150: "flag"},
    ),
    "bdd": (
        {
            "train": [("seg/images/train/0004a4c0.jpg", "seg/labels/train/0004a4c0_train_id.png")],
            "val": [("seg/images/val/ff7b98c7-3cb964ac.jpg", "seg/labels/val/ff7b98c7-3cb964ac_train_id.png")],
        },
        {0: "road", 18: "bicycle", 255: "ignore"},
    ),
    "bdd-10k": (
        {
            "train": [("images/10k/train/0004a4c0.jpg", "labels/sem_seg/masks/train/0004a4c0.png")],
            "val": [("images/10k/val/7d06fefd.jpg", "labels/sem_seg/masks/val/7d06fefd.png")],
        },
        {0: "road", 13: "car", 255: "ignore"},
    ),
    "cityscapes": (
        {
            "train": [
                (
                    "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png",
                    "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png",
                )
            ],
            "val": [
                (
                    "leftImg8bit/val/lindau/lindau_000000_000019_leftImg8bit.png",
                    "gtFine/val/lindau/lindau_000000_000019_gtFine_labelIds.png",
                )
            ],
        },
        {0: "unlabeled", 7: "road", 26: "car", 33: "bicycle"},
    ),
    "cityscapes-train-ids": (
        {
            "train": [
                ("leftImg8bit/train/ulm/ulm_1_leftImg8bit.png", "gtFine/train/ulm/ulm_1_gtFine_labelTrainIds.png")
            ],
            "val": [("leftImg8bit/val/ulm/ulm_2_leftImg8bit.png", "gtFine/val/ulm/ulm_2_gtFine_labelTrainIds.png")],
        },
        {0: "road", 13: "car", 255: "ignore"},
    ),
    "idd": (
        {
            "train": [("leftImg8bit/train/1/210316_leftImg8bit.png", "gtFine/train/1/210316_gtFine_labelids.png")],
            "val": [("leftImg8bit/val/89/946749_leftImg8bit.png", "gtFine/val/89/946749_gtFine_labelids.png")],
        },
        {0: "road", 11: "autorickshaw", 35: "ignore", 36: "ego vehicle", 39: "license plate"},
    ),
    "mapillary": (
        {
            "train": [("training/images/-a_b.jpg", "training/labels/-a_b.png")],
            "val": [("validation/images/_k.jpg", "validation/labels/_k.png")],
        },
        {0: "Bird", 13: "Road", 64: "Ego Vehicle", 65: "ignore"},
    ),
    "sunrgbd": (
        {
            "train": [("image/train/img-005285.jpg", "label37/train/00005285.png")],
            "val": [("image/test/img-000001.jpg", "label37/test/00000001.png")],
        },
        {0: "ignore", 1: "wall", 37: "bag"},
    ),
    "voc2012": (
        {
            "train": [("JPEGImages/2007_000032.jpg", "SegmentationClass/2007_000032.png")],
            "val": [("JPEGImages/2007_000033.jpg", "SegmentationClass/2007_000033.png")],
        },
        {0: "background", 15: "person", 255: "ignore"},
    ),
    "pascal-context": (
        {
            "train": [("JPEGImages/2008_000002.jpg", "Segmentation_GT_460cls/2008_000002.png")],
            "val": [("JPEGImages/2010_006086.jpg", "Segmentation_GT_460cls/2010_006086.png")],
        },
        {0: "unlabeled", 2: "aeroplane", 459: "wool"},
    ),
    "camvid-480x360": (
        {
            split: [(f"{split}/0016E5_07959.png", f"{split}annot/0016E5_07959.png")]
            for split in ("train", "val", "test")
        },
        {0: "Sky", 1: "Building", 10: "Bicyclist", 11: "ignore"},
    ),
    "wilddash": (
        {"val": [("wd_val_01/au0000_100000.png", "wd_val_01/au0000_100000_labelIds.png")]},
        {7: "road", 26: "car"},
    ),
    "kitti": (
        {"train": [("training/image_2/000003_10.png", "training/semantic/000003_10.png")]},
        {7: "road", 26: "car"},
    ),
    "scannet": (
        {
            "train": [("scene0000_00/color/000000.jpg", "scene0000_00/label/000000.png")],
            "val": [("scene0568_00/color/001500.jpg", "scene0568_00/label/001500.png")],
        },
        {0: "unlabeled", 1: "wall", 40: "otherprop"},
    ),
}
EXTRA = {
    "voc2012": {
        "ImageSets/Segmentation/train.txt": "2007_000032\n",
        "ImageSets/Segmentation/val.txt": "2007_000033\n",
    },
    "pascal-context": {"train.txt": "2008_000002\n", "val.txt": "2010_006086\n"},
    "scannet": {"scannetv2_train.txt": "scene0000_00\n", "scannetv2_val.txt": "scene0568_00\nscene0568_00\n"},
}


def build(folder: Path, name: str) -> None:
    """A few files in the layout of the dataset called `name`; every picture differs."""
    splits, numbers = LAYOUTS[name]
    wide = max(numbers) > 255
    for split, pairs in enumerate(splits.values()):
        for image, label in pairs:
            (folder / image).parent.mkdir(parents=True, exist_ok=True)
            (folder / label).parent.mkdir(parents=True, exist_ok=True)
            write_rgb_png(folder / image, np.full((4, 2 * len(numbers), 3), 40 + split, np.uint8))
            ids = np.repeat(np.array([list(numbers)], np.uint16 if wide else np.uint8), 2, axis=1)
            write_ids_png(folder / label, np.repeat(ids, 4, axis=0))
    for path, text in EXTRA.get(name, {}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_documented_layout_is_found_whole(tmp_path: Path, name: str) -> None:
    build(tmp_path, name)
    dataset = load_dataset(name, root=tmp_path)
    splits, numbers = LAYOUTS[name]
    assert list(dataset.splits) == list(splits)
    for split, expected in splits.items():
        found = dataset.pairs(split)
        assert [(str(p.image.relative_to(tmp_path)), str(p.label.relative_to(tmp_path))) for p in found] == expected
        stored = list(numbers)
        ids = own_mapping(dataset).labels(found[0]).ids_HW[0, ::2].tolist()
        ignored = dataset.taxonomy.ignore_id
        assert ids == [ignored if numbers[n] == "ignore" else dataset.taxonomy.id_of(numbers[n]) for n in stored]
    assert check(dataset).findings == ()


def test_official_camvid_is_read_by_its_colours(tmp_path: Path) -> None:
    for folder, end in (("701_StillsRaw_full", ""), ("LabeledApproved_full", "_L")):
        (tmp_path / folder).mkdir()
        colours = [[128, 128, 128], [128, 0, 0], [0, 0, 0], [0, 128, 192]]  # Sky Building Void Bicyclist
        pixels = np.tile(np.array([colours], np.uint8), (4, 1, 1))
        write_rgb_png(tmp_path / folder / f"0001TP_006690{end}.png", pixels)
    dataset = load_dataset("camvid", root=tmp_path)
    (pair,) = dataset.pairs("all")
    taxonomy = dataset.taxonomy
    expected = [taxonomy.id_of("Sky"), taxonomy.id_of("Building"), 255, taxonomy.id_of("Bicyclist")]
    assert own_mapping(dataset).labels(pair).ids_HW[0].tolist() == expected
    assert check(dataset).findings == ()


def test_coco_panoptic_is_read_by_its_segments(tmp_path: Path) -> None:
    categories = [{"id": 1, "name": "person"}, {"id": 187, "name": "sky-other-merged"}]
    for number, split in enumerate(("train", "val")):
        stem = f"{number:012}"
        for folder in (f"images/{split}2017", f"annotations/panoptic_{split}2017"):
            (tmp_path / folder).mkdir(parents=True)
        write_rgb_png(tmp_path / f"images/{split}2017/{stem}.jpg", np.full((2, 3, 3), number, np.uint8))
        segments = np.array([[[0, 0, 0], [7, 1, 0], [9, 0, 2]]] * 2, np.uint8)
        write_rgb_png(tmp_path / f"annotations/panoptic_{split}2017/{stem}.png", segments)
        infos = [{"id": 7 + 256, "category_id": 1}, {"id": 9 + 2 * 65536, "category_id": 187}]
        annotation = {"image_id": number, "file_name": f"{stem}.png", "segments_info": infos}
        value = {"annotations": [annotation], "categories": categories}
        (tmp_path / f"annotations/panoptic_{split}2017.json").write_text(json.dumps(value))
    dataset = load_dataset("coco-panoptic", root=tmp_path)
    for split in ("train", "val"):
        (pair,) = dataset.pairs(split)
        taxonomy = dataset.taxonomy
        expected = [255, taxonomy.id_of("person"), taxonomy.id_of("sky-other-merged")]
        assert own_mapping(dataset).labels(pair).ids_HW[0].tolist() == expected
    report = check(dataset)
    assert report.findings == ()
    assert {count.name: count.pixels for count in report.classes if count.pixels} == {
        "person": 4,
        "sky-other-merged": 4,
    }


def test_all_are_tested_and_say_what_they_need() -> None:
    others = {"camvid", "coco-panoptic"}
    assert set(ready_names()) - others == set(LAYOUTS)
    for name in ready_names():
        dataset = load_dataset(name)
        assert dataset.name == name and is_shipped(name) and dataset.roots == ()
        assert dataset.title and dataset.needs and dataset.licence and "http" in dataset.where, name
        assert ready_path(name).read_text().startswith("# Layout: "), "the source of the layout is stated"


def test_without_a_root_the_way_is_told() -> None:
    dataset = load_dataset("kitti")
    with pytest.raises(ConfigError, match="it is not known where 'kitti' lies; give --root DIR, or name a description"):
        dataset.pairs("train")


def test_a_description_of_ones_own_is_based_on_a_ready_one(tmp_path: Path) -> None:
    build(tmp_path / "data", "kitti")
    path = tmp_path / "mine.yaml"
    path.write_text("based_on: kitti\nname: mine\nroot: data\n")
    dataset = load_dataset(path)
    assert (dataset.name, dataset.taxonomy.name, len(dataset.pairs("train"))) == ("mine", "kitti-34", 1)
    path.write_text("based_on: kity\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: no dataset description is called 'kity'; did you mean kitti"):
        load_dataset(path)


def test_the_users_own_folder_is_searched_and_shipped_names_keep_their_meaning(tmp_path: Path) -> None:
    folder = user_folder("datasets")
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(f"based_on: kitti\nname: mine\nroot: {tmp_path}\n")
    (folder / "kitti.yaml").write_text("nonsense")
    assert "mine" in ready_names() and not is_shipped("mine")
    assert load_dataset("mine").roots == (tmp_path,)
    assert load_dataset("kitti").taxonomy.name == "kitti-34"


def test_a_word_that_is_no_description() -> None:
    with pytest.raises(ConfigError, match="'cityscape' is neither a file nor the name of a ready description; did you"):
        find_description("cityscape")
    assert find_description("some/cityscapes") == Path("some/cityscapes")
    assert find_description("cityscapes.yaml") == Path("cityscapes.yaml")

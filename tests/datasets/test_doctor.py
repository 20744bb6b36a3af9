from __future__ import annotations

import json
import os
import shutil
import threading
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from mseg_studio.datasets.description import DatasetDescription, load_dataset
from mseg_studio.datasets.doctor import check
from mseg_studio.datasets.doctor_findings import KEPT
from mseg_studio.datasets.doctor_report import SHOWN, Report
from mseg_studio.errors import ConfigError
from mseg_studio.progress import Cancelled, CancelToken, Progress
from tests.datasets.camvid_like import FAULTS, make_camvid


def describe(root: Path, **more: str) -> DatasetDescription:
    path = root / "d.yaml"
    lines = {"based_on": "camvid-480x360", "name": "c", "root": ".", **more}
    path.write_text("\n".join(f"{key}: {value}" for key, value in lines.items()))
    return load_dataset(path)


SPLITS = "{train: {images: train, labels: trainannot}, val: {images: val, labels: valannot}}"


def camvid(folder: Path) -> DatasetDescription:
    return describe(folder, splits=SPLITS)


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    return make_camvid(tmp_path / "c")


def codes(report: Report) -> dict[str, int]:
    return report.codes


def test_a_healthy_dataset_has_no_findings(healthy: Path) -> None:
    report = check(camvid(healthy))
    assert report.findings == ()
    assert [(s.name, s.pairs, s.missing, s.sizes) for s in report.splits] == [
        ("train", 20, 0, {"48x36": 20}),
        ("val", 4, 0, {"48x36": 4}),
    ]
    assert report.splits[0].images == {"JPEG, 3 channels, 8 bits": 20}
    assert report.splits[0].labels == {"PNG, 1 channel, 8 bits": 20}
    assert report.lines()[-1].endswith("nothing wrong")


def test_pixels_and_images_of_every_class_are_counted(healthy: Path) -> None:
    report = check(camvid(healthy), workers=3)
    expected = np.zeros(256, np.int64)
    for path in healthy.glob("*annot/*.png"):
        expected += np.bincount(cv2.imread(str(path), cv2.IMREAD_UNCHANGED).ravel(), minlength=256)
    by_name = {count.name: count.pixels for count in report.classes}
    assert (by_name["Sky"], by_name["Building"], by_name["Bicyclist"]) == (expected[0], expected[1], expected[10])
    assert report.ignored_pixels == expected[11]
    assert {count.images for count in report.classes} == {24}
    for path in healthy.glob("*annot/*.png"):
        ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        ids[ids == 10] = 11
        cv2.imwrite(str(path), ids)
    assert check(camvid(healthy)).unseen == ("Bicyclist",)


@pytest.mark.parametrize("name", FAULTS)
def test_every_planted_fault_is_named(healthy: Path, name: str) -> None:
    code, plant, words = FAULTS[name]
    image, label = healthy / "train" / "train_005.jpg", healthy / "trainannot" / "train_005.png"
    plant(image, label)
    report = check(camvid(healthy))
    assert codes(report) == {code: 1}
    (finding,) = report.findings
    assert words in finding.message and "\n" not in finding.line()
    assert finding.file.stem in ("train_005", "leak")
    assert finding.severity == ("warning" if code in ("all-ignored", "size-differs") else "error")
    assert code in report.lines()[0] and finding.file.name in report.lines()[0]


def test_faults_of_all_kinds_in_one_dataset(healthy: Path) -> None:
    for number, (_, plant, _) in enumerate(FAULTS.values()):
        if number < 20:
            plant(healthy / "train" / f"train_{number:03}.jpg", healthy / "trainannot" / f"train_{number:03}.png")
    found = codes(check(camvid(healthy)))
    assert set(found) == {code for number, (code, _, _) in enumerate(FAULTS.values()) if number < 20}
    assert found["rgb-label"] == 2


def test_in_a_copy_of_camvid_planted_faults_are_found_and_in_the_real_one_none(shared: Path, tmp_path: Path) -> None:
    assert check(load_dataset(Path(__file__).parents[2] / "examples" / "camvid.yaml")).findings == ()
    copy = tmp_path / "camvid"
    shutil.copytree(shared / "data" / "camvid", copy)
    images = sorted((copy / "train").glob("*.jpg"))
    for image, (_, plant, _) in zip(images, FAULTS.values(), strict=False):
        plant(image, copy / "trainannot" / f"{image.stem}.png")
    report = check(camvid(copy))
    assert set(codes(report)) == {code for code, _, _ in FAULTS.values()}
    assert sum(codes(report).values()) == len(FAULTS)


def test_palette_pictures_are_fine(healthy: Path) -> None:
    from mseg_studio.media.image import write_ids_png

    label = healthy / "trainannot" / "train_000.png"
    ids = cv2.imread(str(label), cv2.IMREAD_UNCHANGED)
    write_ids_png(label, ids, np.arange(36, dtype=np.uint8).reshape(12, 3))
    assert check(camvid(healthy)).findings == ()


def test_findings_of_one_code_are_capped_and_counted(tmp_path: Path) -> None:
    root = make_camvid(tmp_path / "c", train=KEPT + 30, val=1)
    for label in (root / "trainannot").iterdir():
        label.write_bytes(b"no picture")
    report = check(camvid(root))
    assert codes(report) == {"unreadable-label": KEPT + 30}
    assert len(report.findings) == KEPT and report.count("error") == KEPT + 30
    lines = report.lines()
    assert sum("unreadable-label: /" in line for line in lines) == SHOWN
    assert f"        unreadable-label: and {KEPT + 30 - SHOWN} more; --json names {KEPT} of them" in lines


def test_a_split_that_was_not_downloaded(healthy: Path) -> None:
    shutil.rmtree(healthy / "val")
    report = check(camvid(healthy))
    (finding,) = report.findings
    assert (finding.code, finding.severity, finding.split) == ("no-split", "warning", "val")
    assert [split.name for split in report.splits] == ["train"]
    assert check(camvid(healthy), splits=["val"]).count("error") == 1
    shutil.rmtree(healthy / "train")
    assert check(camvid(healthy)).count("error") == 2


def test_names_that_differ_in_case_are_told_also_where_both_files_are_passed_over(healthy: Path) -> None:
    dataset = describe(healthy, splits="{train: {images: train, labels: trainannot, image_suffix: .jpg}}")
    for stem, image, label in (("train_000", ".JPG", ".png"), ("train_001", ".JPG", ".PNG")):
        (healthy / "train" / f"{stem}.jpg").rename(healthy / "train" / f"{stem}{image}")
        (healthy / "trainannot" / f"{stem}.png").rename(healthy / "trainannot" / f"{stem}{label}")
    found = [(f.code, f.file.name, f.message) for f in check(dataset).findings]
    passed_over = "it is no part of the split"
    reason = f"a label without an image in {healthy / 'train'}, but train_000.JPG is there: upper and lower case differ"
    assert found == [
        ("case", "train_000.png", reason),
        ("case", "train_001.JPG", f"upper and lower case differ from .jpg: {passed_over}"),
        ("case", "train_001.PNG", f"upper and lower case differ from .png: {passed_over}"),
    ]


def test_the_same_picture_twice_in_one_split_is_a_warning(healthy: Path) -> None:
    for kind, end in (("train", "jpg"), ("trainannot", "png")):
        shutil.copy(healthy / kind / f"train_000.{end}", healthy / kind / f"again.{end}")
    report = check(camvid(healthy))
    assert [(f.code, f.severity) for f in report.findings] == [("repeated-image", "warning")]


def test_splits_that_are_part_of_another_are_no_leak_and_count_once(healthy: Path) -> None:
    (healthy / "some.txt").write_text("train/train_000.jpg trainannot/train_000.png\n")
    splits = SPLITS[:-1] + ", some: {list: some.txt%s}}"
    assert codes(check(describe(healthy, splits=splits % ""))) == {"in-two-splits": 1}
    report = check(describe(healthy, splits=splits % ", part_of: train"))
    assert report.findings == ()
    assert {count.images for count in report.classes} == {24}


def test_a_dataset_with_only_part_of_another_split_is_counted(healthy: Path) -> None:
    (healthy / "some.txt").write_text("train/train_000.jpg trainannot/train_000.png\n")
    dataset = describe(healthy, splits=SPLITS[:-1] + ", some: {list: some.txt, part_of: train}}")
    assert sum(count.pixels for count in check(dataset, splits=["some"]).classes) > 0


def test_images_turned_by_exif(healthy: Path) -> None:
    image, label = healthy / "train" / "train_001.jpg", healthy / "trainannot" / "train_001.png"
    data = image.read_bytes()
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    image.write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])
    (finding,) = check(camvid(healthy)).findings
    assert (finding.code, finding.file) == ("rotated", label)
    assert finding.message == "labels are 48 x 36, the image is 36 x 48 upright, as its EXIF data asks"


COLOURS = "{[0, 0, 0]: ignore, [9, 9, 200]: Sky, [200, 0, 9]: Road}"


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        ([[0, 0, 0], [9, 9, 200], [200, 0, 9]], None),
        ([[0, 0, 0], [9, 9, 201], [200, 0, 9]], r"colour [9, 9, 201] (1 pixel) is not declared in d.yaml"),
        ([[1, 1, 1], [2, 2, 2]], "the picture is grey: ids?"),
        ([[n, 3, 7] for n in range(60)], "61 colours, expected 3: resized or compressed?"),
    ],
)
def test_labels_in_colour(healthy: Path, pixels: list[list[int]], words: str | None) -> None:
    for path in healthy.glob("*annot/*.png"):
        path.unlink()
    picture = np.zeros((36, 48, 3), np.uint8)
    picture.reshape(-1, 3)[: len(pixels)] = np.array(pixels)
    for path in (*healthy.glob("train/*.jpg"), *healthy.glob("val/*.jpg")):
        cv2.imwrite(str(path.parent.with_name(path.parent.name + "annot") / f"{path.stem}.png"), picture[..., ::-1])
    report = check(describe(healthy, splits=SPLITS, colour_map=COLOURS))
    if words is None:
        assert report.findings == ()
        assert {c.name: c.pixels for c in report.classes if c.pixels} == {"Sky": 24, "Road": 24}
    else:
        assert codes(report) == {"undeclared-colour": 24} and words in report.findings[0].message


def test_labels_of_another_program(healthy: Path) -> None:
    """What an importer says is a finding; the label files are no pictures, and a colour map changes nothing of that."""
    for path in healthy.glob("*annot/*.png"):
        path.unlink()
        image = path.parent.name.removesuffix("annot") + "/" + path.stem + ".jpg"
        shape = {"label": "Sky", "points": [[0, 0], [20, 0], [20, 20], [0, 20]], "shape_type": "polygon"}
        value = {"imagePath": f"../{image}", "imageHeight": 36, "imageWidth": 48, "shapes": [shape]}
        path.with_suffix(".json").write_text(json.dumps(value))
    splits = SPLITS.replace("annot}", "annot, label_suffix: .json}")
    more = {"splits": splits, "label_format": "labelme"}
    report = check(describe(healthy, **more))
    assert report.findings == ()
    assert [count.name for count in report.classes if count.pixels] == ["Sky"]
    broken = healthy / "trainannot" / "train_000.json"
    broken.write_text(broken.read_text().replace("Sky", "Skye"))
    (healthy / "trainannot" / "train_001.json").write_text("{")
    for colours in ({}, {"colour_map": COLOURS}):
        found = check(describe(healthy, **more, **colours)).findings
        assert {finding.file.name for finding in found} == {"train_000.json", "train_001.json"}, found
        assert {finding.file.stem: finding.code for finding in found} == {
            "train_000": "undeclared-class",
            "train_001": "label-format",
        }


def test_progress_comes_for_every_pair_and_the_work_can_be_cancelled(healthy: Path) -> None:
    seen: list[Progress] = []
    check(camvid(healthy), on_progress=seen.append)
    assert [p.done for p in seen] == list(range(25)) and {p.total for p in seen} == {24}
    assert seen[-1].seconds_left == 0
    token = CancelToken()

    def stop(progress: Progress) -> None:
        if progress.done == 3:
            token.cancel()

    with pytest.raises(Cancelled):
        check(camvid(healthy), on_progress=stop, cancel=token)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("dataset-doctor")]


def test_an_unknown_split_and_a_missing_root() -> None:
    with pytest.raises(ConfigError, match="it is not known where 'kitti' lies"):
        check(load_dataset("kitti"))
    with pytest.raises(ConfigError, match="has no split 'trian'; did you mean train"):
        check(load_dataset("kitti", root="."), splits=["trian"])


def test_the_json_is_whole_and_plain(healthy: Path) -> None:
    FAULTS["mask"][1](healthy / "train" / "train_000.jpg", healthy / "trainannot" / "train_000.png")
    value = json.loads(json.dumps(check(camvid(healthy)).as_json()))
    assert (value["format"], value["ok"], value["errors"], value["pairs"]) == (1, False, 1, 24)
    assert value["codes"] == {"0-255-mask": 1}
    assert value["findings"][0]["file"].endswith("trainannot/train_000.png")
    assert value["classes"][2] == {
        "id": 2,
        "name": "Sky",
        "rgb": [128, 128, 128],
        "pixels": value["classes"][2]["pixels"],
        "images": 23,
    }


def test_odd_lines_of_a_list(healthy: Path) -> None:
    """A pair that stands there twice, and a name that no file can have."""
    pair = "train/train_000.jpg trainannot/train_000.png\n"
    (healthy / "l.txt").write_text(pair + pair + f"{'a' * 5000}.jpg trainannot/train_001.png\n")
    report = check(describe(healthy, splits="{train: {list: l.txt}}"))
    assert codes(report) == {"no-image": 1, "repeated-image": 1}
    assert [finding.message for finding in report.findings if finding.code == "repeated-image"] == [
        "listed more than once"
    ]


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_a_link_in_circles_and_one_to_nothing(healthy: Path) -> None:
    labels = healthy / "trainannot"
    for name, target in (("train_000.png", "train_000.png"), ("train_001.png", "gone.png")):
        (labels / name).unlink()
        (labels / name).symlink_to(target)
    found = {finding.file.name: finding.message for finding in check(camvid(healthy)).findings}
    assert found == {
        "train_000.png": "a link to train_000.png, which leads back to itself",
        "train_001.png": "a link to gone.png, which is not there",
    }


def test_a_long_list_of_classes_that_are_never_seen_is_cut(healthy: Path) -> None:
    """All of them are in the JSON."""
    ids = ", ".join(f"{number}: {name}" for number, name in enumerate(["sky", "road", *["ignore"] * 10]))
    path = healthy / "d.yaml"
    path.write_text(f"name: c\ntaxonomy: universal\nsplits: {SPLITS}\nid_map: {{{ids}}}\n")
    report = check(load_dataset(path))
    assert list(report.unseen) == report.as_json()["unseen"] and len(report.unseen) >= 192
    (line,) = [line for line in report.lines() if "never seen" in line]
    assert line.endswith(" more") and len(line) < 400


def test_memory_does_not_grow_with_the_number_of_pairs(tmp_path: Path) -> None:
    """Peaks over 60 and 3000 pairs of the same two files; what grows is names, below 3 kB a pair."""
    root = make_camvid(tmp_path / "c", train=1, val=1)
    peaks = []
    for count in (60, 3000):
        for number in range(count):
            for kind, end in (("train", "jpg"), ("trainannot", "png")):
                target = root / kind / f"{number}.{end}"
                if not target.exists():
                    os.link(root / kind / f"train_000.{end}", target)
        tracemalloc.start()
        report = check(camvid(root), workers=2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert codes(report)["repeated-image"] == count
    assert peaks[1] - peaks[0] < 3000 * 3000, [peak >> 10 for peak in peaks]

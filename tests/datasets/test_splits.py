"""Roots, several folders, patterns, lists of names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mseg_studio.datasets.description import DatasetDescription, load_dataset
from mseg_studio.errors import ConfigError, DatasetError
from mseg_studio.media.image import write_ids_png, write_rgb_png
from tests.datasets.factories import fake_catalog


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if "label" in name:
            write_ids_png(path, np.zeros((2, 2), np.uint8))
        else:
            write_rgb_png(path, np.zeros((2, 2, 3), np.uint8))


def load(folder: Path, splits: str, *, head: str = "", root: list[Path] | None = None) -> DatasetDescription:
    path = folder / "d.yaml"
    path.write_text(f"format: 1\nname: d\ntaxonomy: street\n{head}\nsplits:\n  val: {splits}\n")
    return load_dataset(path, root=root, catalog=fake_catalog())


def names(dataset: DatasetDescription, folder: Path) -> list[str]:
    return [f"{p.image.relative_to(folder)} {p.label.relative_to(folder)}" for p in dataset.pairs("val")]


def test_a_root_of_the_file_and_one_in_its_place(tmp_path: Path) -> None:
    touch(tmp_path, "a/images/1.png", "a/labels/1.png", "b/images/2.png", "b/labels/2.png")
    splits = "{images: images, labels: labels}"
    assert names(load(tmp_path, splits, head="root: a"), tmp_path) == ["a/images/1.png a/labels/1.png"]
    moved = load(tmp_path, splits, head="root: a", root=[tmp_path / "b"])
    assert names(moved, tmp_path) == ["b/images/2.png b/labels/2.png"]


def test_of_several_roots_the_first_that_has_it_counts(tmp_path: Path) -> None:
    touch(tmp_path, "photos/images/1.png", "truth/labels/1.png")
    (tmp_path / "truth" / "list.txt").write_text("images/1.png labels/1.png\n")
    expected = ["photos/images/1.png truth/labels/1.png"]
    for splits in ("{images: images, labels: labels}", "{list: list.txt}"):
        assert names(load(tmp_path, splits, head="roots: [photos, truth]"), tmp_path) == expected
        assert names(load(tmp_path, splits, root=[tmp_path / "photos", tmp_path / "truth"]), tmp_path) == expected


def test_several_folders_and_several_lists(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{kind}{n}/x.png" for kind in ("images", "labels") for n in (1, 2)))
    found = names(load(tmp_path, "{images: [images1, images2], labels: [labels1, labels2]}"), tmp_path)
    assert found == ["images1/x.png labels1/x.png", "images2/x.png labels2/x.png"]
    for n in (1, 2):
        (tmp_path / f"{n}.txt").write_text(f"images{n}/x.png labels{n}/x.png\n")
    assert names(load(tmp_path, "{list: [1.txt, 2.txt]}"), tmp_path) == found


def test_several_suffixes(tmp_path: Path) -> None:
    touch(tmp_path, "images/1.jpg", "images/2.jpeg", "images/3.png", "labels/1.png", "labels/2.png")
    found = names(load(tmp_path, "{images: images, labels: labels, image_suffixes: [.jpg, .jpeg]}"), tmp_path)
    assert found == ["images/1.jpg labels/1.png", "images/2.jpeg labels/2.png"]


def test_labels_beside_their_images(tmp_path: Path) -> None:
    touch(tmp_path, "all/1.png", "all/1_label.png")
    found = names(load(tmp_path, "{images: all, labels: all, label_suffix: _label.png}"), tmp_path)
    assert found == ["all/1.png all/1_label.png"]


def test_patterns(tmp_path: Path) -> None:
    touch(tmp_path, "s1/color/1.jpg", "s1/label/1.png", "s2/color/1.jpg", "s2/label/1.png", "s1/label/deep/9.png")
    dataset = load(tmp_path, '{image: "*/color/*.jpg", label: "*/label/*.png"}')
    assert names(dataset, tmp_path) == ["s1/color/1.jpg s1/label/1.png", "s2/color/1.jpg s2/label/1.png"]
    (tmp_path / "s2" / "label" / "1.png").unlink()
    with pytest.raises(DatasetError, match=r"s2/label/1\.png: the label of 1\.jpg is missing"):
        dataset.pairs("val")


def test_a_list_of_names_chooses_files_or_folders(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{kind}/{n}.png" for kind in ("images", "labels") for n in ("a", "b", "c/1", "c/2")))
    touch(tmp_path, "images/without-label.png")
    splits = "{images: images, labels: labels, names: names.txt}"
    (tmp_path / "names.txt").write_text("b\nc 1\n")
    assert [line.split()[0] for line in names(load(tmp_path, splits), tmp_path)] == [
        "images/b.png",
        "images/c/1.png",
        "images/c/2.png",
    ]
    (tmp_path / "names.txt").write_text("b\nnowhere\n")
    with pytest.raises(DatasetError, match=r"no image called nowhere, listed in .*names\.txt line 2"):
        load(tmp_path, splits).pairs("val")
    (tmp_path / "names.txt").write_text("# none\n")
    with pytest.raises(DatasetError, match=r"names\.txt: lists no images"):
        load(tmp_path, splits).pairs("val")


@pytest.mark.parametrize(
    ("splits", "head", "message"),
    [
        ("{images: [a, b], labels: c}", "", r"splits\.val: 2 images and 1 labels, expected as many of both"),
        ("{images: [], labels: c}", "", r"splits\.val\.images is an empty list"),
        ("{images: [1], labels: c}", "", r"splits\.val\.images\[0\] is 1, expected text"),
        ("{images: a, labels: b, image_suffix: .a, image_suffixes: [.b]}", "", "are the same, give one"),
        ('{image: "a/*/*.png", label: "b/*.png"}', "", r"must have the same number of \*, at least one"),
        ("{image: a.png, label: b.png}", "", r"must have the same number of \*, at least one"),
        ('{image: "*.png", label: "*.png", images: x}', "", "unknown key 'images'; did you mean image"),
        ("{images: a, labels: b, part_of: train}", "", r"splits\.val\.part_of: there is no other split 'train'"),
        ("{images: a, labels: b}", "root: a\nroots: [b]", "root and roots are the same, give one"),
        ("{images: a, labels: b}", "needs: 3", "needs is 3, expected text"),
    ],
)
def test_mistakes(tmp_path: Path, splits: str, head: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, splits, head=head)

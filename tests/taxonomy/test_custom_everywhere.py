"""A taxonomy of the user's own works wherever a shipped one does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mseg_studio.cli.main import main
from mseg_studio.datasets.description import load_dataset
from mseg_studio.datasets.mapping import label_mapping
from mseg_studio.media.image import read_label_ids, write_ids_png, write_rgb_png
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.taxonomy.draft import Draft, save_draft
from tests.factories import make_pixels

FAST = ["--recipe", "fast", "--base-size", "48", "--crop", "65", "--device", "cpu"]
MINE = (
    Draft("mine")
    .add(["sky", "building"], name="above")
    .add(["road", "sidewalk_pavement", "terrain"], name="ground")
    .add(["person", "bicyclist", "car"], name="moving")
)


@pytest.fixture
def mine() -> str:
    save_draft(MINE, default_catalog())
    return "mine"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    write_rgb_png(path, make_pixels(48, 64))
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    write_rgb_png(tmp_path / "images" / "0.png", make_pixels(48, 64))
    ids = np.random.default_rng(0).choice([0, 2, 10, 11, 13, 255], (48, 64)).astype(np.uint8)
    write_ids_png(tmp_path / "labels" / "0.png", ids, None)
    path = tmp_path / "tiny.yaml"
    path.write_text("name: tiny\ntaxonomy: cityscapes-19\nsplits: {val: {images: images, labels: labels}}\n")
    return path


def test_segment_and_project(tmp_path: Path, photo: Path, mine: str) -> None:
    out = tmp_path / "out"
    arguments = ["segment", str(photo), "--output", str(out), "--taxonomy", mine, "--save", "ids,scores", *FAST]
    assert main(arguments) == 0
    found = set(np.unique(read_label_ids(out / "photo.png")))
    assert found <= {0, 1, 2}
    classes = json.loads((out / "photo.json").read_text())["classes"]
    assert {entry["id"]: entry["name"] for entry in classes} == {place: MINE.classes[place].name for place in found}
    assert main(["project", str(out / "photo.h5"), "--taxonomy", mine, "--output", str(tmp_path / "again")]) == 0
    assert set(np.unique(read_label_ids(tmp_path / "again" / "photo.png"))) <= {0, 1, 2}


def test_the_dropdown_offers_it(mine: str) -> None:
    assert [choice.name for choice in default_catalog().outputs("universal")].count(mine) == 1


def test_labels_of_datasets_reach_it(dataset: Path, mine: str) -> None:
    description = load_dataset(dataset)
    mapping = label_mapping(description, mine)
    links = dict(mapping.class_links)
    assert {links[name] for name in ("sky", "building")} == {"above"}
    assert {links[name] for name in ("road", "sidewalk", "terrain")} == {"ground"}
    assert {links[name] for name in ("person", "car")} == {"moving"}
    (pair,) = description.pairs("val")
    stored, labels = read_label_ids(pair.label), mapping.labels(pair).ids_HW
    for number, expected in {0: 1, 2: 0, 10: 0, 11: 2, 13: 2, 255: 255}.items():
        assert set(labels[stored == number]) == {expected}


def test_evaluate(dataset: Path, mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--dataset", str(dataset), "--taxonomy", mine, *FAST, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["taxonomy"] == mine
    assert set(values["iou"]) == {"above", "ground", "moving"}

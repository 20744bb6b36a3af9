"""A model in the naive taxonomy: 316 channels of which 255 is no class, labels in 16 bits, from head to score."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mseg_studio import Segmenter
from mseg_studio.cli.main import main
from mseg_studio.inference.recipe import Recipe
from mseg_studio.inference.session import Session
from mseg_studio.labels.readout import Readout
from mseg_studio.labels.score_store import ScoreStore
from mseg_studio.media.image import read_label_ids, write_ids_png, write_rgb_png
from mseg_studio.networks.card import NOT_YET_HASHED, ModelCard
from mseg_studio.networks.catalog import models_folder
from mseg_studio.networks.checkpoint import known_networks, write_model
from mseg_studio.progress import CancelToken
from mseg_studio.taxonomy.catalog import default_catalog
from tests.factories import make_pixels

NETWORK = "hrnet-w18-small"
FAST = ["--model", "naive-tiny", "--recipe", "fast", "--base-size", "48", "--crop", "49"]
FAST += ["--device", "cpu", "--precision", "float32"]
RECIPE = Recipe(base_size=48, crop_px=49, flip=False, precision="float32")


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Random weights; the head tells places apart, prefers ids above 255, and the hole most of all."""
    torch.manual_seed(0)
    network = known_networks()[NETWORK].build(316)
    with torch.no_grad():
        head = network.last_layer[3]
        head.weight.copy_(torch.randn(head.weight.shape))
        head.weight -= head.weight.mean(dim=1, keepdim=True)
        head.bias.zero_()
        head.bias[256:] = 0.5
        head.bias[255] = 2.0
    return network.state_dict()


@pytest.fixture(autouse=True)
def _installed(state: dict[str, torch.Tensor]) -> None:
    card = ModelCard("naive-tiny", NETWORK, 316, "naive", 49, 48, NOT_YET_HASHED)
    write_model(models_folder() / "naive-tiny", card, state)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    write_rgb_png(tmp_path / "photo.png", make_pixels(60, 80))
    return tmp_path / "photo.png"


def stored(path: Path) -> np.ndarray:
    """What a reader that knows nothing of this program finds in a file."""
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_labels_need_16_bits_and_are_never_the_hole() -> None:
    result = Segmenter("naive-tiny", recipe=RECIPE, device="cpu").segment(make_pixels(60, 80), taxonomy="naive")
    assert result.labels.dtype == np.uint16
    assert (result.labels > 255).any()
    assert not np.isin(result.labels, [255, 65535]).any()
    scores = result.scores
    assert scores.class_ids_HWk.dtype == np.uint16
    assert not (scores.class_ids_HWk == 255).any()
    total_HW = scores.probabilities_HWk.sum(axis=-1, dtype=np.float64) + scores.residual_HW
    np.testing.assert_allclose(total_HW, 1, atol=0.01)


def test_files_keep_every_id_and_project_to_a_test_set(photo: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    save = ["--save", "ids,colour,overlay,scores", "--json"]
    assert main(["segment", str(photo), "--output", str(out), "--taxonomy", "naive", *save, *FAST]) == 0
    capsys.readouterr()
    labels = Segmenter("naive-tiny", recipe=RECIPE, device="cpu").segment(photo, taxonomy="naive").labels
    ids = stored(out / "photo.png")
    assert ids.dtype == np.uint16
    np.testing.assert_array_equal(ids, labels)
    np.testing.assert_array_equal(read_label_ids(out / "photo.png"), labels)
    naive = default_catalog().taxonomy("naive")
    colours = stored(out / "photo_colour.png")[:, :, ::-1]
    for class_id in np.unique(ids):
        assert (colours[ids == class_id] == naive.get(int(class_id)).rgb).all()
    sidecar = json.loads((out / "photo.json").read_text())
    assert (sidecar["taxonomy"], sidecar["ignore_id"]) == ("naive", 65535)
    pixels = {entry["id"]: entry["pixels"] for entry in sidecar["classes"] if entry["pixels"]}
    assert pixels == dict(zip(*(part.tolist() for part in np.unique(ids, return_counts=True)), strict=True))
    assert max(pixels) > 255

    with ScoreStore(out / "photo.h5") as store:
        kept = store.frame(0).class_ids_HWk
    assert (kept.dtype, (kept > 255).any()) == (np.uint16, True)
    assert (kept[:, :, 0] == labels).mean() > 0.99, "all but what is equal in float16"
    assert main(["project", str(out / "photo.h5"), "--taxonomy", "kitti-19", "--json"]) == 0
    share = json.loads(capsys.readouterr().out.splitlines()[0])["certified_share"]
    projected = read_label_ids(out / "kitti-19" / "photo.png")
    fresh = Segmenter("naive-tiny", recipe=RECIPE, device="cpu").segment(photo, taxonomy="kitti-19").labels
    assert projected.dtype == np.uint8
    assert (projected == fresh).mean() >= share


def test_every_published_output_is_the_sum_of_equal_names() -> None:
    result = Segmenter("naive-tiny", recipe=RECIPE, device="cpu").segment(make_pixels(48, 64), taxonomy="naive")
    catalog = default_catalog()
    naive = catalog.taxonomy("naive")
    for name in ("camvid-11", "kitti-19", "pascal-context-60", "scannet-20", "voc2012", "wilddash-19"):
        target = catalog.taxonomy(name)
        wanted = [next((c.id for c in naive.classes if c.name == info.name.lower()), -1) for info in target.classes]
        known = [place for place, class_id in enumerate(wanted) if class_id >= 0]
        projected = result.project(name).labels
        for y, x in ((3, 5), (20, 40), (47, 63)):
            probabilities = result.dense.probe(x, y)
            best = max(known, key=lambda place: probabilities[wanted[place]])
            assert projected[y, x] == target.classes[best].id


def test_it_is_evaluated_on_a_test_set(tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    write_rgb_png(tmp_path / "images" / "0.png", make_pixels(48, 64))
    write_ids_png(tmp_path / "labels" / "0.png", rng.choice([0, 1, 2, 11], (48, 64)).astype(np.uint8), None)
    description = tmp_path / "tiny.yaml"
    description.write_text(
        "name: tiny\ntaxonomy: camvid-11\nsplits: {val: {images: images, labels: labels}}\n"
        "id_map: {0: Sky, 1: Building, 2: Road, 11: ignore}\n"
    )
    assert main(["evaluate", "--dataset", str(description), *FAST, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["taxonomy"], values["images"]) == ("camvid-11", 1)
    assert set(values["iou"]) >= {"Sky", "Building", "Road"}


def test_only_classes_above_255(photo: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    names = "shower curtain,whiteboard,315"
    naive = default_catalog().taxonomy("naive")
    code = main(["segment", str(photo), "--output", str(out), "--taxonomy", "naive", "--only", names, *FAST])
    assert code == 0, capsys.readouterr().err
    wanted = {naive.id_of("shower curtain"), naive.id_of("whiteboard"), 315}
    assert min(wanted) > 255
    assert set(np.unique(stored(out / "photo.png")).tolist()) <= wanted | {65535}


def test_the_session_of_the_window_switches_and_measures_in_16_bits() -> None:
    session = Session()
    shown = session.segment(
        make_pixels(60, 80),
        model="naive-tiny",
        recipe=dataclasses.replace(RECIPE, device="cpu", engine="torch"),
        target="naive",
        readout=Readout(measure="margin"),
        generation=1,
        on_progress=lambda progress: None,
        cancel=CancelToken(),
    )
    assert shown.labels.ids_HW.dtype == np.uint16
    assert (shown.labels.ids_HW > 255).any()
    assert shown.measure_HW is not None
    assert shown.measure_HW.any()
    small = session.project("kitti-19", generation=1)
    assert small.labels.ids_HW.dtype == np.uint8
    again = session.project("naive", generation=1)
    np.testing.assert_array_equal(again.labels.ids_HW, shown.labels.ids_HW)

"""The command, with the model that is shipped, on a dataset of a few pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mseg_studio.cli.main import main
from mseg_studio.inference.segmenter import Segmenter
from mseg_studio.media.image import write_ids_png, write_rgb_png
from tests.datasets.camvid_like import make_camvid
from tests.factories import make_pixels

DESCRIPTION = """
name: tiny
taxonomy: camvid-11
splits: {val: {images: images, labels: labels}}
id_map: {0: Sky, 1: Building, 2: Road, 11: ignore}
to_universal: {Sky: sky, Building: building, Road: road}
"""
FAST = ["--recipe", "fast", "--base-size", "48", "--crop", "65"]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for number in range(2):
        write_rgb_png(tmp_path / "images" / f"{number}.png", make_pixels(48, 64, seed=number))
        write_ids_png(tmp_path / "labels" / f"{number}.png", rng.choice([0, 1, 2, 11], (48, 64)).astype(np.uint8), None)
    path = tmp_path / "tiny.yaml"
    path.write_text(DESCRIPTION)
    return path


def test_json_agrees_with_a_count_by_hand(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--dataset", str(dataset), *FAST, "--device", "cpu", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["dataset"], values["split"], values["taxonomy"], values["images"]) == ("tiny", "val", "camvid-11", 2)
    assert values["recipe"]["flip"] is False
    assert values["recipe"]["precision"] == "float32"  # whatever auto means on this machine
    assert values["recipe"]["base_size"] == 48
    from mseg_studio.inference.recipe import Recipe
    from mseg_studio.media.image import read_label_ids

    recipe = Recipe(base_size=48, crop_px=65, flip=False, precision="float32")
    segmenter = Segmenter("street-small", recipe=recipe, device="cpu")
    names = {0: "Sky", 1: "Building", 2: "Road"}
    right = dict.fromkeys(values["iou"], 0)
    union = dict.fromkeys(values["iou"], 0)
    scored = correct = 0
    for number in range(2):
        stored = read_label_ids(dataset.parent / "labels" / f"{number}.png")
        result = segmenter.segment(dataset.parent / "images" / f"{number}.png", taxonomy="camvid-11")
        for place, name in enumerate(result.taxonomy.names):
            own = [key for key, value in names.items() if value == name]
            truth = np.isin(stored, own)
            guess = (result.labels == place) & (stored != 11)
            right[name] += int((truth & guess).sum())
            union[name] += int((truth | guess).sum())
            correct += int((truth & guess).sum())
        scored += int((stored != 11).sum())
    for name, value in values["iou"].items():
        assert value == pytest.approx(right[name] / (union[name] + 1e-10))
    assert values["miou"] == pytest.approx(sum(values["iou"].values()) / 11)
    assert values["allacc"] == pytest.approx(correct / scored)
    assert values["absent"] == [name for name in union if not union[name]]


def test_the_table(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", "--dataset", str(dataset), *FAST, "--taxonomy", "universal", "--absent", "skip"]
    assert main(arguments) == 0
    text = capsys.readouterr()
    assert "street-small on tiny, val: 2 images, in universal" in text.out
    assert "mIoU" in text.out
    assert len([line for line in text.out.splitlines() if line.startswith(("sky ", "building ", "road "))]) == 3
    assert text.err == ""


def test_a_broken_file_is_one_line_unless_it_may_be_skipped(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = dataset.parent / "images" / "1.png"
    image.write_bytes(image.read_bytes()[:100])
    arguments = ["evaluate", "--dataset", str(dataset), *FAST, "--json"]
    assert main(arguments) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"mseg-studio: error: {image}: ")
    assert shown.err.count("\n") == 1
    assert main([*arguments, "--skip-broken"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["images"] == 1
    assert [row["file"] for row in values["skipped"]] == [str(image)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--model", "street-smal"], "did you mean street-small"),
        (["--split", "vall"], "has no split 'vall'; did you mean val"),
        (["--taxonomy", "camvid-12"], "unknown taxonomy 'camvid-12'; did you mean camvid-"),
        (["--taxonomy", "ade20k-150"], "cannot be scored in ade20k-150"),
        (["--taxonomy", "scannet-20"], "labels in camvid-11 have no exact links to scannet-20"),
        (["--dataset", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["--crop", "3"], "crop_px is 3"),
        (["--device", "tpu"], "device is 'tpu'"),
        (["--recipe", "fastest"], "invalid choice: 'fastest'"),
        (["--scales", "1,x"], "'1,x' is no list of numbers"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(
    dataset: Path, capsys: pytest.CaptureFixture[str], change: list[str], message: str
) -> None:
    assert main(["evaluate", "--dataset", str(dataset), *FAST, *change]) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--help"]) == 0
    assert "--dataset examples/camvid.yaml" in " ".join(capsys.readouterr().out.split())


def test_several_splits_must_be_chosen_from(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset.write_text(DESCRIPTION.replace("splits: {val:", "splits: {b: {list: x}, a:"))
    assert main(["evaluate", "--dataset", str(dataset)]) == 2
    assert "choose a split with --split: b, a" in capsys.readouterr().err


def test_a_ready_description_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_camvid(tmp_path / "c", train=1, val=1)
    arguments = ["evaluate", "--dataset", "camvid-480x360", *FAST, "--device", "cpu", "--json"]
    assert main([*arguments, "--root", str(tmp_path / "c")]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["dataset"], value["split"], value["images"]) == ("camvid-480x360", "val", 1)
    assert main(arguments) == 2
    assert "it is not known where 'camvid-480x360' lies; give --root DIR" in capsys.readouterr().err

"""`mseg-studio dataset convert` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mseg_studio.cli.main import main
from mseg_studio.datasets.description import load_dataset
from mseg_studio.datasets.mapping import own_mapping
from mseg_studio.media.image import read_label_ids, write_rgb_png
from mseg_studio.progress import CancelToken
from tests.labels.importers.writers import corners, runs_of, write_json

TAXONOMY = "camvid-11"  # Building 0, Tree 1, Sky 2, Car 3, ...


def make_labels(folder: Path, names: tuple[str, ...] = ("a", "sub/b"), label: str = "Car") -> Path:
    for name in names:
        path = folder / "labels" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        shapes = [
            {"label": label, "points": corners(0, 0, 3, 4)},
            {"label": "Sky", "points": corners(3, 0, 5, 4)},
            {"label": "Sky", "shape_type": "point", "points": [[1, 1]]},
        ]
        write_json(path, {"imageHeight": 4, "imageWidth": 6, "shapes": shapes})
        image = folder / "images" / f"{name}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        write_rgb_png(image, np.zeros((4, 6, 3), np.uint8))
    return folder / "labels"


def run(*words: object) -> int:
    return main(["dataset", "convert", *map(str, words)])


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_labels_and_a_description(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels, output = make_labels(tmp_path), tmp_path / "ids"
    words = ("--format", "labelme", "--taxonomy", TAXONOMY, "--output", output, "--images", tmp_path / "images", labels)
    assert run(*words) == 0
    shown = capsys.readouterr().out
    assert "Car" in shown
    assert "note: 2 point shapes left out: they have no area" in shown
    assert shown.splitlines()[-1] == str(output / "dataset.yaml")
    dataset = load_dataset(output / "dataset.yaml")
    pairs = dataset.pairs("all")
    assert [pair.label.relative_to(output).as_posix() for pair in pairs] == ["a.png", "sub/b.png"]
    names = dataset.taxonomy.names
    row = read_label_ids(pairs[1].label)[0].tolist()
    assert row == [names.index("Car")] * 3 + [names.index("Sky")] * 2 + [255]
    assert run("--json", *words) == 0
    assert lines(capsys)[-1] == {"summary": {"done": 0, "skipped": 2, "failed": 0}}
    write_json(labels / "a.json", {"imageHeight": 4, "imageWidth": 6, "shapes": []})
    assert run("--json", *words) == 0
    assert lines(capsys)[-1] == {"summary": {"done": 1, "skipped": 1, "failed": 0}}


def test_unknown_names_stop_are_counted_or_are_declared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels, output = make_labels(tmp_path, label="auto"), tmp_path / "ids"
    common = ("--format", "labelme", "--taxonomy", TAXONOMY, "--json", labels)
    assert run("--dry-run", *common) == 1
    counted = lines(capsys)[0]
    assert counted["unknown"] == [{"what": "class 'auto'", "pixels": 24, "files": 2}]
    assert [row["name"] for row in counted["classes"]] == ["ignored", "Sky"]
    assert not output.exists()
    assert run("--dry-run", "--unknown", "ignore", *common) == 0
    capsys.readouterr()
    assert run("--output", output, *common) == 1
    captured = capsys.readouterr()
    assert "class 'auto' (12 pixels) is not declared for camvid-11" in captured.err
    assert captured.err.count("\n") == 1
    assert not list(output.glob("*.png"))
    (tmp_path / "words.yaml").write_text("names: {auto: Car}\n")
    assert run("--output", output, "--classes-from", tmp_path / "words.yaml", *common) == 0
    assert lines(capsys)[-1]["summary"]["done"] == 2
    assert run("--output", output, "--unknown", "ignore", *common) == 0
    assert lines(capsys)[-1]["summary"]["done"] == 2, "other words make other labels"
    assert read_label_ids(output / "a.png")[0, 0] == 255


def test_a_plain_dry_run_is_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = make_labels(tmp_path, label="auto")
    assert run("--dry-run", "--format", "labelme", "--taxonomy", TAXONOMY, labels) == 1
    assert "unknown: class 'auto': 24 pixels in 2 files" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "labels"]


def test_one_file_of_annotations_for_all_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_labels(tmp_path)
    mask = np.zeros((4, 6), np.bool_)
    mask[1:3, 1:3] = True
    file = {
        "images": [{"id": i, "file_name": name, "height": 4, "width": 6} for i, name in enumerate(("a.png", "b.png"))],
        "annotations": [{"image_id": 1, "category_id": 3, "segmentation": {"counts": runs_of(mask)}}],
        "categories": [{"id": 3, "name": "Car"}],
    }
    annotations = write_json(tmp_path / "instances.json", file)
    output = tmp_path / "ids"
    words = ("--format", "coco-instances", "--taxonomy", TAXONOMY, tmp_path / "images", "--json")
    assert run(*words, "--annotations", annotations, "--output", output) == 0
    assert lines(capsys)[-2] == {"description": str(output / "dataset.yaml")}
    assert (read_label_ids(output / "a.png") == 255).all()
    assert np.array_equal(read_label_ids(output / "sub" / "b.png") != 255, mask)


def test_ends_of_names(tmp_path: Path) -> None:
    for name in ("x_leftImg8bit.png",):
        write_rgb_png(tmp_path / name, np.zeros((4, 6, 3), np.uint8))
    polygons = {"imgHeight": 4, "imgWidth": 6, "objects": [{"label": "road", "polygon": corners(0, 0, 6, 4)}]}
    write_json(tmp_path / "x_gtFine_polygons.json", polygons)
    output = tmp_path / "ids"
    suffixes = ("--label-suffix", "_gtFine_polygons.json", "--image-suffix", "_leftImg8bit.png")
    words = ("--format", "cityscapes", "--taxonomy", "cityscapes-19", "--images", tmp_path, "--output", output)
    assert run(*words, *suffixes, tmp_path) == 0
    dataset = load_dataset(output / "dataset.yaml")
    assert own_mapping(dataset).labels(dataset.pairs("all")[0]).ids_HW.max() == 0


def test_the_list_of_formats(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list") == 0
    assert "coco-panoptic   COCO panoptic (PNG and one JSON); --annotations: its JSON" in capsys.readouterr().out
    assert run("--list", "--json") == 0
    assert {"labelme", "cvat-mask", "voc"} <= {one["name"] for one in lines(capsys)}


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"--format": "labelm"}, 2, "unknown label format 'labelm'; did you mean labelme"),
        ({"--format": None}, 2, "--format is missing"),
        ({"--taxonomy": "camvid-12"}, 2, "unknown taxonomy 'camvid-12'; did you mean camvid-32, camvid-11"),
        ({"--output": None}, 2, "--output is missing"),
        ({"--format": "coco-panoptic"}, 2, "--annotations is missing"),
        ({"--annotations": "labels/a.json"}, 2, "labelme have no annotation file"),
        ({"--annotations": "none.json"}, 2, "none.json: no such file"),
        ({"--classes-from": "words.yaml"}, 2, "words.yaml: names.Car is 3, expected text"),
        ({"--classes-from": "other.yaml"}, 2, "has no class 'Cra'; did you mean Car"),
        ({"--format": "voc"}, 1, "labels: no labels ending in .png here"),
        ({"--images": "none"}, 1, "none: no such folder of images"),
        ({"--images": "labels"}, 1, "a.json: no image called a in"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, str | None],
    code: int,
    message: str,
) -> None:
    make_labels(tmp_path)
    (tmp_path / "words.yaml").write_text("names: {Car: 3}\n")
    (tmp_path / "other.yaml").write_text("names: {Car: Cra}\n")
    monkeypatch.chdir(tmp_path)
    given: dict[str, str | None] = {"--format": "labelme", "--taxonomy": TAXONOMY, "--output": "ids"} | change
    words = [word for key, value in given.items() if value is not None for word in (key, value)]
    assert run(*words, "labels") == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "ids").exists()


def test_nothing_of_others_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = make_labels(tmp_path)
    common = ("--format", "labelme", "--taxonomy", TAXONOMY, labels)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.png").write_bytes(b"mine")
    assert run(*common, "--output", tmp_path / "mine") == 1
    assert "is there already, and not from an earlier run" in capsys.readouterr().err
    assert (tmp_path / "mine" / "a.png").read_bytes() == b"mine"
    assert run(*common, "--output", tmp_path / "images", "--images", tmp_path / "images") == 1
    assert "would replace what it is made from" in capsys.readouterr().err
    make_labels(tmp_path / "other", names=("a",))
    assert run(*common, tmp_path / "other" / "labels", "--output", tmp_path / "two") == 1
    assert "two labels for" in capsys.readouterr().err


def test_a_stopped_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labels, output = make_labels(tmp_path, names=tuple("abcdef")), tmp_path / "ids"
    common = ("--format", "labelme", "--taxonomy", TAXONOMY, "--output", output, "--json", labels)
    (labels / "d.json").write_text("{")
    assert run(*common) == 1
    assert [line["status"] for line in lines(capsys)[:-1]] == ["done", "done", "done", "failed"]
    (labels / "d.json").write_text((labels / "e.json").read_text())
    assert run(*common) == 0
    assert lines(capsys)[-1] == {"summary": {"done": 3, "skipped": 3, "failed": 0}}
    monkeypatch.setattr(CancelToken, "cancelled", property(lambda self: True))
    monkeypatch.setattr(CancelToken, "raise_if_cancelled", _cancel)
    (output / "remap-state.jsonl").unlink()
    for path in output.glob("*.png"):
        path.unlink()
    assert run(*common) == 130
    assert not list(output.glob("*.png"))


def _cancel(self: CancelToken) -> None:
    from mseg_studio.progress import Cancelled

    raise Cancelled

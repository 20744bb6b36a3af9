from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mseg_studio.cli.main import main
from mseg_studio.datasets.description import load_dataset
from mseg_studio.media.image import read_label_ids, write_ids_png, write_rgb_png

DESCRIPTION = """name: tiny
taxonomy: camvid-32
splits: {val: {images: images, labels: labels}}
"""


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for number in range(2):
        write_rgb_png(folder / "images" / f"{number}.png", np.zeros((3, 4, 3), np.uint8))
        write_ids_png(folder / "labels" / f"{number}.png", np.full((3, 4), number, np.uint8))
    (folder / "tiny.yaml").write_text(DESCRIPTION)
    return folder / "tiny.yaml"


def test_it_prints_the_new_description(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["dataset", "remap", str(dataset), "--to", "camvid-11", "--output", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{out / 'dataset.yaml'}\n"
    assert "mseg-studio: 2 done, 0 skipped, 0 failed" in captured.err.splitlines()
    assert "no class of camvid-11 for" in captured.err, "classes that become ignored are named"
    assert load_dataset(out / "dataset.yaml").taxonomy.name == "camvid-11"


def test_json_is_a_line_a_label(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["dataset", "remap", str(dataset), "--to", "camvid-11", "--output", str(out), "--json"]
    assert main([*command, "--threads", "1", "--no-palette"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == {
        "input": str(dataset.parent / "labels" / "0.png"),
        "output": str(out / "labels" / "0.png"),
        "status": "done",
    }
    assert lines[2:] == [
        {"description": str(out / "dataset.yaml")},
        {"summary": {"done": 2, "skipped": 0, "failed": 0}},
    ]
    assert main([*command, "--threads", "1", "--no-palette"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"summary": {"done": 0, "skipped": 2, "failed": 0}}


def test_an_undeclared_id_is_one_line_or_ignored(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, out = dataset.parent / "labels" / "1.png", tmp_path / "out"
    write_ids_png(bad, np.array([[0, 99, 99, 99]], np.uint8))
    command = ["dataset", "remap", str(dataset), "--to", "camvid-11", "--output", str(out), "--json"]
    assert main(command) == 1
    captured = capsys.readouterr()
    error = f"{bad}: id 99 (3 pixels) is not declared in tiny.yaml"
    assert [line for line in captured.err.splitlines() if "error" in line] == [f"mseg-studio: error: {error}"]
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert {"input": str(bad), "status": "failed", "error": error} in lines
    assert lines[-1] == {"summary": {"done": 1, "skipped": 0, "failed": 1}}
    assert main([*command, "--unknown", "ignore"]) == 0
    assert read_label_ids(out / "labels" / "1.png")[0, 1:].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--to", "camvid-12"], 2, "unknown taxonomy 'camvid-12'; did you mean"),
        (["--to", "camvid-11", "--split", "vla"], 2, "dataset 'tiny' has no split 'vla'; known: val"),
        (["--to", "camvid-11", "--threads", "0"], 2, "expected a whole number from 1 to 256"),
        (["--to", "camvid-11", "--unknown", "zero"], 2, "invalid choice: 'zero'"),
        (["--to", "camvid-11", "--output", ""], 2, "the name of the folder is empty"),
        (["--to", "camvid-11", "--output", "SET/labels"], 1, "the output folder lies in"),
        (["--to", "camvid-11", "--output", "SET"], 1, "the output would replace a file of the dataset"),
        (["--to", "camvid-11", "--output", "SET/tiny.yaml"], 1, "tiny.yaml"),
        (["--to", "universal"], 2, "no links lead from taxonomy 'camvid-32' to 'universal'"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    words = [word.replace("SET", str(dataset.parent)) for word in arguments]
    if "--output" not in words:
        words += ["--output", str(tmp_path / "out")]
    assert main(["dataset", "remap", str(dataset), *words]) == code
    captured = capsys.readouterr()
    assert len([line for line in captured.err.splitlines() if message in line]) == 1
    assert "Traceback" not in captured.err
    assert sorted(path.name for path in dataset.parent.rglob("*.png")) == ["0.png", "0.png", "1.png", "1.png"]

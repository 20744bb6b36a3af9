"""`mseg-studio models`: what it prints, its exit codes and its one-line errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mseg_studio.cli import main as cli
from mseg_studio.inference.calibration import CalibrationRecord
from mseg_studio.media.image import write_rgb_png
from mseg_studio.networks import catalog, checkpoint
from mseg_studio.networks.catalog import models_folder
from tests.factories import make_pixels
from tests.goldens.weights import TINY, golden_state


@pytest.fixture(autouse=True)
def _tiny_is_known_and_nothing_is_shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    networks = {TINY.name: TINY, **checkpoint.known_networks()}
    monkeypatch.setattr(checkpoint, "known_networks", lambda: networks)
    monkeypatch.setattr(catalog, "resource_folder", lambda name: tmp_path / "shipped" / name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mseg-3m-480p.pth"
    torch.save({"state_dict": golden_state("tiny")}, path)
    return path


def test_import_list_show_remove(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "list"]) == 0
    assert "no model is installed" in capsys.readouterr().out
    assert cli.main(["models", "import", str(file), "--name", "tiny"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("imported tiny: hrnet-tiny, 194 classes of universal, crop 473, base size 480\n")
    assert said.err == ""
    assert cli.main(["models", "list"]) == 0
    assert capsys.readouterr().out == "tiny  hrnet-tiny, 194 classes of universal, crop 473, base size 480\n"
    assert cli.main(["models", "show", "tiny"]) == 0
    shown = capsys.readouterr().out
    assert "licence         unknown, see the source of the file" in shown and str(models_folder() / "tiny") in shown
    assert cli.main(["models", "remove", "tiny"]) == 0
    assert capsys.readouterr().out == "removed tiny\n"
    assert not (models_folder() / "tiny").exists()


def test_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "import", str(file), "--name", "tiny", "--crop", "153", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["name"], made["state"], made["card"]["crop_px"]) == ("tiny", "ready", 153)
    (models_folder() / "half").mkdir()
    assert cli.main(["models", "list", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("state") for line in lines] == ["broken", "ready", None]
    assert lines[-1] == {"summary": {"done": 1, "skipped": 0, "failed": 1}}
    assert cli.main(["models", "show", "tiny", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == made
    assert cli.main(["models", "remove", "half", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "half", "removed": True}


def test_sizes_that_the_file_name_does_not_give_are_said(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = file.rename(file.with_name("mine.pth"))
    assert cli.main(["models", "import", str(other), "--name", "mine"]) == 0
    assert "crop 473 and base size 480 are taken" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["import", "gone.pth", "--name", "x"], 2, "gone.pth: no such file"),
        (["import", "FILE", "--name", "../x"], 2, "cannot be the name of a model"),
        (["import", "FILE", "--name", "x", "--crop", "400"], 2, "crop 400 does not fit"),
        (["import", "FILE", "--name", "x", "--taxonomy", "camvid-11"], 1, "needs 11"),
        (["import", "README", "--name", "x"], 1, "neither a PyTorch nor a safetensors file"),
        (["show", "x"], 2, "no model is called 'x'"),
        (["remove", "x"], 2, "no imported model is called 'x'"),
    ],
)
def test_errors_are_one_line(
    file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    text = file.with_name("README")
    text.write_text("hello")
    names = {"FILE": str(file), "README": str(text)}
    assert cli.main(["models", *(names.get(argument, argument) for argument in arguments)]) == code
    said = capsys.readouterr()
    assert words in said.err and said.err.count("\n") == 1 and said.err.startswith("mseg-studio: error: ")
    assert said.out == ""


@pytest.mark.parametrize("arguments", [[], ["import", "x.pth"], ["nonsense"]])
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", *arguments]) == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["tiny", "gone"], 2, "gone: no such file or folder"),
        (["tiny", "PHOTOS", "--limit", "1"], 2, "--limit is 1, expected 2 or more"),
        (["tiny", "PHOTOS/0.png"], 2, "two images or more"),
        (["tinny", "PHOTOS"], 2, "no model is called 'tinny'"),
    ],
)
def test_calibration_that_cannot_begin_is_told(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    assert cli.main(["models", "import", str(file), "--name", "tiny"]) == 0
    (tmp_path / "photos").mkdir()
    for number in range(2):
        write_rgb_png(tmp_path / "photos" / f"{number}.png", make_pixels(60, 80, seed=number))
    given = [text.replace("PHOTOS", str(tmp_path / "photos")) for text in arguments]
    assert cli.main(["models", "calibrate", *given]) == code
    assert words in capsys.readouterr().err


def test_calibrating_tells_how_good_it_is(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["models", "import", str(file), "--name", "tiny"]) == 0
    (tmp_path / "photos").mkdir()
    for number in range(6):
        write_rgb_png(tmp_path / "photos" / f"{number}.png", make_pixels(60, 80, seed=number))
    seen: list[Path] = []

    def measured(source: object, recipe: object, images: list[Path], **_: object) -> CalibrationRecord:
        seen.extend(images)
        return CalibrationRecord(2, 4, 1, 0.98765, "2026-11-22", "1", "2", "a", "b")

    monkeypatch.setattr("mseg_studio.inference.calibration.calibrate", measured)
    capsys.readouterr()
    assert cli.main(["models", "calibrate", "tiny", str(tmp_path / "photos"), "--limit", "3"]) == 0
    assert "98.77 % of the labels are those of float32, on 1 other images" in capsys.readouterr().out
    assert [path.stem for path in seen] == ["0", "2", "4"]

"""`mseg-studio models`: what it prints, its exit codes and its one-line errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mseg_studio.cli import main as cli
from mseg_studio.networks import catalog, checkpoint
from mseg_studio.networks.catalog import models_folder
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

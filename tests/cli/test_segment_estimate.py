from __future__ import annotations

import json

import pytest

from mseg_studio.cli.main import main
from mseg_studio.inference.pace import Pace
from mseg_studio.media.image import write_rgb_png
from tests.factories import make_pixels
from tests.media.numbered import write_video

SMALL = ["--recipe", "balanced", "--base-size", "48", "--crop", "49", "--device", "cpu"]


def estimated(capsys, *arguments: str) -> list[dict]:
    assert main(["segment", *arguments, "--estimate", "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_input_and_the_sum_are_told_and_nothing_runs(tmp_path, capsys):
    write_rgb_png(tmp_path / "wide.png", make_pixels(60, 120))
    film = write_video(tmp_path / "film.mp4", range(3))
    told = estimated(capsys, str(tmp_path / "wide.png"), str(film), *SMALL)
    image, video, summary = told[0], told[1], told[-1]["summary"]
    assert (image["width"], image["height"], image["frames"]) == (120, 60, 1)
    assert image["passes"] == 2 * image["crops"]
    assert image["seconds"] > 0 and image["memory_bytes"] > 100_000_000
    assert video["frames"] == 3
    assert summary["frames"] == 1 + video["frames"]
    assert summary["crops"] == image["crops"] + video["frames"] * video["crops"]
    assert summary["seconds"] == pytest.approx(image["seconds"] + 3 * video["seconds"], abs=0.01)
    assert {path.name for path in tmp_path.iterdir()} == {"wide.png", "film.mp4"}


def test_the_published_modes_at_full_hd(tmp_path, capsys):
    write_rgb_png(tmp_path / "hd.png", make_pixels(1080, 1920))
    for base_size, recipe, crops in ((360, "paper", 9), (720, "paper", 38), (1080, "paper", 77), (360, "balanced", 1)):
        arguments = ("--recipe", recipe, "--base-size", str(base_size), "--crop", "713")
        told = estimated(capsys, str(tmp_path / "hd.png"), *arguments)
        assert (told[0]["crops"], told[0]["passes"]) == (crops, 2 * crops)


def test_in_words(tmp_path, capsys):
    write_rgb_png(tmp_path / "a.png", make_pixels(60, 60))
    assert main(["segment", str(tmp_path / "a.png"), "--estimate", *SMALL]) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert "60 x 60, 1 crops, 2 passes" in first
    assert last.startswith("total: 1 frames")


def test_a_broken_input_is_told_and_the_others_are_estimated(tmp_path, capsys):
    write_rgb_png(tmp_path / "a.png", make_pixels(60, 60))
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert main(["segment", str(tmp_path), "--estimate", *SMALL]) == 1
    captured = capsys.readouterr()
    assert "b.png" in captured.err
    assert "a.png" in captured.out


def test_without_estimate_an_output_is_needed(tmp_path, capsys):
    write_rgb_png(tmp_path / "a.png", make_pixels(60, 60))
    assert main(["segment", str(tmp_path / "a.png"), *SMALL]) == 2
    assert "--output" in capsys.readouterr().err


def test_what_runs_is_remembered(tmp_path, capsys):
    for name in "abc":
        write_rgb_png(tmp_path / f"{name}.png", make_pixels(60, 60))
    assert Pace().latest("street-small") is None
    assert main(["segment", str(tmp_path), "--output", str(tmp_path / "out"), *SMALL]) == 0
    capsys.readouterr()
    setup = Pace().latest("street-small")
    assert setup is not None and setup.device == "cpu"
    told = estimated(capsys, str(tmp_path / "a.png"), *SMALL)
    assert (told[0]["engine"], told[0]["precision"]) == (setup.engine, setup.precision)

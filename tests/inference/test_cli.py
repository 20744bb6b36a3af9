from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest

from mseg_studio.cli.main import main
from mseg_studio.media.image import read_label_ids, write_rgb_png
from mseg_studio.media.video_writer import VideoWriter
from tests.factories import make_pixels
from tests.media.numbered import write_video

FAST = ["--recipe", "fast", "--base-size", "48", "--crop", "49", "--device", "cpu"]


@pytest.fixture
def photo(tmp_path) -> Path:
    write_rgb_png(tmp_path / "photo.png", make_pixels(60, 80))
    return tmp_path / "photo.png"


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_one_image_in_another_taxonomy(photo, tmp_path, capsys):
    out = tmp_path / "out"
    code = main(["segment", str(photo), "--output", str(out), "--taxonomy", "cityscapes-19", *FAST])
    assert code == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [str(out / "photo.png")]
    assert told.err == ""
    assert read_label_ids(out / "photo.png").shape == (60, 80)
    assert json.loads((out / "photo.json").read_text())["recipe"]["base_size"] == 48
    assert {path.name for path in out.iterdir()} == {"photo.png", "photo.json"}


def test_json_and_scores_and_project(photo, tmp_path, capsys):
    out = tmp_path / "out"
    names = "ids,colour,overlay,scores"
    assert main(["segment", str(photo), "--output", str(out), "--save", names, "--json", *FAST]) == 0
    told = lines(capsys.readouterr().out)
    assert told[0]["status"] == "done"
    assert {Path(path).name for path in told[0]["outputs"]} == {
        "photo.png",
        "photo_colour.png",
        "photo_overlay.png",
        "photo.h5",
        "photo.json",
    }
    assert told[-1] == {"summary": {"done": 1, "skipped": 0, "failed": 0}}
    assert main(["segment", str(photo), "--output", str(out), "--save", names, "--json", *FAST]) == 0
    assert lines(capsys.readouterr().out)[-1] == {"summary": {"done": 0, "skipped": 1, "failed": 0}}
    fresh = tmp_path / "fresh"
    assert main(["segment", str(photo), "--output", str(fresh), "--taxonomy", "camvid-11", *FAST]) == 0
    capsys.readouterr()
    assert main(["project", str(out / "photo.h5"), "--taxonomy", "camvid-11", "--json"]) == 0
    projected = lines(capsys.readouterr().out)[0]
    assert projected["outputs"][0] == str(out / "camvid-11" / "photo.png")
    same = read_label_ids(out / "camvid-11" / "photo.png") == read_label_ids(fresh / "photo.png")
    assert same.mean() >= min(0.9999, projected["certified_share"])
    sidecar = json.loads((out / "camvid-11" / "photo.json").read_text())
    assert sidecar["certified_share"] == pytest.approx(projected["certified_share"], abs=1e-5)
    assert (sidecar["taxonomy"], sidecar["mapping"]) == ("camvid-11", "projected")
    assert sidecar["model"]["name"] == "street-small"


def test_a_batch_goes_on_past_a_broken_file_and_ends_with_1(photo, tmp_path, capsys):
    (tmp_path / "broken.png").write_text("text")
    (tmp_path / "empty").mkdir()
    inputs = [str(tmp_path / "broken.png"), str(tmp_path / "empty"), str(photo)]
    assert main(["segment", *inputs, "--output", str(tmp_path / "out"), *FAST]) == 1
    told = capsys.readouterr()
    assert told.out.splitlines() == [str(tmp_path / "out/photo.png")]
    assert "broken.png" in told.err
    assert "empty: the folder holds no images" in told.err
    assert told.err.splitlines()[-1] == "mseg-studio: 1 done, 0 skipped, 2 failed"
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope.png"], "nope.png: no such file"),
        ([""], "an empty name: no such file"),
        (["PHOTO", "PHOTO"], "would both be written here"),
        (["PHOTO", "--model", "street-smal"], "did you mean street-small"),
        (["PHOTO", "--taxonomy", "camvid-12"], "camvid-11?"),
        (["PHOTO", "--save", "ids,colour,overly"], "did you mean overlay"),
        (["PHOTO", "--crop", "50"], "try 49"),
        (["PHOTO", "--recipe", "live", "--crop", "49"], "no sliding window"),
        (["PHOTO", "--device", "cuda:9"], "cuda:9 is not there"),
        (["PHOTO", "--precision", "int8"], "int8"),
        (["PHOTO", "--scales", "1,x"], "no list of numbers"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_one_line(photo, tmp_path, capsys, arguments, words):
    arguments = [str(photo) if argument == "PHOTO" else argument for argument in arguments]
    assert main(["segment", *arguments, "--output", str(tmp_path / "out")]) == 2
    told = capsys.readouterr()
    assert words in told.err
    assert "Traceback" not in told.err
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["none.h5", "--taxonomy", "camvid-11"], 2, "no such file"),
        (["PHOTO", "--taxonomy", "camvid-11"], 1, "photo.png"),
        (["PHOTO", "--taxonomy", "camvid-11", "--save", "overlay"], 2, "needs more than scores"),
    ],
)
def test_project_refuses_what_is_no_store(photo, capsys, arguments, code, words):
    arguments = [str(photo) if argument == "PHOTO" else argument for argument in arguments]
    assert main(["project", *arguments]) == code
    assert words in capsys.readouterr().err


def test_an_output_that_is_a_file_ends_with_1(photo, tmp_path, capsys):
    (tmp_path / "out").write_text("in the way")
    assert main(["segment", str(photo), "--output", str(tmp_path / "out"), *FAST]) == 1
    assert "out" in capsys.readouterr().err


def test_a_video_from_scores(tmp_path, capsys):
    with VideoWriter(tmp_path / "film.mp4", fps=10, size=(48, 36)) as writer:
        for number in range(3):
            writer.write(make_pixels(36, 48, seed=number))
    out = tmp_path / "out"
    assert main(["segment", str(tmp_path / "film.mp4"), "--output", str(out), "--save", "ids,scores,video", *FAST]) == 0
    assert {path.name for path in out.iterdir()} == {"film", "film.json", "film.h5", "film_overlay.mp4"}
    assert main(["project", str(out / "film.h5"), "--taxonomy", "camvid-11", "--output", str(tmp_path / "again")]) == 0
    assert len(list((tmp_path / "again/film").glob("*.png"))) == 3
    assert json.loads((tmp_path / "again/film.json").read_text())["frames"] == 3


@pytest.mark.parametrize("as_json", [False, True])
def test_a_video_that_ends_early_is_segmented_with_a_warning(tmp_path, capsys, as_json):
    path = write_video(tmp_path / "drive.mkv", range(30), options={"bf": "0", "g": "6"})
    out = tmp_path / "out"
    arguments = ["segment", str(path), "--output", str(out), "--save", "ids,scores", *FAST]
    arguments += ["--json"] if as_json else []
    assert main(arguments) == 0
    assert "warning" not in capsys.readouterr().err
    assert "notes" not in json.loads((out / "drive.json").read_text())
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert main([*arguments, "--redo"]) == 0
    told = capsys.readouterr()
    sidecar = json.loads((out / "drive.json").read_text())
    assert 0 < sidecar["frames"] < 28
    note = f"damaged; {sidecar['frames']} frames could be read, about 30 expected"
    assert sidecar["notes"] == [note]
    assert told.err.count("warning") == 1
    assert f"mseg-studio: warning: {path}: {note}" in told.err
    if as_json:
        assert lines(told.out)[0]["notes"] == [note]


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_with_130_and_no_half_written_file(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(40):
        write_rgb_png(folder / f"{number:02d}.png", make_pixels(90, 120, seed=number))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "mseg_studio", "segment", str(folder), "--output", str(out), "--device", "cpu"]
    command += ["--base-size", "400", "--crop", "49"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline_s = time.monotonic() + 60
        while not (out / "00.json").exists() and time.monotonic() < deadline_s:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in told
    assert told.splitlines()[-1] == "mseg-studio: cancelled"
    names = {path.name for path in out.iterdir()}
    assert all(name.replace(".json", ".png") in names for name in names)
    assert not [name for name in names if name.startswith(".")]


def test_an_empty_output_is_not_the_current_folder(photo, capsys, monkeypatch):
    monkeypatch.chdir(photo.parent)
    assert main(["segment", str(photo), "--output", "", *FAST]) == 2
    assert "the name of the folder is empty" in capsys.readouterr().err
    assert [path.name for path in photo.parent.iterdir()] == ["photo.png"]


@pytest.fixture
def scores(photo, tmp_path) -> Path:
    assert main(["segment", str(photo), "--output", str(tmp_path / "out"), "--save", "scores", *FAST]) == 0
    return tmp_path / "out" / "photo.h5"


def test_project_writes_no_store_over_another(scores, tmp_path, capsys):
    other = tmp_path / "other" / scores.name
    other.parent.mkdir()
    other.write_bytes(scores.read_bytes())
    target = tmp_path / "camvid"
    assert main(["project", str(scores), str(other), "--taxonomy", "camvid-11", "--output", str(target)]) == 2
    assert "would both be written here" in capsys.readouterr().err
    assert not target.exists()
    assert main(["project", str(scores), str(other), "--taxonomy", "camvid-11"]) == 0


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [
        ("recipe", "[1]", "does not tell rightly how it was made"),
        ("model", "{}", "does not tell rightly how it was made"),
        ("source_bytes", "many", "does not tell rightly how it was made"),
        ("taxonomy", "of-another-house", "'of-another-house', which is not known here"),
    ],
)
def test_project_goes_on_past_a_damaged_store_and_names_it(scores, tmp_path, capsys, attribute, value, words):
    broken = tmp_path / "broken.h5"
    broken.write_bytes(scores.read_bytes())
    with h5py.File(broken, "r+") as file:
        file.attrs[attribute] = value
    capsys.readouterr()
    target = tmp_path / "camvid"
    arguments = ["project", str(broken), str(scores), "--taxonomy", "camvid-11", "--output", str(target)]
    assert main(arguments) == 1
    told = capsys.readouterr()
    assert told.err.startswith(f"mseg-studio: error: {broken}: ")
    assert words in told.err
    assert told.out.splitlines() == [str(target / "photo.png")]
    assert {path.name for path in target.iterdir()} == {"photo.png", "photo.json"}

"""--only, --min-confidence, --smooth and the measures, from the command line to the files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mseg_studio.cli.main import main
from mseg_studio.labels.readout import Readout
from mseg_studio.labels.score_store import ScoreStore
from mseg_studio.labels.smoothing import Smoother
from mseg_studio.media.image import read_label_ids, write_rgb_png
from mseg_studio.media.video_writer import VideoWriter
from mseg_studio.taxonomy.catalog import default_catalog
from tests.factories import make_pixels

FAST = ["--recipe", "fast", "--base-size", "48", "--crop", "49", "--device", "cpu"]
CAMVID = default_catalog().taxonomy("camvid-11")
ROAD, BUILDING = CAMVID.id_of("Road"), CAMVID.id_of("Building")


@pytest.fixture
def photo(tmp_path) -> Path:
    write_rgb_png(tmp_path / "photo.png", make_pixels(60, 80))
    return tmp_path / "photo.png"


@pytest.fixture
def film(tmp_path) -> Path:
    with VideoWriter(tmp_path / "film.mp4", fps=10, size=(48, 36)) as writer:
        for number in range(4):
            writer.write(make_pixels(36, 48, seed=1) + np.uint8(3 * number))
    return tmp_path / "film.mp4"


@pytest.fixture
def store(photo, tmp_path, capsys) -> Path:
    """The scores of the photo."""
    assert main(["segment", str(photo), "--output", str(tmp_path / "kept"), "--save", "scores", *FAST]) == 0
    capsys.readouterr()
    return tmp_path / "kept" / "photo.h5"


def forbid_networks(monkeypatch):
    """Any run of a network from here on is an error."""
    monkeypatch.setattr("mseg_studio.inference.loaded_model.load_model", lambda *args: pytest.fail("a network ran"))


def told(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_only_some_classes_of_a_photo(photo, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["segment", str(photo), "--output", str(out), "--taxonomy", "camvid-11", "--json", *FAST]
    assert main([*arguments, "--only", "road, BUILDING"]) == 0
    assert set(np.unique(read_label_ids(out / "photo.png"))) <= {ROAD, BUILDING}
    done = told(capsys)[0]
    expected = {
        "only": [{"id": info.id, "name": info.name} for info in CAMVID.classes if info.id in (ROAD, BUILDING)],
        "min_confidence": 0.0,
        "smoothing": 0.0,
    }
    assert done["readout"] == json.loads((out / "photo.json").read_text())["readout"] == expected
    # Ids mean the same; plain labels are not done by it.
    assert main([*arguments, "--only", f"{ROAD},{BUILDING}"]) == 0
    assert told(capsys)[0]["status"] == "skipped"
    assert main(arguments) == 0
    assert told(capsys)[0]["status"] == "done"
    assert "readout" not in json.loads((out / "photo.json").read_text())


def test_measures_and_unlabeled_pixels_of_a_photo(photo, tmp_path):
    out = tmp_path / "out"
    names = "ids,confidence,margin,entropy"
    arguments = ["segment", str(photo), "--output", str(out), "--taxonomy", "camvid-11", "--save", names, *FAST]
    assert main([*arguments, "--min-confidence", "0.5"]) == 0
    ids, confidence, margin, entropy = (
        read_label_ids(out / f"photo{suffix}.png") for suffix in ("", "_confidence", "_margin", "_entropy")
    )
    assert confidence.dtype == margin.dtype == entropy.dtype == np.uint16
    np.testing.assert_array_equal(ids == 255, confidence < round(0.5 * 65535))
    assert 0 < (ids == 255).mean() < 1
    assert (margin <= confidence).all()
    assert np.corrcoef(confidence.ravel(), entropy.ravel())[0, 1] < -0.5
    assert json.loads((out / "photo.json").read_text())["readout"]["min_confidence"] == 0.5


def test_the_same_of_kept_scores_without_the_network(store, tmp_path, capsys, monkeypatch):
    forbid_networks(monkeypatch)
    out = tmp_path / "again"
    names = "ids,classes,confidence,margin,entropy"
    arguments = ["project", str(store), "--taxonomy", "camvid-11", "--output", str(out), "--save", names, "--json"]
    assert main([*arguments, "--only", "Road,Building", "--min-confidence", "0.6"]) == 0
    done = told(capsys)[0]
    assert done["readout"]["min_confidence"] == 0.6
    assert {Path(path) for path in done["outputs"]} == set(out.iterdir())
    sidecar = json.loads((out / "photo.json").read_text())
    assert sidecar["readout"] == done["readout"]
    assert sidecar["certified_share"] == pytest.approx(done["certified_share"], abs=1e-5)
    with ScoreStore(store) as kept:
        projection = default_catalog().projection("universal", "camvid-11")
        reading = kept.frame(0).read(projection, Readout((ROAD, BUILDING), 0.6, "margin"))
    np.testing.assert_array_equal(read_label_ids(out / "photo.png"), reading.labels.ids_HW)
    np.testing.assert_array_equal(read_label_ids(out / "photo_margin.png"), reading.measure_HW)
    assert done["certified_share"] == pytest.approx(reading.certified_share, abs=1e-6)


def test_a_store_does_not_hand_down_the_readout_it_was_made_with(photo, tmp_path):
    arguments = ["segment", str(photo), "--output", str(tmp_path / "a"), "--save", "ids,scores", "--only", "sky", *FAST]
    assert main(arguments) == 0
    assert main(["project", str(tmp_path / "a/photo.h5"), "--taxonomy", "universal"]) == 0
    assert "readout" not in json.loads((tmp_path / "a/universal/photo.json").read_text())


def test_a_smoothed_video_and_the_same_from_its_scores(film, tmp_path, capsys, monkeypatch):
    out, again = tmp_path / "out", tmp_path / "again"
    arguments = ["segment", str(film), "--output", str(out), "--taxonomy", "camvid-11", *FAST]
    assert main([*arguments, "--save", "ids,confidence,video,scores", "--smooth", "0.6"]) == 0
    assert json.loads((out / "film.json").read_text())["readout"]["smoothing"] == 0.6
    capsys.readouterr()
    forbid_networks(monkeypatch)
    project = ["project", str(out / "film.h5"), "--taxonomy", "camvid-11", "--output", str(again)]
    assert main([*project, "--save", "ids,confidence", "--smooth", "0.6", "--json"]) == 0
    assert told(capsys)[0]["readout"] == {"only": [], "min_confidence": 0.0, "smoothing": 0.6}
    smoother, projection = Smoother(0.6), default_catalog().projection("universal", "camvid-11")
    with ScoreStore(out / "film.h5") as kept:
        for index, scores in zip(kept.indices, kept, strict=True):
            expected = smoother.next(scores).read(projection, Readout(measure="confidence"))
            for folder in (out, again):
                ids = read_label_ids(folder / f"film/{index:06d}.png")
                np.testing.assert_array_equal(ids, expected.labels.ids_HW)
                found = read_label_ids(folder / f"film/{index:06d}_confidence.png")
                np.testing.assert_array_equal(found, expected.measure_HW)
    shares = [json.loads((folder / "film.json").read_text())["certified_share"] for folder in (out, again)]
    assert shares[0] == pytest.approx(shares[1])


def test_a_smoothed_video_needs_no_store(film, tmp_path):
    out = tmp_path / "out"
    assert main(["segment", str(film), "--output", str(out), "--save", "ids", "--smooth", "0.5", *FAST]) == 0
    assert {path.name for path in out.iterdir()} == {"film", "film.json"}
    assert len(list((out / "film").iterdir())) == 4


@pytest.mark.parametrize("options", [["--smooth", "0.5"], ["--min-confidence", "0.4"]])
def test_several_processes_write_the_files_of_one(film, tmp_path, options):
    shared = [str(film), "--taxonomy", "camvid-11", "--save", "ids,entropy", "--only", "Road,Building,Car", *options]
    network = [option for option in FAST if option not in ("--device", "cpu")]
    assert main(["segment", *shared, "--output", str(tmp_path / "one"), *FAST]) == 0
    assert main(["segment", *shared, "--output", str(tmp_path / "two"), "--devices", "cpu,cpu", *network]) == 0
    names = sorted(path.name for path in (tmp_path / "one/film").iterdir())
    assert len(names) == 8
    for name in names:
        found = read_label_ids(tmp_path / "two/film" / name)
        np.testing.assert_array_equal(found, read_label_ids(tmp_path / "one/film" / name))
    facts = [json.loads((tmp_path / folder / "film.json").read_text())["readout"] for folder in ("one", "two")]
    assert facts[0] == facts[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "raod"], "--only: taxonomy 'camvid-11' has no class 'raod'; did you mean Road"),
        (["--only", "11"], "taxonomy 'camvid-11' has no class with id 11"),
        (["--only", ","], "names no class"),
        (["--min-confidence", "1.5"], "'1.5' is no number from 0 to 1"),
        (["--min-confidence", "much"], "'much' is no number from 0 to 1"),
        (["--min-confidence", "nan"], "'nan' is no number from 0 to 1"),
        (["--smooth", "1"], "'1' is no number between 0 and 1, both excluded"),
        (["--smooth", "0.5"], "--smooth is for videos;"),
    ],
)
def test_a_wrong_readout_ends_with_2_and_one_line(photo, store, tmp_path, capsys, arguments, words):
    for command in (
        ["segment", str(photo), "--output", str(tmp_path / "out"), *FAST],
        ["project", str(store), "--output", str(tmp_path / "out")],
    ):
        assert main([*command, "--taxonomy", "camvid-11", *arguments]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_evaluate_has_no_such_option(capsys):
    assert main(["evaluate", "--dataset", "data.yaml", "--smooth", "0.5"]) == 2
    assert "unrecognized arguments: --smooth" in capsys.readouterr().err

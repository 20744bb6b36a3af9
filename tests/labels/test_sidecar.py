from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest

from mseg_studio.errors import ConfigError, ExportError
from mseg_studio.labels import sidecar as sc
from mseg_studio.labels.sidecar import Sidecar, SourceStamp
from tests.labels.factories import make_labels, make_taxonomy

KNOWN: dict[str, Any] = {
    "model": {"name": "street-small", "network": "hrnet-w18-small", "sha256": "ab" * 32},
    "recipe": {"base_size": 360, "crop_px": 320, "scales": [1.0], "flip": True, "precision": "float32"},
    "recipe_hash": "cd" * 32,
    "engine": "torch",
    "precision": "float32",
    "device": "cpu",
    "certified_share": 0.75,
    "mapping": "projected",
}


def make_sidecar(source: SourceStamp, *, outputs: tuple[str, ...] = ("ids",)) -> Sidecar:
    return sc.build(make_labels(make_taxonomy(), 4, 6), KNOWN, source=source, outputs=outputs)


def test_keys_of_the_contract() -> None:
    values = make_sidecar(SourceStamp("a.jpg", 10, 2.5)).as_dict()
    contract = (
        "format source width height taxonomy ignore_id classes model recipe recipe_hash engine precision device "
        "certified_share mapping program_version"
    )
    assert set(contract.split()) <= set(values)
    assert (values["width"], values["height"], values["taxonomy"], values["ignore_id"]) == (6, 4, "small", 255)
    assert values["model"] == KNOWN["model"]
    pixels = [row["pixels"] for row in values["classes"]]
    assert pixels == sorted(pixels, reverse=True)
    labels = make_labels(make_taxonomy(), 4, 6)
    assert sum(pixels) == int((labels.ids_HW != 255).sum())
    assert "frames" not in values


def test_a_video_has_frames_and_timestamps() -> None:
    made = sc.build(
        make_taxonomy(),
        KNOWN,
        source=SourceStamp("v.mp4"),
        size=(4, 6),
        pixels={2: 5, 0: 9, 1: 0},
        timestamps_s=[0, 0.5],
    )
    values = made.as_dict()
    assert values["frames"] == 2
    assert values["timestamps_s"] == [0.0, 0.5]
    assert [(row["id"], row["pixels"]) for row in values["classes"]] == [(0, 9), (2, 5)]


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    made = make_sidecar(SourceStamp("a.jpg", 10, 1763801234.123456789))
    sc.write_sidecar(path, made)
    assert sc.read_sidecar(path) == made
    video = dataclasses.replace(made, frames=2, timestamps_s=(0.0, 1 / 3))
    sc.write_sidecar(path, video)
    assert sc.read_sidecar(path) == video


def test_a_source_name_of_any_bytes(tmp_path: Path) -> None:
    source = tmp_path / os.fsdecode(b"a\xff\n.jpg")
    source.write_bytes(b"x")
    sc.write_sidecar(tmp_path / "a.json", make_sidecar(SourceStamp.of(source)))
    assert sc.read_sidecar(tmp_path / "a.json").source.path.endswith("a\\udcff\\n.jpg")


def test_hard_labels_say_so() -> None:
    labels = dataclasses.replace(make_labels(make_taxonomy()), mapping="hard")
    assert sc.build(labels, KNOWN, source=SourceStamp("a")).mapping == "hard"


@pytest.mark.parametrize("key", ["model", "recipe", "recipe_hash"])
def test_what_inference_must_say(key: str) -> None:
    with pytest.raises(ValueError, match=key):
        sc.build(make_labels(make_taxonomy()), {k: v for k, v in KNOWN.items() if k != key}, source=SourceStamp("a"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("9" * 5000, "not JSON"),
        ("[]", "not a sidecar"),
        ("{}", "not a sidecar"),
        ('{"format": 2}', "format 2, this version reads 1"),
        ('{"format": 1, "source": "a"}', "the sidecar has no 'width'"),
    ],
)
def test_broken_sidecars(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message) as error:
        sc.read_sidecar(path)
    assert str(path) in str(error.value)
    assert sc.finished(path, source=SourceStamp("a"), taxonomy="", recipe_hash="", model_sha256="") is None


def test_a_wrong_value_is_named(tmp_path: Path) -> None:
    values = make_sidecar(SourceStamp("a.jpg")).as_dict()
    for wrong, message in (("wide", "wide"), (float("inf"), "infinity"), ([1], "list")):
        (tmp_path / "a.json").write_text(json.dumps(values | {"width": wrong}))
        with pytest.raises(ConfigError, match=rf"wrong value: .*{message}"):
            sc.read_sidecar(tmp_path / "a.json")


class Done:
    """An image with its ids and sidecar on disk, and the question whether it is done."""

    def __init__(self, folder: Path) -> None:
        self.image, self.json = folder / "a.jpg", folder / "a.json"
        self.files = {"ids": folder / "a.png", "colour": folder / "a_colour.png"}
        self.image.write_bytes(b"pixels")
        self.files["ids"].write_bytes(b"ids")
        self.ask: dict[str, Any] = {
            "taxonomy": "small",
            "recipe_hash": KNOWN["recipe_hash"],
            "model_sha256": KNOWN["model"]["sha256"],
        }
        sc.write_sidecar(self.json, make_sidecar(SourceStamp.of(self.image)))

    def __call__(self, **changes: Any) -> bool:
        return sc.is_done(self.json, self.files, **(self.ask | {"source": SourceStamp.of(self.image)} | changes))


def test_done_when_all_is_the_same(tmp_path: Path) -> None:
    assert Done(tmp_path)()


@pytest.mark.parametrize("key", ["taxonomy", "recipe_hash", "model_sha256"])
def test_not_done_under_another_key(tmp_path: Path, key: str) -> None:
    assert not Done(tmp_path)(**{key: "other"})


READOUT = {"only": [{"id": 1, "name": "class 1"}], "min_confidence": 0.5, "smoothing": 0.0}


def test_not_done_under_another_readout(tmp_path: Path) -> None:
    done = Done(tmp_path)
    assert done(readout={})
    assert not done(readout=READOUT)
    restricted = sc.build(make_labels(make_taxonomy(), 4, 6), KNOWN | {"readout": READOUT}, source=SourceStamp("a.jpg"))
    values = json.loads(json.dumps(restricted.as_dict()))
    assert values["readout"] == READOUT
    assert sc.parse(values, done.json) == restricted
    written = dataclasses.replace(restricted, source=SourceStamp.of(done.image), outputs=("ids",))
    sc.write_sidecar(done.json, written)
    assert done(readout=READOUT)
    assert not done(), "the plain labels were not made"
    assert not done(readout=READOUT | {"min_confidence": 0.6})


def test_not_done_under_another_calibration(tmp_path: Path) -> None:
    done = Done(tmp_path)
    assert not done(calibration="b")
    small = sc.build(make_labels(make_taxonomy(), 4, 6), KNOWN | {"calibration": "b"}, source=SourceStamp("a.jpg"))
    assert sc.parse(json.loads(json.dumps(small.as_dict())), done.json) == small
    written = dataclasses.replace(small, source=SourceStamp.of(done.image), outputs=("ids",))
    sc.write_sidecar(done.json, written)
    assert done(calibration="b")
    assert not done(calibration="c")
    assert not done()


def test_plain_labels_have_no_readout_as_in_sidecars_written_before(tmp_path: Path) -> None:
    values = make_sidecar(SourceStamp("a.jpg")).as_dict()
    assert "readout" not in values
    assert sc.parse(values, tmp_path / "a.json").readout == {}
    (tmp_path / "a.json").write_text(json.dumps(values | {"readout": "plain"}))
    with pytest.raises(ConfigError, match="wrong value"):
        sc.read_sidecar(tmp_path / "a.json")


def test_not_done_when_source_or_files_changed(tmp_path: Path) -> None:
    done = Done(tmp_path)
    assert not done(wanted=("ids", "colour")), "the colour picture was not asked for then"
    done.files["colour"].write_bytes(b"left by another recipe")
    assert not done(wanted=("ids", "colour"))
    os.utime(done.image, (1, 1))
    assert not done()
    done = Done(tmp_path)
    done.image.write_bytes(b"more pixels")
    assert not done()
    done = Done(tmp_path)
    done.files["ids"].unlink()
    assert not done()
    done = Done(tmp_path)
    sc.withdraw(done.json)
    sc.withdraw(done.json)
    assert not done()


def test_a_video_is_done_with_its_last_frame(tmp_path: Path) -> None:
    done = Done(tmp_path)
    frames = done.files["ids"] = tmp_path / "clip"
    frames.mkdir()
    sc.write_sidecar(
        done.json, dataclasses.replace(make_sidecar(SourceStamp.of(done.image)), frames=2, timestamps_s=(0.0, 1.0))
    )
    (frames / "000000.png").write_bytes(b"")
    assert not done()
    (frames / "000001.png").write_bytes(b"")
    assert done()


def test_an_unwritable_place(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"a\.json: cannot be written: no such file"):
        sc.write_sidecar(tmp_path / "no" / "a.json", make_sidecar(SourceStamp("a")))

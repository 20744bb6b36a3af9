"""The right panel: configuration against its recipe, fixed images, meters, notes; and what is said in few words."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from mseg_studio.training.config import DatasetConfig
from mseg_studio.training.config_file import config_as_dict
from mseg_studio.training.recipes import load_recipe
from mseg_studio.training.run_state import RunState
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.train import meters as meters_module
from mseg_studio.ui.workspaces.train.config_panel import ConfigPanel, DevicesPanel
from mseg_studio.ui.workspaces.train.fixed_images import FixedImages
from mseg_studio.ui.workspaces.train.fixed_samples import read_samples
from mseg_studio.ui.workspaces.train.meters import Meter, Meters
from mseg_studio.ui.workspaces.train.notes_panel import NotesPanel
from mseg_studio.ui.workspaces.train.preset import Change, Preset, differences, preset_of
from mseg_studio.ui.workspaces.train.words import ago, compact, second_line
from tests.ui.conftest import write_picture
from tests.ui.fakes import Doubles
from tests.ui.train_factory import FakeRun, run_config


@pytest.fixture
def theme(qtbot: Any) -> Iterator[Theme]:
    application = QApplication.instance()
    assert isinstance(application, QApplication)
    theme = Theme(application, "dark")
    yield theme
    theme.close()


def test_settings_that_are_not_the_recipes_are_named() -> None:
    values = config_as_dict(
        load_recipe("smoke").config(name="x", datasets=[DatasetConfig("camvid", root="/data")], start="random")
    )
    assert preset_of(values) == Preset("smoke", ()), "the nearest is found"
    values["optim"]["lr"] = 0.123
    (change,) = preset_of(values, recipe="smoke").changes
    assert (change.key, change.value) == ("optim.lr", 0.123)
    values["network"] = "hrnet-w48"
    assert len(preset_of(values, recipe="smoke").changes) == 2


def test_differences_name_datasets() -> None:
    one, two = (config_as_dict(run_config(name, datasets=("camvid",))) for name in ("a", "b"))
    assert differences({"a": one, "b": two}) == []
    two["datasets"][0]["val_split"] = "test"
    two["optim"]["lr"] = 0.5
    assert differences({"a": one, "b": two}) == [
        ("optim.lr", [0.01, 0.5]),
        ("datasets.camvid.val_split", ["val", "test"]),
    ]


def test_the_configuration_says_what_differs(qtbot: Any, theme: Theme) -> None:
    panel = ConfigPanel(theme)
    qtbot.addWidget(panel)
    values = config_as_dict(run_config("x", datasets=("my <labels>", "camvid"), steps=20_000))
    panel.show_config(
        values, Preset("fine-tune", (Change("steps", 20_000, 40_000), Change("compile", True, False))), ""
    )
    texts = panel.texts()
    assert texts[0] == "preset fine-tune 2 changes"
    assert "datasets my <labels>, camvid" in texts and "lr 0.01 → poly" in texts
    assert texts[-2:] == ["steps 20000 (preset 40000)", "compile yes (preset no)"]
    panel.show_config(None, None, "config.yaml: no such file")
    assert panel.texts() == ["config.yaml: no such file"]


@pytest.fixture
def sampled(tmp_path: Path) -> FakeRun:
    photo = write_picture(tmp_path / "photo.png")
    run = FakeRun("seen", steps=100).sampled(photo, [10, 20, 30])
    run.close()
    return run


def test_samples_that_are_gone_are_left_out(sampled: FakeRun) -> None:
    (one,) = read_samples(sampled.path)
    assert [step for step, _path in one.predictions] == [10, 20, 30] and one.name == "photo"
    (sampled.path / "samples" / "20" / "0.png").unlink()
    (one,) = read_samples(sampled.path)
    assert [step for step, _path in one.predictions] == [10, 30]
    for text in ("", "[]", '{"images": {}, "steps": []}', '{"images": [3, {"n": "x"}], "steps": [10]}'):
        (sampled.path / "samples" / "index.json").write_text(text)
        assert read_samples(sampled.path) == ()


def test_the_slider_goes_through_the_validations(qtbot: Any, theme: Theme, sampled: FakeRun) -> None:
    doubles = Doubles()
    doubles.media.start()
    images = FixedImages(theme, doubles.services.media)
    qtbot.addWidget(images)
    images.resize(240, 300)
    images.show()
    images.show_samples(read_samples(sampled.path))
    qtbot.waitUntil(lambda: images.picture._pixmap is not None, timeout=10_000)
    assert images.shown_step == 30 and images.words.text() == "step 30 · photo"
    assert abs(images.picture.height() / images.picture.width() - 60 / 96) < 0.02, "the photo's proportions"
    images.slider.setFocus()
    QTest.keyClick(images.slider, Qt.Key.Key_Home)
    assert images.shown_step == 10
    sampled.sampled(Path(read_samples(sampled.path)[0].image), [10, 20, 30, 40])
    images.show_samples(read_samples(sampled.path))
    assert images.shown_step == 10, "who looks at an early one is left there"
    QTest.keyClick(images.slider, Qt.Key.Key_End)
    assert images.shown_step == 40
    sampled.sampled(Path(read_samples(sampled.path)[0].image), [10, 20, 30, 40, 50])
    images.show_samples(read_samples(sampled.path))
    assert images.shown_step == 50, "who looks at the newest sees the next one"
    doubles.media.close()


def test_a_photo_that_is_gone_leaves_the_prediction(qtbot: Any, theme: Theme, sampled: FakeRun, tmp_path: Path) -> None:
    (tmp_path / "photo.png").unlink()
    doubles = Doubles()
    doubles.media.start()
    images = FixedImages(theme, doubles.services.media)
    qtbot.addWidget(images)
    images.show_samples(read_samples(sampled.path))
    qtbot.waitUntil(lambda: images.picture._pixmap is not None, timeout=10_000)
    doubles.media.close()


def test_meters_of_processes_and_host() -> None:
    run = FakeRun("busy", world=2).launched(alive=True)
    run.close()
    meters = Meters()
    meters.read(run.path)
    found = meters.read(run.path)
    assert [meter.name for meter in found] == ["rank 0", "rank 1", socket.gethostname()]
    assert found[0].used_bytes == pytest.approx(psutil.Process(os.getpid()).memory_info().rss, rel=0.5)
    assert found[-1].total_bytes == psutil.virtual_memory().total


def test_meters_of_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    class Driver:
        class NVMLError(Exception):
            pass

        @staticmethod
        def nvmlDeviceGetHandleByIndex(number: int) -> int:
            if number > 1:
                raise Driver.NVMLError
            return number

        @staticmethod
        def nvmlDeviceGetMemoryInfo(_handle: int) -> Any:
            return type("Memory", (), {"used": 17_200_000_000, "total": 24_000_000_000})

        @staticmethod
        def nvmlDeviceGetUtilizationRates(_handle: int) -> Any:
            return type("Rates", (), {"gpu": 98})

        @staticmethod
        def nvmlDeviceGetName(_handle: int) -> str:
            return "NVIDIA RTX 4090"

    monkeypatch.setattr(meters_module.Meters, "_driver", lambda self: Driver)
    run = FakeRun("cards", world=1).launched(alive=True, device="cuda:1")
    run.close()
    card = Meters().read(run.path)[1]
    assert card == Meter("cuda:1", 0.98, 17_200_000_000, 24_000_000_000, "NVIDIA RTX 4090")
    gone = FakeRun("gone", world=1).launched(alive=True, device="cuda:7")
    gone.close()
    assert [meter.name for meter in Meters().read(gone.path)] == ["rank 0", socket.gethostname()]


def test_devices_in_words(qtbot: Any) -> None:
    panel = DevicesPanel()
    qtbot.addWidget(panel)
    panel.show()
    panel.show_meters([Meter("cuda:0", 0.98, 17_200_000_000, 24_000_000_000), Meter("rank 0", None, 2_000_000_000, 0)])
    assert panel.texts() == ["cuda:0 98 % · 17.2 / 24.0 GB", "rank 0 2.0 GB"]
    panel.show_meters([])
    assert panel.texts() == []


def test_notes_that_cannot_be_saved_are_told_and_kept(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mseg_studio.ui.workspaces.train import notes_panel

    run = FakeRun("noted")
    run.close()
    panel = NotesPanel()
    qtbot.addWidget(panel)
    panel.show_run(run.path)

    def full(_folder: Path, _text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(notes_panel, "write_notes", full)
    with qtbot.waitSignal(panel.failed, timeout=5000) as failed:
        QTest.keyClicks(panel.text, "x")
    assert "No space left" in failed.args[0]
    monkeypatch.undo()
    panel.save()
    assert (run.path / "notes.txt").read_text() == "x"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (RunState("running", step=12_400, steps=20_000, seconds_left=2460), "step 12 400 / 20 000 · 41 min left"),
        (RunState("running", "training", step=3, steps=20), "step 3 / 20"),
        (RunState("starting"), "starting"),
        (RunState("queued", reason="partition gpu · waiting for 2 nodes"), "partition gpu · waiting for 2 nodes"),
        (RunState("failed", rank=3, reason="out of memory"), "rank 3: out of memory"),
        (RunState("lost"), "it ended without a word"),
        (RunState("finished", step=9, steps=9, miou=0.641, updated=900_000), "mIoU 0.641 · yesterday"),
        (RunState("stopped", step=7, steps=9, updated=999_990), "step 7 / 9 · just now"),
    ],
)
def test_second_line(state: RunState, words: str) -> None:
    assert second_line(state, now=1_000_000) == words


def test_numbers_in_few_characters() -> None:
    found = [compact(value) for value in (0.31842, 0.0, 1e-5, 61.84, 123.4, 20_000, float("nan"), np.float64(2))]
    assert found == ["0.318", "0.000", "1.00e-5", "61.8", "123", "20 000", "–", "2.000"]
    assert ago(0) == "" and ago(100, now=100 + 3 * 86_400) == "3 days ago" and ago(0.5, now=3700) == "1 h ago"

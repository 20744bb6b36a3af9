from __future__ import annotations

import dataclasses

import pytest

from mseg_studio.training import devices
from mseg_studio.training.config import DatasetConfig
from mseg_studio.training.devices import Device
from mseg_studio.training.run_checks import batch_norm_words, check_run
from mseg_studio.training.run_folder import RunFolder
from tests.training.factory import make_config, make_dataset, with_dataset


@pytest.fixture
def config(tmp_path):
    return make_config(make_dataset(tmp_path))


def test_a_run_with_nothing_wrong(config, tmp_path):
    found = check_run(config, processes=1, disk=tmp_path)
    assert (found.problems, found.warnings) == ((), ())
    assert (found.train_images, found.validate_images) == (3, 3)
    assert found.disk_bytes > 10e6
    assert check_run(dataclasses.replace(config, validate_images=2), processes=1).validate_images == 2


def test_classes_are_named_for_the_run_folder(config, tmp_path):
    found = check_run(config, processes=1)
    RunFolder.create(tmp_path / "run", found.config)
    assert found.config.datasets[0].classes


def test_each_fault_is_told_once_and_none_hides_another(config):
    broken = dataclasses.replace(config, start="", network="hrnet", batch=1, samples=("/no/such.png",))
    found = check_run(with_dataset(broken, val_split="test"), processes=2)
    told = "\n".join(found.problems)
    for words in ("start is not chosen", "unknown network", "too small for 2 processes", "such.png", "no split 'test'"):
        assert told.count(words) == 1


def test_classes_that_a_dataset_does_not_have_are_told_before_the_start(config):
    classes = {"Sky": "sky", "Road": "road", "Car": "car", "Zebra": "person"}
    assert any("'Zebra'" in text for text in check_run(with_dataset(config, classes=classes), processes=1).problems)


def test_a_dataset_without_a_place_is_told_with_what_train_understands(config):
    unplaced = with_dataset(config, description="camvid-480x360", name="camvid-480x360", classes={}, root="")
    (problem,) = check_run(unplaced, processes=1).problems
    assert "--dataset camvid-480x360=DIR" in problem and "--root" not in problem


@pytest.mark.parametrize("device", ["gpu", "cuda:", "CPU", "cuda:-1"])
def test_a_device_that_is_no_device_is_told_before_the_start(config, device):
    for here in (True, False):
        problems = check_run(dataclasses.replace(config, device=device), processes=1, devices_here=here).problems
        assert problems == (f"device is '{device}', expected auto, cpu, cuda, cuda:N or mps",)


def test_a_pyramid_that_sees_one_image_at_a_time_is_told_before_the_start(config):
    alone = dataclasses.replace(config, network="pspnet-50", batch=1)
    (problem,) = check_run(alone, processes=1).problems
    assert "shows pspnet-50 one image at a time" in problem
    assert check_run(dataclasses.replace(config, network="pspnet-50"), processes=2).problems == ()


def test_gpus_are_never_shared(config, monkeypatch):
    monkeypatch.setattr(devices, "devices_here", lambda: (Device("cuda", "0", "A card", 10**10),))
    assert any("there is 1 GPU here: start at most 1" in text for text in check_run(config, processes=2).problems)
    assert check_run(dataclasses.replace(config, device="cpu"), processes=2).problems == ()
    assert check_run(config, processes=2, devices_here=False).problems == ()
    one = dataclasses.replace(config, device="cuda:0")
    assert any("one GPU for 2" in text for text in check_run(one, processes=2).problems)


def test_a_run_without_a_judge_and_one_judged_by_what_it_learns(config):
    assert "no validation" in check_run(with_dataset(config, val_split=""), processes=1).warnings[0]
    assert "judged by" in check_run(with_dataset(config, val_split="train"), processes=1).warnings[0]


def test_what_processes_and_parts_do_to_batch_norm():
    config = make_config(batch=12)
    assert batch_norm_words(config, 1) == "12 crops a step, all in one process, as batch norm sees them"
    assert "4 of them in each of 3 processes; batch norm sees all 12" in batch_norm_words(config, 3)
    assert "2 or 3 in each of 5 processes" in batch_norm_words(config, 5)
    parts = dataclasses.replace(config, accumulate=3)
    assert "batch norm sees about 4 at a time" in batch_norm_words(parts, 2)
    assert any("at a time" in text for text in check_run(parts, processes=1).warnings)


def test_a_dataset_that_could_judge_nothing_is_told(config, tmp_path):
    other = DatasetConfig(
        str(make_dataset(tmp_path / "two")), name="other", train_split="", classes={"Bicyclist": "bicyclist"}
    )
    problems = check_run(dataclasses.replace(config, datasets=(*config.datasets, other)), processes=1).problems
    assert ["'other' has no class that the run learns" in text for text in problems] == [True]

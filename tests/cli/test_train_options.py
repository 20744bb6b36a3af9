from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from mseg_studio.cli.train_options import add_process_arguments, add_run_arguments, config_of
from mseg_studio.training.config import TrainConfig
from mseg_studio.training.config_file import save_config
from tests.training.factory import make_config, make_dataset


def _config(*words: str) -> TrainConfig:
    parser = argparse.ArgumentParser()
    add_run_arguments(parser)
    add_process_arguments(parser)
    return config_of(parser.parse_args(words))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a configuration in a folder below."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    save_config(tmp_path / "below" / "tiny.yaml", make_config(make_dataset(tmp_path / "data")))
    return tmp_path


def test_paths_that_are_set_begin_in_the_working_folder(here: Path) -> None:
    """A run keeps its configuration in its own folder, where they would be others."""
    settings = ["samples=[mine.png]", "start=mine.pth", "datasets.0.root=data"]
    for recipe in (["below/tiny.yaml"], ["smoke", "--dataset", "data/data.yaml"]):
        config = _config(*recipe, *(word for one in settings for word in ("--set", one)))
        assert config.samples == (str(here / "mine.png"),)
        assert config.start == str(here / "mine.pth")
        assert config.datasets[0].root == str(here / "data")


def test_random_weights_are_no_file_of_that_name(here: Path) -> None:
    (here / "random").write_bytes(b"")
    assert _config("below/tiny.yaml", "--start", "random").start == "random"
    assert _config("below/tiny.yaml", "--start", "street-small").start == "street-small"

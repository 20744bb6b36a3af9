from __future__ import annotations

import json
import os
from pathlib import Path

import psutil
import pytest

from mseg_studio.errors import ConfigError
from mseg_studio.training.run_folder import RunFolder
from tests.training.factory import make_config


def test_a_new_run_holds_its_configuration(tmp_path: Path) -> None:
    config = make_config(tmp_path / "data.yaml")
    folder = RunFolder.create(tmp_path / "runs" / "one", config)
    assert RunFolder.open(folder.path).config() == config


def test_a_run_is_never_written_over(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, make_config())
    with pytest.raises(ConfigError, match="a run in this folder already"):
        RunFolder.create(tmp_path, make_config())


def test_another_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config\.yaml"):
        RunFolder.open(tmp_path)


def test_a_process_can_be_found_again(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, make_config())
    folder.write_launch(world_size=1)
    folder.write_rank(0, device="cpu")
    for name in ("launch.json", "ranks/0.json"):
        entry = json.loads((tmp_path / name).read_text(encoding="utf-8"))
        assert entry["pid"] == os.getpid()
        assert entry["start_time"] == psutil.Process().create_time()


def test_the_result_says_how_it_ended(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, make_config())
    folder.write_result("failed", reason="no space", step=4, best=None)
    result = json.loads(folder.result_file.read_text(encoding="utf-8"))
    assert (result["status"], result["reason"], result["step"], result["best"]) == ("failed", "no space", 4, None)


def test_a_name_that_is_no_utf8_can_be_told(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, make_config())
    folder.append_log(0, "cannot read " + os.fsdecode(b"caf\xe9.png"))
    assert "caf\\udce9.png" in folder.rank_log(0).read_text(encoding="utf-8")

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mseg_studio.training import progress_file
from mseg_studio.training.progress_file import ProgressFile


def test_it_says_what_is_done_and_when_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    ProgressFile(path, steps=20).update("training", step=3, done=3, total=20, seconds_left=12.345)
    value = json.loads(path.read_text(encoding="utf-8"))
    assert value.pop("time") > 0
    assert value == {
        "format": 1, "phase": "training", "step": 3, "steps": 20, "done": 3, "total": 20, "seconds_left": 12.3
    }  # fmt: skip
    assert os.listdir(tmp_path) == ["progress.json"]


def test_it_is_written_at_most_twice_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But a new phase and the end of one are told at once."""
    written: list[tuple[str, int]] = []

    def note(path: Path, data: bytes) -> None:
        value = json.loads(data)
        written.append((value["phase"], value["done"]))

    clock = iter((0.0, 0.1, 0.4, 0.6, 0.7, 0.75, 0.8))
    monkeypatch.setattr(progress_file, "write_whole", note)
    monkeypatch.setattr(progress_file.time, "monotonic", lambda: next(clock))
    progress = ProgressFile(tmp_path / "progress.json", steps=9)
    for done in range(4):
        progress.update("training", step=done, done=done, total=9)
    progress.update("validating", step=4, done=0, total=5)
    progress.update("validating", step=4, done=1, total=5)
    progress.update("validating", step=4, done=5, total=5)
    assert written == [("training", 0), ("training", 3), ("validating", 0), ("validating", 5)]

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from mseg_studio.errors import CheckpointError
from mseg_studio.training.checkpoint import RunState, clean_up, load_checkpoint, load_newest, save_checkpoint


def _state(step: int) -> RunState:
    return RunState(
        step=step,
        network={"a.weight": torch.full((2, 3), float(step)), "a.count": torch.tensor(step)},
        average={"a.weight": torch.zeros(2, 3)},
        optimizer={"a.weight/step": torch.tensor(float(step))},
        best={"miou": 0.5, "step": step, "checkpoint": "best"},
        config={"steps": 10},
        data_sha256="0" * 64,
        validated_step=step,
    )


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, _state(3))
    loaded = load_checkpoint(path)
    for field in dataclasses.fields(RunState):
        before, after = getattr(_state(3), field.name), getattr(loaded, field.name)
        if isinstance(before, dict) and any(isinstance(value, torch.Tensor) for value in before.values()):
            assert before.keys() == after.keys()
            assert all(torch.equal(before[key], after[key]) for key in before)
        else:
            assert before == after
    assert (tmp_path / "latest").read_text(encoding="utf-8") == path.name


def test_two_steps_and_the_named_ones_are_kept(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, _state(1), name="best")
    for step in (1, 2, 10):
        save_checkpoint(tmp_path, _state(step))
    save_checkpoint(tmp_path, _state(9), name="best")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["00000002", "00000010", "best", "latest"]
    assert load_checkpoint(tmp_path / "best").step == 9


def test_steps_that_a_run_passed_over_go_with_its_next_one(tmp_path: Path) -> None:
    """They do not verify: kept, they would take the place of one that does."""
    for step in (10, 20, 30):
        save_checkpoint(tmp_path, _state(step), keep=3)
    for step in (20, 30):
        (tmp_path / f"000000{step}" / "state.json").unlink()
    save_checkpoint(tmp_path, _state(15))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000010", "00000015", "latest"]


def test_a_flipped_bit_is_found_and_the_older_one_serves(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, _state(1))
    newest = save_checkpoint(tmp_path, _state(2)) / "network.safetensors"
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    state, complaints = load_newest(tmp_path)
    assert state is not None
    assert state.step == 1
    assert len(complaints) == 1
    assert "network.safetensors is damaged" in complaints[0]


@pytest.mark.parametrize("victim", ["manifest.json", "state.json", "average.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, victim: str, damage: str) -> None:
    path = save_checkpoint(tmp_path, _state(1)) / victim
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="00000001"):
        load_checkpoint(path.parent)


def test_a_crash_while_writing_leaves_the_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, _state(1))

    def fail(*arguments: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mseg_studio.training.checkpoint.write_json_atomic", fail)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path, _state(2))
    assert sorted(os.listdir(tmp_path)) == ["00000001", "latest"]


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert load_newest(tmp_path) == (None, [])


def test_a_full_disk_is_an_oserror_with_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("mseg_studio.training.checkpoint.save_file", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        save_checkpoint(tmp_path, _state(2))
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == []


def test_what_a_killed_process_left_is_cleaned_up(tmp_path: Path) -> None:
    """Half a checkpoint goes; one that was moved aside for its successor comes back, unless that is there."""
    save_checkpoint(tmp_path, _state(1))
    best = save_checkpoint(tmp_path, _state(1), name="best")
    (tmp_path / ".mseg-part-0123").mkdir()
    (tmp_path / ".mseg-part-0123" / "network.safetensors").write_bytes(b"half")
    (tmp_path / ".mseg-part-latest").write_bytes(b"")
    best.rename(tmp_path / ".mseg-part-old-best-4567")
    (tmp_path / ".mseg-part-old-00000001-89ab").mkdir()
    clean_up(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["00000001", "best", "latest"]
    assert load_checkpoint(tmp_path / "best").step == 1


@pytest.mark.parametrize("moment", range(2))
def test_killed_while_the_best_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """Whichever rename it was killed at, one of both is there after cleaning up."""

    class Killed(BaseException):
        pass

    save_checkpoint(tmp_path, _state(1), name="best")
    replace, calls = Path.replace, itertools.count()

    def die(self: Path, target: Path) -> Path:
        if Path(target).name.startswith((".mseg-part-old", "best")) and next(calls) == moment:
            raise Killed
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", die)
    monkeypatch.setattr("mseg_studio.training.checkpoint.shutil.rmtree", lambda *a, **k: None)  # dead: cleans nothing
    with pytest.raises(Killed):
        save_checkpoint(tmp_path, _state(2), name="best")
    monkeypatch.undo()
    clean_up(tmp_path)
    assert load_checkpoint(tmp_path / "best").step == 1
    assert os.listdir(tmp_path) == ["best"]

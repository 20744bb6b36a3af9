"""Foreign checkpoints: what is in order is read, everything else is one line and runs nothing."""

from __future__ import annotations

import io
import random
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mseg_studio.errors import CheckpointError
from mseg_studio.networks.weights_file import read_checkpoint, read_weights, write_weights
from tests.networks.hostile import HOSTILE

STATE = {
    "conv1.weight": torch.arange(24.0).reshape(2, 3, 2, 2),
    "bn1.running_mean": torch.tensor([0.5, -1.5]),
    "bn1.num_batches_tracked": torch.tensor(7),
}


def _prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in STATE.items()}


LAYOUTS = {
    "bare": STATE,
    "bare under state_dict": {"state_dict": STATE, "epoch": 3},
    "module": {"state_dict": _prefixed("module."), "epoch": 1, "current_iter": 9, "max_iter": 10},
    "model": _prefixed("model."),
    "module.model": {"state_dict": _prefixed("module.model.")},
    "criterion inside": {"state_dict": _prefixed("module.") | {"module.criterion.weight": torch.ones(3)}},
    "criterion outside": {"state_dict": _prefixed("model.") | {"criterion.weight": torch.ones(3)}},
    "loss": {"state_dict": _prefixed("model.") | {"loss.criterion.weight": torch.ones(3)}},
    "optimizer": {
        "state_dict": _prefixed("module."),
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(9)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
    },
    "another name": {"model_state": STATE, "epoch": 3},
    "parameters": {key: torch.nn.Parameter(v) if v.is_floating_point() else v for key, v in STATE.items()},
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_published_files(tmp_path: Path, layout: str, zipped: bool) -> None:
    path = tmp_path / "weights.pth"
    torch.save(LAYOUTS[layout], path, _use_new_zipfile_serialization=zipped)
    _assert_same(read_checkpoint(path), STATE)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_safetensors_are_known_by_their_content(tmp_path: Path, name: str) -> None:
    save_file(_prefixed("module."), tmp_path / name)
    _assert_same(read_checkpoint(tmp_path / name), STATE)


@pytest.mark.skipif(sys.platform == "win32", reason="no FIFOs")
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_in_one_line(tmp_path: Path, case: str) -> None:
    write, words = HOSTILE[case]
    marker = tmp_path / "ran"
    path = write(tmp_path / "weights.pth", marker)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and words in message
    assert "\n" not in message and len(message) < len(str(path)) + 320
    assert not marker.exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
def test_damaged_bytes_end_in_an_error_or_in_tensors(tmp_path: Path, zipped: bool) -> None:
    stream = io.BytesIO()
    torch.save({"state_dict": STATE}, stream, _use_new_zipfile_serialization=zipped)
    whole = stream.getvalue()
    draw = random.Random(5)
    path = tmp_path / "weights.pth"
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(draw.choice((1, 1, 4))):
            data[draw.randrange(len(data))] = draw.randrange(256)
        path.write_bytes(data)
        try:
            assert all(isinstance(value, torch.Tensor) for value in read_checkpoint(path).values())
        except CheckpointError as error:
            assert "\n" not in str(error)


def test_damaged_safetensors_end_in_an_error_or_in_tensors(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(STATE, path)
    whole = path.read_bytes()
    draw = random.Random(6)
    for _ in range(150):
        data = bytearray(whole)
        data[draw.randrange(len(data))] = draw.randrange(256)
        path.write_bytes(data)
        try:
            assert all(isinstance(value, torch.Tensor) for value in read_checkpoint(path).values())
        except CheckpointError as error:
            assert "\n" not in str(error)


def test_half_is_stored_small_and_read_as_float32(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    write_weights(path, STATE, half=True)
    assert read_checkpoint(path)["conv1.weight"].dtype == torch.float16
    state = read_weights(path)
    assert state["conv1.weight"].dtype == torch.float32 and state["bn1.num_batches_tracked"].dtype == torch.int64
    _assert_same(state, STATE)  # these values are exact in float16


def test_read_weights_owns_its_memory(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    write_weights(path, STATE)
    state = read_weights(path)
    path.write_bytes(bytes(path.stat().st_size))
    _assert_same(state, STATE)


def test_read_weights_takes_safetensors_only(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match="is no safetensors file"):
        read_weights(tmp_path / "weights.safetensors")


def _assert_same(came: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(came) == list(expected) or sorted(came) == sorted(expected)
    assert all(torch.equal(came[key], expected[key]) for key in expected)

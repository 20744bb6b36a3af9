"""Recognising, importing and loading: strict, complete or not at all, and equal to the source."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mseg_studio.errors import CheckpointError, ConfigError, TaxonomyError
from mseg_studio.networks import checkpoint
from mseg_studio.networks.card import NOT_YET_HASHED, ModelCard, write_card
from mseg_studio.networks.catalog import InstalledModel, find_model, models_folder, scan_models
from mseg_studio.networks.checkpoint import (
    import_checkpoint,
    load_network,
    published_sizes,
    recognise,
    write_model,
)
from mseg_studio.progress import Cancelled, CancelToken, Progress
from mseg_studio.storage import sha256_file
from tests.goldens.weights import FOLDER, TINY, crop_NCHW, golden_network, pattern_image

State = Mapping[str, torch.Tensor]


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


def _save(path: Path, state: State, **more: Any) -> Path:
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}, **more}, path)
    return path


def _head(state: State, num_classes: int) -> dict[str, torch.Tensor]:
    """`state` with its first classes only."""
    return {k: v[:num_classes].clone() if k.startswith("last_layer.3.") else v for k, v in state.items()}


def _card(**values: Any) -> ModelCard:
    return dataclasses.replace(ModelCard("x", TINY.name, 194, "universal", 153, 144, NOT_YET_HASHED), **values)


@pytest.mark.parametrize("num_classes", [1, 11, 194])
def test_network_and_classes_are_recognised(tiny_state: State, num_classes: int) -> None:
    found = recognise(_head(tiny_state, num_classes))
    assert (found.spec.name, found.num_classes) == ("hrnet-tiny", num_classes)


def test_published_keys_are_hrnet_w48() -> None:
    network = checkpoint.build_without_values(checkpoint.known_networks()["hrnet-w48"], 194)
    found = recognise(network.state_dict())
    assert (found.spec.name, found.num_classes) == ("hrnet-w48", 194)


def _without(state: State, *keys: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in state.items() if key not in keys}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: _without(s, "conv1.weight"), ["nearest is hrnet-tiny", "1 missing (conv1.weight)"]),
        (lambda s: {**s, "fc.weight": torch.ones(2)}, ["nearest is hrnet-tiny", "1 unexpected (fc.weight)"]),
        (
            lambda s: {**s, "conv1.weight": torch.ones(64, 4, 3, 3)},
            ["1 of another shape (conv1.weight expected 64x3x3x3, came 64x4x3x3)"],
        ),
        (
            lambda s: {**s, "last_layer.3.bias": torch.ones(11)},
            ["last_layer.3.bias expected 194, came 11"],
        ),
        (lambda s: _without(s, "last_layer.3.weight"), ["missing (last_layer.3.weight)"]),
        (lambda s: {**s, "last_layer.3.weight": torch.ones(())}, ["came scalar"]),
        (
            lambda s: {"a": torch.ones(1)},
            ["fits no known network (hrnet-tiny, hrnet-w18-small, hrnet-w48, "],
        ),
        (lambda s: {}, ["0 of 0 keys fit"]),
        (lambda s: {f"x\n{i}" * 60: torch.ones(1) for i in range(5000)}, ["5000 unexpected (x\\n0x\\n0"]),
    ],
)
def test_a_refusal_says_which_keys(tiny_state: State, change: Any, words: list[str]) -> None:
    with pytest.raises(CheckpointError) as caught:
        recognise(change(dict(tiny_state)))
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 900


def test_import_then_load_gives_the_golden_logits(tmp_path: Path, tiny_state: State) -> None:
    file = _save(tmp_path / "mseg-3m-480p.pth", tiny_state, epoch=3, optimizer={"state": {}, "param_groups": []})
    seen: list[Progress] = []
    model = import_checkpoint(file, name="tiny", on_progress=seen.append)
    card = model.card
    assert (card.network, card.num_classes, card.taxonomy) == ("hrnet-tiny", 194, "universal")
    assert (card.crop_px, card.base_size) == (473, 480)
    assert card.source_sha256 == sha256_file(file) and card.weights_sha256 == sha256_file(model.weights_file)
    assert "unknown" in card.licence and str(tmp_path) not in card.command
    assert [progress.done for progress in seen] == [0, 1, 2, 3, 4]
    assert sorted(path.name for path in model.folder.iterdir()) == ["card.yaml", "weights.safetensors"]
    assert model == find_model("tiny")

    network, spec = load_network(model)
    assert spec is TINY and not network.training
    golden = np.load(FOLDER / "logits_tiny_pattern.npz")
    with torch.inference_mode():
        logits_CHW = network(crop_NCHW(pattern_image(153, 153), 153))[0].numpy()
    y, x = golden["points_yx"].T
    assert np.abs(logits_CHW[:, y, x].T - golden["logits"]).max() < 1e-4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_load_as_float32(tmp_path: Path, tiny_state: State, dtype: torch.dtype) -> None:
    state = {key: value.to(dtype) if value.is_floating_point() else value for key, value in tiny_state.items()}
    save_file(state, tmp_path / "w.safetensors")
    model = import_checkpoint(tmp_path / "w.safetensors", name="tiny")
    network, _ = load_network(model)
    weights = network.state_dict()
    assert all(torch.equal(weights[key].double(), state[key].double()) for key in state)
    assert {value.dtype for value in weights.values()} == {torch.float32, torch.int64}
    size = sum(value.numel() for value in state.values()) * (2 if dtype == torch.float16 else 4)
    assert model.weights_file.stat().st_size == pytest.approx(size, rel=0.1)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("mseg-3m-480p.pth", (473, 480)),
        ("mseg-3m-720p.pth", (593, 720)),
        ("mseg-3m-1080p.pth", (713, 1080)),
        ("MSeg-3M-480P.safetensors", (473, 480)),
        ("mseg-3m-480p/train_epoch_11.pth", (473, 480)),
        ("mseg-3m.pth", (713, 1080)),
        ("mseg-1m.pth", (713, 1080)),
        ("camvid-11-1m.pth", (713, 1080)),
        ("mine.pth", None),
        ("mine-2480p.pth", None),
        ("480px.pth", None),
        ("mseg-31m.pth", None),
    ],
)
def test_sizes_of_the_published_models(file: str, expected: tuple[int, int] | None) -> None:
    assert published_sizes(Path("downloads") / file) == expected


def test_sizes_can_be_given(tmp_path: Path, tiny_state: State) -> None:
    file = _save(tmp_path / "mseg-3m-1080p.pth", tiny_state)
    card = import_checkpoint(file, name="tiny", crop_px=153, base_size=144).card
    assert (card.crop_px, card.base_size) == (153, 144)


@pytest.mark.parametrize(
    ("num_classes", "taxonomy", "kind", "words"),
    [
        (11, None, CheckpointError, "has 11 classes, so the taxonomy must be named (--taxonomy); 11 fits camvid-11"),
        (11, "kitti-19", CheckpointError, "has 11 classes, but taxonomy kitti-19 needs 19; 11 fits camvid-11"),
        (7, None, CheckpointError, "no known taxonomy has 7"),
        (194, "camvid-11", CheckpointError, "has 194 classes, but taxonomy camvid-11 needs 11"),
        (11, "camvid", TaxonomyError, "camvid-11"),
    ],
)
def test_the_taxonomy_must_fit(
    tmp_path: Path, tiny_state: State, num_classes: int, taxonomy: str | None, kind: type[Exception], words: str
) -> None:
    file = _save(tmp_path / "a.pth", _head(tiny_state, num_classes))
    with pytest.raises(kind) as caught:
        import_checkpoint(file, name="a", taxonomy=taxonomy)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert kind is TaxonomyError or str(caught.value).startswith(str(file))
    assert scan_models() == tuple(model for model in scan_models() if model.bundled)


def test_a_fitting_taxonomy_is_taken(tmp_path: Path, tiny_state: State) -> None:
    model = import_checkpoint(_save(tmp_path / "a.pth", _head(tiny_state, 11)), name="a", taxonomy="camvid-11")
    assert model.card.taxonomy == "camvid-11"
    assert load_network(model)[0].state_dict()["last_layer.3.bias"].shape == (11,)


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ({"name": "../evil"}, ConfigError, "cannot be the name of a model"),
        ({"crop_px": 400}, ConfigError, "crop 400 does not fit hrnet-tiny"),
        ({"crop_px": 10**6}, ConfigError, "crop_px is 1000000"),
        ({"base_size": 1}, ConfigError, "base_size is 1"),
    ],
)
def test_what_cannot_be_asked_for(
    tmp_path: Path, tiny_state: State, values: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        import_checkpoint(_save(tmp_path / "a.pth", tiny_state), **{"name": "a"} | values)
    assert not models_folder().exists() or not list(models_folder().iterdir())


def test_a_name_is_not_taken_twice(tmp_path: Path, tiny_state: State) -> None:
    file = _save(tmp_path / "a.pth", tiny_state)
    import_checkpoint(file, name="a")
    with pytest.raises(CheckpointError, match="'a' is there already"):
        import_checkpoint(file, name="A")


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, tiny_state: State) -> None:
    state = dict(tiny_state) | {"bn1.bias": torch.full((64,), float("nan"))}
    with pytest.raises(CheckpointError, match=r"no numbers .*bn1\.bias"):
        import_checkpoint(_save(tmp_path / "a.pth", state), name="a")


def test_no_room_is_said_before_writing(tmp_path: Path, tiny_state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: _Usage(10**9, 10**9, 1000))
    with pytest.raises(CheckpointError, match="no room: 1 MB are needed, 0 MB are free"):
        import_checkpoint(_save(tmp_path / "a.pth", tiny_state), name="a")
    assert not list(models_folder().iterdir())


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, tiny_state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_args: object, **_named: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_weights", full)
    with pytest.raises(CheckpointError, match="cannot be written: No space left on device"):
        import_checkpoint(_save(tmp_path / "a.pth", tiny_state), name="a")
    assert not list(models_folder().iterdir())


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path, tiny_state: State) -> None:
    models_folder().mkdir(parents=True)
    models_folder().chmod(0o500)
    with pytest.raises(CheckpointError, match="cannot be written: Permission denied"):
        import_checkpoint(_save(tmp_path / "a.pth", tiny_state), name="a")


@pytest.mark.parametrize("step", [0, 1, 2])
def test_cancel_leaves_nothing(tmp_path: Path, tiny_state: State, step: int) -> None:
    token = CancelToken()
    with pytest.raises(Cancelled):
        import_checkpoint(
            _save(tmp_path / "a.pth", tiny_state),
            name="a",
            on_progress=lambda progress: token.cancel() if progress.done == step else None,
            cancel=token,
        )
    assert not models_folder().exists() or not list(models_folder().iterdir())


def test_a_cancel_that_comes_too_late_changes_nothing(tmp_path: Path, tiny_state: State) -> None:
    token = CancelToken()
    model = import_checkpoint(
        _save(tmp_path / "a.pth", tiny_state),
        name="a",
        on_progress=lambda progress: token.cancel() if progress.done == 3 else None,
        cancel=token,
    )
    assert find_model("a") == model


def test_what_a_killed_import_left_is_cleared_later(tmp_path: Path, tiny_state: State) -> None:
    old, young = (models_folder() / f".mseg-part-{name}" for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").write_bytes(b"x")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    import_checkpoint(_save(tmp_path / "a.pth", tiny_state), name="a")
    assert not old.exists() and young.exists()
    assert [model.name for model in scan_models() if not model.bundled] == ["a"]


def test_import_of_a_refused_file_names_it(tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    torch.save({"fc.weight": torch.ones(2, 2)}, file)
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(file, name="a")
    assert str(caught.value).startswith(f"{file}: fits no known network") and str(caught.value).count(str(file)) == 1


@pytest.fixture
def model(tmp_path: Path, tiny_state: State) -> InstalledModel:
    return write_model(tmp_path / "models" / "x", _card(), tiny_state)


def test_a_flipped_bit_is_noticed(model: InstalledModel) -> None:
    load_network(model)
    data = bytearray(model.weights_file.read_bytes())
    data[-1] ^= 1
    model.weights_file.write_bytes(data)
    with pytest.raises(CheckpointError, match="SHA-256 differs") as caught:
        load_network(model)
    assert str(caught.value).startswith(str(model.weights_file))


def test_the_hash_is_computed_once(model: InstalledModel, monkeypatch: pytest.MonkeyPatch) -> None:
    load_network(model)
    monkeypatch.setattr(checkpoint, "sha256_file", lambda _path: pytest.fail("hashed again"))
    load_network(model)


def test_missing_weights_are_named(model: InstalledModel) -> None:
    model.weights_file.unlink()
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: cannot be read: No such file"):
        load_network(model)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"network": "hrnet-w49"}, r"card\.yaml: network 'hrnet-w49' is not known; did you mean hrnet-w48"),
        ({"num_classes": 11}, "does not fit hrnet-tiny with 11 classes: 2 of another shape"),
        ({"network": "hrnet-w18-small"}, "does not fit hrnet-w18-small"),
    ],
)
def test_a_card_that_does_not_fit_its_weights(model: InstalledModel, values: dict[str, Any], words: str) -> None:
    card = dataclasses.replace(model.card, **values)
    write_card(model.folder / "card.yaml", card)
    with pytest.raises(CheckpointError, match=words) as caught:
        load_network(dataclasses.replace(model, card=card))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [({"num_classes": 19}, "network hrnet-tiny needs else: 2 of another shape"), ({"network": "no"}, "is not known")],
)
def test_write_model_refuses_what_could_not_be_loaded(
    tmp_path: Path, tiny_state: State, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(CheckpointError, match=words):
        write_model(tmp_path / "x", _card(**values), tiny_state)
    assert not list(tmp_path.iterdir())


def test_write_model_never_replaces(model: InstalledModel, tiny_state: State) -> None:
    with pytest.raises(CheckpointError, match="is there already"):
        write_model(model.folder, _card(), tiny_state)
    load_network(model)


def test_half_models_keep_the_answer(tmp_path: Path, tiny_state: State) -> None:
    model = write_model(tmp_path / "x", _card(), tiny_state, half=True)
    assert model.weights_file.stat().st_size < 0.6 * 4 * 308_138 + 100_000
    image_NCHW = crop_NCHW(pattern_image(153, 153), 153)
    with torch.inference_mode():
        came, expected = load_network(model)[0](image_NCHW), golden_network("tiny")(image_NCHW)
    assert float((came - expected).abs().max()) < 0.1

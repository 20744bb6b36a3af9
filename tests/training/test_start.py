"""Every start a run may have, with every tensor accounted for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mseg_studio.errors import CheckpointError, ConfigError
from mseg_studio.networks import checkpoint
from mseg_studio.networks.card import NOT_YET_HASHED, ModelCard
from mseg_studio.networks.catalog import models_folder
from mseg_studio.networks.checkpoint import write_model
from mseg_studio.networks.hrnet import hrnet_spec
from mseg_studio.networks.pspnet import PSPNetConfig, pspnet_spec
from mseg_studio.networks.spec import NetworkSpec
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.training import start as start_module
from mseg_studio.training.checkpoint import RunState, save_checkpoint
from mseg_studio.training.config import TrainConfig
from mseg_studio.training.config_file import config_as_dict
from mseg_studio.training.head import Head, head_of
from mseg_studio.training.start import build_network, load_start
from mseg_studio.training.start_choice import start_of
from mseg_studio.training.start_rows import UNTRAINED_BIAS
from tests.goldens.weights import TINY_CONFIG
from tests.training.factory import make_config

SMALL = hrnet_spec("hrnet-tiny", TINY_CONFIG)
SMALL_PSP = pspnet_spec("pspnet-small", PSPNetConfig(blocks=(1, 1, 1, 1), width=4))
LAST = "last_layer.3"


@pytest.fixture(autouse=True)
def _small_networks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    networks = {SMALL.name: SMALL, SMALL_PSP.name: SMALL_PSP}
    monkeypatch.setattr(checkpoint, "known_networks", lambda: networks)
    monkeypatch.setattr(start_module, "known_networks", lambda: networks)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _config(start: str | Path, *, network: str = SMALL.name, **changes: Any) -> TrainConfig:
    return make_config(start=str(start), network=network, **changes)


def _head(
    taxonomy: str = "universal", *, trained: tuple[str, ...] = ("road", "sky", "car"), whole: bool = True
) -> Head:
    table = default_catalog().taxonomy(taxonomy)
    names = {info.id: info.name for info in table.classes}
    every = tuple(names.get(number, "") for number in range(table.num_channels))
    return Head(table, every if whole else trained, trained)


def _other_weights(spec: NetworkSpec, num_classes: int) -> dict[str, Tensor]:
    """Weights that no seed of a run gives."""
    network: nn.Module = spec.build(num_classes)
    generator = torch.Generator().manual_seed(99)
    return {
        key: torch.rand(value.shape, generator=generator) + 0.5 if value.is_floating_point() else value + 7
        for key, value in network.state_dict().items()
    }


def _started(start: str | Path, head: Head, **changes: Any) -> tuple[dict[str, Tensor], dict[str, Tensor], str]:
    """State before and after `load_start`, and its report."""
    config = _config(start, **changes)
    network = build_network(config, head)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    report = load_start(network, config, head)
    return before, network.state_dict(), "\n".join(report.lines)


def _counted(report: str) -> int:
    """How many tensors the report speaks of, rows of the head aside."""
    return sum(int(number) for number in re.findall(r"^(?:copied|random[^:]*|counters[^:]*): (\d+)", report, re.M))


def _backbone(spec: NetworkSpec) -> dict[str, Tensor]:
    """Weights as HRNet's authors publish them for ImageNet: no head, but a classifier."""
    state = {k: v for k, v in _other_weights(spec, 3).items() if k.partition(".")[0] not in spec.backbone_lacks}
    extras = ("incre_modules.0.0.conv1.weight", "downsamp_modules.2.1.running_var", "final_layer.0.bias")
    return state | {key: torch.ones(4) for key in (*extras, "classifier.weight", "classifier.bias")}


def test_no_start_is_refused_with_the_choices_and_the_reason() -> None:
    with pytest.raises(ConfigError, match=r"random.*installed model.*ImageNet backbone.*no default because"):
        start_of("")


@pytest.mark.parametrize("start", ["nothing-here.pth", "no/such/run"])
def test_a_file_that_is_not_there_is_named(start: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(start)):
        start_of(start)


def test_an_unknown_model_is_named_with_the_nearest() -> None:
    with pytest.raises(CheckpointError, match=r"street-smal'.*street-small"):
        start_of("street-smal")


def test_random_weights_follow_from_the_seed_alone() -> None:
    head = _head()
    state = torch.random.get_rng_state()
    first, after, report = _started("random", head)
    assert all(torch.equal(first[key], after[key]) for key in first)
    again, _, _ = _started("random", head)
    other, _, _ = _started("random", head, seed=2)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert "random weights from seed 1" in report


def test_a_crop_that_the_network_does_not_take_is_refused() -> None:
    with pytest.raises(ConfigError, match="crop 34"):
        build_network(_config("random", card_crop_px=34), _head())


@pytest.mark.parametrize("wrapped", ["module.", "model.", ""])
def test_a_published_checkpoint_is_copied_whole(tmp_path: Path, wrapped: str) -> None:
    state = _other_weights(SMALL, 194)
    content = {"epoch": 3, "state_dict": {wrapped + key: value for key, value in state.items()}, "optimizer": {}}
    torch.save(content, tmp_path / "mseg-3m.pth")
    _, after, report = _started(tmp_path / "mseg-3m.pth", _head())
    assert all(torch.equal(after[key], value) for key, value in state.items())
    assert "head: 194 rows copied by name" in report
    assert _counted(report) == len(state) - 2
    assert str(tmp_path / "mseg-3m.pth") in report


def test_rows_of_a_small_head_are_taken_from_the_large_one(tmp_path: Path) -> None:
    state = _other_weights(SMALL, 194)
    save_file(state, tmp_path / "all.safetensors")
    _, after, report = _started(tmp_path / "all.safetensors", _head(whole=False))
    ids = [default_catalog().taxonomy("universal").id_of(name) for name in ("road", "sky", "car")]
    assert torch.equal(after[f"{LAST}.weight"], state[f"{LAST}.weight"][ids])
    assert torch.equal(after[f"{LAST}.bias"], state[f"{LAST}.bias"][ids])
    assert "head: 3 rows copied by name (road, sky, car)" in report


def test_rows_follow_the_links_into_another_taxonomy(tmp_path: Path) -> None:
    state = _other_weights(SMALL, 194)
    save_file(state, tmp_path / "all.safetensors")
    head = _head("camvid-11", trained=("Car", "Pole"))
    _, after, report = _started(tmp_path / "all.safetensors", head, taxonomy="camvid-11")
    projection = default_catalog().projection("universal", "camvid-11")
    for row, name in enumerate(head.rows):
        sources = projection.weights[head.taxonomy.id_of(name)].nonzero()[0]
        torch.testing.assert_close(after[f"{LAST}.weight"][row], state[f"{LAST}.weight"][sources].mean(dim=0))
    assert "11 rows copied by the exact links from universal to camvid-11" in report


def test_an_unknown_head_of_the_same_size_is_copied_by_place(tmp_path: Path) -> None:
    state = _other_weights(SMALL, 3)
    save_file(state, tmp_path / "three.safetensors")
    _, after, report = _started(tmp_path / "three.safetensors", _head(whole=False))
    assert torch.equal(after[f"{LAST}.weight"], state[f"{LAST}.weight"])
    assert "by their place: the file does not say" in report


def test_an_unknown_head_of_another_size_is_not_copied(tmp_path: Path) -> None:
    save_file(_other_weights(SMALL, 5), tmp_path / "five.safetensors")
    before, after, report = _started(tmp_path / "five.safetensors", _head(whole=False))
    assert torch.equal(after[f"{LAST}.weight"], before[f"{LAST}.weight"])
    assert not torch.equal(after["conv1.weight"], before["conv1.weight"])
    assert "head: 3 rows random (road, sky, car)" in report


def test_a_backbone_leaves_its_classifier_and_the_head_stays_random(tmp_path: Path) -> None:
    state = _backbone(SMALL)
    torch.save(state, tmp_path / "hrnet_imagenet.pth")
    before, after, report = _started(tmp_path / "hrnet_imagenet.pth", _head())
    for key, value in after.items():
        wanted = before[key] if key.startswith("last_layer.") else state[key]
        assert torch.equal(value, wanted), key
    assert "left out, the backbone's classifier: 5 tensors (incre_modules 1, downsamp_modules 1" in report
    assert "last_layer.0.weight" in report and f"{LAST}.bias" in report
    assert _counted(report) == len(after)


def test_a_resnet_backbone_fits_pspnet(tmp_path: Path) -> None:
    here = {new: old for old, new in SMALL_PSP.backbone_renamed}
    source, state = _other_weights(SMALL_PSP, 3), {}
    for key, value in source.items():
        first, _, rest = key.partition(".")
        stem = ".".join(key.split(".")[:2])
        if first not in SMALL_PSP.backbone_lacks:
            state[f"{here[stem]}.{key.removeprefix(stem + '.')}" if first == "layer0" else key] = value
        assert rest
    torch.save(state | {"fc.weight": torch.ones(3), "fc.bias": torch.ones(3)}, tmp_path / "resnet50_v2.pth")
    assert "conv3.weight" in state and "bn2.running_var" in state
    before, after, report = _started(tmp_path / "resnet50_v2.pth", _head(), network=SMALL_PSP.name)
    for key, value in after.items():
        wanted = before[key] if key.partition(".")[0] in SMALL_PSP.backbone_lacks else source[key]
        assert torch.equal(value, wanted), key
    assert "classifier: 2 tensors (fc 2)" in report


def test_both_heads_of_pspnet_are_copied(tmp_path: Path) -> None:
    state = _other_weights(SMALL_PSP, 194)
    save_file(state, tmp_path / "psp.safetensors")
    _, after, _ = _started(tmp_path / "psp.safetensors", _head(whole=False), network=SMALL_PSP.name)
    ids = [default_catalog().taxonomy("universal").id_of(name) for name in ("road", "sky", "car")]
    for layer in SMALL_PSP.class_layers:
        assert torch.equal(after[f"{layer}.weight"], state[f"{layer}.weight"][ids])


def test_counters_may_be_missing(tmp_path: Path) -> None:
    state = {key: value for key, value in _backbone(SMALL).items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pth")
    _, after, report = _started(tmp_path / "old.pth", _head())
    assert torch.equal(after["conv1.weight"], state["conv1.weight"])
    assert "counters of norms" in report and _counted(report) == len(after)


_MISFITS: list[tuple[dict[str, Tensor | None], str]] = [
    ({"extra.weight": torch.ones(1)}, "1 unexpected (extra.weight)"),
    ({"conv1.weight": torch.ones(2, 2)}, "1 of another shape (conv1.weight expected 64x3x3x3, came 2x2)"),
    ({"conv1.weight": None}, "1 missing (conv1.weight)"),
    ({"bn1.bias": torch.full((64,), torch.nan)}, "no numbers (NaN or infinite): bn1.bias"),
]


@pytest.mark.parametrize(
    ("backbone", "change", "words"),
    [
        *((False, *case) for case in _MISFITS),
        *((True, *case) for case in _MISFITS),
        (False, {f"{LAST}.bias": torch.ones(193)}, "last_layer.3.bias expected 194, came 193"),
        (True, {"last_layer.0.bias": torch.ones(1)}, "1 of another shape (last_layer.0.bias expected 120, came 1)"),
    ],
)
def test_what_does_not_fit_is_named(
    tmp_path: Path, backbone: bool, change: dict[str, Tensor | None], words: str
) -> None:
    state = dict(_backbone(SMALL) if backbone else _other_weights(SMALL, 194)) | change
    torch.save({key: value for key, value in state.items() if value is not None}, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=re.escape(words)) as caught:
        _started(tmp_path / "odd.pth", _head())
    assert "odd.pth" in str(caught.value)


def test_a_half_head_is_no_backbone(tmp_path: Path) -> None:
    """Only what a backbone never has may be missing, and only where all of the head is."""
    state = _other_weights(SMALL, 194)
    del state["last_layer.0.weight"]
    torch.save(state, tmp_path / "half.pth")
    with pytest.raises(CheckpointError, match=re.escape("1 missing (last_layer.0.weight)")):
        _started(tmp_path / "half.pth", _head())


def test_another_network_is_called_by_its_name(tmp_path: Path) -> None:
    torch.save(_other_weights(SMALL_PSP, 194), tmp_path / "psp.pth")
    with pytest.raises(CheckpointError, match=r"does not fit hrnet-tiny.*it is pspnet-small with 194 classes"):
        _started(tmp_path / "psp.pth", _head())


def _install(name: str, trained: tuple[str, ...]) -> dict[str, Tensor]:
    state = _other_weights(SMALL, 194)
    card = ModelCard(name, SMALL.name, 194, "universal", 33, 48, NOT_YET_HASHED, trained_classes=trained)
    write_model(models_folder() / name, card, state)
    return state


def test_an_installed_model_gives_only_the_rows_that_it_knows() -> None:
    state = _install("mine", ("road", "sky", "bed"))
    head = _head()
    before, after, report = _started("mine", head)
    universal = default_catalog().taxonomy("universal")
    weight, bias = after[f"{LAST}.weight"], after[f"{LAST}.bias"]
    for name in ("road", "sky", "bed"):
        row = universal.id_of(name)
        assert torch.equal(weight[row], state[f"{LAST}.weight"][row]) and bias[row] == state[f"{LAST}.bias"][row]
    car, boat = universal.id_of("car"), universal.id_of("person")
    assert torch.equal(weight[car], before[f"{LAST}.weight"][car])
    assert (weight[boat] == 0).all() and bias[boat] == UNTRAINED_BIAS
    assert "head: 1 rows random (car)" in report and "190 rows of classes that nothing here knows" in report


def test_a_model_folder_and_its_file_say_what_the_model_says() -> None:
    _install("mine", ("road",))
    head = _head(whole=False)
    _, wanted, _ = _started("mine", head)
    for start in (models_folder() / "mine", models_folder() / "mine" / "weights.safetensors"):
        _, after, report = _started(start, head)
        assert all(torch.equal(after[key], value) for key, value in wanted.items())
        assert "head: 1 rows copied by name (road)" in report


def test_a_damaged_model_is_refused() -> None:
    _install("mine", ())
    file = models_folder() / "mine" / "weights.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        _started("mine", _head())


@pytest.mark.parametrize("what", ["run", "checkpoint", "file"])
def test_a_run_of_ours_gives_its_averaged_weights(tmp_path: Path, what: str) -> None:
    source = _config("random", head="trained")
    rows = head_of(source).rows
    network, average = _other_weights(SMALL, 3), {k: v * 2 for k, v in _other_weights(SMALL, 3).items()}
    state = RunState(5, network, average, {}, None, config_as_dict(source), "", 0)
    best = save_checkpoint(tmp_path / "run" / "checkpoints", state, name="best")
    start = {"run": tmp_path / "run", "checkpoint": best, "file": best / "network.safetensors"}[what]
    _, after, report = _started(start, _head(trained=("car", "road")))
    expected = network if what == "file" else average
    assert torch.equal(after["conv1.weight"], expected["conv1.weight"])
    road = default_catalog().taxonomy("universal").id_of("road")
    assert torch.equal(after[f"{LAST}.weight"][road], expected[f"{LAST}.weight"][rows.index("road")])
    assert "head: 3 rows copied by name (road, sky, car)" in report


def test_a_folder_that_is_nothing_of_the_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="neither a model, a run with a checkpoint nor a checkpoint"):
        _started(tmp_path, _head())


def test_half_precision_and_another_layout_are_taken(tmp_path: Path) -> None:
    state = {k: v.half() if v.is_floating_point() else v for k, v in _other_weights(SMALL, 194).items()}
    save_file(state, tmp_path / "half.safetensors")
    config = _config(tmp_path / "half.safetensors")
    network = build_network(config, _head())
    load_start(network, config, _head())
    weight = network.state_dict()["conv2.weight"]
    assert weight.dtype == torch.float32 and weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(weight, state["conv2.weight"].float())

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mseg_studio.errors import CheckpointError, ConfigError, TaxonomyError
from mseg_studio.networks.card import read_card
from mseg_studio.networks.checkpoint import build_without_values, compare, known_networks
from mseg_studio.networks.hrnet_w18_small import NETWORK
from mseg_studio.storage import sha256_file
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.training.checkpoint import load_checkpoint
from mseg_studio.training.export import CardTexts, export_model, full_head, main, metric_from_evaluation
from mseg_studio.training.head import Head
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.worker import main as run_worker
from tests.training.factory import make_config, make_dataset

BY_ID = tuple(sorted(("sky", "road", "car"), key=default_catalog().taxonomy("universal").id_of))
TEXTS = CardTexts(licence="for tests", data="three classes of noise")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    path = tmp_path_factory.mktemp("run")
    threads = torch.get_num_threads()
    folder = RunFolder.create(path / "run", make_config(make_dataset(path / "data"), steps=4))
    assert run_worker([str(folder.path)]) == 0
    torch.set_num_threads(threads)
    return folder


def test_the_model_folder_is_whole(run: RunFolder, tmp_path: Path) -> None:
    card = export_model(run.path, tmp_path / "tiny", texts=TEXTS)
    assert read_card(tmp_path / "tiny" / "card.yaml") == card
    assert card.weights_sha256 == sha256_file(tmp_path / "tiny" / "weights.safetensors")
    assert (card.network, card.num_classes, card.taxonomy) == ("hrnet-w18-small", 194, "universal")
    assert card.trained_classes == BY_ID
    assert (card.crop_px, card.base_size) == (33, 48)


def test_the_full_head_answers_as_the_trained_one(run: RunFolder, tmp_path: Path) -> None:
    """The probabilities of trained classes are those of the trained network, all others are exactly zero."""
    export_model(run.path, tmp_path / "tiny", texts=TEXTS)
    tensors = load_file(tmp_path / "tiny" / "weights.safetensors")
    assert all(value.dtype == torch.float16 for value in tensors.values() if value.is_floating_point())
    full, trained = NETWORK.build(194).eval(), NETWORK.build(3).eval()
    full.load_state_dict({key: value.float() for key, value in tensors.items()})
    trained.load_state_dict(load_checkpoint(run.checkpoints / "best").average)
    images = torch.randn(1, 3, 33, 33, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        probabilities, expected = full(images).softmax(dim=1), trained(images).softmax(dim=1)
    universal = default_catalog().taxonomy("universal")
    ids = [universal.id_of(name) for name in BY_ID]
    torch.testing.assert_close(probabilities[:, ids], expected, atol=2e-2, rtol=0)
    others = [n for n in range(194) if n not in ids]
    assert torch.all(probabilities[:, others] == 0)


def _head(rows: tuple[str, ...] = ("sky", "road", "car"), taxonomy: str = "universal") -> Head:
    return Head(default_catalog().taxonomy(taxonomy), rows, tuple(filter(None, rows)))


def test_the_auxiliary_head_grows_with_the_main_one() -> None:
    universal, spec = default_catalog().taxonomy("universal"), known_networks()["pspnet-50"]
    state = build_without_values(spec, 3).state_dict()
    heads = {key: torch.ones(value.shape) for key, value in state.items() if key.startswith(spec.class_layers)}
    full = full_head(state | heads, network=spec.name, head=_head())
    assert not compare(spec, 194, full)
    assert full["aux.4.weight"].sum() == 3 * 256 and full["aux.4.bias"][universal.id_of("road")] == 1


def test_a_head_of_all_classes_stays_as_it_is() -> None:
    universal = default_catalog().taxonomy("universal")
    state = NETWORK.build(194).state_dict()
    full = full_head(state, network=NETWORK.name, head=_head(universal.names[:194]))
    assert all(torch.equal(full[key], value) for key, value in state.items())


def test_the_naive_head_keeps_its_hole() -> None:
    naive = default_catalog().taxonomy("naive")
    names = {info.id: info.name for info in naive.classes}
    rows = tuple(names.get(number, "") for number in range(naive.num_channels))
    state = NETWORK.build(316).state_dict()
    full = full_head(state, network=NETWORK.name, head=_head(rows, "naive"))
    weight, bias = full["last_layer.3.weight"], full["last_layer.3.bias"]
    assert len(weight) == 316 and rows[255] == ""
    assert (weight[255] == 0).all() and bias[255] == -1e4
    others = [row for row in range(316) if row != 255]
    assert torch.equal(weight[others], state["last_layer.3.weight"][others])


def test_a_class_that_the_taxonomy_lacks_is_named() -> None:
    with pytest.raises(TaxonomyError, match="rood"):
        full_head(NETWORK.build(3).state_dict(), network=NETWORK.name, head=_head(("sky", "rood", "car")))


def test_rows_and_classes_must_agree() -> None:
    with pytest.raises(CheckpointError, match="4 rows, the configuration 3"):
        full_head(NETWORK.build(4).state_dict(), network=NETWORK.name, head=_head())


def test_values_beyond_float16_are_refused(run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = load_checkpoint(run.checkpoints / "best")
    state.average["conv1.weight"][0, 0, 0, 0] = 1e6
    monkeypatch.setattr("mseg_studio.training.export.load_checkpoint", lambda path: state)
    with pytest.raises(CheckpointError, match=r"conv1\.weight"):
        export_model(run.path, tmp_path / "tiny", texts=TEXTS)
    assert not (tmp_path / "tiny" / "weights.safetensors").exists()


@pytest.mark.parametrize("checkpoint", ["best", "latest", "4"])
def test_the_command_line(run: RunFolder, tmp_path: Path, checkpoint: str) -> None:
    line = {"model": "m", "dataset": "d", "split": "val", "recipe": "balanced", "miou": 0.12345, "iou": {"Sky": 0.5}}
    (tmp_path / "val.json").write_text(json.dumps(line) + "\n", encoding="utf-8")
    arguments = ["--checkpoint", checkpoint, "--licence", "l", "--data", "d", "--date", "2026-01-02"]
    arguments += ["--metrics", str(tmp_path / "val.json")]
    assert main([str(run.path), str(tmp_path / "model"), *arguments]) == 0
    card = read_card(tmp_path / "model" / "card.yaml")
    assert card.metrics[0].miou == 0.1235
    assert card.date == "2026-01-02"
    assert "mseg_studio.training.worker" in card.command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--checkpoint", "99"], "00000099"), (["--metrics", "nothing.json"], "nothing.json")],
)
def test_what_is_missing_is_named(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([str(run.path), str(tmp_path / "model"), "--licence", "l", "--data", "d", *arguments]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_a_recipe_becomes_words() -> None:
    recipe = {"base_size": 360, "crop_px": 361, "scales": [0.5, 1.0], "flip": True, "precision": "half", "device": "x"}
    line = {"dataset": "d", "split": "s", "recipe": recipe, "miou": 0.5, "iou": {}}
    assert metric_from_evaluation(line).recipe == "base_size 360, crop_px 361, scales 0.5, 1.0, precision half, flip"


@pytest.mark.parametrize("line", [{}, {"dataset": "d", "split": "s", "recipe": "r", "miou": "x", "iou": {}}])
def test_another_files_line_is_no_result(line: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="evaluate --json"):
        metric_from_evaluation(line)

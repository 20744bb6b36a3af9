from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mseg_studio.errors import CheckpointError, ConfigError, TaxonomyError
from mseg_studio.networks.card import read_card
from mseg_studio.networks.checkpoint import build_without_values, compare, known_networks
from mseg_studio.networks.hrnet_w18_small import NETWORK
from mseg_studio.progress import CancelToken
from mseg_studio.storage import sha256_file
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.training.checkpoint import load_checkpoint
from mseg_studio.training.config import DatasetConfig
from mseg_studio.training.export import CardTexts, export_model, full_head, main, metric_from_evaluation
from mseg_studio.training.loop import TrainLoop
from mseg_studio.training.metrics_log import MetricsLog
from mseg_studio.training.run_folder import RunFolder
from tests.training.factory import make_config, make_dataset

TEXTS = CardTexts(licence="for tests", data="three classes of noise")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    path = tmp_path_factory.mktemp("run")
    threads = torch.get_num_threads()
    folder = RunFolder.create(path / "run", make_config(make_dataset(path / "data"), steps=4))
    with contextlib.closing(MetricsLog(folder.metrics_file)) as log:
        TrainLoop(folder, folder.config(), log=log).run(CancelToken())
    torch.set_num_threads(threads)
    return folder


def test_the_model_folder_is_whole(run: RunFolder, tmp_path: Path) -> None:
    card = export_model(run.path, tmp_path / "tiny", texts=TEXTS)
    assert read_card(tmp_path / "tiny" / "card.yaml") == card
    assert card.weights_sha256 == sha256_file(tmp_path / "tiny" / "weights.safetensors")
    assert (card.network, card.num_classes, card.taxonomy) == ("hrnet-w18-small", 194, "universal")
    assert card.trained_classes == ("sky", "road", "car")
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
    ids = [universal.id_of(name) for name in ("sky", "road", "car")]
    torch.testing.assert_close(probabilities[:, ids], expected, atol=2e-2, rtol=0)
    others = [n for n in range(194) if n not in ids]
    assert torch.all(probabilities[:, others] == 0)


def test_the_auxiliary_head_grows_with_the_main_one() -> None:
    universal, spec = default_catalog().taxonomy("universal"), known_networks()["pspnet-50"]
    state = build_without_values(spec, 3).state_dict()
    heads = {key: torch.ones(value.shape) for key, value in state.items() if key.startswith(spec.class_layers)}
    full = full_head(state | heads, config=make_config(network=spec.name), taxonomy=universal)
    assert not compare(spec, 194, full)
    assert full["aux.4.weight"].sum() == 3 * 256 and full["aux.4.bias"][universal.id_of("road")] == 1


def test_a_class_that_the_taxonomy_lacks_is_named() -> None:
    config = make_config(dataset=DatasetConfig("d", classes={"Sky": "sky", "Road": "rood", "Car": "car"}))
    with pytest.raises(TaxonomyError, match="rood"):
        full_head(NETWORK.build(3).state_dict(), config=config, taxonomy=default_catalog().taxonomy("universal"))


def test_rows_and_classes_must_agree() -> None:
    with pytest.raises(CheckpointError, match="4 rows, the configuration names 3"):
        full_head(
            NETWORK.build(4).state_dict(),
            config=make_config(augment=make_config().augment),
            taxonomy=default_catalog().taxonomy("universal"),
        )


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

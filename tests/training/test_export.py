from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mseg_studio.errors import CheckpointError, ConfigError, TaxonomyError
from mseg_studio.inference.recipe import Recipe
from mseg_studio.inference.segmenter import Segmenter
from mseg_studio.networks import checkpoint
from mseg_studio.networks.card import read_card
from mseg_studio.networks.catalog import find_model, installed_models, models_folder
from mseg_studio.networks.checkpoint import build_without_values, compare, known_networks, load_network
from mseg_studio.networks.hrnet_w18_small import NETWORK
from mseg_studio.networks.pspnet import PSPNetConfig, pspnet_spec
from mseg_studio.storage import sha256_file
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.training import start
from mseg_studio.training.checkpoint import RunState, load_checkpoint, save_checkpoint
from mseg_studio.training.config import DatasetConfig, TrainConfig
from mseg_studio.training.config_file import config_as_dict
from mseg_studio.training.export import CardTexts, export_model, full_head, main, metric_from_evaluation, use_run
from mseg_studio.training.head import Head
from mseg_studio.training.metrics_log import MetricsLog
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.worker import main as run_worker
from tests.training.factory import CLASSES, make_config, make_dataset, with_dataset

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


@pytest.mark.parametrize("which", ["best", "latest", "4"])
def test_the_command_line(run: RunFolder, tmp_path: Path, which: str) -> None:
    line = {"model": "m", "dataset": "d", "split": "val", "recipe": "balanced", "miou": 0.12345, "iou": {"Sky": 0.5}}
    (tmp_path / "val.json").write_text(json.dumps(line) + "\n", encoding="utf-8")
    arguments = ["--checkpoint", which, "--licence", "l", "--data", "d", "--date", "2026-01-02"]
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


def test_a_run_becomes_a_model_by_its_name(run: RunFolder) -> None:
    model = use_run(run.path, "street-of-mine")
    assert model in installed_models() and not model.bundled
    card, state = model.card, load_checkpoint(run.checkpoints / "best")
    assert (card.name, card.taxonomy, card.trained_classes) == ("street-of-mine", "universal", BY_ID)
    network, spec = load_network(model)
    assert spec is NETWORK
    torch.testing.assert_close(
        network.state_dict()["conv1.weight"], state.average["conv1.weight"], atol=1e-3, rtol=1e-3
    )
    (metric,) = card.metrics
    assert state.best is not None
    assert (metric.dataset, metric.split, metric.miou) == ("tiny", "val", round(state.best["miou"], 4))
    assert set(metric.iou) == set(BY_ID)
    assert "while training: all images" in metric.recipe
    assert card.licence == "tiny: not stated" and card.data == "tiny, split train"
    assert "config.yaml" in card.command and card.date


def test_its_labels_come_out_of_the_predictor(run: RunFolder) -> None:
    """Nothing but the model's name is needed to segment with it."""
    use_run(run.path, "mine")
    found = Segmenter("mine", recipe=Recipe(base_size=48, crop_px=33, scales=(1.0,), flip=False)).segment(
        np.zeros((40, 60, 3), np.uint8)
    )
    universal = default_catalog().taxonomy("universal")
    assert set(np.unique(found.labels)) <= {universal.id_of(name) for name in BY_ID}


@pytest.mark.parametrize(("name", "error"), [("street-small", CheckpointError), ("no/name", ConfigError)])
def test_names_that_cannot_be(run: RunFolder, name: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        use_run(run.path, name)


def test_a_name_is_taken_once(run: RunFolder) -> None:
    use_run(run.path, "mine")
    with pytest.raises(CheckpointError, match="'mine' is there already"):
        use_run(run.path, "mine")


def test_a_failed_write_leaves_nothing(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mseg_studio.networks.checkpoint.write_weights", full)
    with pytest.raises(CheckpointError, match="No space left"):
        use_run(run.path, "mine")
    assert not list(models_folder().glob("*")) and not list(models_folder().glob(".mseg*"))


def _hand_made(
    folder: Path, config: TrainConfig, network: dict[str, torch.Tensor], *, events: Sequence[dict[str, object]] = ()
) -> Path:
    """A run folder with one checkpoint, at step 7."""
    run = RunFolder.create(folder, config)
    best = {"miou": 0.5, "step": 7, "checkpoint": "best"} if events else None
    state = RunState(7, network, {}, {}, best, config_as_dict(config), "", 7)
    save_checkpoint(run.checkpoints, state, name="best" if events else None)
    with contextlib.closing(MetricsLog(run.metrics_file)) as log:
        for event in events:
            log.append(event)
    return folder


def test_scores_of_several_datasets_and_of_lines_that_were_too_long(tmp_path: Path) -> None:
    description = make_dataset(tmp_path / "data")
    description.write_text(description.read_text() + 'title: "Noise"\nlicence: free\n')
    datasets = (
        DatasetConfig(str(description), name="one", classes=CLASSES, leave_out=("a_",)),
        DatasetConfig(str(description), name="two", train_split="", classes=CLASSES),
    )
    events: list[dict[str, object]] = [
        {"event": "validation", "step": 6, "miou": 0.4, "iou": {"sky": 0.1}},
        {"event": "iou", "step": 7, "iou": {"sky": 0.9}},
        {"event": "validation", "step": 7, "miou": 0.1, "iou": {"sky": 0.2}},
        {"event": "resume", "step": 5},
        {"event": "iou", "step": 7, "iou": {"sky": 0.75}},
        {"event": "iou", "step": 7, "iou": {"car": 0.25}},
        {"event": "validation", "step": 7, "miou": 0.5, "miou_by_dataset": {"one": 0.4, "two": 0.6666666}},
    ]
    config = make_config(datasets=datasets, validate_images=5)
    card = use_run(_hand_made(tmp_path / "run", config, NETWORK.build(3).state_dict(), events=events), "mine").card
    together, one, two = card.metrics
    assert (together.dataset, together.miou, dict(together.iou)) == ("one, two", 0.5, {"sky": 0.75, "car": 0.25})
    assert (one.dataset, one.miou, two.dataset, two.miou) == ("one", 0.4, "two", 0.6667)
    assert "5 images of each split" in one.recipe
    assert card.licence == "one: free"
    assert card.data == "one (Noise), split train, without a_*"


def test_a_run_without_a_validation_gives_its_newest(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path / "data"))
    model = use_run(_hand_made(tmp_path / "run", config, NETWORK.build(3).state_dict()), "mine")
    assert model.card.metrics == () and model.card.note == ""


def test_a_run_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", make_config(make_dataset(tmp_path / "data")))
    with pytest.raises(CheckpointError, match="no checkpoint"):
        use_run(run.path, "mine")


def test_pspnet_becomes_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = pspnet_spec("pspnet-small", PSPNetConfig(blocks=(1, 1, 1, 1), width=4))
    for module in (checkpoint, start):
        monkeypatch.setattr(module, "known_networks", lambda: {small.name: small})
    config = make_config(make_dataset(tmp_path / "data"), network=small.name)
    model = use_run(_hand_made(tmp_path / "run", config, small.build(3).state_dict()), "mine")
    network, spec = load_network(model)
    state = network.state_dict()
    assert spec is small
    assert state["aux.4.bias"].shape == (194,) and (state["cls.4.bias"] == -1e4).sum() == 191


def test_a_head_of_all_classes_keeps_what_its_start_knew(tmp_path: Path) -> None:
    """A fine-tuned model has not forgotten the classes that the new data lacks; random rows are no knowledge."""
    data = make_dataset(tmp_path / "data")
    state = NETWORK.build(194).state_dict()
    known = find_model("street-small").card.trained_classes
    for number, (begun, expected) in enumerate((("street-small", known), ("random", BY_ID), ("gone-model", BY_ID))):
        config = make_config(data, head="all", start=begun)
        model = use_run(_hand_made(tmp_path / f"run{number}", config, state), f"mine{number}")
        assert set(model.card.trained_classes) == set(expected)
        assert begun == "random" or f"begun from {begun}: " in model.card.licence


def test_a_run_that_began_with_a_run_knows_what_both_learned(tmp_path: Path) -> None:
    """The other rows of the first one's head are there, and nobody ever taught them anything."""
    data = make_dataset(tmp_path / "data")
    state = NETWORK.build(194).state_dict()
    first = _hand_made(tmp_path / "first", make_config(data, head="all"), state)
    config = make_config(data, head="all", start=str(first))
    config = dataclasses.replace(config, augment=dataclasses.replace(config.augment, rare_classes=()))
    config = with_dataset(config, classes={"Sky": "sky", "Road": "bed"})
    model = use_run(_hand_made(tmp_path / "second", config, state), "both")
    assert set(model.card.trained_classes) == {"sky", "road", "car", "bed"}


def test_runs_that_begin_with_one_another_come_to_an_end(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "data")
    state = NETWORK.build(194).state_dict()
    for name, other in (("one", "two"), ("two", "one")):
        _hand_made(tmp_path / name, make_config(data, head="all", start=str(tmp_path / other)), state)
    assert use_run(tmp_path / "one", "mine").card.trained_classes == BY_ID


def test_a_head_that_knows_everything_says_so(tmp_path: Path) -> None:
    state = NETWORK.build(194).state_dict()
    save_file(state, tmp_path / "all.safetensors")
    config = make_config(make_dataset(tmp_path / "data"), head="all", start=str(tmp_path / "all.safetensors"))
    model = use_run(_hand_made(tmp_path / "run", config, state), "mine")
    assert model.card.trained_classes == ()
    assert "begun from all.safetensors: not stated" in model.card.licence

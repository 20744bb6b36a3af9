"""From a checkpoint of a run to a model folder that the inference side loads.

`python -m mseg_studio.training.export RUN MODEL_FOLDER`: the head's trained rows go to their places in the taxonomy;
every other row gets weight 0 and bias -1e4, so that its probability is exactly 0 after the softmax.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from mseg_studio.errors import CheckpointError, ConfigError, MSegStudioError
from mseg_studio.networks.card import CARD_FILE, NOT_YET_HASHED, WEIGHTS_FILE, Metric, ModelCard, write_card
from mseg_studio.networks.catalog import InstalledModel, check_free_name, models_folder
from mseg_studio.networks.checkpoint import write_model
from mseg_studio.storage import sha256_file, write_atomic
from mseg_studio.training.checkpoint import RunState, load_checkpoint, load_newest
from mseg_studio.training.config import TrainConfig
from mseg_studio.training.config_file import config_from_dict
from mseg_studio.training.head import Head, head_of
from mseg_studio.training.run_card import CardTexts as CardTexts
from mseg_studio.training.run_card import texts_of_run
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.start import find_network, known_classes
from mseg_studio.training.start_rows import UNTRAINED_BIAS

_BEST, _LATEST = "best", "latest"


def use_run(run: Path, name: str, *, checkpoint: str | None = None, texts: CardTexts | None = None) -> InstalledModel:
    """Install a run's weights as model `name` in the user's folder: it appears complete or not at all.

    Without `checkpoint` it is the best one, or the newest where no validation was reached yet; without `texts` the card
    says what the run knows. Raises ConfigError for a name that cannot be, CheckpointError for one that is taken, for a
    run without a checkpoint and when the folder cannot be written; TaxonomyError.
    """
    check_free_name(name)
    folder = RunFolder.open(run)
    best = folder.checkpoints / _BEST
    state = _load(folder, checkpoint or (_BEST if best.is_dir() else _LATEST))
    config = config_from_dict(state.config)
    if texts is None:
        scored = state.best if state.best and state.best["step"] == state.step else None
        texts = texts_of_run(folder, config, scored)
    card, tensors = _model(state, config, name=name, texts=texts)
    return write_model(models_folder() / name, card, tensors)


def export_model(run: Path, destination: Path, *, checkpoint: str = "best", texts: CardTexts) -> ModelCard:
    """Write `destination/{card.yaml, weights.safetensors}` from a run's averaged weights, in float16.

    `checkpoint` is best, latest or a step. Raises CheckpointError, TaxonomyError, ConfigError, OSError.
    """
    state = _load(RunFolder.open(run), checkpoint)
    config = config_from_dict(state.config)
    card, tensors = _model(state, config, name=config.name, texts=texts)
    destination.mkdir(parents=True, exist_ok=True)
    weights = destination / WEIGHTS_FILE
    write_atomic(weights, save(tensors))
    card = dataclasses.replace(card, weights_sha256=sha256_file(weights))
    write_card(destination / CARD_FILE, card)
    return card


def _model(state: RunState, config: TrainConfig, *, name: str, texts: CardTexts) -> tuple[ModelCard, dict[str, Tensor]]:
    """The card, its hash still to be computed, and the weights in float16, the averaged ones where there are any."""
    head = head_of(config)
    tensors = full_head(state.average or state.network, network=config.network, head=head)
    card = ModelCard(
        name=name,
        network=config.network,
        num_classes=head.taxonomy.num_channels,
        taxonomy=head.taxonomy.name,
        crop_px=config.card_crop_px,
        base_size=config.base_size,
        weights_sha256=NOT_YET_HASHED,
        trained_classes=known_classes(config, head),
        **{field.name: getattr(texts, field.name) for field in dataclasses.fields(texts)},
    )
    return card, {key: _half(key, value) for key, value in tensors.items()}


def full_head(tensors: Mapping[str, Tensor], *, network: str, head: Head) -> dict[str, Tensor]:
    """The network's tensors with the head's rows at their ids in its taxonomy.

    Raises CheckpointError when the tensors have another number of rows.
    """
    rows = [row for row, name in enumerate(head.rows) if name]
    ids = torch.tensor([head.taxonomy.id_of(head.rows[row]) for row in rows])
    full = dict(tensors)
    for layer in find_network(network).class_layers:
        rows_weight, rows_bias = tensors[f"{layer}.weight"], tensors[f"{layer}.bias"]
        if len(rows_weight) != len(head.rows):
            raise CheckpointError(f"the head has {len(rows_weight)} rows, the configuration {len(head.rows)}")
        weight = rows_weight.new_zeros(head.taxonomy.num_channels, *rows_weight.shape[1:])
        bias = rows_bias.new_full((head.taxonomy.num_channels,), UNTRAINED_BIAS)
        weight[ids], bias[ids] = rows_weight[rows], rows_bias[rows]
        full |= {f"{layer}.weight": weight, f"{layer}.bias": bias}
    return full


def metric_from_evaluation(line: Mapping[str, Any]) -> Metric:
    """A result as `mseg-studio evaluate --json` prints it. Raises ConfigError."""
    try:
        iou = {str(name): round(float(value), 4) for name, value in line["iou"].items()}
        return Metric(line["dataset"], line["split"], _recipe_words(line["recipe"]), round(float(line["miou"]), 4), iou)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"this is no line of `mseg-studio evaluate --json`: {error!r}") from error


def _recipe_words(recipe: Any) -> str:
    """A recipe's fields on one line: `base_size 360, crop_px 361, scales 1.0, flip`; a name stays as it is."""
    if isinstance(recipe, str):
        return recipe
    words = [
        f"{key} {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in recipe.items()
        if not isinstance(value, bool) and key != "device"
    ]
    return ", ".join(words + [key for key, value in recipe.items() if value is True])


def main(arguments: Sequence[str]) -> int:
    """The command line of this module; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mseg_studio.training.export", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("destination", type=Path, help="model folder to write")
    parser.add_argument("--checkpoint", default="best", help="best (default), latest or a step")
    parser.add_argument("--licence", required=True, help="under which conditions the weights may be used")
    parser.add_argument("--data", required=True, help="what the network was trained on")
    parser.add_argument("--note", default="", help="what a person who uses the model should know")
    parser.add_argument("--command", default="", help="command lines that made the model")
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="day it was made, YYYY-MM-DD")
    parser.add_argument("--metrics", type=Path, nargs="*", default=[], help="outputs of `mseg-studio evaluate --json`")
    options = parser.parse_args(arguments)
    try:
        metrics = tuple(_read_metric(path) for path in options.metrics)
        command = options.command or shlex.join(["python", "-m", "mseg_studio.training.worker", str(options.run)])
        texts = CardTexts(options.licence, options.data, options.note, command, options.date, metrics)
        export_model(options.run, options.destination, checkpoint=options.checkpoint, texts=texts)
    except (MSegStudioError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _read_metric(path: Path) -> Metric:
    try:
        line = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    except (OSError, ValueError, IndexError) as error:
        raise ConfigError(f"no line of `mseg-studio evaluate --json` in it: {error}", path=path) from error
    return metric_from_evaluation(line)


def _load(folder: RunFolder, checkpoint: str) -> RunState:
    if checkpoint != _LATEST:
        name = f"{int(checkpoint):08d}" if checkpoint.isdigit() else checkpoint
        return load_checkpoint(folder.checkpoints / name)
    state, complaints = load_newest(folder.checkpoints)
    if state is None:
        raise CheckpointError(f"no checkpoint that can be read {'; '.join(complaints)}".strip(), path=folder.path)
    return state


def _half(key: str, value: Tensor) -> Tensor:
    """float16, unless a value would leave its range. Raises CheckpointError."""
    if not value.is_floating_point():
        return value.contiguous()
    half = value.half().contiguous()
    if not torch.isfinite(half).all():
        raise CheckpointError(f"tensor '{key}' has values that float16 cannot hold")
    return half


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

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
from mseg_studio.networks.card import CARD_FILE, WEIGHTS_FILE, Metric, ModelCard, write_card
from mseg_studio.storage import sha256_file, write_atomic
from mseg_studio.training.checkpoint import RunState, load_checkpoint, load_newest
from mseg_studio.training.config_file import config_from_dict
from mseg_studio.training.head import Head, head_of
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.start import find_network

UNTRAINED_BIAS = -1e4
"""Logit of a class that was not trained: exact in float16, and exp of it is 0 in float32."""


@dataclasses.dataclass(frozen=True, slots=True)
class CardTexts:
    """What a run folder does not know about the model it made."""

    licence: str
    data: str
    note: str = ""
    command: str = ""
    date: str = ""
    metrics: tuple[Metric, ...] = ()


def export_model(run: Path, destination: Path, *, checkpoint: str = "best", texts: CardTexts) -> ModelCard:
    """Write `destination/{card.yaml, weights.safetensors}` from a run's averaged weights, in float16.

    `checkpoint` is best, latest or a step. Raises CheckpointError, TaxonomyError, ConfigError, OSError.
    """
    state = _load(RunFolder.open(run), checkpoint)
    config = config_from_dict(state.config)
    head = head_of(config)
    taxonomy = head.taxonomy
    tensors = full_head(state.average or state.network, network=config.network, head=head)
    destination.mkdir(parents=True, exist_ok=True)
    weights = destination / WEIGHTS_FILE
    write_atomic(weights, save({key: _half(key, value) for key, value in tensors.items()}))
    card = ModelCard(
        name=config.name,
        network=config.network,
        num_classes=taxonomy.num_channels,
        taxonomy=taxonomy.name,
        crop_px=config.card_crop_px,
        base_size=config.base_size,
        weights_sha256=sha256_file(weights),
        trained_classes=head.trained,
        **{field.name: getattr(texts, field.name) for field in dataclasses.fields(texts)},
    )
    write_card(destination / CARD_FILE, card)
    return card


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
    if checkpoint != "latest":
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

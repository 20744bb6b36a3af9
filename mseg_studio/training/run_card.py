"""What the card of a run's model says: where its weights come from and how well they did, from the run alone."""

from __future__ import annotations

import datetime
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mseg_studio.errors import MSegStudioError
from mseg_studio.networks.card import Metric
from mseg_studio.networks.catalog import InstalledModel
from mseg_studio.training.config import DatasetConfig, TrainConfig
from mseg_studio.training.head import open_dataset
from mseg_studio.training.metrics_log import read_metrics
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.start_choice import start_of

_NOT_STATED = "not stated"
_NOTE = "Its scores are those of the run's own validation. `mseg-studio evaluate` gives numbers to compare."


@dataclass(frozen=True, slots=True)
class CardTexts:
    """What a run folder does not know about the model it made."""

    licence: str
    data: str
    note: str = ""
    command: str = ""
    date: str = ""
    metrics: tuple[Metric, ...] = ()


def texts_of_run(folder: RunFolder, config: TrainConfig, best: Mapping[str, Any] | None) -> CardTexts:
    """Licences and data as the descriptions of its datasets have them, scores of the validation that was best.

    `best` is that of a checkpoint: {miou, step}, None without a validation.
    """
    return CardTexts(
        licence=_licence(config),
        data="; ".join(_data(dataset) for dataset in config.trained),
        note=_NOTE if best else "",
        command=shlex.join(["mseg-studio", "train", f"{folder.path.name}/{folder.config_file.name}"]),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        metrics=_metrics(folder, config, best) if best else (),
    )


def _licence(config: TrainConfig) -> str:
    """The terms of everything that went into the weights."""
    terms = [f"{dataset.name}: {_described(dataset, 'licence') or _NOT_STATED}" for dataset in config.trained]
    start = _start(config)
    if isinstance(start, InstalledModel):
        terms.append(f"begun from {start.name}: {start.card.licence}")
    elif start:
        terms.append(f"begun from {start}: {_NOT_STATED}")
    return "; ".join(terms)


def _start(config: TrainConfig) -> InstalledModel | str:
    """The model or file it began with; empty for random weights."""
    try:
        start = start_of(config.start)
    except MSegStudioError:
        return config.start  # gone since: its name is all that is left
    return start if isinstance(start, InstalledModel) else "" if start is None else start.name


def _data(dataset: DatasetConfig) -> str:
    title = _described(dataset, "title")
    words = f"{dataset.name} ({title})" if title else dataset.name
    left_out = f", without {', '.join(f'{start}*' for start in dataset.leave_out)}" if dataset.leave_out else ""
    return f"{words}, split {dataset.train_split}{left_out}"


def _described(dataset: DatasetConfig, what: str) -> str:
    """A text of the dataset's description; empty where that is gone."""
    try:
        return str(getattr(open_dataset(dataset), what))
    except MSegStudioError:
        return ""


def _metrics(folder: RunFolder, config: TrainConfig, best: Mapping[str, Any]) -> tuple[Metric, ...]:
    """The best validation: of all datasets together, and where there are several of each."""
    event = _validation(folder, int(best["step"]))
    images = f"{config.validate_images} images of each split" if config.validate_images else "all images"
    recipe = f"validation while training: {images}, whole, one scale, no flip"
    names, splits = (
        ", ".join(dict.fromkeys(getattr(dataset, what) for dataset in config.validated))
        for what in ("name", "val_split")
    )
    together = Metric(names, splits, recipe, _fraction(best["miou"]), event.get("iou", {}))
    split = {dataset.name: dataset.val_split for dataset in config.validated}
    apart = [
        Metric(name, split[name], recipe, _fraction(miou))
        for name, miou in event.get("miou_by_dataset", {}).items()
        if name in split
    ]
    return (together, *apart)


def _validation(folder: RunFolder, step: int) -> dict[str, Any]:
    """The last validation after `step`, its classes' scores gathered from the lines that hold them."""
    found: dict[str, Any] = {}
    iou: dict[str, float] = {}
    if not folder.metrics_file.is_file():
        return found
    for event in read_metrics(folder.metrics_file):
        if event["step"] != step:
            continue
        if event["event"] == "iou" and "dataset" not in event:
            iou |= event["iou"]
        elif event["event"] == "validation":
            found = event | {"iou": {name: _fraction(value) for name, value in (iou | event.get("iou", {})).items()}}
            iou = {}
    return found


def _fraction(value: float) -> float:
    """A score as a card has it; one that is no number counts as 0."""
    return round(float(value), 4) if math.isfinite(value) else 0.0

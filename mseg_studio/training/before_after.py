"""Score a fine-tuned model against the one it started from: the same images, the same protocol, the same code."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mseg_studio.datasets.description import DatasetDescription, load_dataset
from mseg_studio.errors import CheckpointError, ConfigError, DatasetError, RunFailed
from mseg_studio.evaluation.evaluate import Evaluation, evaluate, predict_with
from mseg_studio.evaluation.metrics import metrics
from mseg_studio.evaluation.protocol import choose_protocol
from mseg_studio.evaluation.tables import Report, as_json
from mseg_studio.inference.loaded_model import load_model
from mseg_studio.inference.recipe import Recipe, preset
from mseg_studio.networks.catalog import InstalledModel, find_model, open_model_folder
from mseg_studio.progress import CancelToken, Progress
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.training.export import CardTexts, export_model
from mseg_studio.training.fine_tune import DESCRIPTION, FOLDER, PLAN
from mseg_studio.training.fine_tune_scores import Scores, read_scores, result_of, write_scores
from mseg_studio.training.fine_tune_source import HELD_OUT
from mseg_studio.training.run_folder import RunFolder


def score(
    folder: Path,
    *,
    device: str = "auto",
    cancel: CancelToken | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Scores:
    """Score the start and the best checkpoint of the fine-tuning in `folder` on its held-out part; keeps the numbers.

    Raises ConfigError (no fine-tuning), RunFailed (nothing to score yet), CheckpointError (the start is gone or another
    one), DatasetError and ImageReadError (labels or images were moved), Cancelled.
    """
    run = RunFolder.open(folder)
    facts = _facts(folder)
    dataset = load_dataset(folder / FOLDER / DESCRIPTION)
    result = result_of(folder)
    if not (run.checkpoints / "best").is_dir():
        raise RunFailed("there is no checkpoint to score yet: the run has not validated once", path=folder)
    start = find_model(str(facts["model"]))
    if start.card.weights_sha256 != facts["model_sha256"]:
        raise CheckpointError(f"model '{start.name}' is another one than the run started with", path=start.folder)
    # torch, not the engine that is fastest later: nothing is compiled for a model that nobody has chosen yet.
    recipe = dataclasses.replace(preset("balanced").for_published_numbers(), device=device, engine="torch")
    before = _known(folder, start) or _evaluated(start, dataset, recipe, "Before", cancel, on_progress)
    # Beside the run: a model folder of half a gigabyte may not fit where the system keeps temporary files.
    with tempfile.TemporaryDirectory(dir=folder / FOLDER, prefix=".mseg-part-") as place:
        destination = Path(place) / run.config().name
        export_model(folder, destination, checkpoint="best", texts=CardTexts(licence="", data=""))
        after = _evaluated(open_model_folder(destination), dataset, recipe, "After", cancel, on_progress)
    best = result.get("best")
    step = int(best["step"]) if isinstance(best, dict) and "step" in best else int(result.get("step", 0))
    scores = Scores(before, after, step, float(result.get("time", 0)))
    write_scores(folder, scores)
    return scores


def _evaluated(
    model: InstalledModel,
    dataset: DatasetDescription,
    recipe: Recipe,
    what: str,
    cancel: CancelToken | None,
    on_progress: Callable[[Progress], None],
) -> dict[str, Any]:
    """A model's numbers on the held-out part, with the keys of `mseg-studio evaluate --json`.

    Raises DatasetError when the held-out labels have no class that can be scored.
    """
    loaded = load_model(model)
    protocol = choose_protocol(dataset, default_catalog().taxonomy(model.card.taxonomy))
    predictor = loaded.predictor(recipe)
    result: Evaluation | None = None
    predict = predict_with(predictor, protocol, cancel=cancel)
    for event in evaluate(dataset, HELD_OUT, protocol=protocol, predict=predict, cancel=cancel):
        if isinstance(event, Evaluation):
            result = event
        else:
            on_progress(Progress(event.done, event.total, f"{what}: scoring {event.what}", event.seconds_left))
    if result is None:
        raise RunFailed("the scoring ended without a result", path=dataset.path)
    facts = loaded.facts(predictor)
    # Means over what the held-out labels have: then both models are measured on the same classes, however many others
    # one of them sees where it should not. Those pixels are missed all the same.
    there = {name for name, pixels in zip(protocol.taxonomy.names, result.matrix.truth, strict=True) if pixels}
    classes = tuple(name for name in protocol.classes if name in there)
    if not classes:
        raise DatasetError("no pixel of the held-out labels can be scored", path=dataset.path)
    report = Report(
        model=facts["model"],
        dataset=dataset.name,
        split=HELD_OUT,
        taxonomy=protocol.taxonomy.name,
        recipe=facts["recipe"],
        recipe_hash=facts["recipe_hash"],
        device=facts["device"],
        images=result.images,
        metrics=metrics(result.matrix, absent="skip", classes=classes),
        absent_as="skip",
    )
    return as_json(report)


def _known(folder: Path, start: InstalledModel) -> dict[str, Any] | None:
    """The numbers of the start when it was scored on these images already; they do not change."""
    try:
        scores = read_scores(folder)
    except ConfigError:
        return None
    if scores is None or scores.before.get("model_sha256") != start.card.weights_sha256:
        return None
    return dict(scores.before)


def _facts(folder: Path) -> dict[str, Any]:
    path = folder / FOLDER / PLAN
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ConfigError("this run is no fine-tuning: nothing was held out for scoring", path=folder) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be read: {error}", path=path) from error
    if not isinstance(values, dict) or not {"model", "model_sha256"} <= set(values):
        raise ConfigError("does not say which model the run started with", path=path)
    return values

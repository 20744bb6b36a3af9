"""`mseg-studio evaluate`: score a model on a labelled dataset."""

from __future__ import annotations

import argparse
from pathlib import Path

from mseg_studio.cli.command import FAILED, OK, Command, UsageError
from mseg_studio.cli.recipe_options import add_recipe_arguments, model_of, recipe_of
from mseg_studio.cli.terminal import ProgressLine, cancel_on_signals, print_json


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", required=True, metavar="D", help="description: a YAML file or a ready one's name")
    parser.add_argument("--root", action="append", type=Path, metavar="DIR", help="folder that holds the data")
    parser.add_argument("--split", metavar="S", help="split of the dataset (default: val, or the only one)")
    parser.add_argument("--taxonomy", metavar="T", help="score in T (default: the dataset's own, else universal)")
    add_recipe_arguments(parser)
    parser.add_argument(
        "--absent",
        choices=("zero", "skip"),
        default="zero",
        help="a class in neither truth nor prediction counts as 0 (default, as published) or not at all",
    )
    parser.add_argument("--skip-broken", action="store_true", help="leave out missing and broken files, and list them")
    parser.add_argument("--json", action="store_true", help="one JSON object, fractions from 0 to 1")


def _run(arguments: argparse.Namespace) -> int:
    from mseg_studio.datasets.description import load_dataset
    from mseg_studio.errors import TaxonomyError
    from mseg_studio.evaluation.evaluate import Evaluation, evaluate, predict_with
    from mseg_studio.evaluation.metrics import metrics
    from mseg_studio.evaluation.protocol import choose_protocol
    from mseg_studio.evaluation.tables import Report, as_json, as_text
    from mseg_studio.inference.loaded_model import load_model
    from mseg_studio.taxonomy.catalog import default_catalog

    recipe, installed = recipe_of(arguments).for_published_numbers(), model_of(arguments)
    dataset = load_dataset(arguments.dataset, root=arguments.root)
    split = _split(arguments.split, list(dataset.splits))
    try:
        source = default_catalog().taxonomy(installed.card.taxonomy)
        protocol = choose_protocol(dataset, source, taxonomy=arguments.taxonomy)
    except TaxonomyError as error:
        raise UsageError(str(error)) from error
    result: Evaluation | None = None
    with cancel_on_signals() as cancel:
        line = ProgressLine()
        model = load_model(installed)
        predictor = model.predictor(recipe)
        try:
            for event in evaluate(
                dataset,
                split,
                protocol=protocol,
                predict=predict_with(predictor, protocol, cancel=cancel),
                skip_broken=arguments.skip_broken,
                cancel=cancel,
            ):
                if isinstance(event, Evaluation):
                    result = event
                else:
                    line.show(event)
        finally:
            line.done()
    if result is None:
        return FAILED
    facts = model.facts(predictor)
    report = Report(
        model=facts["model"],
        dataset=dataset.name,
        split=split,
        taxonomy=protocol.taxonomy.name,
        recipe=facts["recipe"],
        recipe_hash=facts["recipe_hash"],
        device=facts["device"],
        images=result.images,
        metrics=metrics(result.matrix, absent=arguments.absent, classes=protocol.classes),
        absent_as=arguments.absent,
        skipped=result.skipped,
    )
    if arguments.json:
        print_json(as_json(report))
    else:
        print(as_text(report))
    return OK


def _split(asked: str | None, known: list[str]) -> str:
    """The split that was asked for (whether it exists, `pairs` says), else val, else the only one."""
    if asked is not None:
        return asked
    if "val" in known:
        return "val"
    if len(known) == 1:
        return known[0]
    raise UsageError(f"choose a split with --split: {', '.join(known)}")


COMMAND = Command(
    name="evaluate",
    help="mIoU, accuracy and IoU by class of a model on a labelled dataset",
    add_arguments=_add_arguments,
    run=_run,
    example="mseg-studio evaluate --model street-small --dataset examples/camvid.yaml --split val",
)

"""`mseg-studio models`: list, import, show, calibrate and remove the models that can be run."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mseg_studio.cli.command import OK, Command, UsageError
from mseg_studio.cli.terminal import ProgressLine, cancel_on_signals, print_json
from mseg_studio.errors import printable
from mseg_studio.media.folder import list_images
from mseg_studio.networks.card import ModelCard
from mseg_studio.networks.catalog import (
    BrokenModel,
    InstalledModel,
    UnknownModelError,
    find_model,
    remove_model,
    scan_models,
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="list|import|show|calibrate|remove", required=True)
    part = actions.add_parser("list", help="every model, and what is broken")
    part.set_defaults(act=_list)
    part.add_argument("--json", action="store_true", help="one JSON object a model, then a summary")

    part = actions.add_parser(
        "import",
        help="install a published checkpoint (.pth or .safetensors)",
        epilog="example: mseg-studio models import mseg-3m-480p.pth --name mseg-3m-480p",
    )
    part.set_defaults(act=_import)
    part.add_argument("file", metavar="FILE", type=Path, help="the checkpoint; nothing in it is run")
    part.add_argument("--name", required=True, help="what to call the model")
    part.add_argument("--taxonomy", metavar="T", help="taxonomy of its classes; known by itself for 194 classes")
    part.add_argument("--crop", metavar="PX", type=int, help="side of the window; known for the published file names")
    part.add_argument("--base-size", metavar="PX", type=int, help="short side of the image; known for published names")
    part.add_argument("--json", action="store_true", help="the new model as one JSON object")

    part = actions.add_parser("show", help="the card of a model")
    part.set_defaults(act=_show)
    part.add_argument("name", metavar="NAME")
    part.add_argument("--json", action="store_true", help="one JSON object")

    part = actions.add_parser(
        "calibrate",
        help="make a model ready for --precision int8, on images like those it will see",
        epilog="example: mseg-studio models calibrate mseg-3m-480p photos/",
    )
    part.set_defaults(act=_calibrate)
    part.add_argument("name", metavar="NAME")
    part.add_argument("images", metavar="IMAGES", nargs="+", type=Path, help="images, or folders of them")
    part.add_argument("--limit", metavar="N", type=int, default=16, help="images to use, spread evenly (default: 16)")
    part.add_argument("--json", action="store_true", help="what was measured as one JSON object")

    part = actions.add_parser("remove", help="delete an imported model")
    part.set_defaults(act=_remove)
    part.add_argument("name", metavar="NAME")
    part.add_argument("--json", action="store_true", help="one JSON object")


def _run(arguments: argparse.Namespace) -> int:
    try:
        code: int = arguments.act(arguments)
    except UnknownModelError as error:
        raise UsageError(error.reason) from error
    return code


def _list(arguments: argparse.Namespace) -> int:
    models = scan_models()
    if arguments.json:
        for model in models:
            print_json(_entry(model))
        good = sum(isinstance(model, InstalledModel) for model in models)
        print_json({"summary": {"done": good, "skipped": 0, "failed": len(models) - good}})
        return OK
    if not models:
        print("no model is installed; `mseg-studio models import FILE --name NAME` installs one")
        return OK
    width = max(len(printable(model.name)) for model in models)
    for model in models:
        print(f"{printable(model.name):{width}}  {_line(model)}")
    return OK


def _import(arguments: argparse.Namespace) -> int:
    from mseg_studio.networks.checkpoint import import_checkpoint, published_sizes

    file: Path = arguments.file
    if not file.exists():
        raise UsageError("no such file", path=file)
    line = ProgressLine()
    with cancel_on_signals() as cancel:
        try:
            model = import_checkpoint(
                file,
                name=arguments.name,
                taxonomy=arguments.taxonomy,
                crop_px=arguments.crop,
                base_size=arguments.base_size,
                on_progress=line.show,
                cancel=cancel,
            )
        finally:
            line.done()
    if published_sizes(file) is None and None in (arguments.crop, arguments.base_size):
        line.message(
            f"the file name says nothing about sizes: crop {model.card.crop_px} and base size {model.card.base_size} "
            "are taken; --crop and --base-size set others"
        )
    if arguments.json:
        print_json(_entry(model))
    else:
        print(f"imported {model.name}: {_line(model)}")
        print(f"  in {printable(str(model.folder))}")
    return OK


def _show(arguments: argparse.Namespace) -> int:
    model = find_model(arguments.name)
    if arguments.json:
        print_json(_entry(model))
        return OK
    print(f"{model.name}  {_line(model)}")
    for label, text in _facts(model.card):
        if text:
            print(f"  {label:16}{printable(text)}")
    print(f"  {'folder':16}{printable(str(model.folder))}")
    for metric in model.card.metrics:
        print(printable(f"  {metric.dataset} {metric.split}, {metric.recipe}: {100 * metric.miou:.2f} % mIoU"))
        for name, iou in metric.iou.items():
            print(f"    {100 * iou:6.2f}  {printable(name)}")
    return OK


def _calibrate(arguments: argparse.Namespace) -> int:
    from mseg_studio.inference.calibration import calibrate
    from mseg_studio.inference.loaded_model import load_model, sized_recipe
    from mseg_studio.inference.recipe import Recipe

    installed = find_model(arguments.name)
    images = _spread(_images(arguments.images), arguments.limit)
    line = ProgressLine()
    with cancel_on_signals() as cancel:
        source = load_model(installed).source
        recipe = sized_recipe(Recipe(), installed.card)
        try:
            record = calibrate(source, recipe, images, on_progress=line.show, cancel=cancel)
        finally:
            line.done()
    if arguments.json:
        print_json({"model": installed.name, **dataclasses.asdict(record)})
    else:
        print(f"calibrated {installed.name} on {record.crops} crops of {record.images} images")
        print(f"  {100 * record.agreement:.2f} % of the labels are those of float32, on {record.held_out} other images")
    return OK


def _images(inputs: Sequence[Path]) -> list[Path]:
    """The images among and in `inputs`. Raises UsageError for what is not there."""
    found: list[Path] = []
    for path in inputs:
        if not path.exists():
            raise UsageError("no such file or folder", path=path)
        found += [Path(image) for image in list_images(path)[0]] if path.is_dir() else [path]
    return found


def _spread(images: list[Path], limit: int) -> list[Path]:
    """At most `limit` of the images, evenly spread: neighbours show the same."""
    if limit < 2:
        raise UsageError(f"--limit is {limit}, expected 2 or more")
    count = min(limit, len(images))
    return [images[index * len(images) // count] for index in range(count)]


def _remove(arguments: argparse.Namespace) -> int:
    remove_model(arguments.name)
    if arguments.json:
        print_json({"name": arguments.name, "removed": True})
    else:
        print(f"removed {printable(arguments.name)}")
    return OK


def _entry(model: InstalledModel | BrokenModel) -> dict[str, Any]:
    """What --json says of a model: where it is, whether it can be used, and its card."""
    where = {"name": printable(model.name), "bundled": model.bundled, "folder": printable(str(model.folder))}
    if isinstance(model, BrokenModel):
        return where | {"state": "broken", "reason": model.reason}
    return where | {"state": "ready", "card": model.card.as_dict()}


def _line(model: InstalledModel | BrokenModel) -> str:
    if isinstance(model, BrokenModel):
        return f"broken: {printable(model.reason)}"
    card = model.card
    trained = f", {len(card.trained_classes)} of them trained" if card.trained_classes else ""
    shipped = "; shipped" if model.bundled else ""
    classes = f"{card.num_classes} classes of {card.taxonomy}{trained}"
    return printable(f"{card.network}, {classes}, crop {card.crop_px}, base size {card.base_size}{shipped}")


def _facts(card: ModelCard) -> tuple[tuple[str, str], ...]:
    return (
        ("licence", card.licence),
        ("data", card.data),
        ("trained classes", ", ".join(card.trained_classes)),
        ("note", card.note),
        ("made", card.date),
        ("command", card.command),
        ("weights sha256", card.weights_sha256),
        ("source sha256", card.source_sha256),
    )


COMMAND = Command(
    name="models",
    help="list, import, show, calibrate and remove models",
    add_arguments=_add_arguments,
    run=_run,
    example="mseg-studio models import mseg-3m-480p.pth --name mseg-3m-480p",
)

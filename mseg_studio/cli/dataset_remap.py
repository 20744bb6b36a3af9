"""`mseg-studio dataset remap`: labels of a dataset in another taxonomy."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mseg_studio.cli.command import FAILED, OK, UsageError
from mseg_studio.cli.segment import folder_name
from mseg_studio.cli.terminal import ProgressLine, cancel_on_signals, print_json
from mseg_studio.errors import printable

if TYPE_CHECKING:
    from mseg_studio.datasets.description import DatasetDescription
    from mseg_studio.datasets.remap import RemapOptions
    from mseg_studio.datasets.remap_plan import RemapTask


def add_action(actions: Any) -> None:
    """Add `remap` to the actions of `mseg-studio dataset`."""
    part = actions.add_parser(
        "remap",
        help="write the labels in another taxonomy, with a description of their own",
        description="Write the labels of a dataset in another taxonomy, as lossless PNGs with a description beside "
        "them that leads to the images where they are. A run that was stopped goes on where it was.",
        epilog="example: mseg-studio dataset remap cityscapes --root /data/cityscapes --to universal --output labels",
    )
    part.set_defaults(act=_remap)
    add_dataset_arguments(part)
    part.add_argument("--to", required=True, metavar="T", help="taxonomy of the new labels; the dataset's own too")
    add_output_arguments(part)


def add_dataset_arguments(part: argparse.ArgumentParser) -> None:
    """Which dataset, and where it lies."""
    part.add_argument("description", metavar="DESC", help="dataset description (YAML), or the name of a ready one")
    part.add_argument("--root", metavar="DIR", help="where the dataset lies, in place of the description's root")


def add_output_arguments(part: argparse.ArgumentParser, *, output_needed: bool = True) -> None:
    """Where labels go, and how they are written."""
    part.add_argument(
        "--output", required=output_needed, type=folder_name, metavar="DIR", help="folder for the new labels"
    )
    part.add_argument("--split", action="append", metavar="S", help="only this split; may be given several times")
    part.add_argument(
        "--unknown",
        choices=("stop", "ignore"),
        default="stop",
        help="ids that the description does not declare: stop with the file (default), or make them the ignore id",
    )
    part.add_argument("--threads", type=_threads, metavar="N", help="threads (default: all cores)")
    part.add_argument("--force", action="store_true", help="also what is done, and over files of others")
    part.add_argument("--no-palette", action="store_true", help="plain grey, without class colours as a palette")
    part.add_argument("--json", action="store_true", help="one JSON object a label file, a summary at the end")


def _threads(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError("expected a whole number from 1 to 256")
    return int(text)


def options_of(arguments: argparse.Namespace) -> RemapOptions:
    """What `add_output_arguments` reads."""
    from mseg_studio.datasets.remap import RemapOptions

    return RemapOptions(arguments.threads, arguments.force, not arguments.no_palette)


class LabelReport:
    """Tells of label files: results on stdout, the rest on stderr."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.line = ProgressLine()
        self.counts = {"done": 0, "skipped": 0, "failed": 0}

    def tell(self, task: RemapTask, status: Literal["done", "skipped"]) -> None:
        """One file is there."""
        self.counts[status] += 1
        if self._as_json:
            print_json({"input": str(task.pair.label), "output": str(task.output), "status": status})

    def failed(self, error: Exception) -> None:
        """Tell what ended the work."""
        self.line.done()
        self.counts["failed"] += 1
        if self._as_json:
            print_json({"input": getattr(error, "path", None), "status": "failed", "error": str(error)})
        self.line.message(f"mseg-studio: error: {error}")

    def summary(self, description: Path | None) -> None:
        """The last line."""
        self.line.done()
        if self._as_json:
            print_json({"description": None if description is None else str(description)})
            print_json({"summary": self.counts})
            return
        if description is not None:
            print(description, flush=True)
        self.line.message("mseg-studio: " + ", ".join(f"{number} {what}" for what, number in self.counts.items()))


def _remap(arguments: argparse.Namespace) -> int:
    from mseg_studio.datasets.description import load_dataset
    from mseg_studio.datasets.mapping import label_mapping
    from mseg_studio.datasets.remap import remap
    from mseg_studio.errors import DatasetError, ExportError, ImageReadError, TaxonomyError

    dataset = load_dataset(arguments.description, root=arguments.root)
    try:
        mapping = label_mapping(dataset, arguments.to, unknown=arguments.unknown)
    except TaxonomyError as error:
        raise UsageError(str(error)) from error
    report = LabelReport(as_json=arguments.json)
    tell_mapping(report.line, mapping.links, mapping.through, mapping.unmapped, mapping.target.name)
    tell_absent(report.line, dataset, arguments.split)
    description = None
    with cancel_on_signals() as cancel:
        try:
            description = remap(
                mapping,
                arguments.output,
                splits=arguments.split,
                options=options_of(arguments),
                on_progress=report.line.show,
                on_label=report.tell,
                cancel=cancel,
            ).description
        except (DatasetError, ExportError, ImageReadError) as error:
            report.failed(error)
        finally:
            report.summary(description)
    return OK if description is not None else FAILED


def tell_absent(line: ProgressLine, dataset: DatasetDescription, asked: list[str] | None) -> None:
    """Splits that are passed over, unless some were asked for."""
    from mseg_studio.datasets.remap_plan import absent_splits

    for name in () if asked else absent_splits(dataset):
        line.message(f"mseg-studio: split '{printable(name)}' is not here: left out")


def tell_mapping(line: ProgressLine, links: str, through: str | None, unmapped: tuple[str, ...], target: str) -> None:
    """What a person should know before the work: a composed map, and classes that become ignored."""
    if through is not None:
        line.message(f"mseg-studio: no links of its own lead to {target}: through {through}, {links}")
    if unmapped:
        names = ", ".join(printable(name) for name in unmapped[:8])
        more = f" and {len(unmapped) - 8} more" if len(unmapped) > 8 else ""
        line.message(f"mseg-studio: no class of {target} for {names}{more}: ignored")

"""`mseg-studio dataset convert`: labels of other programs and datasets as PNGs of ids."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mseg_studio.cli.command import CANCELLED, FAILED, OK, UsageError
from mseg_studio.cli.segment import folder_name
from mseg_studio.cli.terminal import ProgressLine, cancel_on_signals, print_json

if TYPE_CHECKING:
    from mseg_studio.datasets.convert import ConvertTask, Tally
    from mseg_studio.datasets.label_format import LabelFormat
    from mseg_studio.taxonomy.model import Taxonomy


def add_action(actions: Any) -> None:
    """Add `convert` to the actions of `mseg-studio dataset`."""
    part = actions.add_parser(
        "convert",
        help="write labels of other programs and datasets as PNGs of ids",
        description="Read labels in the format of another program or dataset and write them as PNGs of ids of a "
        "taxonomy. What is called by a name that the taxonomy lacks stops, or is ignored and counted when asked. A run "
        "that was stopped goes on where it was.",
        epilog="example: mseg-studio dataset convert --format labelme --taxonomy camvid-11 --output ids labels",
    )
    part.set_defaults(act=_convert)
    part.add_argument("inputs", nargs="*", type=Path, metavar="INPUT", help="label files, or folders of them")
    part.add_argument("--list", action="store_true", help="list the formats and what each needs, and end")
    part.add_argument("--format", metavar="F", help="format of the labels; --list shows them")
    part.add_argument("--taxonomy", metavar="T", help="taxonomy of the new labels")
    part.add_argument("--output", type=folder_name, metavar="DIR", help="folder for the new labels")
    part.add_argument("--annotations", type=Path, metavar="FILE", help="the annotation file that some formats have")
    part.add_argument(
        "--classes-from",
        type=Path,
        metavar="FILE",
        help="YAML with names, id_map or colour_map: what files call a class to its name in the taxonomy, or ignore",
    )
    part.add_argument("--images", type=Path, metavar="DIR", help="the images: also write a dataset description")
    part.add_argument("--image-suffix", metavar="S", help="end of an image's name, as _leftImg8bit.png")
    part.add_argument("--label-suffix", metavar="S", help="end of a label's name, as _gtFine_labelIds.png")
    part.add_argument(
        "--unknown",
        choices=("stop", "ignore"),
        default="stop",
        help="names, ids and colours that are not declared: stop with the file (default), or make them the ignore id",
    )
    part.add_argument("--dry-run", action="store_true", help="only count classes and what is unknown; writes nothing")
    part.add_argument("--json", action="store_true", help="one JSON object a line")


def _convert(arguments: argparse.Namespace) -> int:
    from mseg_studio.datasets.convert import convert, plan, write_description
    from mseg_studio.errors import MSegStudioError
    from mseg_studio.labels.importer import importer
    from mseg_studio.progress import Cancelled

    if arguments.list:
        return _list(as_json=arguments.json)
    labels = _label_format(arguments)
    output = arguments.output or Path()
    tasks = plan(
        arguments.inputs,
        output,
        importer(labels.name),
        label_suffix=arguments.label_suffix,
        images=arguments.images,
        image_suffix=arguments.image_suffix,
    )
    line, told = ProgressLine(), _Told(as_json=arguments.json)
    code = OK
    with cancel_on_signals() as cancel:
        try:
            tally = convert(
                tasks,
                labels,
                output,
                unknown=arguments.unknown,
                dry_run=arguments.dry_run,
                on_label=told.label,
                on_progress=line.show,
                cancel=cancel,
            )
            description = None
            if not arguments.dry_run:
                description = write_description(tasks, labels, output, output.resolve().name)
            line.done()
            told.tally(tally, labels.options.taxonomy, description)
            if arguments.dry_run and tally.unknown and arguments.unknown == "stop":
                code = FAILED
        except Cancelled:
            code = CANCELLED
            line.done()
            line.message("mseg-studio: cancelled")
        except MSegStudioError as error:
            code = FAILED
            told.failed(error)
            line.message(f"mseg-studio: error: {error}")
    line.done()
    if arguments.json:
        print_json({"summary": {"done": told.done, "skipped": told.skipped, "failed": told.failures}})
    return code


def _label_format(arguments: argparse.Namespace) -> LabelFormat:
    """What the command line says of the labels. Raises UsageError."""
    from mseg_studio.datasets.convert import Words, read_words
    from mseg_studio.datasets.label_format import LabelFormat
    from mseg_studio.errors import DatasetError, TaxonomyError
    from mseg_studio.labels.importer import ImportOptions, importer
    from mseg_studio.taxonomy.catalog import default_catalog

    for name in ("format", "taxonomy", *(() if arguments.dry_run else ("output",))):
        if getattr(arguments, name) is None:
            raise UsageError(f"--{name} is missing")
    if not arguments.inputs:
        raise UsageError("no labels are given")
    missing = [path for path in (*arguments.inputs, arguments.annotations) if path is not None and not path.exists()]
    if missing:
        raise UsageError(f"{missing[0]}: no such file")
    words = Words() if arguments.classes_from is None else read_words(arguments.classes_from)
    try:
        one = importer(arguments.format)
        taxonomy = default_catalog().taxonomy(arguments.taxonomy)
    except (DatasetError, TaxonomyError) as error:
        raise UsageError(str(error)) from error
    if one.needs_annotations and arguments.annotations is None:
        raise UsageError(f"--annotations is missing: labels of the format {one.name} need {one.annotations}")
    if not one.annotations and arguments.annotations is not None:
        raise UsageError(f"labels of the format {one.name} have no annotation file")
    try:
        options = ImportOptions(taxonomy, arguments.annotations, words.id_map, words.colour_map, words.names)
    except TaxonomyError as error:
        raise UsageError(f"{arguments.classes_from}: {error}") from error
    return LabelFormat(one.name, options)


def _list(*, as_json: bool) -> int:
    from mseg_studio.labels.importer import importers

    width = max(len(name) for name in importers())
    for one in importers().values():
        if as_json:
            print_json(
                {
                    "name": one.name,
                    "title": one.title,
                    "label_suffixes": list(one.label_suffixes),
                    "annotations": one.annotations or None,
                    "needs_annotations": one.needs_annotations,
                }
            )
        else:
            needs = f"; --annotations: {one.annotations}" if one.annotations else ""
            print(f"{one.name:{width}}  {one.title}{needs}")
    return OK


class _Told:
    """Tells of label files on stdout and counts them."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.done = self.skipped = self.failures = 0

    def label(self, task: ConvertTask, status: str) -> None:
        if status == "counted":
            return
        self.done += status == "done"
        self.skipped += status == "skipped"
        if self._as_json:
            print_json({"input": str(task.source), "output": str(task.output), "status": status})

    def failed(self, error: Any) -> None:
        self.failures += 1
        if self._as_json:
            print_json({"input": error.path, "status": "failed", "error": str(error)})

    def tally(self, tally: Tally, taxonomy: Taxonomy, description: Path | None) -> None:
        """The classes, what was unknown and what was left out."""
        from mseg_studio.errors import printable

        total = tally.pixels.total()
        rows: list[dict[str, Any]] = [
            {"id": number, "name": info.name if (info := taxonomy.get(number)) else "ignored", "pixels": pixels}
            for number, pixels in tally.pixels.most_common()
        ]
        if self._as_json:
            unknown = [
                {"what": what, "pixels": pixels, "files": tally.unknown_files[what]}
                for what, pixels in tally.unknown.most_common()
            ]
            print_json({"classes": rows, "unknown": unknown, "left_out": dict(tally.notes)})
            if description is not None:
                print_json({"description": str(description)})
            return
        for row in rows:
            print(f"{row['id']:6} {row['pixels']:14}  {row['pixels'] / total:8.4%}  {printable(str(row['name']))}")
        for what, pixels in tally.unknown.most_common():
            files = tally.unknown_files[what]
            print(f"unknown: {printable(what)}: {pixels} pixels in {files} file{'' if files == 1 else 's'}")
        for what, number in tally.notes.items():
            print(f"note: {number} {printable(what)}")
        if tally.counts["skipped"]:
            print(f"note: {tally.counts['skipped']} were done before and are not counted")
        if description is not None:
            print(description)

"""`mseg-studio dataset relabel`: apply relabeling records to a copy of the labels."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mseg_studio.cli.command import FAILED, OK, UsageError
from mseg_studio.cli.dataset_remap import (
    LabelReport,
    add_dataset_arguments,
    add_output_arguments,
    options_of,
    tell_absent,
    tell_mapping,
)
from mseg_studio.cli.terminal import cancel_on_signals, print_json

if TYPE_CHECKING:
    from mseg_studio.datasets.mapping import LabelMapping
    from mseg_studio.datasets.records import Record
    from mseg_studio.datasets.relabel import Relabeled
    from mseg_studio.datasets.relabel_segments import SegmentSource
    from mseg_studio.progress import CancelToken

IN_LABELS = "labels"
_TOLD = 20
_FAILURES = ("conflict", "no segment")
_WORTH_TELLING = (*_FAILURES, "nothing", "no image")


def add_action(actions: Any) -> None:
    """Add `relabel` to the actions of `mseg-studio dataset`."""
    part = actions.add_parser(
        "relabel",
        help="apply relabeling records (MSeg's lists or your own) to a copy of the labels",
        description="Apply relabeling records to a copy of the labels: only pixels of a record's segment that have its "
        "first class change. Records are JSON lines, or MSeg's published lists under their own names.",
        epilog="example: mseg-studio dataset relabel coco-panoptic --to coco-panoptic-133-relabeled "
        "--records relabeled_data/cocop_*/*.txt --segments annotations/panoptic_val2017 --output relabeled",
    )
    part.set_defaults(act=_relabel)
    add_dataset_arguments(part)
    part.add_argument("--records", required=True, nargs="+", type=Path, metavar="FILE", help="files of records")
    part.add_argument("--to", metavar="T", help="taxonomy of the new labels (default: the dataset's own)")
    part.add_argument("--masks", type=Path, metavar="DIR", help="pictures of masks; pixels that are not 0 are in")
    part.add_argument(
        "--segments",
        metavar="DIR",
        help="the dataset's own pictures (or polygons) of segments; `labels`: a segment is a number in the label file",
    )
    part.add_argument("--from-class", metavar="C", help="for lists whose name does not say: the class to change")
    part.add_argument("--to-class", metavar="C", help="for lists whose name does not say: the class it becomes")
    part.add_argument("--dry-run", action="store_true", help="say what would change, and write nothing")
    add_output_arguments(part, output_needed=False)


def _relabel(arguments: argparse.Namespace) -> int:
    from mseg_studio.datasets.description import load_dataset
    from mseg_studio.datasets.mapping import label_mapping
    from mseg_studio.errors import DatasetError, ExportError, ImageReadError, TaxonomyError

    if arguments.output is None and not arguments.dry_run:
        raise UsageError("the following arguments are required: --output (or --dry-run)")
    dataset = load_dataset(arguments.description, root=arguments.root)
    try:
        mapping = label_mapping(dataset, arguments.to or dataset.taxonomy.name, unknown=arguments.unknown)
    except TaxonomyError as error:
        raise UsageError(str(error)) from error
    source = _source(arguments)
    report = LabelReport(as_json=arguments.json)
    result: Relabeled | None = None
    with cancel_on_signals() as cancel:
        try:
            records = _records(arguments)
            tell_mapping(report.line, mapping.links, mapping.through, mapping.unmapped, mapping.target.name)
            tell_absent(report.line, dataset, arguments.split)
            result = _run(arguments, mapping, records, source, report, cancel)
        except (DatasetError, ExportError, ImageReadError) as error:
            report.failed(error)
        finally:
            report.line.done()
            if result is not None:
                _tell(result, report, as_json=arguments.json)
            report.summary(None if result is None or result.labels is None else result.labels.description)
    failed = result is None or any(one.outcome in _FAILURES for one in result.applied)
    return FAILED if failed else OK


def _run(
    arguments: argparse.Namespace,
    mapping: LabelMapping,
    records: list[Record],
    source: SegmentSource,
    report: LabelReport,
    cancel: CancelToken,
) -> Relabeled:
    from mseg_studio.datasets.relabel import relabel, try_relabel

    common: dict[str, Any] = {"splits": arguments.split, "on_progress": report.line.show, "cancel": cancel}
    if arguments.dry_run:
        return try_relabel(mapping, records, source, **common)
    return relabel(
        mapping, records, source, arguments.output, options=options_of(arguments), on_label=report.tell, **common
    )


def _source(arguments: argparse.Namespace) -> SegmentSource:
    from mseg_studio.datasets.relabel_segments import SegmentSource

    in_labels = arguments.segments == IN_LABELS
    folder = None if in_labels or arguments.segments is None else Path(arguments.segments)
    for path in (arguments.masks, folder):
        if path is not None and not path.is_dir():
            raise UsageError(f"{path}: no such folder")
    return SegmentSource(arguments.masks, folder, in_labels)


def _records(arguments: argparse.Namespace) -> list[Record]:
    from mseg_studio.datasets.records import is_record_file, read_records
    from mseg_studio.datasets.records_published import read_published

    found: list[Record] = []
    for path in arguments.records:
        if is_record_file(path) or path.suffix == ".jsonl":
            found.extend(read_records(path))
        else:
            found.extend(read_published(path, from_class=arguments.from_class, to_class=arguments.to_class))
    return found


def _tell(result: Relabeled, report: LabelReport, *, as_json: bool) -> None:
    """Records by outcome; those that did nothing are named."""
    if as_json:
        for one in result.applied:
            print_json({"record": one.record.as_dict(), "outcome": one.outcome, "pixels": one.pixels})
    strange = [one for one in result.applied if one.outcome in _WORTH_TELLING]
    for one in strange[:_TOLD]:
        report.line.message(f"mseg-studio: {one.line()}")
    if len(strange) > _TOLD:
        report.line.message(f"mseg-studio: and {len(strange) - _TOLD} more records like these; --json names them all")
    counts = ", ".join(f"{number} {outcome}" for outcome, number in result.counts.items())
    report.line.message(f"mseg-studio: records: {counts or 'none'}")

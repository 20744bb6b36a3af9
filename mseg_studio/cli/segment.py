"""`mseg-studio segment`: images, folders and videos to label files."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mseg_studio.cli.command import CANCELLED, FAILED, OK, Command, UsageError
from mseg_studio.cli.readout_options import add_readout_arguments, readout_of
from mseg_studio.cli.recipe_options import add_recipe_arguments, model_of, recipe_of
from mseg_studio.cli.segment_estimate import learning, tell_estimates
from mseg_studio.cli.terminal import ProgressLine, cancel_on_signals, print_json

if TYPE_CHECKING:
    from mseg_studio.inference.batch import BatchEvent
    from mseg_studio.inference.jobs import Job
    from mseg_studio.inference.pipeline import Segment
    from mseg_studio.inference.recipe import Recipe
    from mseg_studio.labels.output_layout import InputItem
    from mseg_studio.networks.catalog import InstalledModel
    from mseg_studio.progress import CancelToken


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="image, folder of images, or video")
    parser.add_argument("--output", type=folder_name, metavar="DIR", help="folder for the results")
    parser.add_argument("--taxonomy", default="universal", metavar="T", help="output taxonomy (default: universal)")
    parser.add_argument(
        "--save",
        type=names_of_outputs,
        default=("ids", "video"),
        metavar="NAME,...",
        help="ids, colour, overlay, scores, video and other exporters (default: ids,video); video is for videos only",
    )
    parser.add_argument(
        "--devices",
        metavar="D,D,...",
        help="share the work, one process a device: 0,1 for two GPUs, cpu,cpu for two halves of the CPU",
    )
    parser.add_argument(
        "--estimate", action="store_true", help="say crops, passes, seconds and memory, and segment nothing"
    )
    parser.add_argument("--redo", action="store_true", help="also what is done already under the same recipe")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, a summary at the end")
    add_recipe_arguments(parser)
    add_readout_arguments(parser)


def folder_name(text: str) -> Path:
    """A folder for results. An empty word is an unset variable of a script, not the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("the name of the folder is empty")
    return Path(text)


def names_of_outputs(text: str) -> tuple[str, ...]:
    """The names in `--save`, checked before anything is loaded."""
    from mseg_studio.errors import nearest
    from mseg_studio.inference.batch import SCORES, VIDEO
    from mseg_studio.labels.export import exporters

    known = {SCORES, VIDEO, *exporters()}
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"unknown output '{name}'{nearest(name, known)}")
    if not names:
        raise argparse.ArgumentTypeError("names no output")
    return names


def _run(arguments: argparse.Namespace) -> int:
    from mseg_studio.errors import ExportError, printable
    from mseg_studio.inference.batch import segment_to_files
    from mseg_studio.labels.output_layout import plan_outputs

    recipe, installed = recipe_of(arguments), model_of(arguments)
    report = _Report(as_json=arguments.json)
    if arguments.estimate:
        items = _input_items(arguments.inputs, report)
        tell_estimates(items, recipe, installed.card, as_json=arguments.json, broken=report.broken)
        return FAILED if report.failed else OK
    if arguments.output is None:
        raise UsageError("the following arguments are required: --output")
    with cancel_on_signals() as cancel:
        items = _input_items(arguments.inputs, report)
        still = next((item for item in items if not item.is_video), None)
        if arguments.smooth and still is not None:
            raise UsageError(f"--smooth is for videos; {printable(str(still.path))} is an image")
        try:
            plan = plan_outputs(items, arguments.output)
        except ExportError as error:  # outputs that would meet, or replace an input: nothing has been written
            raise UsageError(str(error)) from error
        try:
            arguments.output.mkdir(parents=True, exist_ok=True)
            if plan:
                with _job(arguments, installed, recipe, cancel) as (job, segment):
                    report.facts = {key: job.facts[key] for key in ("readout",) if key in job.facts}
                    options: dict[str, Any] = {"redo": arguments.redo, "cancel": cancel, "segment": segment}
                    for event in segment_to_files(job, plan, arguments.save, **options):
                        report.tell(event)
        finally:
            report.summary(several=len(arguments.inputs) > 1 or Path(arguments.inputs[0]).is_dir())
    return CANCELLED if cancel.cancelled else FAILED if report.failed else OK


@contextlib.contextmanager
def _job(
    arguments: argparse.Namespace, installed: InstalledModel, recipe: Recipe, cancel: CancelToken
) -> Iterator[tuple[Job, Segment]]:
    """The job and what segments its frames: a predictor here, or processes that live as long as the block."""
    from mseg_studio.errors import TaxonomyError
    from mseg_studio.inference.batch import SCORES
    from mseg_studio.inference.fleet import Fleet, parse_devices
    from mseg_studio.inference.jobs import Job
    from mseg_studio.inference.loaded_model import load_model
    from mseg_studio.inference.pipeline import segment_here
    from mseg_studio.labels.export import measures_of
    from mseg_studio.labels.score_map import DEFAULT_K
    from mseg_studio.settings import available_cores
    from mseg_studio.taxonomy.catalog import default_catalog

    try:
        projection = default_catalog().projection(installed.card.taxonomy, arguments.taxonomy)
    except TaxonomyError as error:
        raise UsageError(str(error)) from error
    readout = readout_of(arguments, projection.target)
    wanted: dict[str, Any] = {
        "top_k": DEFAULT_K if SCORES in arguments.save or arguments.smooth else 0,
        "readout": readout,
        "measures": measures_of(arguments.save),
        "smoothing": arguments.smooth,
    }
    told = readout.facts(projection.target, smoothing=arguments.smooth)
    if arguments.devices is None:
        model = load_model(installed)
        predictor = model.predictor(recipe)
        yield Job(predictor, projection, model.facts(predictor) | told, **wanted), learning(segment_here)
        return
    if arguments.device is not None:
        raise UsageError("--device and --devices do not go together")
    devices = parse_devices(arguments.devices)
    with Fleet(devices, model=installed.name, recipe=recipe, cores=available_cores()) as fleet:
        yield Job(None, projection, fleet.prepare(cancel) | told, **wanted), fleet.segment


def _input_items(inputs: Sequence[str], report: _Report) -> list[InputItem]:
    """Every image and video of the inputs. Raises UsageError for an input that is not there."""
    from mseg_studio.errors import ImageReadError, printable
    from mseg_studio.labels.output_layout import InputItem
    from mseg_studio.media.folder import list_images

    missing = [text for text in inputs if not text or not Path(text).exists()]
    if missing:
        raise UsageError(f"{printable(missing[0]) or 'an empty name'}: no such file or folder")
    items = []
    for text in inputs:
        path = Path(text)
        if not path.is_dir():
            items.append(InputItem(path, is_video=_is_video(path)))
            continue
        images, skipped = list_images(path)
        for entry in skipped:
            report.note(f"{printable(entry.path)}: left out: {entry.reason}")
        if not images:
            report.broken(path, ImageReadError("the folder holds no images", path=path))
        items.extend(InputItem(Path(image), root=path) for image in images)
    return items


def _is_video(path: Path) -> bool:
    """By the name; where it says nothing, by what the file can be opened as."""
    from mseg_studio.errors import MSegStudioError
    from mseg_studio.media.file_kinds import is_image_path, is_video_path
    from mseg_studio.media.source import open_source

    if is_image_path(path) or is_video_path(path):
        return is_video_path(path)
    try:
        with open_source(path) as source:
            return source.info.kind == "video"
    except MSegStudioError:
        return False  # read as an image it fails with the reason


class _Report:
    """What the person or the program that called is told: results on stdout, the rest on stderr."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._line = ProgressLine()
        self._told = 0
        self.facts: dict[str, Any] = {}
        """What is said of every input that is done."""
        self.done = self.skipped = self.failed = 0

    def tell(self, event: BatchEvent) -> None:
        """Tell about one event of the batch."""
        from mseg_studio.errors import printable
        from mseg_studio.inference.batch import ItemBroken, ItemDone
        from mseg_studio.progress import Progress

        if isinstance(event, Progress):
            self._line.show(event)
            return
        self._line.done()
        if isinstance(event, ItemBroken):
            self.broken(event.path, event.error)
            return
        outputs = [str(path) for path in event.outputs]
        fields: dict[str, Any] = {"input": str(event.path), "outputs": outputs, **self.facts}
        if isinstance(event, ItemDone):
            self.done += 1
            fields |= {"status": "done", "frames": event.frames, "seconds": round(event.seconds, 3)}
            if event.notes:
                fields["notes"] = list(event.notes)
            for note in event.notes:
                self.note(f"warning: {printable(str(event.path))}: {note}")
        else:
            self.skipped += 1
            fields |= {"status": "skipped"}
        if self._as_json:
            print_json(fields)
        elif isinstance(event, ItemDone):
            print("\n".join(outputs[:-1] or outputs), flush=True)

    def broken(self, path: Path, error: Exception) -> None:
        """Tell about an input that failed."""
        self.failed += 1
        if self._as_json:
            print_json({"input": str(path), "status": "failed", "error": str(error)})
        self._line.message(f"mseg-studio: error: {error}")

    def note(self, text: str) -> None:
        """Tell something that is no failure."""
        self._line.message(f"mseg-studio: {text}")

    def summary(self, *, several: bool) -> None:
        """The last line."""
        self._line.done()
        counts = {"done": self.done, "skipped": self.skipped, "failed": self.failed}
        if self._as_json:
            print_json({"summary": counts})
        elif several or self.skipped:
            self.note(", ".join(f"{number} {what}" for what, number in counts.items()))


COMMAND = Command(
    name="segment",
    help="segment images, folders and videos into label files",
    add_arguments=_add_arguments,
    run=_run,
    example="mseg-studio segment photos/ film.mp4 --output labels --taxonomy cityscapes-19 --save ids,overlay,video",
)

"""Label files of another program or dataset as PNGs of ids, with a description. Stopped runs go on where they were."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from mseg_studio.datasets.description import FORMAT
from mseg_studio.datasets.keys import mapping_of, number_of, text_of
from mseg_studio.datasets.label_format import LabelFormat
from mseg_studio.datasets.output_folder import DESCRIPTION_FILE, opened_output
from mseg_studio.datasets.pairing import Pair
from mseg_studio.datasets.remap_plan import refuse_in_list
from mseg_studio.errors import ConfigError, DatasetError, ExportError
from mseg_studio.labels.export_errors import export_errors
from mseg_studio.labels.importer import Importer, Reading, Unknown
from mseg_studio.media.image import is_image_path, write_ids_png
from mseg_studio.plain_yaml import read_yaml
from mseg_studio.progress import CancelToken, Progress, ProgressClock
from mseg_studio.settings import available_cores
from mseg_studio.storage import is_leftover, write_atomic
from mseg_studio.taxonomy.palette import palette_rgb

LIST_FILE = "all.txt"
_AHEAD = 8
"""Files a thread may be ahead of the one that is waited for."""
_WORD_KEYS = ("id_map", "colour_map", "names")

Status = Literal["done", "skipped", "counted"]


@dataclass(frozen=True, slots=True)
class ConvertTask:
    """One label file to make of another, and its image where it is known."""

    source: Path
    output: Path
    image: Path | None = None


@dataclass(slots=True)
class Tally:
    """What was read: pixels by class id, what was unknown, what was left out."""

    pixels: Counter[int] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    unknown_files: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    counts: Counter[Status] = field(default_factory=Counter)

    def add(self, reading: Reading) -> None:
        """Count one file."""
        labels = reading.labels
        for info, pixels in labels.counts():
            self.pixels[info.id] += pixels
        ignored = labels.ids_HW.size - sum(pixels for _, pixels in labels.counts())
        if ignored:
            self.pixels[labels.taxonomy.ignore_id] += ignored
        self.unknown.update(reading.unknown)
        self.unknown_files.update(reading.unknown.keys())
        for note in reading.notes:
            number, _, what = note.partition(" ")
            self.notes[what] += int(number)


@dataclass(frozen=True, slots=True)
class Words:
    """What a file of `--classes-from` says: numbers, colours and names in label files to classes or `ignore`."""

    id_map: Mapping[int, str] = field(default_factory=dict)
    colour_map: Mapping[tuple[int, int, int], str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


def read_words(path: Path) -> Words:
    """A YAML file with the keys id_map, colour_map and names. Raises ConfigError naming the file and the key."""
    try:
        values = mapping_of(read_yaml(path), "a file of classes", allowed=_WORD_KEYS)
        maps = {key: mapping_of(values.get(key, {}), key) for key in _WORD_KEYS}
        colours = {}
        for colour, name in maps["colour_map"].items():
            if not isinstance(colour, tuple) or len(colour) != 3:
                raise ConfigError(f"colour_map: {colour!r:.60} is no colour, expected [red, green, blue]")
            red, green, blue = (number_of(value, f"colour_map.{list(colour)}", 255) for value in colour)
            colours[red, green, blue] = text_of(name, f"colour_map.{list(colour)}")
        return Words(
            {number_of(n, "id_map", 65535): text_of(name, f"id_map.{n}") for n, name in maps["id_map"].items()},
            colours,
            {text_of(n, "names"): text_of(name, f"names.{n}") for n, name in maps["names"].items()},
        )
    except ConfigError as error:
        raise ConfigError(error.reason, path=path) from error


def plan(
    inputs: Sequence[Path],
    output: Path,
    one: Importer,
    *,
    label_suffix: str | None = None,
    images: Path | None = None,
    image_suffix: str | None = None,
) -> tuple[ConvertTask, ...]:
    """What is to be made of label files, and of all files below folders that end as labels of the format do.

    A label keeps its path below the folder; `label_suffix` at its end goes (else its file type), and with `images` the
    image of the same path without `image_suffix` belongs to it. Raises DatasetError for a folder without labels, a
    label without image, two labels for one output.
    """
    endings = (label_suffix,) if label_suffix else one.label_suffixes
    known = None if images is None else _by_stem(images, image_suffix)
    found: dict[str, ConvertTask] = {}
    for given in inputs:
        for source, name in _labels(given, endings):
            stem = _stem(name, label_suffix)
            target = output / f"{stem}.png"
            key = os.path.normcase(target)
            if key in found:
                raise DatasetError(f"as well as {found[key].source}: two labels for {target}", path=source)
            image = source if one.by_image else None
            if known is not None and not one.by_image:
                image = known.get(stem)
                if image is None:
                    raise DatasetError(f"no image called {stem} in {images}", path=source)
            found[key] = ConvertTask(source, target, image)
    sources = {os.path.realpath(path) for task in found.values() for path in (task.source, task.image) if path}
    for task in found.values():
        if os.path.realpath(task.output) in sources:
            raise ExportError("would replace what it is made from; choose another folder", path=task.output)
    return tuple(found.values())


def convert(
    tasks: Sequence[ConvertTask],
    labels: LabelFormat,
    output: Path,
    *,
    unknown: Unknown = "stop",
    dry_run: bool = False,
    threads: int | None = None,
    on_label: Callable[[ConvertTask, Status], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    cancel: CancelToken | None = None,
) -> Tally:
    """Write the labels of all tasks, lossless, with the class colours as palette; with `dry_run` only count.

    The first file that cannot be read ends it; what is done stays and the next run goes on there. A dry run counts what
    is unknown and goes on. Raises DatasetError, ImageReadError, ExportError and Cancelled.
    """
    taxonomy, clock = labels.options.taxonomy, ProgressClock(len(tasks), "labels")
    tally, token = Tally(), cancel or CancelToken()
    palette = palette_rgb(taxonomy) if taxonomy.ignore_id == 255 else None

    def count(task: ConvertTask) -> Reading:
        return labels.reading(Pair(task.source, task.source), unknown="ignore")

    def make(task: ConvertTask) -> Reading:
        reading = labels.reading(Pair(task.source, task.source), unknown=unknown)
        write_ids_png(task.output, reading.labels.ids_HW, palette)
        return reading

    def tell(task: ConvertTask, status: Status, reading: Reading | None) -> None:
        if reading is not None:
            tally.add(reading)
        tally.counts[status] += 1
        if on_label is not None:
            on_label(task, status)
        if on_progress is not None:
            on_progress(clock.at(tally.counts.total()))

    if dry_run:
        for task, reading in _ordered(tasks, count, threads, token):
            tell(task, "counted", reading)
        return tally
    key = _key(labels, unknown)
    with opened_output(output, [task.output for task in tasks]) as state:
        done = [task for task in tasks if state.is_done(task.source, task.output, key)]
        for task in done:
            tell(task, "skipped", None)
        left = set(tasks) - set(done)
        for task, reading in _ordered([task for task in tasks if task in left], make, threads, token):
            with export_errors(task.output):
                state.add(task.source, task.output, key, zlib.crc32(task.output.read_bytes()))
            tell(task, "done", reading)
    return tally


def write_description(tasks: Sequence[ConvertTask], labels: LabelFormat, output: Path, name: str) -> Path | None:
    """A description of the new labels with their images; None when an image is not known. Raises ExportError."""
    lines = []
    for task in tasks:
        if task.image is None:
            return None
        words = (Path(os.path.abspath(task.image)).as_posix(), task.output.relative_to(output).as_posix())  # noqa: PTH100 - links stay
        refuse_in_list(task.image, *words)
        lines.append("\t".join(words) + "\n")
    taxonomy = labels.options.taxonomy.name
    values: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "taxonomy": taxonomy,
        "splits": {"all": {"list": LIST_FILE}},
    }
    text = (
        f"# Made of labels in the format {labels.name}.\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}"
    )
    for file, content in ((LIST_FILE, "".join(lines)), (DESCRIPTION_FILE, text)):
        with export_errors(output / file):
            write_atomic(output / file, content.encode())
    return output / DESCRIPTION_FILE


def _ordered(
    tasks: Iterable[ConvertTask],
    work: Callable[[ConvertTask], Reading],
    threads: int | None,
    cancel: CancelToken,
) -> Iterator[tuple[ConvertTask, Reading]]:
    """Results in order; a few files are under way at a time, so memory does not grow with their number."""
    number = threads or available_cores()
    waiting: deque[tuple[ConvertTask, Future[Reading]]] = deque()
    with ThreadPoolExecutor(number) as pool:
        try:
            for task in tasks:
                cancel.raise_if_cancelled()
                waiting.append((task, pool.submit(work, task)))
                if len(waiting) > number * _AHEAD:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                cancel.raise_if_cancelled()
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _key(labels: LabelFormat, unknown: Unknown) -> str:
    """Hash of all that decides labels but for the label files themselves."""
    taxonomy = labels.options.taxonomy
    classes = [[info.id, info.name, list(info.rgb)] for info in taxonomy.classes]
    facts = (taxonomy.name, classes, taxonomy.ignore_id, unknown, labels.facts())
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _labels(given: Path, endings: tuple[str, ...]) -> list[tuple[Path, str]]:
    """Label files with their path below the folder given; a file stands for itself."""
    if not given.is_dir():
        return [(given, given.name)]
    found = []
    for folder, folders, files in os.walk(given):
        folders.sort()
        for name in sorted(files):
            path = Path(folder) / name
            if name.endswith(endings) and not is_leftover(path) and not name.startswith("."):
                found.append((path, path.relative_to(given).as_posix()))
    if not found:
        shown = ", ".join(endings[:6]) + (", ..." if len(endings) > 6 else "")
        raise DatasetError(f"no labels ending in {shown} here", path=given)
    return found


def _by_stem(images: Path, suffix: str | None) -> dict[str, Path]:
    if not images.is_dir():
        raise DatasetError("no such folder of images", path=images)
    found: dict[str, Path] = {}
    for path in sorted(images.rglob("*")):
        name = path.relative_to(images).as_posix()
        if (name.endswith(suffix) if suffix else is_image_path(path)) and path.is_file():
            stem = _stem(name, suffix)
            if stem in found:
                raise DatasetError(f"as well as {found[stem].name}: two images for one label", path=path)
            found[stem] = path
    return found


def _stem(name: str, suffix: str | None) -> str:
    if suffix and name.endswith(suffix):
        return name.removesuffix(suffix)
    return name.removesuffix(Path(name).suffix)

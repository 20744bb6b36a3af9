"""Labels of a dataset in another taxonomy, as lossless PNGs with a description of their own. Stopped runs go on."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mseg_studio.datasets.description import DatasetDescription
from mseg_studio.datasets.mapping import LabelMapping
from mseg_studio.datasets.output_folder import DESCRIPTION_FILE, opened_output
from mseg_studio.datasets.pairing import Pair
from mseg_studio.datasets.remap_plan import OutputTree, RemapTask, chosen_splits
from mseg_studio.datasets.remap_state import RemapState
from mseg_studio.errors import ConfigError, DatasetError, ExportError
from mseg_studio.labels.export_errors import export_errors
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.media.image import encode_ids_png
from mseg_studio.progress import CancelToken, Progress, ProgressClock
from mseg_studio.settings import available_cores
from mseg_studio.storage import flush, write_whole
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.palette import palette_rgb

OnProgress = Callable[[Progress], None]
OnLabel = Callable[[RemapTask, Literal["done", "skipped"]], None]

_AHEAD = 8
"""Label files a thread may be ahead of the one that is waited for: memory does not grow with their number."""


@dataclass(frozen=True, slots=True)
class Remapped:
    """What a run did."""

    done: int
    skipped: int
    """Files that were done before."""
    description: Path
    """The new dataset's YAML: `check`, `evaluate` and training take it as it is."""


@dataclass(frozen=True)
class LabelWriter:
    """How the label of a pair is made, and what decides it."""

    target: Taxonomy
    make: Callable[[Pair], LabelMap]
    """Called from several threads."""
    key: Callable[[Pair], str]
    """Hash of all that decides the label but for the label file itself."""
    note: str
    """First line of the new description."""


@dataclass(frozen=True, slots=True)
class RemapOptions:
    """How it is written."""

    threads: int | None = None
    """None takes all cores of this process."""
    force: bool = False
    """Also what is done already, and over files that were not written by an earlier run."""
    palette: bool = True
    """Class colours as the palette of 8-bit files."""


def remap(
    mapping: LabelMapping,
    output: Path,
    *,
    splits: Sequence[str] | None = None,
    options: RemapOptions | None = None,
    on_progress: OnProgress | None = None,
    on_label: OnLabel | None = None,
    cancel: CancelToken | None = None,
) -> Remapped:
    """Write the labels of `splits` (None: all that are on the disk) into `output`, in the taxonomy of `mapping`.

    The first file that cannot be mapped ends it; what is done stays, and the next run goes on there. Raises
    DatasetError (an undeclared number, a missing file), ImageReadError, ExportError, ConfigError (no such split) and
    Cancelled.
    """
    key = mapping.sha256
    through = f", through {mapping.through}" if mapping.through else ""
    source, target = mapping.description, mapping.target.name
    note = f"Labels of {source.path.name} ({source.taxonomy.name}) in {target}, {mapping.links}{through}."
    writer = LabelWriter(mapping.target, mapping.labels, lambda pair: key, note)
    return write_labels(
        source,
        writer,
        output,
        splits=splits,
        options=options or RemapOptions(),
        on_progress=on_progress,
        on_label=on_label,
        cancel=cancel,
    )


def write_labels(
    description: DatasetDescription,
    writer: LabelWriter,
    output: Path,
    *,
    splits: Sequence[str] | None,
    options: RemapOptions,
    on_progress: OnProgress | None = None,
    on_label: OnLabel | None = None,
    cancel: CancelToken | None = None,
) -> Remapped:
    """What `remap` does, for labels that are made in any way."""
    tree = OutputTree(description, output)
    tree.refuse_sources()
    chosen = chosen_splits(description, splits)
    tasks = tree.tasks(chosen)
    clock, counts = ProgressClock(len(tasks), "labels"), {"done": 0, "skipped": 0}
    with opened_output(output, [task.output for task in tasks], forget=options.force) as state:
        # An older description would promise labels that are being replaced.
        with export_errors(output / DESCRIPTION_FILE):
            (output / DESCRIPTION_FILE).unlink(missing_ok=True)
        for task, status in _run(tasks, writer, state, options, cancel or CancelToken()):
            counts[status] += 1
            if on_label is not None:
                on_label(task, status)
            if on_progress is not None:
                on_progress(clock.at(sum(counts.values())))
        found = {name: [task for task in tasks if name in task.splits] for name in chosen}
        found |= _others(tree, writer, state, [name for name in description.splits if name not in chosen])
        ordered = {name: found[name] for name in description.splits if name in found}
        if counts["done"]:
            with export_errors(output):
                flush(task.output for tasks_of in ordered.values() for task in tasks_of)
        path = tree.write_description(writer.target, ordered, writer.note)
    return Remapped(counts["done"], counts["skipped"], path)


def _run(
    tasks: Sequence[RemapTask], writer: LabelWriter, state: RemapState, options: RemapOptions, cancel: CancelToken
) -> Iterator[tuple[RemapTask, Literal["done", "skipped"]]]:
    """Every task in order, as soon as it is done. What was begun before an error or a stop is finished and recorded."""
    threads = options.threads or available_cores()
    palette = palette_rgb(writer.target) if options.palette and writer.target.ignore_id == 255 else None

    def make(task: RemapTask) -> int:
        data = encode_ids_png(task.output, writer.make(task.pair).ids_HW, palette)
        with export_errors(task.output):
            write_whole(task.output, data)
        return zlib.crc32(data)

    waiting: deque[tuple[RemapTask, str, Future[int]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for task in tasks:
                cancel.raise_if_cancelled()
                key = f"{writer.key(task.pair)} {'palette' if palette is not None else 'grey'}"
                if state.is_done(task.pair.label, task.output, key):
                    yield task, "skipped"
                    continue
                waiting.append((task, key, pool.submit(make, task)))
                if len(waiting) > threads * _AHEAD:
                    yield _finish(*waiting.popleft(), state)
            while waiting:
                cancel.raise_if_cancelled()
                yield _finish(*waiting.popleft(), state)
        finally:
            pool.shutdown(cancel_futures=True)
            for task, key, future in waiting:
                if not future.cancelled() and future.exception() is None:
                    state.add(task.pair.label, task.output, key, future.result())


def _finish(task: RemapTask, key: str, future: Future[int], state: RemapState) -> tuple[RemapTask, Literal["done"]]:
    checksum = future.result()
    with export_errors(task.output):
        state.add(task.pair.label, task.output, key, checksum)
    return task, "done"


def _others(
    tree: OutputTree, writer: LabelWriter, state: RemapState, names: Sequence[str]
) -> dict[str, list[RemapTask]]:
    """Splits that earlier runs brought into the same taxonomy."""
    found = {}
    for name in names:
        try:
            tasks = tree.tasks([name])
        except (DatasetError, ConfigError, ExportError):
            continue  # not asked for now, so what is wrong with it is no matter here
        keys = [[f"{writer.key(task.pair)} {kind}" for kind in ("palette", "grey")] for task in tasks]
        if all(
            any(state.is_done(task.pair.label, task.output, key) for key in both)
            for task, both in zip(tasks, keys, strict=True)
        ):
            found[name] = list(tasks)
    return found

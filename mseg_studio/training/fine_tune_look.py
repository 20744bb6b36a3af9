"""Look through the labels of a fine-tuning before it starts: what is in them, and what is wrong. Torch-free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mseg_studio.datasets.mapping import LabelMapping
from mseg_studio.datasets.pairing import Pair
from mseg_studio.errors import DatasetError
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.sidecar import Sidecar
from mseg_studio.media.image import read_image
from mseg_studio.media.image_header import BrokenImage, read_header
from mseg_studio.progress import CancelToken, Progress, ProgressClock

MOST_LOOKED_AT = 500
"""Label files of a large dataset that are read, evenly spread."""
_HEADER_BYTES = 1 << 18
_THREADS = 4


@dataclass(frozen=True, slots=True)
class Seen:
    """One pair."""

    pair: Pair
    pixels: dict[str, int]
    """Class of the labels' own taxonomy to pixels; unlabelled ones are not in it."""
    size: tuple[int, int]
    """(width, height)."""
    unchanged: bool = False
    """Whether the labels are, pixel count for pixel count, what an export wrote."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was seen, in the order of the pairs."""

    seen: tuple[Seen, ...]
    of: int
    """Pairs that there are; more than were seen in a large dataset."""

    def pixels(self) -> Counter[str]:
        """Pixels by class of the labels' taxonomy."""
        total: Counter[str] = Counter()
        for one in self.seen:
            total.update(one.pixels)
        return total


def look(
    pairs: Sequence[Pair],
    mapping: LabelMapping,
    *,
    sidecars: Mapping[Path, Sidecar] | None = None,
    cancel: CancelToken | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Looked:
    """Read the labels of `pairs` in their own taxonomy, of a large dataset a part that is spread evenly over it.

    Raises DatasetError or ImageReadError naming the first file that is broken, has an undeclared number or another size
    than its image; Cancelled.
    """
    chosen = evenly(pairs, MOST_LOOKED_AT)
    clock = ProgressClock(len(chosen), "Reading the labels")
    on_progress(clock.at(0))
    known = sidecars or {}

    def one(pair: Pair) -> Seen:
        if cancel is not None:
            cancel.raise_if_cancelled()
        return _seen(pair, mapping, known.get(pair.label))

    found = []
    with ThreadPoolExecutor(_THREADS) as threads:
        for done, seen in enumerate(threads.map(one, chosen), start=1):
            found.append(seen)
            on_progress(clock.at(done))
    return Looked(tuple(found), len(pairs))


def evenly(pairs: Sequence[Pair], most: int) -> tuple[Pair, ...]:
    """At most `most` of the pairs, evenly spread, in their order."""
    if len(pairs) <= most:
        return tuple(pairs)
    return tuple(pairs[number * len(pairs) // most] for number in range(most))


def _seen(pair: Pair, mapping: LabelMapping, sidecar: Sidecar | None) -> Seen:
    labels = mapping.labels(pair)
    height, width = labels.ids_HW.shape
    image = _size_of(pair, (width, height))
    if image != (width, height):
        raise DatasetError(
            f"labels are {width} x {height}, the image is {image[0]} x {image[1]}: they must have one size",
            path=pair.label,
        )
    counts = {info.id: count for info, count in labels.counts()}
    unchanged = sidecar is not None and counts == _told(sidecar, labels)
    return Seen(pair, {info.name: count for info, count in labels.counts()}, (width, height), unchanged)


def _told(sidecar: Sidecar, labels: LabelMap) -> dict[int, int]:
    """Pixels by class id that the sidecar has; ids of no class left out."""
    return {one.id: one.pixels for one in sidecar.classes if labels.taxonomy.get(one.id) is not None}


def _size_of(pair: Pair, expected: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the upright image; decoded only where its header says something else than `expected`."""
    try:
        with pair.image.open("rb") as stream:
            header = read_header(stream.read(_HEADER_BYTES))
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror or error}", path=pair.image) from error
    except BrokenImage:
        header = None
    if header is not None and (header.width, header.height) == expected:
        return expected
    frame = read_image(pair.image)
    return frame.width, frame.height


def most_frequent(pixels: Iterable[tuple[str, int]], limit: int) -> str:
    """`road (61 %), sky (20 %), and 3 more`."""
    counted = sorted(pixels, key=lambda item: -item[1])
    total = sum(count for _, count in counted) or 1
    words = [f"{name} ({share(count / total)})" for name, count in counted[:limit]]
    if len(counted) > limit:
        words.append(f"and {len(counted) - limit} more")
    return ", ".join(words)


def share(fraction: float) -> str:
    """`12 %`, `0.4 %`, `below 0.1 %`."""
    if 0 < fraction < 0.001:
        return "below 0.1 %"
    return f"{100 * fraction:.1f} %" if fraction < 0.0095 else f"{100 * fraction:.0f} %"

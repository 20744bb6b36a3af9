"""Where the predictions on a run's chosen images lie. Torch-free: the window reads them.

`samples/<step>/<n>.png` are label pictures in the taxonomy's ids and colours, of the image's own size, and
`samples/truth/<n>.png` the labels where the image is one of a validation split. `samples/index.json` says which image
is which, and which steps there are; a step's folder may go away at any time, when newer ones take its place.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mseg_studio.storage import write_json_atomic

INDEX_FORMAT = 1
MOST_STEPS = 50
"""Newest steps that are kept."""


@dataclass(frozen=True, slots=True)
class SampleImage:
    """One image whose predictions are kept."""

    image: Path
    dataset: str = ""
    """Name of the dataset whose validation split has it; empty for any other file."""
    place: tuple[int, int] | None = None
    """Its dataset and pair in the validation data; None for any other file, and where it does not matter."""
    has_truth: bool = False
    """Whether its labels are there to compare with."""


@dataclass(frozen=True, slots=True)
class SampleIndex:
    """What `samples/index.json` says."""

    taxonomy: str
    """Of the ids and colours; empty where there is no index yet."""
    steps: tuple[int, ...]
    images: tuple[SampleImage, ...]
    """The n-th belongs to the files `<n>.png`."""


def read_index(folder: Path) -> SampleIndex:
    """The index of the samples in `folder`; an empty one where there are none yet, or where it cannot be read."""
    try:
        raw = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        images = tuple(SampleImage(Path(one["image"]), one["dataset"], None, one["truth"]) for one in raw["images"])
        return SampleIndex(raw["taxonomy"], tuple(int(step) for step in raw["steps"]), images)
    except (OSError, ValueError, KeyError, TypeError):
        return SampleIndex("", (), ())


def write_index(folder: Path, images: Sequence[SampleImage], *, taxonomy: str, step: int) -> None:
    """The index of all steps up to this one, the newest one; others are removed.

    Later steps belong to a course of the run that was given up when it went on from an older checkpoint.
    """
    found = sorted(int(part.name) for part in folder.iterdir() if part.name.isdigit() and part.is_dir())
    kept = [number for number in found if number <= step][-MOST_STEPS:]
    listed: list[dict[str, Any]] = [
        {
            "n": number,
            "image": str(image.image),
            "dataset": image.dataset,
            "truth": (folder / "truth" / f"{number}.png").is_file(),
        }
        for number, image in enumerate(images)
    ]
    index = {"format": INDEX_FORMAT, "taxonomy": taxonomy, "steps": kept, "images": listed}
    write_json_atomic(folder / "index.json", index)
    for number in set(found) - set(kept):
        shutil.rmtree(folder / str(number), ignore_errors=True)

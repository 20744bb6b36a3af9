"""Predictions that a run kept of its fixed images: what samples/index.json says. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mseg_studio.training.run_processes import read_json


@dataclass(frozen=True, slots=True)
class FixedSample:
    """One image and what the run made of it, earliest first."""

    image: str
    """Path of the photo."""
    predictions: tuple[tuple[int, str], ...]
    """Step, and path of the palette PNG."""
    truth: str = ""
    """The labels of the dataset, as such a PNG; empty where there are none."""

    @property
    def name(self) -> str:
        """The photo's name without its ending."""
        return Path(self.image).stem


def read_samples(folder: Path) -> tuple[FixedSample, ...]:
    """The samples of a run whose files are there; none without an index."""
    place = folder / "samples"
    index = read_json(place / "index.json")
    entries, steps = index.get("images"), index.get("steps")
    if not isinstance(entries, list) or not isinstance(steps, list):
        return ()
    found = []
    for entry in entries:
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("image"), str)
            or not isinstance(entry.get("n"), int)
        ):
            continue
        name = f"{entry['n']}.png"
        files = [(step, place / str(step) / name) for step in steps if isinstance(step, int)]
        kept = tuple((step, str(path)) for step, path in sorted(files) if path.is_file())
        truth = place / "truth" / name
        if kept:
            found.append(
                FixedSample(entry["image"], kept, str(truth) if entry.get("truth") and truth.is_file() else "")
            )
    return tuple(found)

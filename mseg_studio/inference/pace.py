"""How fast models run on this machine: learned from real runs, kept in the user's cache folder. Torch-free."""

from __future__ import annotations

import contextlib
import json
import math
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mseg_studio.settings import user_folder
from mseg_studio.storage import write_json_atomic

Parts = npt.NDArray[np.float64]
"""(4,) One number for each part of the work: see `Work.parts`."""

_FORMAT = 1
_RECENT = 5
"""Runs of the same work that are remembered: their median forgets a busy moment, and follows a lasting change."""
_WORKS, _SETUPS = 12, 64
_TRUST = 0.02
"""How firmly the parts keep the proportions of the guess: enough to decide what few runs leave open."""
_COLD_LIMIT = 3.0
"""A first run loads and compiles: alone it raises the guess at most this much."""
_NEWS = 0.1
"""A median that moved less than this share is not written again."""


@dataclass(frozen=True, slots=True)
class Work:
    """What segmenting one image is made of; the time it takes is nearly a sum over these."""

    megapixels: float
    """Through the network."""
    passes: int
    """Images through the network."""
    resized_megapixels: float
    """Of the image, counted once for every scale: grids are brought to its size."""

    @property
    def parts(self) -> Parts:
        """The three numbers above, and 1 for what every image costs."""
        return np.array([self.megapixels, self.passes, self.resized_megapixels, 1.0])


@dataclass(frozen=True, slots=True)
class Setup:
    """What a pace belongs to."""

    model: str
    engine: str
    precision: str
    device: str
    threads: int

    @property
    def key(self) -> str:
        """The setup as one text."""
        return "|".join((self.model, self.engine, self.precision, self.device, str(self.threads)))


@dataclass(slots=True)
class _Seen:
    """Runs of one work under one setup, newest last."""

    work: Work
    seconds: list[float] = field(default_factory=list)
    cold: bool = False
    """Only a first run so far."""

    @property
    def median(self) -> float:
        """Of two the faster one: what slows a run down is chance."""
        return statistics.median_low(self.seconds)


class Pace:
    """What was seen of every setup, newest last. A file that is damaged or cannot be written costs only the memory."""

    def __init__(self, path: Path | None = None) -> None:
        """`path` is by default `pace.json` in the user's cache folder; it need not exist."""
        self._path = path or user_folder("cache") / "pace.json"
        self._seen = self._read()

    def latest(self, model: str, **wanted: object) -> Setup | None:
        """The setup of `model` that ran last, among those whose fields have the values `wanted`."""
        for key in reversed(self._seen):
            setup = _setup_of(key)
            if setup.model == model and all(getattr(setup, name) == value for name, value in wanted.items()):
                return setup
        return None

    def seconds(self, setup: Setup, work: Work, guess: Parts) -> float:
        """Seconds that `work` takes; `guess` are the seconds of each of its parts where nothing was seen."""
        seen = self._seen.get(setup.key, [])
        warm = [runs for runs in seen if not runs.cold]
        if not warm:
            ratios = [runs.median / float(runs.work.parts @ guess) for runs in seen]
            return float(work.parts @ guess) * min(_COLD_LIMIT, statistics.median_low(ratios or [1.0]))
        same = [runs.median for runs in warm if runs.work == work]
        return same[0] if same else float(work.parts @ _fitted(warm, guess))

    def learn(self, setup: Setup, work: Work, seconds: float, *, first: bool = False) -> None:
        """A run took `seconds`; `first` says that loading or compiling may be in it."""
        if not (math.isfinite(seconds) and seconds > 0):
            return
        kept = self._seen.get(setup.key, [])
        if first and any(not runs.cold for runs in kept):
            return
        runs = next((runs for runs in kept if runs.work == work), _Seen(work))
        before = (len(runs.seconds), runs.median if runs.seconds else 0.0)
        if runs.cold and not first:
            runs.seconds.clear()
        runs.cold = first
        runs.seconds[:] = [*runs.seconds, seconds][-_RECENT:]
        works = [other for other in kept if other is not runs]
        self._put(setup.key, [*works, runs][-_WORKS:])
        if len(runs.seconds) != before[0] or abs(runs.median - before[1]) > _NEWS * before[1]:
            self._write(setup.key)

    def _put(self, key: str, runs: list[_Seen]) -> None:
        self._seen.pop(key, None)
        self._seen[key] = runs
        while len(self._seen) > _SETUPS:
            del self._seen[next(iter(self._seen))]

    def _write(self, key: str) -> None:
        """Other programs may have written other setups meanwhile: theirs stay."""
        mine = self._seen[key]
        self._seen = self._read() | self._seen
        self._put(key, mine)
        setups = {
            key: [
                {**_plain(runs.work), "seconds": [round(s, 5) for s in runs.seconds], "cold": runs.cold}
                for runs in seen
            ]
            for key, seen in self._seen.items()
        }
        with contextlib.suppress(OSError):  # a full disk must not stop a run
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json_atomic(self._path, {"format": _FORMAT, "setups": setups})

    def _read(self) -> dict[str, list[_Seen]]:
        try:
            found = json.loads(self._path.read_bytes())
            if found["format"] != _FORMAT:
                return {}
            return {_setup_of(key).key: [_seen_of(runs) for runs in seen] for key, seen in found["setups"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}


def _fitted(seen: list[_Seen], guess: Parts) -> Parts:
    """Seconds of each part: least squares of the relative errors, drawn a little to the guess at this pace."""
    ratio = statistics.median_low([runs.median / float(runs.work.parts @ guess) for runs in seen])
    base = ratio * guess
    rows = np.array([runs.work.parts * base / runs.median for runs in seen])
    normal = rows.T @ rows + _TRUST * np.eye(len(base))
    share: Parts = np.linalg.solve(normal, rows.T @ np.ones(len(rows)) + _TRUST)
    return base * np.clip(share, 0.1, 10.0)


def _plain(work: Work) -> dict[str, float]:
    return {name: getattr(work, name) for name in Work.__slots__}


def _seen_of(value: dict[str, Any]) -> _Seen:
    """One entry of the file. Raises ValueError, TypeError or KeyError for anything else."""
    work = Work(float(value["megapixels"]), int(value["passes"]), float(value["resized_megapixels"]))
    seconds = [float(s) for s in value["seconds"]][-_RECENT:]
    if not seconds or not all(math.isfinite(s) and s > 0 for s in (*seconds, *work.parts)):
        raise ValueError("times and sizes are positive")
    return _Seen(work, seconds, bool(value["cold"]))


def _setup_of(key: str) -> Setup:
    """The setup with this key. Raises ValueError."""
    model, engine, precision, device, threads = key.split("|")
    return Setup(model, engine, precision, device, int(threads))

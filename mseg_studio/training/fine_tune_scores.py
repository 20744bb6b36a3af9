"""What a fine-tuning changed: IoU on the held-out part before and after it, kept in the run's folder. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mseg_studio.errors import ConfigError
from mseg_studio.storage import write_json_atomic
from mseg_studio.training.fine_tune import FOLDER
from mseg_studio.training.run_folder import RunFolder

SCORES = "scores.json"
FORMAT = 1
_CLEAR = 0.005
"""Below half a point a class is called as good as before."""
CAUTION = "The best checkpoint was chosen on these same images, which flatters the number after it a little."


@dataclass(frozen=True, slots=True)
class ClassScore:
    """IoU (0 to 1) of one class; None where neither labels nor predictions have it."""

    name: str
    before: float | None
    after: float | None

    @property
    def change(self) -> float | None:
        """How much better it got; None where it cannot be said."""
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True, slots=True)
class Scores:
    """Two results of one protocol on the same images (`mseg-studio evaluate --json`)."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]
    step: int
    """Step of the checkpoint that was scored."""
    result_time: float
    """Time in result.json of the run when it was scored: another one makes the numbers old."""

    @property
    def miou(self) -> tuple[float, float]:
        """Mean IoU before and after."""
        return float(self.before["miou"]), float(self.after["miou"])

    def classes(self) -> tuple[ClassScore, ...]:
        """Every class that the held-out labels have, the most improved first."""
        before, after = self.before["iou"], self.after["iou"]
        found = [ClassScore(name, before.get(name), after.get(name)) for name in before]
        present = [one for one in found if one.before is not None or one.after is not None]
        return tuple(sorted(present, key=lambda one: (one.change is None, -(one.change or 0), one.name)))

    def words(self) -> str:
        """The whole in one sentence."""
        before, after = self.miou
        changes = [one.change for one in self.classes() if one.change is not None]
        better, worse = sum(c >= _CLEAR for c in changes), sum(c <= -_CLEAR for c in changes)
        images = self.before["images"]
        return (
            f"mIoU {100 * before:.1f} % before, {100 * after:.1f} % after, on {images} held-out "
            f"image{'' if images == 1 else 's'}: {better} of {len(changes)} classes better, {worse} worse"
        )

    @property
    def advice(self) -> str:
        """What to do when it did not help; empty when it did."""
        before, after = self.miou
        if after - before >= _CLEAR:
            return ""
        what = "It got worse" if after - before <= -_CLEAR else "It is no better than before"
        return f"{what}: keep {self.before['model']}, or try more labels, a lower optim.lr or more steps."

    def as_json(self) -> dict[str, Any]:
        """As in the file."""
        return {
            "format": FORMAT,
            "step": self.step,
            "result_time": self.result_time,
            "before": dict(self.before),
            "after": dict(self.after),
        }


def as_text(scores: Scores) -> str:
    """A table in percent for the terminal."""
    rows = scores.classes()
    width = max(5, *(len(row.name) for row in rows)) if rows else 5
    lines = [f"{'class':{width}}  {'before':>6}  {'after':>6}  {'change':>6}"]
    lines += [
        f"{row.name:{width}}  {_percent(row.before)}  {_percent(row.after)}  {_signed(row.change)}" for row in rows
    ]
    before, after = scores.miou
    lines += ["", f"{'mIoU':{width}}  {_percent(before)}  {_percent(after)}  {_signed(after - before)}", ""]
    lines += [
        f"{scores.words()}.",
        *([scores.advice] if scores.advice else []),
        f"In {scores.before['taxonomy']}, means over the classes of the held-out labels. {CAUTION}",
    ]
    return "\n".join(lines)


def scores_file(folder: Path) -> Path:
    """Where the numbers of the run in `folder` are kept."""
    return folder / FOLDER / SCORES


def read_scores(folder: Path) -> Scores | None:
    """The numbers of a run, None when it was not scored. Raises ConfigError for a file that is none of ours."""
    path = scores_file(folder)
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be read: {error}", path=path) from error
    try:
        if values["format"] != FORMAT:
            raise ConfigError(f"format {values['format']}, this version reads {FORMAT}", path=path)
        found = Scores(values["before"], values["after"], int(values["step"]), float(values["result_time"]))
        for part in (found.before, found.after):
            float(part["miou"]), dict(part["iou"]), int(part["images"]), str(part["taxonomy"]), str(part["model"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"not the numbers of a fine-tuning: {error!r}", path=path) from error
    return found


def write_scores(folder: Path, scores: Scores) -> None:
    """Keep the numbers of a run. Raises OSError."""
    write_json_atomic(scores_file(folder), scores.as_json())


def result_of(folder: Path) -> dict[str, Any]:
    """How the run ended, as result.json says; empty while it has not."""
    try:
        values = json.loads(RunFolder(folder).result_file.read_bytes())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def are_current(folder: Path) -> bool:
    """Whether the run was scored since it last ended."""
    try:
        scores = read_scores(folder)
    except ConfigError:
        return False
    return scores is not None and scores.result_time == result_of(folder).get("time")


def _percent(value: float | None) -> str:
    return f"{'-':>6}" if value is None else f"{100 * value:6.1f}"


def _signed(value: float | None) -> str:
    return f"{'-':>6}" if value is None else f"{100 * value:+6.1f}"

"""A run in words and as JSON, for `mseg-studio runs`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mseg_studio.errors import MSegStudioError, printable
from mseg_studio.progress import duration

if TYPE_CHECKING:
    from mseg_studio.training.run_state import RunState


def describe_run(folder: Path, state: RunState) -> dict[str, Any]:
    """What --json says of a run."""
    from mseg_studio.training.run_state import as_json

    return {"name": folder.name, "folder": str(folder), **as_json(state)}


def as_line(state: RunState) -> str:
    """One line for a list."""
    parts = [f"{state.state:9}", f"step {state.step} of {state.steps}"]
    if state.miou is not None:
        parts.append(f"mIoU {100 * state.miou:.2f} %")
    if state.is_going and state.seconds_left is not None:
        parts.append(f"{duration(state.seconds_left)} left")
    if not state.is_going and state.updated:
        parts.append(f"{_ago(state.updated)} ago")
    if state.reason and state.state not in ("finished", "stopped"):
        parts.append(_why(state))
    return "  ".join(parts)


def as_lines(folder: Path, state: RunState) -> list[str]:
    """Everything about one run."""
    lines = [f"{printable(folder.name)}  {as_line(state)}", f"  {'folder':12}{printable(str(folder))}"]
    if state.reason and state.state != "finished":
        lines.append(f"  {'why':12}{_why(state)}")
    if state.advice:
        lines.append(f"  {'what to do':12}{printable(state.advice)}")
    if state.is_going and state.phase:
        of = f" {state.done}/{state.total}" if state.total else ""
        lines.append(f"  {'phase':12}{state.phase}{of}")
    if state.loss is not None:
        lines.append(f"  {'loss':12}{state.loss:.4g}")
    if state.processes:
        pids = f", alive here: {', '.join(map(str, state.pids))}" if state.pids else ""
        lines.append(f"  {'processes':12}{state.processes} ({state.engine}){pids}")
    if state.started:
        lines.append(f"  {'started':12}{_ago(state.started)} ago")
    return lines + _config_lines(folder) + _note_lines(folder)


def _config_lines(folder: Path) -> list[str]:
    from mseg_studio.training.run_folder import RunFolder

    try:
        config = RunFolder.open(folder).config()
    except (MSegStudioError, OSError) as error:
        return [f"  {'settings':12}{printable(str(error))}"]
    saved = sorted(path.name for path in (folder / "checkpoints").glob("*") if path.is_dir() and path.name[0] != ".")
    trained = ", ".join(dataset.name for dataset in config.trained)
    lines = [
        f"{config.network} on {trained}, {config.batch} crops of {config.augment.crop_px} px a step, {config.head} "
        f"classes of {config.taxonomy}, start {config.start or 'not chosen'}",
        ", ".join(saved) or "none yet",
    ]
    return [f"  {label:12}{printable(text)}" for label, text in zip(("trains", "checkpoints"), lines, strict=True)]


def _note_lines(folder: Path) -> list[str]:
    from mseg_studio.training.runs import read_notes

    return [f"  {'note':12}{printable(line)}" for line in read_notes(folder).splitlines() if line.strip()]


def _why(state: RunState) -> str:
    rank = "" if state.rank is None else f"rank {state.rank}: "
    return printable(rank + state.reason)


def _ago(moment: float) -> str:
    return duration(max(0.0, time.time() - moment))

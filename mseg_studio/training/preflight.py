"""A dry run: the first steps of a run, by the processes that would compute it, to say what all of it will take.

It is a run like any other, in a folder of its own that is deleted: data, start, all processes, a validation and a
checkpoint are real. Torch-free: the processes are children.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from mseg_studio.errors import RunFailed
from mseg_studio.progress import CancelToken, Progress
from mseg_studio.storage import write_json_atomic
from mseg_studio.training.config import TrainConfig
from mseg_studio.training.devices import devices_here
from mseg_studio.training.launcher import LaunchPlan, start, stop
from mseg_studio.training.metrics_log import MetricsReader
from mseg_studio.training.run_folder import RunFolder, own_process
from mseg_studio.training.run_processes import OWNER_FILE, rank_files, run_processes
from mseg_studio.training.run_state import read_state
from mseg_studio.training.runs import runs_folder

_FIRST_STEPS = 2
"""The first step builds and warms up; the second is timed."""
_MORE_STEPS = 8
"""Steps of a run whose steps are quick: one alone would say little."""
_QUICK_S = 1.5
_LOOK_S = 0.1
_END_S = 15.0
_OLD_S = 3600.0


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was measured, and what follows from it."""

    device: str
    """What the processes computed on."""
    processes: int
    seconds_per_step: float
    images_per_s: float
    validation_s: float | None
    """One validation, reckoned from one image of each dataset and process; None where none was due."""
    save_s: float
    memory_bytes: int
    """Highest memory of all processes together: of the GPU of one process, else of the machine."""
    memory_total_bytes: int
    checkpoint_bytes: int
    disk_bytes: int
    """Of all checkpoints that are kept at a time, with the best and the one being written."""
    disk_free_bytes: int
    seconds_total: float
    """Of the whole run."""
    steps_measured: int


def measure(
    config: TrainConfig,
    plan: LaunchPlan,
    *,
    validate_images: int,
    on_progress: Callable[[Progress], None],
    cancel: CancelToken,
) -> Preflight:
    """Compute the first steps of `config`, and a small validation, by the processes of `plan`.

    `validate_images` is how many images a validation of the run looks at. Raises RunFailed with the reason when the
    processes fail, Cancelled, OSError.
    """
    place = runs_folder() / ".preflight"
    _sweep(place)
    path = place / secrets.token_hex(6)
    path.mkdir(parents=True)
    short = dataclasses.replace(
        config,
        log_every=1,
        validate_every=_FIRST_STEPS,
        save_every=_FIRST_STEPS,
        validate_images=plan.world_size,
    )
    try:
        RunFolder.create(path, short)
        write_json_atomic(path / OWNER_FILE, own_process())
        start(dataclasses.replace(plan, folder=path))
        return _watched(path, config, plan, validate_images, on_progress, cancel)
    finally:
        _end(path)
        shutil.rmtree(path, ignore_errors=True)


def _watched(
    path: Path,
    config: TrainConfig,
    plan: LaunchPlan,
    validate_images: int,
    on_progress: Callable[[Progress], None],
    cancel: CancelToken,
) -> Preflight:
    reader, memory_bytes, saved_s = MetricsReader(path / "metrics.jsonl"), 0, 0.0
    steps = min(_FIRST_STEPS, config.steps)
    while True:
        cancel.raise_if_cancelled()
        memory_bytes = max(memory_bytes, _memory_bytes(path))
        state = read_state(path)  # before its metrics: once it has ended nothing is added
        reader.poll()
        if state.state in ("failed", "lost"):
            rank = "" if state.rank is None else f"rank {state.rank}: "
            raise RunFailed(". ".join([f"{rank}{state.reason}", *_advice_here(state.advice)]))
        told = {kind: [event for event in reader.events if event["event"] == kind] for kind in _KINDS}
        took_s = _step_s(told["step"], config)
        if state.step >= _FIRST_STEPS and took_s is not None and took_s < _QUICK_S:
            steps = min(_MORE_STEPS, config.steps)
        words = {"loading": "loading the data", "": "starting the processes"}.get(state.phase, "measuring")
        on_progress(Progress(min(state.step, steps), steps, words))
        last_save = told["save"][-1] if told["save"] else None
        if last_save is not None and not saved_s:
            saved_s = max(0.0, last_save["time"] - _before(reader.events, last_save)["time"])
        if not state.is_going or (len(told["step"]) >= steps and last_save is not None):
            break
        time.sleep(_LOOK_S)
    if not told["step"] or took_s is None:
        raise RunFailed(f"the dry run ended without a step: {state.reason or state.state}")
    return _reckoned(path, config, plan, validate_images, told, took_s=took_s, saved_s=saved_s, memory=memory_bytes)


def _advice_here(advice: str) -> list[str]:
    """What of the advice about a run holds for one that leaves no folder and cannot be resumed."""
    sentences = advice.removesuffix(".").split(". ")
    return [one for one in sentences if one and not re.search(r"resume|run's folder|clone the run", one, re.IGNORECASE)]


_KINDS = ("step", "validation", "save")


def _reckoned(
    path: Path,
    config: TrainConfig,
    plan: LaunchPlan,
    validate_images: int,
    told: dict[str, list[dict[str, Any]]],
    *,
    took_s: float,
    saved_s: float,
    memory: int,
) -> Preflight:
    device = _device(path)
    gpu_bytes = max((int(event.get("memory_bytes") or 0) for event in told["step"]), default=0)
    on_gpu = device.startswith("cuda")
    checkpoint = max((_size(one) for one in (path / "checkpoints").iterdir() if one.is_dir()), default=0)
    validation_s = _validation_s(told, config, plan.world_size, validate_images)
    validations = -(-config.steps // config.validate_every)
    total_s = config.steps * took_s + -(-config.steps // config.save_every) * saved_s
    return Preflight(
        device=device,
        processes=plan.world_size,
        seconds_per_step=took_s,
        images_per_s=config.batch / took_s,
        validation_s=validation_s,
        save_s=saved_s,
        memory_bytes=gpu_bytes if on_gpu and gpu_bytes else memory,
        memory_total_bytes=_memory_total_bytes(device),
        checkpoint_bytes=checkpoint,
        disk_bytes=checkpoint * (config.keep + 2),
        disk_free_bytes=shutil.disk_usage(path).free,
        seconds_total=total_s + validations * (validation_s or 0.0),
        steps_measured=len(told["step"]),
    )


def _step_s(steps: list[dict[str, Any]], config: TrainConfig) -> float | None:
    """Seconds of one step: of the quicker half of those after the first, which also builds and warms up."""
    rates = [float(event["images_per_s"]) for event in steps if event.get("images_per_s")]
    if len(rates) > 1:
        rates = sorted(rates[1:], reverse=True)[: max(1, len(rates) // 2)]
    return config.batch * len(rates) / sum(rates) if rates else None


def _validation_s(
    told: dict[str, list[dict[str, Any]]], config: TrainConfig, world: int, validate_images: int
) -> float | None:
    """From the last validation, in which every process looked at one image of each dataset."""
    if not told["validation"] or not config.validated:
        return None
    last = told["validation"][-1]
    before = [event["time"] for event in told["step"] if event["step"] <= last["step"]]
    rounds = max(1.0, validate_images / (world * len(config.validated)))
    return float(max(0.0, last["time"] - before[-1]) * rounds) if before else None


def _before(events: list[dict[str, Any]], event: dict[str, Any]) -> dict[str, Any]:
    at = next(n for n, one in enumerate(events) if one is event)
    return events[at - 1] if at else event


def _memory_bytes(path: Path) -> int:
    """Memory of all processes of the run on this machine now, in bytes."""
    total = 0
    for process in run_processes(path):
        with contextlib.suppress(psutil.Error):
            total += psutil.Process(process.pid).memory_info().rss
    return total


def _memory_total_bytes(device: str) -> int:
    gpus = [one for one in devices_here() if one.kind == "cuda" and one.memory_bytes]
    if device.startswith("cuda") and gpus:
        return min(one.memory_bytes or 0 for one in gpus)
    return int(psutil.virtual_memory().total)


def _device(path: Path) -> str:
    return str(next(iter(rank_files(path).values()), {}).get("device", "cpu"))


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


def _end(path: Path) -> None:
    """Kill what is left; what they made is deleted anyway."""
    deadline_s = time.monotonic() + _END_S
    stop(path, kill=True)
    while run_processes(path) and time.monotonic() < deadline_s:
        time.sleep(_LOOK_S)


def _sweep(place: Path) -> None:
    """Delete dry runs that were killed before they could clean up."""
    for path in place.iterdir() if place.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):  # another dry run has just ended, and took its folder away
            if time.time() - path.stat().st_mtime > _OLD_S and not run_processes(path):
                shutil.rmtree(path, ignore_errors=True)

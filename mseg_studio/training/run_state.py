"""What a run is doing, from its files and a look at its processes: derived each time, never stored. Torch-free."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mseg_studio.progress import duration
from mseg_studio.training import slurm
from mseg_studio.training.failure import Death, advice, first_failure
from mseg_studio.training.run_processes import (
    STOP_FILE,
    RunProcess,
    launched,
    rank_files,
    rank_processes,
    read_json,
    run_processes,
)

State = Literal["new", "queued", "waiting", "starting", "running", "stopping", "finished", "stopped", "failed", "lost"]
GOING = frozenset({"queued", "waiting", "starting", "running", "stopping"})
"""States in which a run goes on by itself."""
ENDED = frozenset({"finished", "stopped", "failed"})
"""States that a run's result tells."""

_TAIL_BYTES = 1 << 16
_LARGEST = 2**53
"""Larger numbers in a file are damage: they fit no clock and no count of steps."""
_QUIET_S = 600.0
_SILENT_S = 300.0
"""A run on another machine that said nothing for so long is lost: its processes cannot be looked at from here."""


@dataclass(frozen=True, slots=True)
class RunState:
    """One look at a run."""

    state: State
    """new: never started; queued: Slurm has not begun it; waiting: Slurm begins it again; lost: gone without a word."""
    phase: str = ""
    """loading, training, validating or saving; empty unless it runs."""
    step: int = 0
    """Steps done."""
    steps: int = 0
    """Steps in all; 0 when the configuration cannot be read."""
    done: int = 0
    """Parts of the phase that are done: steps, or images of a validation."""
    total: int = 0
    seconds_left: float | None = None
    """Until the run's end."""
    loss: float | None = None
    """Of the newest line of metrics."""
    miou: float | None = None
    """The best so far, 0 to 1."""
    rank: int | None = None
    """The rank that failed first."""
    reason: str = ""
    """Why it ended or waits, in plain words."""
    advice: str = ""
    """What to do."""
    pids: tuple[int, ...] = ()
    """Processes of the run that are alive on this machine."""
    processes: int = 0
    """Ranks of the run."""
    engine: str = ""
    """single, torchrun or slurm."""
    started: float = 0.0
    """When it was started last, seconds since 1970; 0 for a new run."""
    updated: float = 0.0
    """When the run last said something, seconds since 1970."""

    @property
    def is_going(self) -> bool:
        """Whether it goes on by itself."""
        return self.state in GOING


def read_state(folder: Path) -> RunState:
    """The state of the run in `folder`; a folder without a run is `new`.

    Takes about a millisecond whatever the length of the metrics, but may wait some seconds for Slurm: ask from a
    thread. Never raises for what files hold, nor for files that are not there.
    """
    state = _look(folder)
    if state.state == "lost":
        state = _look(folder)  # between two looks at its files it may have been started again
    return state


def _look(folder: Path) -> RunState:
    # The order matters: whoever ends the run writes result.json first and is gone after that.
    alive = run_processes(folder)
    launch, ranks = read_json(folder / "launch.json"), rank_files(folder)
    progress, result = read_json(folder / "progress.json"), read_json(folder / "result.json")
    seen = _Seen(folder, alive, launch, ranks, progress, result, is_stopping=(folder / STOP_FILE).exists())
    engine = str(launch.get("engine", ""))
    verdict = _slurm_verdict(seen) if engine == "slurm" else _verdict(seen)
    newest = newest_event(folder / "metrics.jsonl", "step")
    best = result.get("best") or read_json(folder / "checkpoints" / "best" / "state.json").get("best")
    is_running = verdict.state in ("running", "stopping")
    ended_step = result.get("step") if verdict.state in ENDED else None
    return RunState(
        verdict.state,
        phase=str(progress.get("phase", "")) if is_running else "",
        step=_whole(_first(ended_step, progress.get("step"), newest.get("step"))),
        steps=_whole(progress.get("steps")) or _steps_of(folder),
        done=_whole(progress.get("done")) if is_running else 0,
        total=_whole(progress.get("total")) if is_running else 0,
        seconds_left=_number(progress.get("seconds_left")) if is_running else None,
        loss=_number(newest.get("loss")),
        miou=_number(best.get("miou")) if isinstance(best, dict) else None,
        rank=verdict.rank,
        reason=verdict.reason,
        advice=advice(verdict.state, verdict.reason, verdict.rank),
        pids=tuple(process.pid for process in alive),
        processes=_whole(launch.get("world_size")),
        engine=engine,
        started=_number(launch.get("start_time")) or 0.0,
        updated=seen.updated,
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one look found."""

    folder: Path
    alive: tuple[RunProcess, ...]
    launch: Mapping[str, Any]
    ranks: Mapping[int, Mapping[str, Any]]
    progress: Mapping[str, Any]
    result: Mapping[str, Any]
    is_stopping: bool

    @property
    def updated(self) -> float:
        times = [self.progress.get("time"), self.result.get("time"), self.launch.get("start_time")]
        times += [values.get("start_time") for values in self.ranks.values()]
        return max((_number(value) or 0.0 for value in times), default=0.0)


@dataclass(frozen=True, slots=True)
class _Verdict:
    state: State
    reason: str = ""
    rank: int | None = None


def _verdict(seen: _Seen) -> _Verdict:
    """The state of a run that was started on this or another machine, without a scheduler."""
    if str(seen.result.get("status")) in ENDED:
        return _of_result(seen.result)
    first = launched(seen.folder)
    if not seen.launch and not seen.ranks:
        return _Verdict("new")
    if first is not None and not first.is_here:
        return _far_verdict(seen, first)
    failure = first_failure(seen.ranks, _deaths(seen) if seen.alive and not seen.is_stopping else {})
    if failure is not None:
        return _Verdict("failed", failure.reason, failure.rank)
    if not seen.alive:
        return _Verdict("lost", "its processes are gone and left no word")
    if seen.is_stopping:
        return _Verdict("stopping")
    if first is not None and first not in seen.alive:
        return _Verdict("stopping", "what watched over it was killed: its processes save and end")
    return _Verdict("running" if seen.ranks and seen.progress else "starting", _silence(seen))


def _silence(seen: _Seen) -> str:
    """A word about a run that says nothing for long: a step may be slow, or its processes wait for one that hangs."""
    silent_s = time.time() - seen.updated
    return f"it has said nothing for {duration(silent_s)}" if silent_s > _QUIET_S else ""


def _far_verdict(seen: _Seen, first: RunProcess) -> _Verdict:
    """The state of a run that another machine computes: only its files can be looked at."""
    failure = first_failure(seen.ranks, {})
    if failure is not None:
        return _Verdict("failed", failure.reason, failure.rank)
    silent_s = time.time() - seen.updated
    if silent_s > _SILENT_S:
        return _Verdict("lost", f"it runs on {first.host} and said nothing for {duration(silent_s)}")
    if seen.is_stopping:
        return _Verdict("stopping")
    return _Verdict("running" if seen.ranks and seen.progress else "starting")


def _slurm_verdict(seen: _Seen) -> _Verdict:
    """The state of a run that Slurm computes: its files, and where they say nothing, the queue."""
    status = str(seen.result.get("status"))
    if status in ("finished", "failed"):
        return _of_result(seen.result)
    job = slurm.job_state(seen.folder)
    if job is None or job.phase == "gone":
        failure = first_failure(seen.ranks, {})
        if status == "stopped":
            return _of_result(seen.result)
        if failure is not None:
            return _Verdict("failed", failure.reason, failure.rank)
        if seen.is_stopping:
            return _Verdict("stopped", "taken off the queue")
        why = job.reason if job is not None else "launch.json names no job"
        return _Verdict("failed", why or "its job is gone and left no word")
    if job.phase == "unreachable":
        state: State = "stopped" if status == "stopped" else "running" if seen.progress else "queued"
        return _Verdict(state, f"the scheduler does not answer: {job.reason}")
    if job.phase == "waiting":
        return _Verdict("waiting" if seen.progress or job.restarts else "queued", job.reason)
    if status == "stopped":
        return _of_result(seen.result) if seen.is_stopping else _Verdict("waiting", job.reason)
    if seen.is_stopping or job.phase == "ending":
        return _Verdict("stopping", job.reason)
    return _Verdict("running" if seen.ranks and seen.progress else "starting")


def _of_result(result: Mapping[str, Any]) -> _Verdict:
    rank = result.get("rank")
    is_failed = result["status"] == "failed"
    return _Verdict(result["status"], str(result.get("reason", "")), rank if is_failed and type(rank) is int else None)


def _deaths(seen: _Seen) -> dict[int, Death]:
    """Ranks of this machine that are gone without a word while others live."""
    processes = rank_processes(seen.folder)
    gone = (rank for rank, one in processes.items() if one.is_here and one not in seen.alive and not one.alive)
    # Once more: a rank may have said its last word between the look at its file and the look at its process.
    return {
        rank: Death(time.time())
        for rank in gone
        if "ended" not in read_json(seen.folder / "ranks" / f"{rank}.json") and rank in seen.ranks
    }


def newest_event(path: Path, event: str) -> dict[str, Any]:
    """The newest line of a file of metrics that tells `event`, among its last 64 KiB; empty without one.

    Reads the end of the file only: logs grow to hundreds of megabytes.
    """
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - _TAIL_BYTES))
            lines = stream.read().split(b"\n")
    except OSError:
        return {}
    if size > _TAIL_BYTES:
        del lines[0]  # it may be half a line
    for line in reversed(lines):
        if event.encode() in line:
            try:
                values = json.loads(line)
            except ValueError:
                continue  # torn by a kill
            if isinstance(values, dict) and values.get("event") == event:
                return values
    return {}


def _steps_of(folder: Path) -> int:
    """`steps` of config.yaml without reading all of YAML: lists of runs ask for it often."""
    try:
        found = re.search(rb"^steps: (\d+)\s*$", (folder / "config.yaml").read_bytes(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def as_json(state: RunState) -> dict[str, Any]:
    """The state as JSON values."""
    return {**dataclasses.asdict(state), "pids": list(state.pids)}


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _whole(value: Any) -> int:
    return value if type(value) is int and abs(value) <= _LARGEST else 0


def _number(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= _LARGEST:
        return None  # NaN and infinity fit nowhere either
    return float(value)

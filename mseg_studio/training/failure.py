"""Why a run ended, in plain words, and what a person can do. Torch-free."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Death:
    """A rank that ended without a word."""

    time: float
    """When that was noticed, seconds since 1970."""
    exit_code: int | None = None
    """Minus the signal that ended it; None where nobody knows."""
    out_of_memory: bool = False
    """Whether the system ended processes for want of memory while the run went on."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The rank that failed first, and why."""

    rank: int | None
    """None where no rank can be named."""
    reason: str


def first_failure(ranks: Mapping[int, Mapping[str, Any]], deaths: Mapping[int, Death]) -> Failure | None:
    """The cause among all that went wrong: `ranks` is what ranks/N.json say, `deaths` who is gone without a word.

    A rank that failed only because another was gone is the cause of nothing, unless nothing else is known. None when
    no rank failed.
    """
    found: list[tuple[bool, float, int, str]] = []
    for rank, values in ranks.items():
        ended = values.get("ended")
        if isinstance(ended, dict):
            if ended.get("status") == "failed":
                reason = str(ended.get("reason", ""))
                lost_others = bool(ended["lost_others"]) if "lost_others" in ended else _says_others_are_gone(reason)
                found.append((lost_others, _number(ended.get("time")), rank, reason))
        elif rank in deaths:
            found.append((False, deaths[rank].time, rank, death_words(deaths[rank])))
    if not found:
        return None
    _lost, _time, rank, reason = min(found)
    return Failure(rank, reason or "failed without saying why")


def death_words(death: Death) -> str:
    """How a process ended that could not say so itself."""
    if death.out_of_memory and death.exit_code in (None, -signal.SIGKILL):
        return "killed by the system (signal 9) because memory ran out"
    if death.exit_code is None:
        return "ended without a word: probably out of memory or killed by hand"
    if death.exit_code >= 0:
        return f"ended with exit code {death.exit_code} without a word"
    number = -death.exit_code
    words: dict[int, str] = {
        signal.SIGKILL: "killed by signal 9: probably out of memory or killed by hand",
        signal.SIGTERM: "ended by signal 15 before it could save: somebody or the system asked it to stop",
        signal.SIGSEGV: "crashed (signal 11, a fault in compiled code)",
        signal.SIGABRT: "crashed (signal 6, a fault in compiled code)",
        signal.SIGFPE: "crashed (signal 8, an impossible calculation in compiled code)",
        signal.SIGILL: "crashed (signal 4): compiled for another kind of processor",
    }
    if hasattr(signal, "SIGBUS"):
        words[signal.SIGBUS] = "crashed (signal 7): often a full disk or too little shared memory"
    return words.get(number, f"killed by signal {number}")


def advice(state: str, reason: str, rank: int | None) -> str:
    """What to do about a run that failed or was lost; empty where nothing is wrong."""
    if state == "lost":
        return "The machine was restarted or its processes were killed. Resume goes on from the newest checkpoint."
    if state != "failed":
        return ""
    for pattern, words in _ADVICE:
        if re.search(pattern, reason, re.IGNORECASE):
            return words
    where = "log/launcher.txt" if rank is None else f"log/rank{rank}.txt and log/launcher.txt"
    return f"{where} in the run's folder tell more. Resume goes on from the newest checkpoint."


_ADVICE = (
    (
        r"out of memory.*(GPU|CUDA)|CUDA.*(out of memory|OOM)|OutOfMemoryError",
        "Raise accumulate or the number of GPUs, lower batch or augment.crop_px, or take precision: bfloat16; close "
        "what else uses the GPU. accumulate may be changed on resume.",
    ),
    (
        r"out of memory|memory ran out|MemoryError|cannot allocate memory|std::bad_alloc",
        "Close other programs, or resume with fewer processes or workers: it goes on from the newest checkpoint.",
    ),
    (
        r"no space left|disk.*full|quota",
        "Make room on the disk and resume: it goes on from the newest checkpoint that is whole.",
    ),
    (r"too many open files", "Raise the limit of open files (ulimit -n) or lower workers, then resume."),
    (
        r"was no number|not finite|non-finite|\bnan\b",
        "Clone the run with a lower optim.lr, with optim.clip_norm, or with precision: float32; look at the named "
        "images too.",
    ),
    (
        r"images or labels changed since",
        "Put the files back that it began with and resume, or clone the run to learn from these.",
    ),
    (r"changed since the last checkpoint", "Clone the run: with other settings it is another one."),
    (r"no checkpoint verifies|damaged", "Its checkpoints are damaged. Clone the run and start anew, or restore them."),
    (
        r"CUDA devices|\d GPUs?\b|device .* is not there|NVIDIA driver|no kernel image",
        "Take fewer processes, other devices, or device: cpu, and resume.",
    ),
    (r"could not join the others|address already in use|rendezvous", "Check that the machines reach one another."),
    (
        r"no such file|cannot be read|does not exist|not found|permission denied|labels are|broken|truncated|decode",
        "Mend the file or take it out of the split, then resume. `mseg-studio dataset check` finds all such files.",
    ),
    (r"No module named|ImportError", "The installation is incomplete: install MSeg Studio with its dependencies."),
)
_OTHERS_GONE = re.compile(
    r"connection (closed|reset|refused)|broken pipe|socket (timeout|error)|gloo|nccl|remote error|TCPStore"
    r"|DistNetworkError|DistStoreError|DistBackendError",
    re.IGNORECASE,
)


def _says_others_are_gone(reason: str) -> bool:
    """Whether a failure is that of talking to other ranks."""
    return _OTHERS_GONE.search(reason) is not None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("inf")

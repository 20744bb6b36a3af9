"""What the scheduler says of a job, asked with a time limit: a scheduler that is away is no failed run. Torch-free."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mseg_studio.errors import MSegStudioError

TIMEOUT_S = 10.0
"""How long a command of Slurm may take; squeue waits for ever while the controller is down."""

Phase = Literal["waiting", "running", "ending", "gone", "unreachable"]


class SchedulerUnreachable(MSegStudioError):  # noqa: N818 - says what is, as WorkerDied does
    """Slurm does not answer: its commands are missing, time out or cannot find the controller."""


class SlurmRefused(MSegStudioError):  # noqa: N818 - says what is, as WorkerDied does
    """Slurm answered and did not do what it was asked."""


@dataclass(frozen=True, slots=True)
class JobState:
    """What the scheduler says of one job."""

    job_id: str
    phase: Phase
    """waiting in the queue, running, ending, gone (no such job is left), unreachable (Slurm does not answer)."""
    word: str = ""
    """Slurm's own word, as PENDING or NODE_FAIL; empty where it gave none."""
    reason: str = ""
    """Why, in plain words; for `unreachable` what went wrong when asking."""
    nodes: str = ""
    """The nodes it has, in Slurm's short form."""
    begins: float | None = None
    """Unix time at which a waiting job may begin at the earliest, where Slurm says it."""
    restarts: int = 0
    """How often it was requeued."""

    @property
    def alive(self) -> bool | None:
        """Whether the job will do, or does, something; None when nobody can say."""
        return None if self.phase == "unreachable" else self.phase != "gone"


def call(argv: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> str:
    """Standard output of a command of Slurm.

    Raises SchedulerUnreachable when it is missing, takes too long or finds no controller; SlurmRefused otherwise.
    """
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise SchedulerUnreachable(f"the command {argv[0]} is not on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise SchedulerUnreachable(f"{argv[0]} did not answer within {timeout_s:g} s") from error
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
    lost = ("unable to contact", "communication connection failure", "connection refused", "munge", "timed out")
    kind = SchedulerUnreachable if any(word in said.lower() for word in lost) else SlurmRefused
    raise kind(f"{argv[0]}: {said}")


def query(job_id: str) -> JobState:
    """Ask the scheduler for a job. Never raises for a scheduler that is away: that is a state."""
    try:
        out = call(["squeue", "--noheader", f"--jobs={job_id}", "-o", "%T|%r|%N"])
    except SchedulerUnreachable as error:
        return JobState(job_id, "unreachable", reason=error.reason)
    except SlurmRefused:
        return JobState(job_id, "gone")
    for line in out.splitlines():
        word, reason, nodes = line.split("|", 2)
        phase: Phase = "waiting" if word in ("PENDING", "REQUEUED") else "running" if word == "RUNNING" else "ending"
        return JobState(job_id, phase, word, "" if reason == "None" else reason, nodes)
    return JobState(job_id, "gone")

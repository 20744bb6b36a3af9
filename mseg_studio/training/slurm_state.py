"""What the scheduler says of a job, asked with a time limit: a scheduler that is away is no failed run. Torch-free."""

from __future__ import annotations

import datetime
import re
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mseg_studio.errors import MSegStudioError

TIMEOUT_S = 10.0
"""How long a command of Slurm may take; some wait for minutes while the controller is down."""
_UNREACHABLE_AGE_S = 15.0
"""A scheduler that did not answer is left alone for so long, since each question costs TIMEOUT_S."""

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
    """waiting in the queue, running, ending, gone (it is over), unreachable (Slurm does not answer)."""
    word: str = ""
    """Slurm's own word, as PENDING or NODE_FAIL; empty where it gave none."""
    reason: str = ""
    """Why, in plain words; for `unreachable` what went wrong when asking."""
    nodes: str = ""
    """The nodes it has, in Slurm's short form."""
    begins: float | None = None
    """Unix time at which a waiting job may begin, where Slurm says it."""
    restarts: int = 0
    """How often it was requeued."""
    ended: float | None = None
    """Unix time at which a job that is gone ended, where Slurm still knows it."""

    @property
    def alive(self) -> bool | None:
        """Whether the job will do, or does, something; None when nobody can say."""
        return None if self.phase == "unreachable" else self.phase != "gone"


def call(argv: Sequence[str], *, timeout_s: float | None = None) -> str:
    """Standard output of a command of Slurm, which may take `timeout_s` (None: TIMEOUT_S).

    Raises SchedulerUnreachable when it is missing, takes too long or finds no controller; SlurmRefused otherwise.
    """
    timeout_s = TIMEOUT_S if timeout_s is None else timeout_s
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
    kind = SchedulerUnreachable if _LOST.search(said) else SlurmRefused
    raise kind(f"{argv[0]}: {said}")


def query(job_id: str, *, max_age_s: float = 5.0) -> JobState:
    """What the scheduler says of a job, asked at most every `max_age_s`: its controller serves a whole cluster.

    Never raises for a scheduler that is away: that is a state. Safe in several threads.
    """
    with _lock:
        asked_s, state = _known.get(job_id, (float("-inf"), None))
    age_s = time.monotonic() - asked_s
    if state is not None and age_s < (min(max_age_s, 1) * _UNREACHABLE_AGE_S if state.alive is None else max_age_s):
        return state
    state = _ask(job_id)
    with _lock:
        _known[job_id] = (time.monotonic(), state)
    return state


def job_fields(job_id: str) -> dict[str, str]:
    """What `scontrol show job` says, by its names. Raises SchedulerUnreachable, SlurmRefused (no such job any more).

    One small answer in every version: `squeue --json` lists the jobs of the whole cluster, whatever is asked for, and
    its form changes from version to version.
    """
    out = call(["scontrol", "-o", "show", "job", job_id])
    fields: dict[str, str] = {}
    for name, value in re.findall(r"(?:^|\s)([A-Z][\w/:]*)=(\S*)", out):
        fields.setdefault(name, "" if value == "(null)" else value)  # paths come last and may hold anything
    return fields


def _ask(job_id: str) -> JobState:
    try:
        fields = job_fields(job_id)
    except SchedulerUnreachable as error:
        return JobState(job_id, "unreachable", reason=error.reason)
    except SlurmRefused as error:
        if "invalid job id" in error.reason.lower():
            return _accounted(job_id)
        return JobState(job_id, "unreachable", reason=error.reason)
    word, why = fields.get("JobState", ""), fields.get("Reason", "")
    phase = _phase(word)
    begins = _unix_time(fields.get("StartTime", "")) if phase == "waiting" else None
    restarts = fields.get("Restarts", "0")
    return JobState(
        job_id,
        phase,
        word,
        _words(job_id, phase, word, why, begins=begins, exit_code=fields.get("ExitCode", "")),
        fields.get("NodeList", ""),
        begins,
        int(restarts) if restarts.isdigit() else 0,
        _unix_time(fields.get("EndTime", "")) if phase == "gone" else None,
    )


def _accounted(job_id: str) -> JobState:
    """A job that the controller has forgotten: the accounting knows its end, on clusters that keep one."""
    try:
        argv = ["sacct", "--jobs", job_id, "--allocations", "--noheader", "--parsable2", "--format=State,ExitCode"]
        lines = call(argv).splitlines()
    except MSegStudioError:  # none is kept, or it does not answer: then nobody knows more
        lines = []
    word, _, exit_code = lines[-1].partition("|") if lines else ("", "", "")
    word = word.split(" ")[0]  # CANCELLED by 1000
    return JobState(job_id, "gone", word, _words(job_id, "gone", word, "", exit_code=exit_code))


def _phase(word: str) -> Phase:
    if word in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "SUSPENDED", "RESV_DEL_HOLD"):
        return "waiting"
    if word in ("RUNNING", "CONFIGURING", "RESIZING", "SIGNALING"):
        return "running"
    return "ending" if word in ("COMPLETING", "STAGE_OUT", "STOPPED") else "gone"


def _words(job_id: str, phase: Phase, word: str, why: str, *, begins: float | None = None, exit_code: str = "") -> str:
    """Slurm's word and reason as a sentence; empty for a job that simply runs."""
    if phase == "waiting":
        if why == "BeginTime" and begins is not None:
            clock = time.strftime("%H:%M", time.localtime(begins))
            return f"job {job_id} was put back into the queue and begins at {clock} at the earliest"
        return f"job {job_id} {_WAITING.get(why, f'waits; Slurm says {why or word}')}"
    if phase != "gone":
        return ""
    code = exit_code.partition(":")[0]
    detail = f" with exit code {code}" if code not in ("", "0") else ""
    unknown = f"is over; Slurm says {word}" if word else "is not known to Slurm any more"
    return f"job {job_id} {_GONE.get(word, unknown)}{detail}"


def _unix_time(text: str) -> float | None:
    """Slurm's local time as seconds since 1970; None for Unknown."""
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


_LOST = re.compile(
    r"unable to contact|communication connection failure|connection (refused|timed out|reset)|socket timed out"
    r"|munge|zero bytes were transmitted|protocol authentication error|unable to establish",
    re.IGNORECASE,
)
_WAITING = {
    "": "waits in the queue",
    "None": "waits in the queue",
    "Priority": "waits in the queue: other jobs come first",
    "Resources": "waits until enough nodes are free",
    "Dependency": "waits for another job",
    "BeginTime": "was put back into the queue and begins in some minutes",
    "JobHeldUser": "is held; `scontrol release` lets it start",
    "JobHeldAdmin": "is held by the cluster's administrators",
    "PartitionTimeLimit": "asks for more time than its partition allows and will not start",
    "PartitionNodeLimit": "asks for more nodes than its partition allows and will not start",
    "PartitionDown": "waits: its partition is down",
    "ReqNodeNotAvail": "waits: nodes it needs are not available",
    "Reservation": "waits for its reservation",
}
_GONE = {
    "COMPLETED": "has ended",
    "CANCELLED": "was cancelled",
    "FAILED": "failed",
    "TIMEOUT": "reached its time limit",
    "NODE_FAIL": "ended because a node failed",
    "BOOT_FAIL": "ended because a node did not start",
    "OUT_OF_MEMORY": "was ended because it needed more memory than it had asked for",
    "PREEMPTED": "was ended to make room for another job",
    "DEADLINE": "was ended at its deadline",
}
_lock = threading.Lock()
_known: dict[str, tuple[float, JobState]] = {}

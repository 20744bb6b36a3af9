"""What a run asks of Slurm, and the batch script that asks for it. Torch-free."""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mseg_studio.errors import ConfigError, nearest

SCRIPT_NAME = "slurm.sh"
"""The batch script, in the folder of its run."""
OUTPUT_NAME = "log/launcher.txt"
"""What the batch script and srun print, in the folder of the run."""

_EARLY_S = 60
"""Slurm looks at time limits once a minute."""
_WORD = re.compile(r"[\w.,:+@%/=-]+", re.ASCII)
_CONSTRAINT = re.compile(r"[\w.,:+@%/=&|()\[\]*!-]+", re.ASCII)
_TIME = re.compile(r"\d+(:\d+){0,2}|\d+-\d+(:\d+){0,2}", re.ASCII)
_MEMORY = re.compile(r"\d+[KMGTkmgt]?", re.ASCII)
_WORDS = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}


@dataclass(frozen=True, slots=True)
class SlurmOptions:
    """What a run asks of the scheduler. What is empty or 0 is left to the cluster's own defaults."""

    partition: str = ""
    """Partition, or several with commas: the one that starts first is taken."""
    account: str = ""
    """Account that is charged."""
    qos: str = ""
    """Quality of service."""
    time: str = ""
    """Time limit: minutes, hours:minutes:seconds or days-hours. At its end the run saves and, with requeue, goes on."""
    nodes: int = 1
    """Number of nodes."""
    processes_per_node: int = 0
    """Processes of a node, one a GPU; 0: as many as gpus_per_node, at least 1."""
    gpus_per_node: int = 0
    """GPUs of a node; 0: none, training runs on the CPU."""
    cpus_per_process: int = 0
    """CPU cores of a process."""
    memory: str = ""
    """Memory of a node: a number and K, M, G or T (without a letter M)."""
    constraint: str = ""
    """Features that the nodes must have."""
    reservation: str = ""
    """Reservation to run in."""
    requeue: bool = True
    """Whether a run that was preempted, or reached its time limit, waits in the queue again and goes on."""
    signal_s: int = 120
    """Seconds before the time limit at which the run is told to save."""
    setup: tuple[str, ...] = ()
    """Lines of bash that run first on the first node, as `module load cuda`; the processes inherit what they set."""
    extra: tuple[str, ...] = ()
    """More options of sbatch, as `--exclusive`."""
    python: str = ""
    """Python interpreter on the nodes; empty: the one that submits."""

    def __post_init__(self) -> None:
        _check(self)

    @classmethod
    def parse(cls, words: Iterable[str]) -> SlurmOptions:
        """Options from `key=value` words; `setup` and `extra` may come more than once.

        Raises ConfigError naming the key and the nearest valid one, or the value and what was expected.
        """
        kinds = {field.name: str(field.type) for field in dataclasses.fields(cls)}
        values: dict[str, Any] = {}
        for word in words:
            key, equals, text = word.partition("=")
            key = key.strip()
            if not equals:
                raise ConfigError(f"'{word}' is no option of Slurm, expected key=value as in partition=gpu")
            if key not in kinds:
                raise ConfigError(f"unknown Slurm option '{key}'{nearest(key, kinds)}")
            if kinds[key].startswith("tuple"):
                values[key] = (*values.get(key, ()), text)
            elif key in values:
                raise ConfigError(f"Slurm option '{key}' is given twice")
            else:
                values[key] = _converted(key, kinds[key], text.strip())
        options = cls(**values)
        options.check_time()
        return options

    def check_time(self) -> None:
        """Raise ConfigError when the time limit leaves no time to train before the run is told to save.

        Such a run would go back into the queue for ever. It is no part of every value's check, so that a form can have
        one of the two options changed before the other.
        """
        limit_s = _seconds(self.time) if self.time else 0
        least_s = self.signal_s + _EARLY_S
        if 0 < limit_s <= least_s:  # 0 is no limit
            raise ConfigError(
                f"Slurm option time is '{self.time}', expected more than {least_s} s: the run is told to save "
                f"{self.signal_s} s before (signal_s), and Slurm may do so {_EARLY_S} s earlier"
            )

    def words(self) -> tuple[str, ...]:
        """The `key=value` words that `parse` reads, of all options that are not at their default."""
        words: list[str] = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value == field.default:
                continue
            items = value if isinstance(value, tuple) else (value,)
            words += [f"{field.name}={_text(item)}" for item in items]
        return tuple(words)

    @property
    def processes(self) -> int:
        """Processes of one node."""
        return self.processes_per_node or max(self.gpus_per_node, 1)

    @property
    def world(self) -> int:
        """Processes of the whole run."""
        return self.nodes * self.processes


def script(folder: Path, options: SlurmOptions, *, name: str = "") -> str:
    """The batch script of the run in `folder`; `name` names the job (else the folder does).

    sbatch must be called with the folder as its working directory (`sbatch_argv` does): paths in #SBATCH lines know no
    quoting that holds for every name.
    """
    python = shlex.quote(options.python or sys.executable)
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH {line}" for line in _directives(folder, options, name=name)),
        "# Written by MSeg Studio. A requeued job runs this again: it goes on from the newest checkpoint.",
        "trap '' TERM USR2  # until the next program listens there is nothing to save",
        *options.setup,
        f"exec {python} -m mseg_studio.training.slurm_job {shlex.quote(str(folder.absolute()))}",
    ]
    return "\n".join(lines) + "\n"


def sbatch_argv(folder: Path) -> list[str]:
    """The command that submits the script of a run's folder; it prints the job's number."""
    path = str(folder.absolute())
    return ["sbatch", "--parsable", f"--chdir={path}", f"{path}/{SCRIPT_NAME}"]


def job_name(name: str) -> str:
    """`name` as the name of a job: other characters than letters, digits, `._-` become `-`, at most 64."""
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-")[:64] or "mseg"


def _directives(folder: Path, options: SlurmOptions, *, name: str) -> list[str]:
    """Options of sbatch, in the order of a person's reading."""
    given: list[tuple[str, object]] = [
        ("job-name", job_name(name or folder.absolute().name)),
        ("partition", options.partition),
        ("account", options.account),
        ("qos", options.qos),
        ("reservation", options.reservation),
        ("constraint", options.constraint),
        ("time", options.time),
        ("nodes", options.nodes),
        ("ntasks", options.world),
        ("ntasks-per-node", options.processes),
        ("gpus-per-node", options.gpus_per_node),
        ("cpus-per-task", options.cpus_per_process),
        ("mem", options.memory),
        ("signal", f"B:USR2@{options.signal_s}"),
        ("output", OUTPUT_NAME),
        ("open-mode", "append"),
    ]
    lines = [f"--{key}={value}" for key, value in given if value]
    return [*lines, "--requeue" if options.requeue else "--no-requeue", *options.extra]


def _check(options: SlurmOptions) -> None:
    """Raise ConfigError where a value cannot be right, or would be read as something else in the script."""
    patterns = {
        "partition": (_WORD, "a name"),
        "account": (_WORD, "a name"),
        "qos": (_WORD, "a name"),
        "reservation": (_WORD, "a name"),
        "constraint": (_CONSTRAINT, "features without spaces, as in a100&nvlink"),
        "time": (_TIME, "minutes, hours:minutes:seconds or days-hours, as in 90, 12:00:00 or 2-12"),
        "memory": (_MEMORY, "a number and K, M, G or T, as in 64G"),
    }
    for key, (pattern, expected) in patterns.items():
        value = getattr(options, key)
        if value and not pattern.fullmatch(value):
            raise ConfigError(f"Slurm option {key} is '{value}', expected {expected}")
    least = {"nodes": 1, "processes_per_node": 0, "gpus_per_node": 0, "cpus_per_process": 0, "signal_s": 10}
    for key, smallest in least.items():
        if getattr(options, key) < smallest:
            raise ConfigError(f"Slurm option {key} is {getattr(options, key)}, expected at least {smallest}")
    if options.signal_s > 65535:
        raise ConfigError(f"Slurm option signal_s is {options.signal_s}, expected at most 65535")
    for line in options.extra:
        if not re.fullmatch(r"--?[\w-]+(=[^\s\"'\\#]*)?", line):
            raise ConfigError(f"Slurm option extra is '{line}', expected an option of sbatch without spaces or quotes")
    for line in (*options.setup, options.python):
        if any(character in line for character in "\n\r\0"):
            raise ConfigError(f"'{line}' has a line break, expected one line")


def _seconds(time: str) -> int:
    """A time limit as Slurm reads it, in seconds: minutes[:seconds], hours:minutes:seconds, days-hours[:minutes...]."""
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if not dash and len(parts) < 3:
        parts.insert(0, 0)  # it begins with minutes
    parts += [0] * (3 - len(parts))
    return int(days or 0) * 86400 + parts[0] * 3600 + parts[1] * 60 + parts[2]


def _converted(key: str, kind: str, text: str) -> str | int | bool:
    """The text as the annotated type. Raises ConfigError."""
    if kind == "bool":
        if text.lower() not in _WORDS:
            raise ConfigError(f"Slurm option {key} is '{text}', expected yes or no")
        return _WORDS[text.lower()]
    if kind == "int":
        if not text.isascii() or not text.isdigit():
            raise ConfigError(f"Slurm option {key} is '{text}', expected a whole number")
        return int(text)
    return text


def _text(value: object) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)

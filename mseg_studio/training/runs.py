"""Which runs there are: those in the user's folder of runs, and others that were registered. Torch-free."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from mseg_studio.errors import ConfigError, RunFailed, nearest
from mseg_studio.settings import user_folder
from mseg_studio.storage import is_leftover, write_atomic, write_json_atomic
from mseg_studio.training import slurm
from mseg_studio.training.run_processes import read_json, run_processes

_CONFIG = "config.yaml"
_ELSEWHERE = ".elsewhere"
_PARTS = (
    "launch.json", "launch.lock", "origin.json", "slurm.sh", "slurm.json", "metrics.jsonl", "progress.json",
    "result.json", "stop.json", "notes.txt", "ranks", "log", "checkpoints", "samples", "fine-tune", _CONFIG,
)  # fmt: skip


def runs_folder() -> Path:
    """Where new runs go; it need not exist yet."""
    return user_folder("runs")


def known_runs() -> tuple[Path, ...]:
    """Folders of all known runs that are still there, the newest first."""
    folder = runs_folder()
    found = [path.parent for path in folder.glob(f"*/{_CONFIG}")] if folder.is_dir() else []
    for entry in (folder / _ELSEWHERE).glob("*.json"):
        path = Path(str(read_json(entry).get("folder", "")))
        if path.is_absolute() and (path / _CONFIG).is_file() and path not in found:
            found.append(path)
    return tuple(sorted(found, key=_age, reverse=True))


def new_run_folder(name: str) -> Path:
    """A new empty folder for a run called `name`; with a number behind it where there is one already.

    Raises ConfigError for a name that is no name of a folder, OSError.
    """
    if not name or name.startswith(".") or name != Path(name).name or not name.isprintable() or len(name) > 100:
        raise ConfigError(f"'{name}' cannot name a run: expected a file name of at most 100 characters")
    folder = runs_folder()
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = folder / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path


def register(folder: Path) -> None:
    """Remember a run that lies elsewhere. Raises OSError."""
    path = folder.resolve()
    if path.parent == runs_folder().resolve():
        return
    entry = _entry(path)
    entry.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomic(entry, {"format": 1, "folder": str(path)})


def find_run(word: str) -> Path:
    """The folder of the run that a name or a path means. Raises ConfigError with the nearest names."""
    path = Path(word)
    if (path / _CONFIG).is_file():
        return path.resolve()
    known = {run.name: run for run in reversed(known_runs())}
    if word in known:
        return known[word]
    if path.is_dir():
        raise ConfigError("no config.yaml: not the folder of a run", path=path)
    raise ConfigError(f"no run is called '{word}'{nearest(word, known)}")


def delete_run(folder: Path) -> None:
    """Delete a run's files and forget it; what else lies in the folder stays.

    Raises RunFailed when processes of the run are alive, here or as a job of Slurm that waits or runs; ConfigError when
    there is no run, OSError.
    """
    if not (folder / _CONFIG).is_file():
        raise ConfigError("no config.yaml: not the folder of a run", path=folder)
    alive = run_processes(folder)
    if alive:
        raise RunFailed(f"it is going on (pid {alive[0].pid}); stop it first", path=folder)
    job = slurm.job_state(folder, max_age_s=0)
    if job is not None and job.alive:
        raise RunFailed(f"it is going on (job {job.job_id} is {job.phase}); stop it first", path=folder)
    others = [path.name for path in folder.iterdir() if path.match("launch.*.lock") or is_leftover(path)]
    for name in (*others, *_PARTS):
        part = folder / name
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
    _entry(folder.resolve()).unlink(missing_ok=True)


def read_notes(folder: Path) -> str:
    """What a person wrote about the run; empty where nobody did."""
    try:
        return (folder / "notes.txt").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def write_notes(folder: Path, text: str) -> None:
    """Keep what a person wrote about the run. Raises OSError."""
    write_atomic(folder / "notes.txt", text.encode())


def _entry(path: Path) -> Path:
    return runs_folder() / _ELSEWHERE / f"{hashlib.sha256(str(path).encode()).hexdigest()[:20]}.json"


def _age(folder: Path) -> float:
    try:
        return (folder / _CONFIG).stat().st_mtime
    except OSError:
        return 0.0

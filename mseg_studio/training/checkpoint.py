"""Checkpoints of a run: folders of safetensors and JSON with a manifest of hashes, never half written.

A folder is written under a temporary name, its manifest last, and then renamed. Loading takes the newest that
verifies: a flipped bit inside a tensor loads silently without a hash.

No state of random generators is saved, because there is none: what is drawn (order, augmentation, dropout) follows from
the seed and the step alone.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mseg_studio.errors import CheckpointError
from mseg_studio.storage import fsync_folder, sha256_file, write_atomic, write_json_atomic

_MANIFEST, _STATE = "manifest.json", "state.json"
_PART = ".mseg-part"
_OLD = f"{_PART}-old-"
_TENSORS = ("network", "average", "optimizer")
_PLAIN = ("step", "best", "config", "data_sha256", "validated_step", "losses")


@dataclass(frozen=True, slots=True)
class RunState:
    """Everything a run needs to go on as if it had never stopped."""

    step: int
    network: dict[str, Tensor]
    average: dict[str, Tensor]
    """Averaged weights; empty when the run keeps none."""
    optimizer: dict[str, Tensor]
    """`<parameter>/<name>` to tensor."""
    best: dict[str, Any] | None
    config: dict[str, Any]
    data_sha256: str
    """Hash over the training files."""
    validated_step: int
    """Step after which the run was last validated."""
    losses: list[float] = field(default_factory=list)
    """Losses of the steps since the last line of metrics, whose mean the next line says."""


def save_checkpoint(folder: Path, state: RunState, *, name: str | None = None, keep: int = 2) -> Path:
    """Write `folder/<step>` (or `folder/<name>`), point `latest` at a step, drop all but the newest `keep` steps.

    Steps after this one go too: a run that stands here passed them over, because they do not verify. Raises OSError;
    what was there before stays.
    """
    final = folder / (name or f"{state.step:08d}")
    part = folder / f"{_PART}-{secrets.token_hex(6)}"
    part.mkdir(parents=True)
    try:
        for title in _TENSORS:
            tensors: dict[str, Tensor] = getattr(state, title)
            _save_tensors(tensors, part / f"{title}.safetensors")
        write_json_atomic(part / _STATE, {"format": 1} | {key: getattr(state, key) for key in _PLAIN})
        hashes = {file.name: sha256_file(file) for file in sorted(part.iterdir())}
        for file in part.iterdir():
            _fsync(file)
        write_json_atomic(part / _MANIFEST, {"format": 1, "sha256": hashes})
        _replace_folder(part, final)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    if name is None:
        write_atomic(folder / "latest", final.name.encode())
        steps = _steps(folder)
        here = steps.index(final) + 1
        for gone in (*steps[: max(0, here - keep)], *steps[here:]):
            shutil.rmtree(gone)
    return final


def load_checkpoint(path: Path) -> RunState:
    """Read one checkpoint. Raises CheckpointError when a file is missing or its hash is wrong."""
    try:
        manifest = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
        for name, expected in manifest["sha256"].items():
            if Path(name).name != name or sha256_file(path / name) != expected:
                raise CheckpointError(f"{name} is damaged: its SHA-256 is not the one written", path=path)
        state = json.loads((path / _STATE).read_text(encoding="utf-8"))
        tensors = {title: load_file(path / f"{title}.safetensors") for title in _TENSORS}
        plain = {key: state[key] for key in _PLAIN}
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"no checkpoint that can be read: {error}", path=path) from error
    return RunState(**plain, **tensors)


def load_newest(folder: Path) -> tuple[RunState | None, list[str]]:
    """The newest checkpoint that verifies (None when there is none) and a line for every newer one that does not."""
    complaints: list[str] = []
    for path in reversed(_steps(folder)):
        try:
            return load_checkpoint(path), complaints
        except CheckpointError as error:
            complaints.append(str(error))
    return None, complaints


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Raises OSError, as writing any other file does: the format's own error only has the number in its text."""
    try:
        save_file({key: value.cpu().contiguous() for key, value in tensors.items()}, path)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        code = int(number[1]) if number else errno.EIO
        raise OSError(code, os.strerror(code) if number else str(error), str(path)) from error


def _steps(folder: Path) -> list[Path]:
    """Checkpoints by step, oldest first."""
    return sorted((path for path in folder.glob("*") if path.name.isdigit()), key=lambda path: int(path.name))


def clean_up(folder: Path) -> None:
    """Remove what killed processes left half written, and put back what one was about to replace. Raises OSError.

    Only where nobody writes checkpoints at the time.
    """
    for path in folder.glob(f"{_PART}-*"):
        name, found, _ = path.name.removeprefix(_OLD).partition("-")
        if path.name.startswith(_OLD) and found and not (folder / name).exists():
            path.replace(folder / name)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _replace_folder(part: Path, final: Path) -> None:
    old = final.with_name(f"{_OLD}{final.name}-{secrets.token_hex(6)}")
    if final.exists():
        final.replace(old)
    part.replace(final)
    fsync_folder(final.parent)
    shutil.rmtree(old, ignore_errors=True)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

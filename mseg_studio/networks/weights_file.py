"""Weights on disk: foreign checkpoints are read without running anything in them, our own files are safetensors.

A foreign file is hostile until shown otherwise: what it claims about sizes is compared with its length before any
memory is spent on it, and PyTorch files pass through the restricted reader (`weights_only=True`) or not at all.
"""

from __future__ import annotations

import re
import stat
import warnings
import zipfile
from _pickle import UnpicklingError  # only its name: nothing here unpickles outside torch's restricted reader
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mseg_studio.errors import CheckpointError, printable

_MAX_HEADER_BYTES = 16 << 20
_MAX_PICKLE_BYTES = 64 << 20
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INTEGERS = (torch.int64, torch.int32)
_WRAPPERS = ("module.", "model.")
_LOSS_KEY = re.compile(r"(criterion|loss)(\.|$)")
_BROKEN_FILE = (
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    EOFError,
    MemoryError,
    ImportError,
    UnpicklingError,
    SafetensorError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
)
"""What the readers raise on bytes that are not what they claim to be."""


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Tensors of a PyTorch or safetensors file by bare key, on the CPU, in the file's own precision.

    Wrapping prefixes (`module.`, `model.`), the loss's keys and everything beside the weights (optimizer, counters)
    are left out. Raises CheckpointError naming the file.
    """
    kind = _kind(path)
    try:
        if kind == "safetensors":
            return _bare(_read_safetensors(path), path)
        if kind == "zip":
            _check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch thinks of the bytes is said by its exceptions
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=kind == "zip")
    except _BROKEN_FILE as error:
        raise CheckpointError(_why_unreadable(error), path=path) from error
    return _bare(_state_dict(content, path), path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file of ours, floats as float32, in memory of their own. Raises CheckpointError."""
    if _kind(path) != "safetensors":
        raise CheckpointError("is no safetensors file", path=path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {key: _own_float32(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118
    except _BROKEN_FILE as error:
        raise CheckpointError(_why_unreadable(error), path=path) from error


def write_weights(path: Path, tensors: Mapping[str, Tensor], *, half: bool = False) -> None:
    """Write `tensors` as safetensors; floats as float16 with `half` (integers stay). Raises OSError.

    The caller writes into a temporary place: the file is not whole before this returns.
    """
    stored = {
        key: (tensor.half() if half and tensor.is_floating_point() else tensor).detach().contiguous()
        for key, tensor in tensors.items()
    }
    try:
        save_file(stored, path, metadata={"format": "pt"})
    except SafetensorError as error:  # the library's name for a full disk and its like
        raise OSError(0, " ".join(str(error).split()), str(path)) from error


def as_float32(tensor: Tensor) -> Tensor:
    """Floats of any width as float32, integers unchanged."""
    return tensor.float() if tensor.is_floating_point() else tensor


def _own_float32(tensor: Tensor) -> Tensor:
    """`as_float32` in new memory. By numpy: torch starts its threads for every copy, and on a busy machine the waiting
    for them makes loading ten times slower.
    """
    if tensor.dtype == torch.bfloat16:  # numpy has none
        return tensor.float().clone()
    values = tensor.numpy()
    return torch.from_numpy(np.array(values, dtype=np.float32 if tensor.is_floating_point() else values.dtype))


def _kind(path: Path) -> str:
    """`safetensors`, `zip` or `stream` (the PyTorch format before 1.6), by content: names lie."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError("is not a file", path=path)
        with path.open("rb") as stream:
            head = stream.read(512)
    except FileNotFoundError as error:
        raise CheckpointError("no such file", path=path) from error
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CheckpointError(f"cannot be read: {reason}", path=path) from error
    if not head:
        raise CheckpointError("is empty", path=path)
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if head[8:9] == b"{":
        header_bytes = int.from_bytes(head[:8], "little")
        if header_bytes > min(_MAX_HEADER_BYTES, status.st_size - 8):
            raise CheckpointError(
                f"is truncated or damaged: its header claims {header_bytes} bytes, the file has {status.st_size}",
                path=path,
            )
        return "safetensors"
    if head[:1] == b"\x80":
        return "stream"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise CheckpointError("is a web page, not weights: the download gave something else", path=path)
    raise CheckpointError("is neither a PyTorch nor a safetensors file", path=path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt", device="cpu") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no dictionary


def _check_archive(path: Path) -> None:
    """Refuse an archive that unpacks to more than it holds: PyTorch stores its records as they are."""
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
    if any(record.filename.endswith("/constants.pkl") for record in records):
        raise CheckpointError("is a TorchScript program, not weights; save its state_dict instead", path=path)
    if not any(record.filename.endswith("/data.pkl") for record in records):
        raise CheckpointError("is a zip archive, but not one that PyTorch wrote", path=path)
    packed = next((r for r in records if r.compress_type != zipfile.ZIP_STORED), None)
    if packed is not None:
        raise CheckpointError(f"holds a compressed record ({printable(packed.filename[:80])}), refused", path=path)
    claimed, there = sum(record.file_size for record in records), path.stat().st_size
    if claimed > there:
        raise CheckpointError(f"claims to hold {claimed} bytes in a file of {there}, refused", path=path)
    if any(r.file_size > _MAX_PICKLE_BYTES for r in records if r.filename.endswith(".pkl")):
        raise CheckpointError(f"its index is larger than {_MAX_PICKLE_BYTES >> 20} MiB, refused", path=path)


def _why_unreadable(error: BaseException) -> str:
    """One line for what a reader raised; a call that a file asked for is named."""
    text = " ".join(str(error).split())
    asked = re.search(r"GLOBAL ([\w.]+)", text) or re.search(r"Trying to (?:call reduce|instantiate)\D*?([\w.]+)", text)
    if isinstance(error, UnpicklingError):
        what = f" (it asks for {asked.group(1)})" if asked else ""
        return f"is not opened: only plain weights are read, and this file is damaged or holds more than that{what}"
    if isinstance(error, MemoryError):
        return "is damaged or too large for this machine's memory"
    short = printable(text[:160])
    return f"is truncated or damaged: {short}" if short else f"is truncated or damaged ({type(error).__name__})"


def _state_dict(content: Any, path: Path) -> Mapping[str, Any]:
    """The weights in what a PyTorch file holds: under `state_dict`, at the top, or the one group that is tensors."""
    if not isinstance(content, Mapping):
        raise CheckpointError(f"holds a {type(content).__name__}, expected a state_dict", path=path)
    if isinstance(content.get("state_dict"), Mapping):
        return content["state_dict"]  # type: ignore[no-any-return]
    if _all_tensors(content):
        return content
    groups = [value for value in content.values() if isinstance(value, Mapping) and _all_tensors(value)]
    if len(groups) == 1:
        return groups[0]
    names = printable(", ".join(str(key) for key in list(content)[:6])[:160])
    raise CheckpointError(f"has no state_dict; it holds {names or 'nothing'}", path=path)


def _all_tensors(values: Mapping[Any, Any]) -> bool:
    return bool(values) and all(isinstance(value, Tensor) for value in values.values())


def _bare(state: Mapping[Any, Any], path: Path) -> dict[str, Tensor]:
    """`state` without wrapping prefixes and loss keys; every entry a plain dense tensor that the file can hold."""
    for key, value in state.items():
        if not isinstance(key, str):
            raise CheckpointError(f"a key is a {type(key).__name__}, expected the name of a tensor", path=path)
        if not isinstance(value, Tensor):
            came = type(value).__name__
            raise CheckpointError(f"entry '{printable(key[:80])}' is a {came}, expected a tensor", path=path)
    bare = {key: value for key, value in state.items() if not _LOSS_KEY.match(key)}
    while bare and (prefix := next((p for p in _WRAPPERS if all(key.startswith(p) for key in bare)), None)):
        bare = {key.removeprefix(prefix): value for key, value in bare.items()}
        bare = {key: value for key, value in bare.items() if not _LOSS_KEY.match(key)}
    for key, tensor in bare.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise CheckpointError(f"entry '{printable(key[:80])}' is no plain dense tensor", path=path)
        if tensor.dtype not in _FLOATS + _INTEGERS:
            raise CheckpointError(f"entry '{printable(key[:80])}' has type {tensor.dtype}, expected floats", path=path)
    claimed, there = sum(tensor.numel() * tensor.element_size() for tensor in bare.values()), path.stat().st_size
    if claimed > there:  # strides can make one number look like a billion
        raise CheckpointError(f"its tensors claim {claimed} bytes in a file of {there}, refused", path=path)
    return {key: tensor.detach() for key, tensor in bare.items()}

"""Checkpoint files that no reader should trust. Each function writes one and gives its path."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch


class _Touch:
    """Unpickling makes the file `path`: proof that code ran."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch '{self._path}'",)


def _state() -> dict[str, torch.Tensor]:
    return {"conv1.weight": torch.ones(8, 3, 3, 3), "bn1.weight": torch.ones(8)}


def _save(path: Path, content: object, *, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def _repack(path: Path, *, compression: int, extra: dict[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(path) as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in (records | (extra or {})).items():
            archive.writestr(name, data)
    return path


def _safetensors(path: Path, header: object, data: bytes = b"", header_bytes: int | None = None) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if header_bytes is None else header_bytes) + text + data)
    return path


def _truncated(path: Path, share: float, *, zipped: bool) -> Path:
    data = _save(path, {"state_dict": _state()}, zipped=zipped).read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _script(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}.")
        archive.writestr("x/constants.pkl", b"\x80\x02).")
    return path


def _other_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return path


def _f32(shape: list[int], end: int) -> dict[str, object]:
    return {"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}


HOSTILE: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "evil zip": (lambda p, m: _save(p, {"state_dict": _state(), "x": _Touch(m)}), "only plain weights are read"),
    "evil stream": (lambda p, m: _save(p, {"x": _Touch(m)}, zipped=False), "only plain weights are read"),
    "evil pickle": (lambda p, m: _written(p, pickle.dumps(_Touch(m))), "only plain weights are read"),
    "evil old pickle": (lambda p, m: _written(p, pickle.dumps(_Touch(m), protocol=0)), "neither a PyTorch nor"),
    "evil key": (lambda p, m: _save(p, {_Touch(m): torch.ones(1)}), "only plain weights are read"),
    "whole module": (lambda p, _: _save(p, torch.nn.Linear(2, 2)), "torch.nn.modules.linear.Linear"),
    "empty": (lambda p, _: _written(p, b""), "is empty"),
    "one byte": (lambda p, _: _written(p, b"\x80"), "damaged"),
    "text": (lambda p, _: _written(p, b"hello"), "neither a PyTorch nor a safetensors file"),
    "web page": (lambda p, _: _written(p, b"\n<!DOCTYPE html><html>quota"), "is a web page"),
    "zeros": (lambda p, _: _written(p, bytes(4096)), "neither a PyTorch nor a safetensors file"),
    "folder": (lambda p, _: _folder(p), "is not a file"),
    "fifo": (lambda p, _: _fifo(p), "is not a file"),
    "missing": (lambda p, _: p, "no such file"),
    **{
        f"{kind} cut at {share:.0%}": (
            lambda p, _, share=share, zipped=zipped: _truncated(p, share, zipped=zipped),
            "damaged",
        )
        for kind, zipped in (("zip", True), ("stream", False))
        for share in (0.1, 0.5, 0.99)
    },
    "deflated": (
        lambda p, _: _repack(_save(p, {"state_dict": _state()}), compression=zipfile.ZIP_DEFLATED),
        "compressed record",
    ),
    "zip bomb": (
        lambda p, _: _repack(
            _save(p, _state()), compression=zipfile.ZIP_DEFLATED, extra={"archive/data/9": bytes(1 << 26)}
        ),
        "compressed record",
    ),
    "other zip": (
        lambda p, _: _other_zip(p),
        "not one that PyTorch wrote",
    ),
    "program": (lambda p, _: _script(p), "TorchScript program"),
    "stretched": (
        lambda p, _: _save(p, {"w": torch.ones(1).as_strided((10**6, 10**6), (0, 0))}),
        "claim 4000000000000 bytes",
    ),
    "sparse": (lambda p, _: _save(p, {"w": torch.eye(3).to_sparse()}), "plain dense tensor"),
    "no values": (lambda p, _: _save(p, {"w": torch.ones(3, device="meta")}), "plain dense tensor"),
    "complex": (lambda p, _: _save(p, {"w": torch.ones(3, dtype=torch.complex64)}), "has type torch.complex64"),
    "bytes": (lambda p, _: _save(p, {"w": torch.ones(3, dtype=torch.uint8)}), "expected floats"),
    "a list": (lambda p, _: _save(p, [torch.ones(3)]), "holds a list"),
    "a tensor": (lambda p, _: _save(p, torch.ones(3)), "holds a Tensor"),
    "no weights": (lambda p, _: _save(p, {"epoch": 3, "args": {"lr": 0.1}}), "no state_dict; it holds epoch, args"),
    "numbers as keys": (lambda p, _: _save(p, {"state_dict": {1: torch.ones(1)}}), "a key is a int, expected the name"),
    "numbers as values": (lambda p, _: _save(p, {"state_dict": {"w": 3}}), "entry 'w' is a int"),
    "header too long": (lambda p, _: _safetensors(p, {}, header_bytes=10**15), "header claims 1000000000000000"),
    "header past the end": (lambda p, _: _safetensors(p, _f32([1], 4), header_bytes=200), "header claims 200"),
    "absurd shape": (lambda p, _: _safetensors(p, _f32([10**12], 4 * 10**12), b"1234"), "damaged"),
    "overflowing shape": (lambda p, _: _safetensors(p, _f32([2**62, 4], 4), b"1234"), "damaged"),
    "negative shape": (lambda p, _: _safetensors(p, _f32([-1], 4), b"1234"), "damaged"),
    "no offsets": (lambda p, _: _safetensors(p, {"w": {"dtype": "F32", "shape": [1]}}, b"1234"), "damaged"),
    "safetensors cut": (lambda p, _: _safetensors(p, _f32([4], 16), b"1234"), "damaged"),
    "header of lists": (lambda p, _: _safetensors(p, {"w": [[[]]]}), "damaged"),
    "unknown type": (
        lambda p, _: _safetensors(p, {"w": {"dtype": "X9", "shape": [], "data_offsets": [0, 0]}}),
        "damaged",
    ),
}
"""By name: what writes the file (path, marker that evil code would create) and words of the refusal."""

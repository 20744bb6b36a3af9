"""Say which network a set of weights belongs to, import published checkpoints, load installed models. Always strict."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mseg_studio.discovery import discover
from mseg_studio.errors import CheckpointError, ConfigError, nearest, printable
from mseg_studio.networks.card import CARD_FILE, NOT_YET_HASHED, ModelCard, check_model_name, write_card
from mseg_studio.networks.catalog import (
    InstalledModel,
    check_free_name,
    leftover_folder,
    models_folder,
    open_model_folder,
)
from mseg_studio.networks.spec import NetworkSpec
from mseg_studio.networks.weights_file import as_float32, read_checkpoint, read_weights, write_weights
from mseg_studio.progress import CancelToken, Progress
from mseg_studio.storage import atomic_path, fsync_folder, is_leftover, sha256_file

UNIVERSAL = "universal"
_PUBLISHED_CROPS = {480: 473, 720: 593, 1080: 713}
"""Crop by the short side the published models were trained at (parity.md 2.2, 2.7)."""
_RESOLUTION = re.compile(r"(?<!\d)(480|720|1080)p(?![a-z0-9])", re.IGNORECASE)
_TRAINED_AT_1080 = re.compile(r"(^|[-_])[13]m([-_.]|$)", re.IGNORECASE)
"""Published names that end in -1m or -3m and name no resolution: all were trained at 1080, crop 713."""
_FALLBACK_SIZE = 480
_DISK_SLACK_BYTES = 16 << 20
_ABANDONED_S = 24 * 3600.0
_RANDOM_FILLS = {torch.Tensor.normal_, torch.Tensor.uniform_}


@dataclass(frozen=True, slots=True)
class Recognised:
    """What `recognise` found."""

    spec: NetworkSpec
    num_classes: int


@dataclass(frozen=True, slots=True)
class Mismatch:
    """How a state dict differs from a network's; empty when it fits."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]
    """`key expected shape, came shape`."""

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        groups = (("missing", self.missing), ("unexpected", self.unexpected), ("of another shape", self.reshaped))
        return ", ".join(f"{len(names)} {what} ({_few(names)})" for what, names in groups if names)


@functools.lru_cache(maxsize=1)
def known_networks() -> Mapping[str, NetworkSpec]:
    """Every architecture, by name: the modules of this room and entry points `mseg_studio.networks`."""
    return discover("mseg_studio.networks", "NETWORK", group="mseg_studio.networks")


def build_without_values(spec: NetworkSpec, num_classes: int) -> nn.Module:
    """The network on the meta device: all keys and shapes, no memory, no time spent on random numbers."""
    with torch.device("meta"), _SkipRandomFills():
        network: nn.Module = spec.build(num_classes)
    return network


def compare(spec: NetworkSpec, num_classes: int, state: Mapping[str, Tensor]) -> Mismatch:
    """How `state` differs from what `spec` needs for `num_classes`."""
    expected = _shapes(spec, num_classes)
    return Mismatch(
        missing=tuple(key for key in expected if key not in state),
        unexpected=tuple(key for key in state if key not in expected),
        reshaped=tuple(
            f"{key} expected {_shape(shape)}, came {_shape(tuple(state[key].shape))}"
            for key, shape in expected.items()
            if key in state and tuple(state[key].shape) != shape
        ),
    )


def recognise(state: Mapping[str, Tensor]) -> Recognised:
    """The network and class count that `state` fits in every key and shape.

    Raises CheckpointError that names the nearest network and the keys that are missing, unexpected or of another shape.
    """
    best: tuple[tuple[int, int], NetworkSpec, Mismatch] | None = None
    for spec in known_networks().values():
        head = state.get(spec.head_weight_key)
        num_classes = head.shape[0] if head is not None and head.dim() > 0 and 1 <= head.shape[0] <= 65535 else 1
        mismatch = compare(spec, num_classes, state)
        if not mismatch:
            return Recognised(spec, num_classes)
        fitting = len(state) - len(mismatch.unexpected) - len(mismatch.reshaped)
        nearness = (fitting, -len(mismatch.missing))  # all keys of a shallow network fit a deeper one too
        if best is None or nearness > best[0]:
            best = (nearness, spec, mismatch)
    if best is None:
        raise CheckpointError("no network is known to this installation")
    (fitting, _), spec, mismatch = best
    raise CheckpointError(
        f"fits no known network ({', '.join(known_networks())}); nearest is {spec.name}, where {fitting} of "
        f"{len(state)} keys fit: {mismatch}"
    )


def spec_of(model: InstalledModel) -> NetworkSpec:
    """The architecture that an installed model's card names. Raises CheckpointError for an unknown one."""
    card = model.card
    spec = known_networks().get(card.network)
    if spec is None:
        raise CheckpointError(
            f"network '{printable(card.network[:80])}' is not known{nearest(card.network[:80], known_networks())}",
            path=model.folder / CARD_FILE,
        )
    return spec


def check_weights(model: InstalledModel) -> None:
    """Raise CheckpointError unless the weights file is there and is the one that the card describes, byte by byte."""
    if _hash_of(model.weights_file) != model.card.weights_sha256:
        raise CheckpointError(
            "is not the file that the card describes: its SHA-256 differs (damaged?)", path=model.weights_file
        )


def load_network(model: InstalledModel) -> tuple[nn.Module, NetworkSpec]:
    """The network of an installed model with its weights, float32, on the CPU, in evaluation mode.

    Raises CheckpointError when the weights are not those of the card, are damaged, or do not fit the network.
    """
    card, path, spec = model.card, model.weights_file, spec_of(model)
    check_weights(model)
    state = read_weights(path)
    if mismatch := compare(spec, card.num_classes, state):
        raise CheckpointError(f"does not fit {spec.name} with {card.num_classes} classes: {mismatch}", path=path)
    return network_with(spec, card.num_classes, state), spec


def network_with(spec: NetworkSpec, num_classes: int, state: Mapping[str, Tensor]) -> nn.Module:
    """`spec`'s network that owns the tensors of `state` (they must fit), in evaluation mode."""
    network = build_without_values(spec, num_classes)
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval()


def write_model(folder: Path, card: ModelCard, state: Mapping[str, Tensor], *, half: bool = False) -> InstalledModel:
    """Write a model folder at once: it appears complete or not at all. `half` stores floats as float16.

    The card's `weights_sha256` is computed here, whatever it says (NOT_YET_HASHED). `folder` must not exist.
    Raises CheckpointError naming the folder: state that does not fit the card, no room, not writable, already there.
    """
    spec = known_networks().get(card.network)
    if spec is None or (mismatch := compare(spec, card.num_classes, state)):
        reason = f"is not known{nearest(card.network, known_networks())}" if spec is None else f"needs else: {mismatch}"
        raise CheckpointError(f"network {card.network} {reason}", path=folder)
    temporary = leftover_folder(folder.parent)
    try:
        if folder.exists():
            raise CheckpointError("is there already", path=folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _check_room(folder, sum(tensor.numel() * tensor.element_size() for tensor in state.values()))
        temporary.mkdir()
        with atomic_path(temporary / card.weights) as part:  # for its fsync
            write_weights(part, state, half=half)
        card = dataclasses.replace(card, weights_sha256=sha256_file(temporary / card.weights))
        write_card(temporary / CARD_FILE, card)
        fsync_folder(temporary)
        temporary.rename(folder)
        fsync_folder(folder.parent)
    except OSError as error:
        raise CheckpointError(f"cannot be written: {error.strerror or error}", path=folder) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return open_model_folder(folder)


def import_checkpoint(
    file: Path,
    *,
    name: str,
    taxonomy: str | None = None,
    crop_px: int | None = None,
    base_size: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    cancel: CancelToken | None = None,
) -> InstalledModel:
    """Install a published checkpoint (.pth or .safetensors) as model `name` in the user's folder.

    Crop and short side in pixels default to those of the published models, known by their file names. Raises
    CheckpointError naming the file that is refused and why; ConfigError for a name, crop or size that cannot be;
    TaxonomyError for an unknown taxonomy; Cancelled.
    """

    def at(step: int, what: str) -> None:
        if cancel is not None and step < 4:  # once written it is there: too late to cancel
            cancel.raise_if_cancelled()
        if on_progress is not None:
            on_progress(Progress(step, 4, what))

    check_model_name(name)
    check_free_name(name)
    at(0, "reading the checkpoint")
    state = read_checkpoint(file)
    at(1, "checking that it fits")
    try:
        found = recognise(state)
        target = models_folder() / name
        guess_crop_px, guess_base = published_sizes(file) or (_PUBLISHED_CROPS[_FALLBACK_SIZE], _FALLBACK_SIZE)
        card = ModelCard(
            name=name,
            network=found.spec.name,
            num_classes=found.num_classes,
            taxonomy=_fitting_taxonomy(taxonomy, found.num_classes),
            crop_px=guess_crop_px if crop_px is None else crop_px,
            base_size=guess_base if base_size is None else base_size,
            weights_sha256=NOT_YET_HASHED,
            command=f"mseg-studio models import {printable(file.name)} --name {name}",
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        )
        _check_crop(found.spec, card.crop_px)
        _check_finite(state)
    except CheckpointError as error:
        raise CheckpointError(error.reason, path=file) from error
    at(2, "computing its SHA-256")
    card = dataclasses.replace(card, source_sha256=sha256_file(file))
    at(3, "writing the model")
    _delete_abandoned(models_folder())
    half = all(tensor.dtype == torch.float16 for tensor in state.values() if tensor.is_floating_point())
    model = write_model(target, card, state if half else {k: as_float32(t) for k, t in state.items()})
    at(4, "done")
    return model


def published_sizes(file: Path) -> tuple[int, int] | None:
    """(crop, short side) in pixels that the published model of this file or folder name was trained at, else None."""
    for text in (file.name, file.parent.name):
        if match := _RESOLUTION.search(text):
            size = int(match.group(1))
            return _PUBLISHED_CROPS[size], size
    if _TRAINED_AT_1080.search(file.name.split(".")[0]):
        return _PUBLISHED_CROPS[1080], 1080
    return None


class _SkipRandomFills(TorchFunctionMode):
    """Meta tensors have no values; filling them anyway makes torch import its compiler, which takes a second."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func in _RANDOM_FILLS else func(*args, **(kwargs or {}))


@functools.lru_cache(maxsize=32)
def _shapes(spec: NetworkSpec, num_classes: int) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in build_without_values(spec, num_classes).state_dict().items()}


def _fitting_taxonomy(name: str | None, num_classes: int) -> str:
    """`name` if its channels are `num_classes`; without a name, universal if it is that. CheckpointError otherwise."""
    from mseg_studio.taxonomy.catalog import default_catalog  # only an import needs the tables

    catalog = default_catalog()
    if name is None and catalog.taxonomy(UNIVERSAL).num_channels == num_classes:
        return UNIVERSAL
    if name is not None and catalog.taxonomy(name).num_channels == num_classes:
        return name
    fitting = [other for other in catalog.names() if catalog.taxonomy(other).num_channels == num_classes]
    hint = f"; {num_classes} fits {', '.join(fitting)}" if fitting else f"; no known taxonomy has {num_classes}"
    if name is None:
        raise CheckpointError(f"has {num_classes} classes, so the taxonomy must be named (--taxonomy){hint}")
    needed = catalog.taxonomy(name).num_channels
    raise CheckpointError(f"has {num_classes} classes, but taxonomy {name} needs {needed}{hint}")


def _check_crop(spec: NetworkSpec, crop_px: int) -> None:
    try:
        spec.check_crop(crop_px)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _check_finite(state: Mapping[str, Tensor]) -> None:
    broken = [key for key, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(f"holds values that are no numbers (NaN or infinite): {_few(broken)}")


def _check_room(folder: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder.parent).free
    if free_bytes < needed_bytes + _DISK_SLACK_BYTES:
        raise CheckpointError(
            f"no room: {needed_bytes / 1e6:.0f} MB are needed, {free_bytes / 1e6:.0f} MB are free", path=folder
        )


def _delete_abandoned(folder: Path) -> None:
    """Delete what imports killed more than a day ago left; a younger one may still be at work."""
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if is_leftover(entry) and time.time() - entry.stat().st_mtime > _ABANDONED_S:
            shutil.rmtree(entry, ignore_errors=True)


_HASHES: dict[tuple[str, int, int, int], str] = {}


def _hash_of(path: Path) -> str:
    """SHA-256 of a file; computed again only when its size, time or inode changed. Raises CheckpointError."""
    try:
        status = path.stat()
        identity = (str(path.resolve()), status.st_size, status.st_mtime_ns, status.st_ino)
        if identity not in _HASHES:
            _HASHES[identity] = sha256_file(path)
    except OSError as error:
        raise CheckpointError(f"cannot be read: {error.strerror or error}", path=path) from error
    return _HASHES[identity]


def _few(names: list[str] | tuple[str, ...]) -> str:
    shown = [printable(name[:80]) for name in names[:3]]
    return ", ".join(shown) + (", ..." if len(names) > 3 else "")


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(str(size) for size in shape) or "scalar"

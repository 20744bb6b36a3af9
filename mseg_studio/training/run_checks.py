"""All that can be found wrong with a run before anything of it starts, said at once and not one at a time."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from torch import nn

from mseg_studio.errors import ConfigError, MSegStudioError
from mseg_studio.networks.checkpoint import build_without_values
from mseg_studio.settings import check_device
from mseg_studio.training import devices
from mseg_studio.training.config import DatasetConfig, TrainConfig
from mseg_studio.training.data_files import listed_pairs
from mseg_studio.training.head import Head, head_mapping, head_of, open_dataset, resolved
from mseg_studio.training.run_parts import check_norms
from mseg_studio.training.sampler import check_batch
from mseg_studio.training.start import find_network
from mseg_studio.training.start_choice import start_of
from mseg_studio.training.validation_data import judged_classes

_T = TypeVar("_T")
_BYTES = 4
"""Of a weight in a checkpoint."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found."""

    config: TrainConfig
    """With the classes of its datasets named, where that could be done."""
    problems: tuple[str, ...]
    """Why it cannot start; none: it can."""
    warnings: tuple[str, ...]
    """What a person should know."""
    train_images: int = 0
    validate_images: int = 0
    """Images of one validation."""
    disk_bytes: int = 0
    """What its checkpoints will take, about."""


def check_run(
    config: TrainConfig, *, processes: int, nnodes: int = 1, disk: Path | None = None, devices_here: bool = True
) -> Checked:
    """Look at everything a run needs; `disk` is a folder on the disk that it will be written to.

    `devices_here` says whether this machine's GPUs will compute it.

    Nothing is raised for what is wrong with the run: it is in `problems`.
    """
    found = _Problems()
    found.of(lambda: start_of(config.start))
    opened = [found.of(functools.partial(open_dataset, one)) for one in config.datasets]
    whole = found.of(lambda: resolved(config)) if all(opened) else None
    head = found.of(functools.partial(head_of, whole)) if whole is not None else None
    if whole is not None and head is not None:
        for one in whole.datasets:
            found.of(functools.partial(_check_classes, one, head))
    spec = found.of(lambda: find_network(config.network))
    if spec is not None:
        found.of(lambda: _check_crop(config.network, "augment.crop_px", config.augment.crop_px))
        found.of(lambda: _check_crop(config.network, "card_crop_px", config.card_crop_px))
    found.of(lambda: check_batch(config, world=processes * nnodes))
    found.of(lambda: check_device(config.device))
    if devices_here:
        found.of(lambda: _check_devices(config, processes))
    found.of(lambda: _check_samples(config))
    placed = [one.name for one in config.datasets if found.of(functools.partial(_check_place, one))]
    train = sum(found.of(functools.partial(_train_images, one)) or 0 for one in config.trained if one.name in placed)
    val = sum(
        found.of(functools.partial(_val_images, one, config)) or 0 for one in config.validated if one.name in placed
    )
    disk_bytes = 0
    if head is not None and spec is not None:
        network = build_without_values(spec, len(head.rows))
        found.of(functools.partial(check_norms, network, config, world=processes * nnodes))
        disk_bytes = _checkpoint_bytes(network, config) * (config.keep + 2)
        if disk is not None:
            found.of(functools.partial(_check_disk, disk, disk_bytes))
    warnings = tuple(_warnings(config, processes * nnodes))
    return Checked(whole or config, tuple(found.lines), warnings, train, val, disk_bytes)


class _Problems:
    """Collects what is wrong, each once."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def of(self, act: Callable[[], _T]) -> _T | None:
        """What `act` gives; None when it fails, and why is kept."""
        try:
            return act()
        except (MSegStudioError, OSError) as error:
            if str(error) not in self.lines:
                self.lines.append(str(error))
            return None


def checkpoint_bytes(config: TrainConfig, head: Head) -> int:
    """Size of one checkpoint in bytes: the weights, what the optimizer keeps beside them, and their average."""
    return _checkpoint_bytes(build_without_values(find_network(config.network), len(head.rows)), config)


def _checkpoint_bytes(network: nn.Module, config: TrainConfig) -> int:
    weights: int = sum(tensor.numel() for tensor in network.state_dict().values())
    copies = 1 + {"sgd": 1, "adamw": 2}[config.optim.optimizer] + (config.optim.average_decay > 0)
    return weights * _BYTES * copies


def batch_norm_words(config: TrainConfig, world: int) -> str:
    """What the number of processes and parts does to batch norm."""
    part, per = config.batch // config.accumulate, config.batch / (world * config.accumulate)
    each = f"{per:g} of them" if config.batch % (world * config.accumulate) == 0 else f"{int(per)} or {int(per) + 1}"
    if config.accumulate == 1:
        return (
            f"{config.batch} crops a step, {each} in each of {world} processes; batch norm sees all {config.batch}, "
            "whatever the number of processes"
            if world > 1
            else f"{config.batch} crops a step, all in one process, as batch norm sees them"
        )
    return (
        f"{config.batch} crops a step in {config.accumulate} parts one after the other: the gradient is that of "
        f"{config.batch}, but batch norm sees about {part} at a time, so results differ a little from the recipe's"
    )


def free_bytes(folder: Path) -> int:
    """Free space where `folder` is or will be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _check_classes(dataset: DatasetConfig, head: Head) -> None:
    head_mapping(open_dataset(dataset), dataset, head)
    if dataset.val_split:
        judged_classes(dataset, head)


def _check_place(dataset: DatasetConfig) -> bool:
    if not open_dataset(dataset).roots:
        raise ConfigError(
            f"it is not known where dataset '{dataset.name}' lies: give its `root` in the configuration, or "
            f"--dataset {dataset.name}=DIR"
        )
    return True


def _check_crop(network: str, key: str, crop_px: int) -> None:
    try:
        find_network(network).check_crop(crop_px)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from error


def _check_devices(config: TrainConfig, processes: int) -> None:
    gpus = [device for device in devices.devices_here() if device.kind == "cuda"]
    if config.device.startswith("cuda:") and processes > 1:
        raise ConfigError(f"device {config.device} is one GPU for {processes} processes; say cuda, one for each")
    if config.device == "auto" and gpus and processes > len(gpus):
        there = "there is 1 GPU" if len(gpus) == 1 else f"there are {len(gpus)} GPUs"
        raise ConfigError(f"{processes} processes, but {there} here: start at most {len(gpus)}, or set device=cpu")


def _check_samples(config: TrainConfig) -> None:
    gone = [sample for sample in config.samples if not Path(sample).is_file()]
    if gone:
        raise ConfigError("samples: no such file", path=gone[0])


def _check_disk(folder: Path, needed: int) -> None:
    free = free_bytes(folder)
    if free < needed:
        raise ConfigError(
            f"{_megabytes(needed)} are needed for checkpoints and {_megabytes(free)} are free", path=folder
        )


def _megabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _train_images(dataset: DatasetConfig) -> int:
    return len(listed_pairs(dataset, dataset.train_split, leave_out=dataset.leave_out))


def _val_images(dataset: DatasetConfig, config: TrainConfig) -> int:
    count = len(listed_pairs(dataset, dataset.val_split))
    return min(count, config.validate_images or count)


def _warnings(config: TrainConfig, world: int) -> list[str]:
    found = []
    if not config.validated:
        found.append("no dataset has a val_split: no validation will say how good it is, and none is the best")
    if config.accumulate > 1:
        found.append(batch_norm_words(config, world))
    same = [one.name for one in config.datasets if one.train_split and one.train_split == one.val_split]
    if same:
        found.append(f"{', '.join(same)}: judged by the images it learns from")
    return found

"""Which weights a run begins with, found before anything is loaded. Torch-free: form and command line ask too."""

from __future__ import annotations

from pathlib import Path

from mseg_studio.errors import ConfigError
from mseg_studio.networks.catalog import InstalledModel, find_model, scan_models
from mseg_studio.training.config import RANDOM


def start_of(start: str) -> InstalledModel | Path | None:
    """What `TrainConfig.start` means: an installed model, a file or folder of weights, or None for random weights.

    Raises ConfigError for no choice and for a file that is not there, CheckpointError with the nearest names for a
    model that is not installed.
    """
    if not start:
        raise ConfigError(
            "start is not chosen: random, an installed model's name, or a checkpoint file (an ImageNet backbone or a "
            "whole network). There is no default because it decides the result more than most settings do: the "
            "published recipes were meant to begin with an ImageNet backbone, and gave worse models without anyone "
            "noticing where they began with random weights"
        )
    if start == RANDOM:
        return None
    if is_file_start(start):
        path = Path(start)
        if not path.exists():
            raise ConfigError("start: no such checkpoint", path=path)
        return path
    return find_model(start)


def is_file_start(start: str, *, beside: Path | None = None) -> bool:
    """Whether `start` names a file, or a folder with its way to it, and no model.

    A single word is an installed model of that name; else a file where one is there (in `beside`, by default the
    working folder) or its suffix is that of weights.
    """
    path = Path(start)
    if len(path.parts) > 1:
        return True
    if path.suffix.lower() not in _SUFFIXES and not ((beside or Path()) / path).is_file():
        return False
    return start not in {model.name for model in scan_models()}


_SUFFIXES = frozenset({".pth", ".pt", ".tar", ".ckpt", ".bin", ".safetensors"})

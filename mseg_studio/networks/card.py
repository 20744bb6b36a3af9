"""The card of a model: what its weights are, where they come from and how well they do. Torch-free (contracts.md)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from mseg_studio.errors import ConfigError, nearest, printable
from mseg_studio.plain_yaml import parse_yaml
from mseg_studio.storage import write_atomic

CARD_FILE = "card.yaml"
WEIGHTS_FILE = "weights.safetensors"
UNKNOWN_SOURCE = "unknown, see the source of the file"
NOT_YET_HASHED = "0" * 64
"""`weights_sha256` of a card whose weights are still to be written."""

_FORMAT = 1
_MAX_CARD_BYTES = 128 << 10

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WINDOWS_DEVICES = {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(1, 10))}


def check_model_name(name: str) -> None:
    """Raise ConfigError unless `name` is a plain folder name on every system."""
    if not _NAME.fullmatch(name) or name.endswith(".") or name.split(".")[0].lower() in _WINDOWS_DEVICES:
        raise ConfigError(
            f"'{printable(name[:80])}' cannot be the name of a model: letters, digits, '-', '_' and '.' are allowed, "
            "a letter or digit first, at most 64"
        )


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured result; every number is a fraction from 0 to 1."""

    dataset: str
    split: str
    recipe: str
    miou: float
    iou: Mapping[str, float] = field(default_factory=dict, hash=False)
    """IoU by class name."""

    def __post_init__(self) -> None:
        _check_texts(self, "metrics: ", ("dataset", "split", "recipe"))
        if not isinstance(self.iou, Mapping) or not all(isinstance(name, str) for name in self.iou):
            raise ConfigError("metrics: iou must hold `class: number` lines")
        for what, value in (("miou", self.miou), *((f"iou of '{name}'", value) for name, value in self.iou.items())):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ConfigError(f"metrics: {what} is {_came(value)}, expected a fraction from 0 to 1")
        object.__setattr__(self, "iou", MappingProxyType(dict(self.iou)))

    def as_dict(self) -> dict[str, Any]:
        """Plain values in the order of the contract."""
        return {
            "dataset": self.dataset,
            "split": self.split,
            "recipe": self.recipe,
            "miou": self.miou,
            "iou": dict(self.iou),
        }


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model folder holds. Every value is checked when the card is made: ConfigError names the field."""

    name: str
    """Name of the model and of its folder."""
    network: str
    """Name of the NetworkSpec that the weights fit."""
    num_classes: int
    """Channels of the last convolution."""
    taxonomy: str
    """Taxonomy of the channels; its `num_channels` is `num_classes`."""
    crop_px: int
    """Side in pixels of the sliding window the network was trained for."""
    base_size: int
    """Short side in pixels at which an image is segmented unless a recipe says otherwise."""
    weights_sha256: str
    """Hexadecimal SHA-256 of the weights file."""
    weights: str = WEIGHTS_FILE
    """File name of the weights, in the card's folder."""
    source_sha256: str = ""
    """Hexadecimal SHA-256 of the file the weights were imported from; empty when there is none."""
    licence: str = UNKNOWN_SOURCE
    data: str = UNKNOWN_SOURCE
    """What the network was trained on."""
    trained_classes: tuple[str, ...] = ()
    """Classes that the weights know; empty means all of the taxonomy."""
    metrics: tuple[Metric, ...] = ()
    command: str = ""
    """Command line that made the model."""
    date: str = ""
    """Day it was made, YYYY-MM-DD."""
    note: str = ""
    """What a person who uses the model should know."""

    def __post_init__(self) -> None:
        texts = ("name", "network", "taxonomy", "weights", "weights_sha256", "source_sha256")
        _check_texts(self, "", (*texts, "licence", "data", "command", "date", "note"))
        check_model_name(self.name)
        for name in ("network", "taxonomy"):
            if not getattr(self, name):
                raise ConfigError(f"{name} is empty")
        for name, low, high in (("num_classes", 1, 65535), ("crop_px", 8, 16384), ("base_size", 8, 16384)):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ConfigError(f"{name} is {_came(value)}, expected a whole number from {low} to {high}")
        if not _NAME.fullmatch(self.weights) or not self.weights.endswith(".safetensors"):
            raise ConfigError(f"weights is {_came(self.weights)}, expected a .safetensors file beside the card")
        if not _SHA256.fullmatch(self.weights_sha256):
            raise ConfigError(f"weights_sha256 is {_came(self.weights_sha256)}, expected 64 hexadecimal digits")
        if self.source_sha256 and not _SHA256.fullmatch(self.source_sha256):
            raise ConfigError(f"source_sha256 is {_came(self.source_sha256)}, expected 64 hexadecimal digits")
        if not isinstance(self.trained_classes, tuple) or not all(isinstance(c, str) for c in self.trained_classes):
            raise ConfigError("trained_classes must be a list of class names")
        if not isinstance(self.metrics, tuple) or not all(isinstance(m, Metric) for m in self.metrics):
            raise ConfigError("metrics must be a list of results")

    def as_dict(self) -> dict[str, Any]:
        """Plain YAML and JSON values in the order of the contract."""
        return {
            "format": _FORMAT,
            "name": self.name,
            "network": self.network,
            "num_classes": self.num_classes,
            "taxonomy": self.taxonomy,
            "crop_px": self.crop_px,
            "base_size": self.base_size,
            "weights": self.weights,
            "weights_sha256": self.weights_sha256,
            "source_sha256": self.source_sha256,
            "licence": self.licence,
            "data": self.data,
            "trained_classes": list(self.trained_classes),
            "metrics": [metric.as_dict() for metric in self.metrics],
            "command": self.command,
            "date": self.date,
            "note": self.note,
        }


def read_card(path: Path) -> ModelCard:
    """The card in a YAML file. Raises ConfigError naming the file and what is wrong, OSError when it cannot be read."""
    with path.open("rb") as stream:
        data = stream.read(_MAX_CARD_BYTES + 1)
    if len(data) > _MAX_CARD_BYTES:
        raise ConfigError(f"is larger than {_MAX_CARD_BYTES >> 10} KiB, that is no model card", path=path)
    try:
        values = parse_yaml(data, path)
    except ConfigError as error:
        raise ConfigError(f"cannot be read as a model card: {error.reason}", path=path) from error
    try:
        if not isinstance(values, dict):
            raise ConfigError("expected `key: value` lines")
        return card_from_dict(values)
    except ConfigError as error:
        raise ConfigError(error.reason, path=path) from error


def write_card(path: Path, card: ModelCard) -> None:
    """Write `card` as YAML, atomically. Raises OSError."""
    text = yaml.safe_dump(card.as_dict(), sort_keys=False, allow_unicode=True, width=120)
    write_atomic(path, text.encode())


def card_from_dict(values: Mapping[str, Any]) -> ModelCard:
    """The card that `as_dict` gave. Raises ConfigError on an unknown, missing or wrong key."""
    values = dict(values)
    number = values.pop("format", None)
    if type(number) is not int or number < 1:
        raise ConfigError(f"format is {_came(number)}, expected {_FORMAT}")
    if number > _FORMAT:
        raise ConfigError(f"written by a newer MSeg Studio (format {number}, this one reads {_FORMAT})")
    _check_keys(values, ModelCard, "")
    classes, metrics = values.get("trained_classes", []), values.get("metrics", [])
    if not isinstance(classes, list) or not isinstance(metrics, list):
        raise ConfigError("trained_classes and metrics must be lists")
    if not all(isinstance(metric, dict) for metric in metrics):
        raise ConfigError("metrics must be a list of `dataset, split, recipe, miou, iou`")
    for metric in metrics:
        _check_keys(metric, Metric, "metrics: ")
    return ModelCard(**values | {"trained_classes": tuple(classes), "metrics": tuple(Metric(**m) for m in metrics)})


def _check_keys(values: Mapping[str, Any], kind: type[ModelCard] | type[Metric], where: str) -> None:
    known = {entry.name: entry for entry in fields(kind)}
    for key in values:
        if key not in known:
            raise ConfigError(f"{where}unknown key '{printable(str(key)[:80])}'{nearest(str(key)[:80], known)}")
    for name, entry in known.items():
        if name not in values and entry.default is MISSING and entry.default_factory is MISSING:
            raise ConfigError(f"{where}{name} is missing")


def _check_texts(owner: ModelCard | Metric, where: str, names: tuple[str, ...]) -> None:
    for name in names:
        value = getattr(owner, name)
        if not isinstance(value, str):
            raise ConfigError(f"{where}{name} is {_came(value)}, expected a text")


def _came(value: object) -> str:
    """`value` for a message, short whatever it is."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str | int | float) or value is None:
        return printable(repr(value)[:80])
    return f"a {type(value).__name__}"

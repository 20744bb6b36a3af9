"""Configurations as YAML files and plain values. Torch-free."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import yaml

from mseg_studio.datasets.ready import find_description
from mseg_studio.errors import ConfigError, nearest
from mseg_studio.plain_yaml import parse_yaml, read_yaml
from mseg_studio.storage import write_atomic
from mseg_studio.training.config import RANDOM, DatasetConfig, TrainConfig
from mseg_studio.training.start_choice import is_file_start

FORMAT = 1
RECIPE_TEXTS = ("title", "about")
"""What a recipe says of itself beside the configuration."""
_KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text (in quotes, where it looks like a number)",
    tuple: "a list",
    dict: "`key: value` lines",
}
"""Types in the words of whoever writes a configuration."""
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", re.ASCII)
"""A number that YAML takes for text unless it has both a point and a sign, as 1e-4."""


def load_config(path: Path) -> TrainConfig:
    """Read a configuration; paths in it are made absolute. Raises ConfigError naming the file and the key."""
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise ConfigError("expected `key: value` lines", path=path)
    if raw.pop("format", FORMAT) != FORMAT:
        raise ConfigError(f"format is not {FORMAT}: written by a newer MSeg Studio", path=path)
    for key in RECIPE_TEXTS:
        raw.pop(key, None)
    try:
        config = config_from_dict(raw)
    except ConfigError as error:
        raise ConfigError(error.reason, path=path) from error
    return dataclasses.replace(
        config,
        datasets=tuple(_absolute(dataset, path.parent) for dataset in config.datasets),
        start=_absolute_start(config.start, path.parent),
        samples=tuple(str((path.parent / sample).resolve()) for sample in config.samples),
    )


def with_settings(config: TrainConfig, settings: Iterable[str]) -> TrainConfig:
    """The configuration with `key=value` changes: keys as `optim.lr` or `datasets.0.val_split`, values as in YAML.

    Raises ConfigError naming the key and the nearest valid one.
    """
    values = config_as_dict(config)
    apply_settings(values, settings)
    return config_from_dict(values)


def apply_settings(values: dict[str, Any], settings: Iterable[str]) -> None:
    """Make the changes of `with_settings` in the plain values of a configuration. Raises ConfigError naming the key."""
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"'{setting}' is no setting, expected key=value as in optim.lr=0.005")
        place: Any = values
        *parents, last = key.strip().split(".")
        for depth, part in enumerate(parents):
            place = _child(place, part, ".".join(parents[: depth + 1]))
        value = parse_yaml(text.encode(), Path(f"--set {key}"))
        if isinstance(place, list):
            _child(place, last, key)
            place[int(last)] = value
        elif isinstance(place, dict):
            place[last] = value
        else:
            raise ConfigError(f"'{key}' is no setting: {'.'.join(parents)} has no parts")


def save_config(path: Path, config: TrainConfig) -> None:
    """Write every field, atomically. Raises OSError."""
    text = yaml.safe_dump({"format": FORMAT, **config_as_dict(config)}, sort_keys=False, allow_unicode=True)
    write_atomic(path, text.encode())


def config_as_dict(config: TrainConfig) -> dict[str, Any]:
    """Plain YAML values; tuples become lists."""
    plain: dict[str, Any] = _plain(dataclasses.asdict(config))
    return plain


def config_from_dict(values: dict[str, Any]) -> TrainConfig:
    """The configuration that `config_as_dict` gave. Raises ConfigError on unknown keys and wrong types."""
    config: TrainConfig = _build(TrainConfig, values, "")
    return config


def _child(place: Any, part: str, where: str) -> Any:
    """What `part` of a key leads to. Raises ConfigError."""
    if isinstance(place, list):
        if not part.isdecimal() or int(part) >= len(place):
            raise ConfigError(f"'{where}' is no setting: expected a number from 0 to {len(place) - 1}")
        return place[int(part)]
    if not isinstance(place, dict) or part not in place:
        raise ConfigError(f"unknown key '{where}'{nearest(part, place) if isinstance(place, dict) else ''}")
    return place[part]


def _absolute(dataset: DatasetConfig, folder: Path) -> DatasetConfig:
    description = find_description(dataset.description, beside=folder).resolve()
    root = str((folder / dataset.root).resolve()) if dataset.root else ""
    return dataclasses.replace(dataset, description=str(description), root=root)


def _absolute_start(start: str, folder: Path) -> str:
    """A checkpoint file with its whole path; a word (random, a model's name) stays as it is."""
    is_file = start != RANDOM and is_file_start(start, beside=folder)
    return str((folder / start).resolve()) if is_file else start


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _build(kind: Any, values: Any, where: str) -> Any:
    if not isinstance(values, dict):
        raise ConfigError(f"{where.rstrip('.') or 'configuration'} is {values!r}, expected `key: value` lines")
    hints = typing.get_type_hints(kind)
    built: dict[str, Any] = {}
    for key, value in values.items():
        if key not in hints:
            raise ConfigError(f"unknown key '{where}{key}'{nearest(str(key), hints)}")
        built[key] = _convert(hints[key], value, f"{where}{key}")
    for field in dataclasses.fields(kind):
        no_default = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if no_default and field.name not in built:
            raise ConfigError(f"key '{where}{field.name}' is missing")
    return kind(**built)


def _convert(hint: Any, value: Any, where: str) -> Any:
    """`value` as the annotated type: exact types only, but whole numbers serve as floats."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, f"{where}.")
    if origin is types.UnionType:
        return None if value is None else _convert(arguments[0], value, where)
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{where} is {value!r}, expected {', '.join(arguments)}")
        return value
    if origin is tuple and isinstance(value, list | tuple):
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise ConfigError(f"{where} has {len(value)} values, expected {len(arguments)}")
        return tuple(_convert(arguments[0], item, f"{where}.{n}") for n, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {_convert(arguments[0], k, where): _convert(arguments[1], v, where) for k, v in value.items()}
    if hint is float and (type(value) is int or (type(value) is str and _EXPONENT.fullmatch(value))):
        number = float(str(value))  # of a whole number too large for it: infinite
        if math.isfinite(number):
            return number
    if origin is None and type(value) is hint and (hint is not float or math.isfinite(value)):
        return value
    raise ConfigError(f"{where} is {value!r}, expected {_KINDS[origin or hint]}")

"""Which recipe a run's configuration comes nearest to, and where it differs; two runs' differences. No Qt."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mseg_studio.errors import MSegStudioError
from mseg_studio.training.config import TrainConfig
from mseg_studio.training.recipes import OWN, load_recipe, recipe_names

_OWN = frozenset(
    {"format", "name", "datasets", "start", "device", "threads", "workers", "samples", "seed", "title", "about"}
)
"""What every run chooses for itself: no recipe says it."""
_FAR = 12
"""With more differences than these a configuration is nobody's."""


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that is another than in the recipe."""

    key: str
    """As `optim.lr`."""
    value: Any
    preset: Any


@dataclass(frozen=True, slots=True)
class Preset:
    """A recipe and what differs from it; without a name: from the defaults."""

    name: str
    changes: tuple[Change, ...]


def preset_of(values: Mapping[str, Any], *, recipe: str = "") -> Preset:
    """What the plain values of a configuration change of `recipe`, or of the recipe that is nearest to them.

    The defaults where neither is there.
    """
    found = [Preset(name, _changes(values, one)) for name, one in _recipes() if not recipe or name == recipe]
    near = min(found, key=lambda preset: len(preset.changes), default=None)
    if near is not None and (recipe or len(near.changes) <= _FAR):
        return near
    return Preset("", _changes(values, {}))


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted key; lists as they are."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return flat


def differences(runs: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[Any]]]:
    """Settings that are not the same in all runs: dotted key and the value in each, None where it has none."""
    flat = [_with_datasets(values) for values in runs.values()]
    keys = dict.fromkeys(key for one in flat for key in one)
    rows = [(key, [one.get(key) for one in flat]) for key in keys if key != "name"]
    return [(key, found) for key, found in rows if any(value != found[0] for value in found)]


def text_of(value: Any) -> str:
    """A setting's value as a person writes it."""
    if value is None or value == "" or value == []:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(text_of, value))
    return str(value)


def _with_datasets(values: Mapping[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in values.items() if key != "datasets"}
    flat = flattened(plain)
    for dataset in values.get("datasets", ()):
        if isinstance(dataset, Mapping):
            name = dataset.get("name", "data")
            flat |= {
                f"datasets.{name}.{key}": value for key, value in dataset.items() if key not in ("name", "classes")
            }
    return flat


def _changes(values: Mapping[str, Any], recipe: Mapping[str, Any]) -> tuple[Change, ...]:
    expected = _defaults() | flattened(recipe)
    changes = []
    for key, value in flattened(values).items():
        if key.partition(".")[0] in _OWN or key not in expected:
            continue
        other = expected[key]
        if other != value and not (key == "taxonomy" and other == OWN):
            changes.append(Change(key, value, other))
    return tuple(changes)


@functools.cache
def _defaults() -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in dataclasses.fields(TrainConfig):
        default = field.default
        if default is dataclasses.MISSING:
            continue
        values[field.name] = dataclasses.asdict(default) if dataclasses.is_dataclass(default) else default  # type: ignore[arg-type]
    return flattened(values)


@functools.cache
def _recipes() -> tuple[tuple[str, Mapping[str, Any]], ...]:
    found = []
    for name in recipe_names():
        try:
            found.append((name, load_recipe(name).values))
        except MSegStudioError:
            continue  # a user's own recipe that is broken is told where recipes are chosen
    return tuple(found)

"""What a person has chosen for a run, as one value: a preset and what differs from it. No widgets, no files."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mseg_studio.errors import ConfigError
from mseg_studio.training.config import DatasetConfig, TrainConfig
from mseg_studio.training.config_fields import ConfigField, config_fields, value_at, with_value
from mseg_studio.training.config_file import config_as_dict, config_from_dict
from mseg_studio.training.recipes import OWN, Recipe

ELSEWHERE = frozenset({"name", "start"})
"""Settings that have a place of their own beside the form."""
_PLACEHOLDER = TrainConfig(name="new run", datasets=(DatasetConfig("none"),), steps=1, batch=1)


def form_fields() -> tuple[ConfigField, ...]:
    """The settings that the form shows."""
    return tuple(one for one in config_fields() if one.path not in ELSEWHERE)


@dataclass(frozen=True, slots=True)
class Draft:
    """A run that is being put together."""

    recipe: Recipe
    """Where all values come from that nobody changed: a recipe, or a run that is copied."""
    name: str = ""
    datasets: tuple[DatasetConfig, ...] = ()
    start: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Path to plain value, of settings that differ from the preset."""

    def preset_value(self, path: str) -> Any:
        """What the preset says, a default where it says nothing."""
        return value_at(_preset(self.recipe), path)

    def value(self, path: str) -> Any:
        """What the run will have."""
        return self.changes[path] if path in self.changes else self.preset_value(path)

    def with_change(self, path: str, value: Any) -> Draft:
        """The same with one setting at `value`; the preset's own value is no change."""
        changes = {key: kept for key, kept in self.changes.items() if key != path}
        preset = self.preset_value(path)
        if value != preset or isinstance(value, bool) is not isinstance(preset, bool):
            changes[path] = value
        return dataclasses.replace(self, changes=changes)

    def config(self) -> TrainConfig:
        """The whole configuration; descriptions of datasets are read. Raises ConfigError, TaxonomyError."""
        values: dict[str, Any] = {**self.recipe.values, "datasets": []}
        for path, value in self.changes.items():
            values = with_value(values, path, value)
        # What the recipe says of its own datasets is in `datasets` already, whatever became of it there.
        recipe = dataclasses.replace(self.recipe, values=values, relabeled=False)
        return recipe.config(name=self.name, datasets=self.datasets, start=self.start)

    def problems(self) -> dict[str, str]:
        """Path to what is wrong with the setting there; "" for what no single setting is to blame for."""
        values = dict(_preset(self.recipe))
        trained = any(dataset.train_split for dataset in self.datasets)
        datasets = self.datasets if trained else _PLACEHOLDER.datasets
        names = {dataset.name for dataset in datasets}
        if len(names) == len(datasets):  # else the check of the datasets says it, at the right place
            whole = TrainConfig(name="x", datasets=datasets, steps=1, batch=len(datasets))
            values["datasets"] = config_as_dict(whole)["datasets"]
        found: dict[str, str] = {}
        for path, value in self.changes.items():
            if reason := _refusal(with_value(values, path, value)):
                found[path] = reason
        if found:
            # A change that repairs another one's fault is no fault: judge all of them together.
            for path, value in self.changes.items():
                values = with_value(values, path, value)
            return found if _refusal(values) else {}
        for path, value in self.changes.items():
            values = with_value(values, path, value)
        if reason := _refusal(values):
            return {_blamed(reason, self.changes): reason}
        return {}


def draft_of_run(config: TrainConfig, folder: Path, recipe: Recipe | None) -> Draft:
    """The draft that gives `config` again: against its recipe where that is known, else against the run itself."""
    values = {key: value for key, value in config_as_dict(config).items() if key != "datasets"}
    if recipe is None:
        about = f"As the run in {folder}: what you change is marked."
        recipe = Recipe("", f"run {folder.name}", about, values)
    draft = Draft(recipe, config.name, config.datasets, config.start)
    for path, (_preset_value, value) in changes(recipe, config).items():
        draft = draft.with_change(path, value)
    return draft


def changes(recipe: Recipe, config: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """Path to (the recipe's value, the configuration's) of the settings in the form that differ."""
    before, after = _preset(recipe), config_as_dict(config)
    found = {}
    for one in form_fields():
        old, new = value_at(before, one.path), value_at(after, one.path)
        if old != new and not (one.path == "taxonomy" and old == OWN):
            found[one.path] = (old, new)
    return found


def shown(value: Any) -> str:
    """A plain value in words, as a field shows it and as it may be typed."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(shown(one) for one in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {shown(one)}" for key, one in value.items())
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def typed(text: str, one: ConfigField) -> Any:
    """What a person means by `text` in the field of a setting.

    Text that means nothing comes back as it is, for the configuration's own words about it.
    """
    text = text.strip()
    if not text and one.optional:
        return None
    if one.kind in ("whole", "number"):
        return _number(text, whole=one.kind == "whole")
    if one.kind == "numbers":
        return [_number(part, whole=False) for part in re.split(r"[,;\s]+", text) if part]
    if one.kind == "texts":
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _number(text: str, *, whole: bool) -> int | float | str:
    compact = text.replace(" ", "").replace("_", "")
    try:
        number = float(compact)
    except ValueError:
        return text
    if number.is_integer() and (whole or "e" not in compact.lower()) and abs(number) < 1e15:
        return int(number) if whole else number
    return number


def _preset(recipe: Recipe) -> Mapping[str, Any]:
    """All plain values of a recipe but its datasets; a form asks for each of them in turn."""
    global _last_preset  # one entry, replaced as a whole: threads at worst reckon it twice
    known, values = _last_preset
    if known is not recipe:
        plain: dict[str, Any] = config_as_dict(_PLACEHOLDER)
        values = _merged(plain, {key: value for key, value in recipe.values.items() if key != "datasets"})
        _last_preset = (recipe, values)
    return values


_last_preset: tuple[Recipe | None, Mapping[str, Any]] = (None, {})


def _merged(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        under = merged.get(key)
        if isinstance(under, dict) and isinstance(value, Mapping):
            merged[key] = _merged(under, value)
        else:
            merged[key] = list(value) if isinstance(value, tuple) else value
    return merged


def _refusal(values: dict[str, Any]) -> str:
    try:
        config_from_dict(values)
    except ConfigError as error:
        return error.reason
    return ""


def _blamed(reason: str, changed: Mapping[str, Any]) -> str:
    """The setting that a message is about: one that was changed if it names one, else any that it names."""
    paths = (*changed, *(one.path for one in form_fields()))
    words = set(re.findall(r"[\w.]+", reason))
    for path in paths:
        if path in words or path.rpartition(".")[2] in words:
            return path
    return ""

"""Recipes: configurations that are known by name and lack what only the user knows. Torch-free.

A recipe file is a configuration (docs/training.md) with `title` and `about`. It may lack `datasets` and `start`, be
`based_on` another recipe, and say `taxonomy: own` (that of the datasets' labels) and `labels: relabeled` (that the
published recipe learns from labels which records have changed, not from those that people download).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mseg_studio.datasets.ready import is_ready, ready_names
from mseg_studio.errors import ConfigError, nearest
from mseg_studio.plain_yaml import read_yaml
from mseg_studio.settings import resource_folder, user_folder
from mseg_studio.training.config import DatasetConfig, TrainConfig
from mseg_studio.training.config_file import FORMAT, RECIPE_TEXTS, apply_settings, config_as_dict, config_from_dict
from mseg_studio.training.head import open_dataset

OWN = "own"
"""`taxonomy` of a recipe that takes the one of its datasets' labels."""
_RELABELED = "relabeled"
_SUFFIX = ".yaml"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A configuration but for its datasets, its start and its name."""

    name: str
    title: str
    """One line for a list."""
    about: str
    """What it is for, what it needs and how long it takes, in a few sentences."""
    values: Mapping[str, Any]
    """Plain values of a configuration, as in its file; descriptions of datasets as absolute paths or ready names."""
    relabeled: bool = False
    """Whether it learns from relabelled data."""

    @property
    def dataset_names(self) -> tuple[str, ...]:
        """The datasets it learns from; empty: any."""
        return tuple(str(dataset["name"]) for dataset in self.values.get("datasets", ()))

    @property
    def needs_start(self) -> bool:
        """Whether the user must choose what weights it begins with."""
        return not self.values.get("start")

    def config(
        self,
        *,
        name: str,
        datasets: Sequence[DatasetConfig],
        settings: Iterable[str] = (),
        start: str | None = None,
    ) -> TrainConfig:
        """The configuration of a run called `name`.

        `datasets` takes the place of the recipe's own of the same name (a ready name keeps the recipe's description and
        brings the root); others are added. `settings` are `key=value` changes, made last; `start` may stay unchosen
        (""), a run then refuses to begin. Raises ConfigError: a dataset without a place, labels of the wrong kind,
        datasets that share no taxonomy, and all that a configuration refuses.
        """
        values = _merged(_defaults(), copy.deepcopy(dict(self.values)))
        chosen = self._datasets(datasets)
        values |= {"name": name, "datasets": [dataclasses.asdict(dataset) for dataset in chosen]}
        if start is not None:
            values["start"] = start
        apply_settings(values, settings)
        if values["taxonomy"] == OWN:
            values["taxonomy"] = _own_taxonomy(chosen)
        return config_from_dict(values)

    def _datasets(self, given: Sequence[DatasetConfig]) -> list[DatasetConfig]:
        """The recipe's datasets with what was given, then the others."""
        own = [_dataset(values) for values in self.values.get("datasets", ())]
        by_name = {dataset.name: dataset for dataset in given}
        if len(by_name) < len(given):
            raise ConfigError("two datasets have the same name; give each a name of its own")
        chosen = [_filled(dataset, by_name.pop(dataset.name, None)) for dataset in own]
        chosen += [dataset for dataset in given if dataset.name in by_name]
        if not chosen:
            raise ConfigError(
                f"recipe '{self.name}' learns from any dataset, and none is given; say it as in --dataset my.yaml or "
                "--dataset cityscapes=/data/cityscapes"
            )
        missing = [dataset.name for dataset in chosen if not _has_place(dataset)]
        if missing:
            unplaced = [name for name in by_name if name not in missing]
            hint = nearest(missing[0], unplaced) if unplaced else ""
            needs = f"recipe '{self.name}' learns from {len(own)} datasets, and " if own else ""
            where = f"where {missing[0]} lies" if len(missing) == 1 else f"where these lie: {', '.join(missing)}"
            raise ConfigError(
                f"{needs}it is not known {where}{hint}; say it as in --dataset {missing[0]}=/data/{missing[0]}"
            )
        if self.relabeled:
            _check_relabeled(self.name, [dataset for dataset in chosen if dataset.name in self.dataset_names])
        return chosen


def recipe_names() -> tuple[str, ...]:
    """Names of all recipes, shipped ones and those in the user's folder, in alphabetical order."""
    return tuple(sorted(_files()))


def load_recipe(name: str) -> Recipe:
    """The recipe called `name`. Raises ConfigError with the nearest names, or naming the file and what is wrong."""
    files = _files()
    if name not in files:
        raise ConfigError(f"no recipe is called '{name}'{nearest(name, files)}")
    path = files[name]
    values = _read(path, seen=())
    title, about = (str(values.pop(key, "")).strip() for key in RECIPE_TEXTS)
    labels = values.pop("labels", "")
    if labels not in ("", _RELABELED):
        raise ConfigError(f"labels is {labels!r}, expected {_RELABELED}", path=path)
    known = _defaults().keys()
    unknown = [key for key in values if key not in known]
    if unknown:
        raise ConfigError(f"unknown key '{unknown[0]}'{nearest(unknown[0], known)}", path=path)
    values.pop("name", None)
    return Recipe(name, title or name, " ".join(about.split()), values, relabeled=labels == _RELABELED)


def _files() -> dict[str, Path]:
    """Paths by name; what is shipped keeps its meaning, whatever lies in the user's folder."""
    found: dict[str, Path] = {}
    for folder in (resource_folder("recipes"), user_folder("recipes")):
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            if not path.name.startswith("."):
                found.setdefault(path.name.removesuffix(_SUFFIX), path)
    return found


def _read(path: Path, *, seen: tuple[str, ...]) -> dict[str, Any]:
    """The values of a recipe file over those that it is based on."""
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise ConfigError("expected `key: value` lines", path=path)
    if raw.pop("format", FORMAT) != FORMAT:
        raise ConfigError(f"format is not {FORMAT}: written by a newer MSeg Studio", path=path)
    datasets = raw.get("datasets", [])
    if not isinstance(datasets, list) or not all(isinstance(dataset, dict) for dataset in datasets):
        raise ConfigError("datasets must be a list of `description, name, ...`", path=path)
    for dataset in datasets:
        description = str(dataset.get("description", ""))
        if description not in ready_names():
            dataset["description"] = str((path.parent / description).resolve())
    base = raw.pop("based_on", None)
    if base is None:
        return raw
    files = _files()
    if base not in files or base in seen:
        raise ConfigError(f"based_on: no other recipe is called '{base}'{nearest(str(base), files)}", path=path)
    return _merged(_read(files[base], seen=(*seen, path.stem)), raw)


def _defaults() -> dict[str, Any]:
    values = config_as_dict(TrainConfig(name="defaults", datasets=(DatasetConfig("defaults"),), steps=1, batch=1))
    return values | {"datasets": []}


def _merged(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`; groups of settings are merged, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        under = merged.get(key)
        merged[key] = _merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def _dataset(values: Mapping[str, Any]) -> DatasetConfig:
    trained = {"description": "trained", "name": "trained beside it"}  # one that is only judged by is no run
    whole = {"name": "recipe", "steps": 1, "batch": 2, "datasets": [trained, dict(values)]}
    return config_from_dict(whole).datasets[1]


def _filled(own: DatasetConfig, given: DatasetConfig | None) -> DatasetConfig:
    """The recipe's dataset at the place that was given; a description of the user's own takes the recipe's place."""
    if given is None:
        return own
    if given.description in ready_names() or is_ready(Path(given.description)):
        return dataclasses.replace(own, root=given.root, leave_out=given.leave_out)
    return dataclasses.replace(own, description=given.description, root=given.root, classes=given.classes)


def _has_place(dataset: DatasetConfig) -> bool:
    return bool(dataset.root) or bool(open_dataset(dataset).roots)


def _own_taxonomy(datasets: Sequence[DatasetConfig]) -> str:
    names = {open_dataset(dataset).taxonomy.name for dataset in datasets if dataset.train_split}
    if len(names) != 1:
        raise ConfigError(f"taxonomy: own needs datasets of one taxonomy, these have {', '.join(sorted(names))}")
    return names.pop()


def _check_relabeled(recipe: str, datasets: Sequence[DatasetConfig]) -> None:
    for dataset in datasets:
        taxonomy = open_dataset(dataset).taxonomy.name
        if not taxonomy.endswith(f"-{_RELABELED}") and taxonomy != "universal":
            raise ConfigError(
                f"recipe '{recipe}' learns from relabelled data, and '{dataset.name}' has labels in {taxonomy}: make "
                f"them with `mseg-studio dataset relabel` and give its description as {dataset.name}=DESCRIPTION.yaml, "
                f"or take a recipe whose name ends in -unrelabeled"
            )

"""What the form is filled with when it opens: recipes, data that is known to be here, a run to copy. No widgets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mseg_studio.datasets.description import load_dataset
from mseg_studio.datasets.ready import is_shipped, ready_names
from mseg_studio.errors import MSegStudioError
from mseg_studio.training.config import DatasetConfig
from mseg_studio.training.config_file import config_as_dict, config_from_dict, load_config
from mseg_studio.training.recipes import Recipe, load_recipe, recipe_names
from mseg_studio.ui.workspaces.train.form_values import Draft, draft_of_run
from mseg_studio.ui.workspaces.train.new_run_folders import chosen
from mseg_studio.ui.workspaces.train.new_run_memory import Memory, load_memory
from mseg_studio.ui.workspaces.train.new_run_origin import Origin, origin_of, recipe_of
from mseg_studio.ui.workspaces.train.preset import preset_of

FIRST_RECIPE = "first"
"""For who never chose one: any data, any machine, some minutes."""
_FIRST = (FIRST_RECIPE, "smoke", "laptop", "fine-tune")
"""Recipes that stand at the top of the list."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A filled form."""

    draft: Draft
    recipes: tuple[Recipe, ...]
    memory: Memory
    origin: Origin
    """Of the run that is copied; what was used last otherwise."""
    clone_of: Path | None = None
    problem: str = ""
    """Why it could not be filled as asked."""


def opening(recipe: str | None, clone_of: Path | None, dataset: str | None) -> Opening:
    """Read what the form begins with. What cannot be read is told in `problem`; something sensible comes anyway."""
    memory, recipes = load_memory(), _recipes()
    problem = ""
    if clone_of is not None:
        try:
            return _copy(clone_of, recipes, memory)
        except (MSegStudioError, OSError) as error:
            problem = f"The run cannot be copied: {error}"
    names = [one.name for one in recipes]
    if recipe is not None and recipe not in names:
        problem = problem or f"No recipe is called '{recipe}'."
    last = str(memory.last.get("recipe", ""))
    name = next(one for one in (recipe, last, FIRST_RECIPE, *names) if one in names)
    found = next(one for one in recipes if one.name == name)
    datasets: tuple[DatasetConfig, ...] = ()
    if dataset is not None:
        try:
            key = dataset if dataset in ready_names() else str(Path(dataset).absolute())
            datasets = (chosen(key, root=memory.folder_of(key)),)
        except MSegStudioError as error:
            problem = problem or str(error)
    draft = with_recipe(Draft(found), found, memory, datasets or _usual(recipes, memory))
    return Opening(draft, recipes, memory, _last_origin(memory), problem=problem)


def with_recipe(draft: Draft, recipe: Recipe, memory: Memory, datasets: tuple[DatasetConfig, ...]) -> Draft:
    """The draft on another recipe: nothing is changed of it; its own datasets, where it has some, take the place."""
    own = tuple(_own(values, memory) for values in recipe.values.get("datasets", ()))
    if own:
        known = {one.name: one for one in datasets if one.root}
        own = tuple(dataclasses.replace(one, root=known[one.name].root) if one.name in known else one for one in own)
    start = str(recipe.values.get("start") or "")
    return Draft(recipe, draft.name, own or tuple(one for one in datasets if _placed(one)), start)


def name_of(draft: Draft) -> str:
    """A name for a run that nobody named."""
    recipe = draft.recipe.name or "run"
    own = set(draft.recipe.dataset_names)
    first = next((one.name for one in draft.datasets if one.name not in own), "")
    return f"{recipe}-{first}" if first else recipe


def _copy(folder: Path, recipes: tuple[Recipe, ...], memory: Memory) -> Opening:
    config = load_config(folder / "config.yaml")
    recipe = recipe_of(folder)
    if recipe is None:
        near = preset_of(config_as_dict(config)).name
        recipe = next((one for one in recipes if near and one.name == near), None)
    draft = draft_of_run(config, folder, recipe)
    return Opening(draft, recipes, memory, origin_of(folder), clone_of=folder)


def _recipes() -> tuple[Recipe, ...]:
    """All recipes that can be read, the general ones first."""
    found = []
    for name in recipe_names():
        try:
            found.append(load_recipe(name))
        except MSegStudioError:
            continue  # one of the user's own: `mseg-studio train NAME` says what is wrong with it
    return tuple(sorted(found, key=lambda one: (_FIRST.index(one.name) if one.name in _FIRST else 9, one.name)))


def _own(values: dict[str, Any], memory: Memory) -> DatasetConfig:
    config = config_from_dict({"name": "x", "steps": 1, "batch": 1, "datasets": [values]}).datasets[0]
    folder = memory.folder_of(config.description) or memory.folder_of(config.name)
    return dataclasses.replace(config, root=config.root or folder)


def _usual(recipes: tuple[Recipe, ...], memory: Memory) -> tuple[DatasetConfig, ...]:
    """Data that is here: what was used last, else a folder that is known, else a description with its data."""
    last = memory.last.get("datasets")
    keys = [str(key) for key in last] if isinstance(last, list) else []
    found = [one for one in (_known(key, memory) for key in keys) if one is not None and _placed(one)]
    return tuple(found) or next(((one,) for one in _candidates(recipes, memory)), ())


def _candidates(recipes: tuple[Recipe, ...], memory: Memory) -> Iterator[DatasetConfig]:
    keys = [*reversed(memory.folders), *(name for name in ready_names() if not is_shipped(name))]
    keys += [str(one.values["datasets"][0]["description"]) for one in recipes if len(one.dataset_names) == 1]
    for key in keys:
        one = _known(key, memory)
        if one is not None and _has_images(one):
            yield one


def _known(key: str, memory: Memory) -> DatasetConfig | None:
    try:
        return chosen(key, root=memory.folder_of(key))
    except MSegStudioError:
        return None


def _placed(one: DatasetConfig) -> bool:
    """Whether it is known where it lies."""
    try:
        return bool(one.root) or bool(load_dataset(one.description).roots)
    except MSegStudioError:
        return False


def _has_images(one: DatasetConfig) -> bool:
    try:
        return bool(load_dataset(one.description, root=one.root or None).pairs(one.train_split))
    except (MSegStudioError, OSError):
        return False


def _last_origin(memory: Memory) -> Origin:
    processes, words = memory.last.get("processes"), memory.last.get("slurm")
    return Origin(
        processes=processes if isinstance(processes, int) else 0,
        slurm=tuple(str(word) for word in words) if isinstance(words, list) else (),
    )

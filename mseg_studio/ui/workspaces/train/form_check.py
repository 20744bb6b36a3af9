"""Whether a run can start as it stands, read from its descriptions and folders: for a background thread. No widgets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from mseg_studio.datasets.description import DatasetDescription
from mseg_studio.errors import CheckpointError, ConfigError, DatasetError, MSegStudioError, TaxonomyError
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.taxonomy.model import UNLABELED
from mseg_studio.training.config import DatasetConfig, TrainConfig
from mseg_studio.training.head import head_of, open_dataset, resolved
from mseg_studio.training.recipes import OWN
from mseg_studio.training.start_choice import start_of
from mseg_studio.ui.workspaces.train.form_values import Draft


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What is known of one dataset of a run."""

    train: int | None = None
    """Images to train on; None while that is not known."""
    val: int | None = None
    with_target: tuple[str, ...] = ()
    """Its classes that the network learns."""
    without_target: tuple[str, ...] = ()
    """Its classes that have no class in the network's taxonomy: their pixels are ignored."""
    problem: str = ""

    @property
    def words(self) -> str:
        """One line."""
        if self.problem:
            return self.problem
        parts = []
        if self.train is not None:
            parts.append(f"{self.train:,} to train on".replace(",", " "))
        if self.val is not None:
            parts.append(f"{self.val:,} to judge by".replace(",", " "))
        parts.append(f"{len(self.with_target)} classes")
        if self.without_target:
            parts.append(f"{len(self.without_target)} ignored")
        return " · ".join(parts)


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of a check."""

    config: TrainConfig | None
    """What the run's folder will hold, classes named; None where something is wrong."""
    datasets: tuple[DatasetFacts, ...] = ()
    """In the order of the draft's."""
    rows: int = 0
    """Classes of the head."""
    place: str = ""
    """Where the first problem is: name, data, start, or the path of a setting."""
    reason: str = ""


def check(draft: Draft) -> Checked:
    """Read what the draft names: descriptions, folders, start weights. Never raises what a person can act on."""
    taxonomy = str(draft.value("taxonomy"))
    try:
        if taxonomy != OWN:
            default_catalog().taxonomy(taxonomy)
    except TaxonomyError as error:
        return Checked(None, tuple(DatasetFacts() for _ in draft.datasets), place="taxonomy", reason=error.reason)
    facts = tuple(_facts(dataset, draft) for dataset in draft.datasets)
    if not draft.datasets:
        return Checked(None, facts, place="data", reason="Choose the data: drop its folder here")
    for dataset, fact in zip(draft.datasets, facts, strict=True):
        if fact.problem:
            return Checked(None, facts, place="data", reason=f"{dataset.name}: {fact.problem}")
    if reason := _name_problem(draft.name):
        return Checked(None, facts, place="name", reason=reason)
    if problems := draft.problems():
        place, reason = next(iter(problems.items()))
        return Checked(None, facts, place=place, reason=reason)
    try:
        config = resolved(draft.config())
        head = head_of(config)
    except (ConfigError, TaxonomyError, DatasetError) as error:
        return Checked(None, facts, place="data", reason=str(error))
    try:
        start_of(draft.start)
    except (ConfigError, CheckpointError) as error:
        reason = str(error) if draft.start else "Choose the start weights"
        return Checked(None, facts, len(head.rows), "start", reason)
    return Checked(config, facts, len(head.rows))


def _name_problem(name: str) -> str:
    if not name:
        return "Give the run a name"
    fits = name == Path(name).name and not name.startswith(".") and name.isprintable()
    return "" if fits else "The name must do for a folder: no / or \\, no dot at its start"


def _facts(config: DatasetConfig, draft: Draft) -> DatasetFacts:
    """Count the pairs and the classes of a dataset."""
    try:
        dataset = open_dataset(config)
        with_target, without = _targets(config, dataset, str(draft.value("taxonomy")))
    except MSegStudioError as error:
        return DatasetFacts(problem=error.reason)
    known = DatasetFacts(with_target=with_target, without_target=without)
    if draft.recipe.relabeled and config.name in draft.recipe.dataset_names:
        own = dataset.taxonomy.name
        if not own.endswith("-relabeled") and own != "universal":
            words = f"labels in {own}, this recipe learns from relabelled ones: choose what `dataset relabel` made"
            return dataclasses.replace(known, problem=words)
    if not dataset.roots:
        return dataclasses.replace(known, problem="choose the folder that holds it")
    if not config.train_split and not config.val_split:
        return dataclasses.replace(known, problem="neither trained on nor judged by")
    try:
        train = len(_kept(config, dataset)) if config.train_split else None
        val = len(dataset.pairs(config.val_split)) if config.val_split else None
    except (MSegStudioError, OSError) as error:
        return dataclasses.replace(known, problem=str(error))
    if train == 0:
        return dataclasses.replace(known, train=0, problem=f"nothing is left of {config.train_split} to train on")
    return dataclasses.replace(known, train=train, val=val)


def _kept(config: DatasetConfig, dataset: DatasetDescription) -> list[Path]:
    pairs = dataset.pairs(config.train_split)
    return [pair.image for pair in pairs if not pair.image.name.startswith(config.leave_out or ("\0",))]


def _targets(
    config: DatasetConfig, dataset: DatasetDescription, taxonomy: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Classes of the dataset that the network learns, and the others that its files may show."""
    own = set(dataset.id_map.values()) | set(dataset.colour_map.values())
    shown = [name for name in dict.fromkeys(dataset.taxonomy.names) if name in own and name != UNLABELED]
    links = config.classes
    if not links:
        target = dataset.taxonomy.name if taxonomy == OWN else taxonomy
        links = resolved(TrainConfig("x", (dataclasses.replace(config, name="x", train_split="x"),), 1, 1,
                                     taxonomy=target)).datasets[0].classes  # fmt: skip
    return tuple(name for name in shown if name in links), tuple(name for name in shown if name not in links)

"""Fine-tune an installed model on labels at hand: from a folder or a dataset to a run that is ready to start.

The plan parts the images (a held-out part is never trained on), leads the labels' classes to the model's, and says in
words what a person should know before the start. Torch-free: the window and the terminal show it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mseg_studio.datasets.description import DatasetDescription, load_dataset
from mseg_studio.datasets.mapping import label_mapping, own_mapping
from mseg_studio.datasets.pairing import Pair
from mseg_studio.errors import ConfigError, DatasetError, TaxonomyError
from mseg_studio.evaluation.protocol import choose_protocol
from mseg_studio.networks.card import ModelCard
from mseg_studio.networks.catalog import find_model, scan_models
from mseg_studio.progress import CancelToken, Progress
from mseg_studio.storage import write_atomic, write_json_atomic
from mseg_studio.taxonomy.catalog import Catalog, default_catalog
from mseg_studio.training.config import DatasetConfig, TrainConfig
from mseg_studio.training.config_file import config_as_dict
from mseg_studio.training.fine_tune_look import Looked, evenly, look, most_frequent, share
from mseg_studio.training.fine_tune_source import HELD_OUT, TRAIN, LabelSource, find_labels, only
from mseg_studio.training.recipes import load_recipe
from mseg_studio.training.run_folder import RunFolder

FOLDER = "fine-tune"
"""Part of the run folder that holds what a fine-tuning is about."""
DESCRIPTION, PLAN = "labels.yaml", "plan.json"
FEW_IMAGES = 10
"""Below this many images to learn from, a person is told that the numbers will say little."""
MOST_HELD_OUT = 200
"""Images of a dataset's own split for scoring that are used."""
_LISTED = 6


@dataclass(frozen=True, slots=True)
class FineTuneWishes:
    """What a person may choose; everything has a sensible default."""

    name: str = ""
    """Name of the run and of the model; empty: made of the model's name and the labels'."""
    held_out: float = 0.2
    """Share of the images that is held out, where the dataset has no split of its own for that."""
    only_changed: bool = False
    """Whether labels that are exactly as they were exported are left out."""
    recipe: str = "fine-tune"
    """Recipe of the run."""
    settings: tuple[str, ...] = ()
    """`key=value` changes of the configuration."""


@dataclass(frozen=True, slots=True)
class FineTunePlan:
    """A fine-tuning that can begin: see `begin`."""

    source: LabelSource
    card: ModelCard
    config: TrainConfig
    """As it will be in the run's folder, but for the path of the description."""
    train: tuple[Pair, ...]
    held_out: tuple[Pair, ...]
    classes: dict[str, str]
    """Class of the labels to class of the model, of those that occur."""
    facts: tuple[str, ...]
    """What will happen, in short sentences."""
    warnings: tuple[str, ...]
    """What a person should think about first."""

    def as_json(self) -> dict[str, Any]:
        """For programs and for the window."""
        return {
            "source": self.source.title,
            "model": self.card.name,
            "name": self.config.name,
            "taxonomy": self.config.taxonomy,
            "train": len(self.train),
            "held_out": len(self.held_out),
            "steps": self.config.steps,
            "batch": self.config.batch,
            "classes": self.classes,
            "facts": list(self.facts),
            "warnings": list(self.warnings),
            "config": config_as_dict(self.config),
        }


def plan_fine_tune(
    source: LabelSource | str | Path,
    model: str,
    wishes: FineTuneWishes | None = None,
    *,
    catalog: Catalog | None = None,
    cancel: CancelToken | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> FineTunePlan:
    """Plan the fine-tuning of the installed model called `model` on the labels of `source`. Writes nothing.

    Raises what says why it cannot be, in words for a person: CheckpointError (no such model), ConfigError,
    DatasetError and ImageReadError (the labels), TaxonomyError (no links lead to the model's classes); Cancelled.
    """
    wishes, catalog = wishes or FineTuneWishes(), catalog or default_catalog()
    if not 0 < wishes.held_out < 1:
        raise ConfigError(f"the held-out share is {wishes.held_out:g}, expected more than 0 and less than 1")
    card = find_model(model).card
    found = source if isinstance(source, LabelSource) else find_labels(source)
    own = catalog.taxonomy(str(found.values["taxonomy"]))
    with tempfile.TemporaryDirectory(prefix="mseg-studio-") as folder:
        # A description is checked where it is parsed, and parsed from a file; a recipe asks for one too.
        file = write_description(found, (), (), Path(folder))
        reading = load_dataset(file, catalog=catalog)
        config = _config(found, card, wishes, file)
    links = class_links(reading, card, catalog)
    choose_protocol(reading, catalog.taxonomy(card.taxonomy), catalog=catalog)  # says now what scoring would say later
    pairs = (*found.pairs, *(found.held_out or ()))
    looked = look(pairs, own_mapping(reading), sidecars=found.sidecars, cancel=cancel, on_progress=on_progress)
    found, looked, unchanged = _without_unchanged(found, looked, wishes.only_changed)
    train, held_out = split(found, wishes.held_out)
    pixels = Counter({name: count for name, count in looked.pixels().items() if name in set(own.names)})
    classes = {name: links[name] for name in own.names if pixels[name] and name in links}
    if not classes:
        raise DatasetError(_no_class(pixels, card), path=found.title)
    dataset = dataclasses.replace(config.datasets[0], description=DESCRIPTION, classes=classes)
    config = dataclasses.replace(config, datasets=(dataset,))
    return FineTunePlan(
        source=found,
        card=card,
        config=config,
        train=train,
        held_out=held_out,
        classes=classes,
        facts=_facts(found, card, config, train, held_out, classes),
        warnings=_warnings(found, card, train, held_out, pixels, links, unchanged),
    )


def begin(plan: FineTunePlan, folder: Path) -> RunFolder:
    """Write the run: its configuration, and beside it the description and the lists of what is trained on and scored.

    Nothing is started. Raises ConfigError when there is a run in the folder, OSError.
    """
    part = folder / FOLDER
    part.mkdir(parents=True, exist_ok=True)
    write_description(plan.source, plan.train, plan.held_out, part)
    facts = {"format": 1, "model": plan.card.name, "model_sha256": plan.card.weights_sha256, **plan.as_json()}
    del facts["config"]
    write_json_atomic(part / PLAN, facts)
    (first,) = plan.config.datasets
    dataset = dataclasses.replace(first, description=str((part / DESCRIPTION).resolve()))
    return RunFolder.create(folder, dataclasses.replace(plan.config, datasets=(dataset,)))


def is_fine_tuning(folder: Path) -> bool:
    """Whether the run in `folder` was begun here."""
    return (folder / FOLDER / PLAN).is_file()


def write_description(source: LabelSource, train: Sequence[Pair], held_out: Sequence[Pair], folder: Path) -> Path:
    """Write the description of both parts and their lists into `folder`; gives its path.

    Raises DatasetError for a file name that no list can hold, OSError.
    """
    splits: dict[str, dict[str, str]] = {}
    for name, pairs in ((TRAIN, train), (HELD_OUT, held_out)):
        lines = [f"{_listable(pair.image)}\t{_listable(pair.label)}\n" for pair in pairs]
        write_atomic(folder / f"{name}.txt", "".join(lines).encode())
        splits[name] = {"list": f"{name}.txt"}
        if pairs and pairs[0].annotations is not None:
            splits[name]["annotations"] = str(pairs[0].annotations.resolve())
    text = yaml.safe_dump({**source.values, "splits": splits}, sort_keys=False, allow_unicode=True)
    write_atomic(folder / DESCRIPTION, text.encode())
    return folder / DESCRIPTION


def split(source: LabelSource, held_out: float) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """What is trained on and what is held out, each in the order of the source.

    The dataset's own split where it has one (evenly spread images of a large one); else the share `held_out` of the
    images, at least one, chosen by a hash of their names: the same ones on every machine, and the same ones but for few
    when images come on top. Raises DatasetError below two images.
    """
    if source.held_out is not None:
        if not source.pairs or not source.held_out:
            raise DatasetError(
                "a split is empty: there must be images to learn from and to score on", path=source.title
            )
        return source.pairs, evenly(source.held_out, MOST_HELD_OUT)
    count = len(source.pairs)
    if count < 2:
        raise DatasetError(
            f"{_counted(count, 'labelled image')}: at least 2 are needed, one to learn from and one to score on",
            path=source.title,
        )
    chosen = sorted(source.pairs, key=lambda pair: (_hash(pair.image), str(pair.image)))
    kept = {pair.label for pair in chosen[: min(count - 1, max(1, round(held_out * count)))]}
    return (
        tuple(pair for pair in source.pairs if pair.label not in kept),
        tuple(pair for pair in source.pairs if pair.label in kept),
    )


def class_links(dataset: DatasetDescription, card: ModelCard, catalog: Catalog) -> dict[str, str]:
    """Class of the labels to class of the model's taxonomy.

    By the links that lead there. Where none are known, by those that lead back: a class of the labels is the one class
    of the model (of those it knows) that leads to it; with several it is none of them. Raises TaxonomyError.
    """
    try:
        return dict(label_mapping(dataset, card.taxonomy, catalog).class_links)
    except TaxonomyError as error:
        problem = error
    try:
        back = catalog.projection(card.taxonomy, dataset.taxonomy.name)
    except TaxonomyError:
        raise problem from None
    known = card.trained_classes or back.source.names
    sources: dict[str, list[str]] = {}
    for name in known:
        target = back.target.get(int(back.lookup[back.source.id_of(name)]))
        if target is not None:
            sources.setdefault(target.name, []).append(name)
    links = {target: names[0] for target, names in sources.items() if len(names) == 1}
    if back.links != "exact" or not links:
        raise TaxonomyError(
            f"no links lead from {dataset.taxonomy.name} to {card.taxonomy}, the taxonomy of {card.name}; "
            f"export the labels in {card.taxonomy}"
        )
    return links


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """`wanted` in letters that a model's name may have, with a number where it is taken."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip("-._")[:56] or "fine-tuned"
    used = {name.casefold() for name in taken}
    number = 1
    while (name := plain if number == 1 else f"{plain}-{number}").casefold() in used:
        number += 1
    return name


def _without_unchanged(source: LabelSource, looked: Looked, leave_out: bool) -> tuple[LabelSource, Looked, int]:
    """With `leave_out`, only labels that somebody changed; always the number of those that nobody did."""
    unchanged = sum(seen.unchanged for seen in looked.seen)
    if not leave_out or not unchanged:
        return source, looked, unchanged
    kept = tuple(seen for seen in looked.seen if not seen.unchanged)
    if not kept:
        raise DatasetError("every label is as it was exported: nothing was changed to learn from", path=source.title)
    return only(source, (seen.pair.label for seen in kept)), Looked(kept, len(kept)), 0


def _config(source: LabelSource, card: ModelCard, wishes: FineTuneWishes, description: Path) -> TrainConfig:
    """The recipe's configuration for this model and these labels; classes come later."""
    recipe = load_recipe(wishes.recipe)
    name = wishes.name or free_name(f"{card.name}-{source.name}", (model.name for model in scan_models()))
    dataset = DatasetConfig(description=str(description), name="labels", train_split=TRAIN, val_split=HELD_OUT)
    # The model goes on seeing what it was made for: its network, its classes, its size of image.
    kept = {
        "network": card.network,
        "taxonomy": card.taxonomy,
        "head": "all",
        "base_size": card.base_size,
        "card_crop_px": card.crop_px,
        "augment.short_side": card.base_size,
    }
    config = recipe.config(
        name=name, datasets=(dataset,), settings=[f"{key}={value}" for key, value in kept.items()], start=card.name
    )
    smaller = [f"augment.crop_px={card.crop_px}"] if config.augment.crop_px > card.crop_px else []
    return recipe.config(
        name=name,
        datasets=(dataset,),
        settings=[*(f"{key}={value}" for key, value in kept.items()), *smaller, *wishes.settings],
        start=card.name,
    )


# -- words -------------------------------------------------------------------------------------------------------


def _facts(
    source: LabelSource,
    card: ModelCard,
    config: TrainConfig,
    train: Sequence[Pair],
    held_out: Sequence[Pair],
    classes: dict[str, str],
) -> tuple[str, ...]:
    how = "the dataset's own split" if source.held_out is not None else "chosen by a hash of their names"
    return (
        f"{_counted(len(train), 'image')} to learn from, {len(held_out)} held out ({how})",
        f"{_counted(len(classes), 'class', 'es')} of {source.values['taxonomy']}, learnt as classes of {card.taxonomy}",
        f"starts with {card.name}; {_counted(config.steps, 'step')} of {_counted(config.batch, 'crop')}",
    )


def _warnings(
    source: LabelSource,
    card: ModelCard,
    train: Sequence[Pair],
    held_out: Sequence[Pair],
    pixels: Counter[str],
    links: dict[str, str],
    unchanged: int,
) -> tuple[str, ...]:
    found = list(source.notes)
    if len(train) < FEW_IMAGES:
        found.append(f"only {_counted(len(train), 'image')} to learn from: expect little, and trust the numbers less")
    if len(held_out) < 3:
        found.append(f"only {_counted(len(held_out), 'image')} held out: the comparison says little")
    lost = [(name, count) for name, count in pixels.items() if name not in links]
    if lost:
        part = share(sum(count for _, count in lost) / pixels.total())
        found.append(
            f"{part} of the labelled pixels have no class in {card.taxonomy} and are ignored: "
            f"{most_frequent(lost, _LISTED)}"
        )
    new = sorted({links[name] for name in pixels if name in links} - set(card.trained_classes))
    if card.trained_classes and new:
        words = ", ".join(new[:_LISTED]) + (f" and {len(new) - _LISTED} more" if len(new) > _LISTED else "")
        found.append(f"{card.name} does not know {words}: learnt from nothing, which takes many images")
    if unchanged:
        found.append(_unchanged(source, card, unchanged, len(train) + len(held_out)))
    return tuple(found)


def _unchanged(source: LabelSource, card: ModelCard, unchanged: int, of: int) -> str:
    models = {one.model.name for one in source.sidecars.values() if one.model.sha256 == card.weights_sha256}
    whose = f"{card.name}'s own answers" if models else "a model's answers"
    if unchanged == of:
        return f"all labels are {whose}, exactly as exported: there is nothing in them to learn"
    return f"{unchanged} of {of} labels are {whose}, exactly as exported; only-changed leaves them out"


def _no_class(pixels: Counter[str], card: ModelCard) -> str:
    if not pixels:
        return "no pixel is labelled: every label is of no class"
    return (
        f"none of the labelled classes has one in {card.taxonomy}, the taxonomy of {card.name}: "
        f"{most_frequent(pixels.items(), _LISTED)}"
    )


def _listable(path: Path) -> str:
    text = str(path.resolve())
    if "\t" in text or len(text.splitlines()) != 1 or text != text.strip():
        raise DatasetError("a name with a tab or a line break cannot be listed; rename the file", path=path)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DatasetError("a name that is no UTF-8 cannot be listed; rename the file", path=path) from error
    return text


def _hash(image: Path) -> str:
    return hashlib.sha256(image.stem.encode(errors="surrogateescape")).hexdigest()


def _counted(number: int, word: str, plural: str = "s") -> str:
    return f"{number} {word}{'' if number == 1 else plural}"

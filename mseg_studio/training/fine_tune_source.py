"""Labels to fine-tune on: what Export and `mseg-studio segment` wrote, label maps beside images, or a dataset.

Whatever the source, what comes out is a list of pairs and the values of a dataset description that reads them.
Torch-free.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mseg_studio.datasets.description import DatasetDescription, load_dataset
from mseg_studio.datasets.pairing import Pair
from mseg_studio.errors import ConfigError, DatasetError, nearest
from mseg_studio.labels.sidecar import Sidecar, read_sidecar
from mseg_studio.media.image import is_image_path
from mseg_studio.storage import is_leftover
from mseg_studio.taxonomy.catalog import default_catalog

TRAIN, HELD_OUT = "train", "held-out"
"""Splits of the description that a fine-tuning writes."""
_NO_LABELS = (
    "no labels of MSeg Studio in this folder: expected a PNG with a JSON beside it for each image, as Export writes. "
    "For PNGs of ids beside the images give their taxonomy; for anything else write a dataset description "
    "(docs/datasets.md)"
)


@dataclass(frozen=True, slots=True)
class LabelSource:
    """Images with labels, not yet parted."""

    name: str
    """A few letters for the name of the run."""
    title: str
    """What people are told it is."""
    values: dict[str, Any]
    """A dataset description without splits; every path in it is absolute."""
    pairs: tuple[Pair, ...]
    """What is trained on; what is scored too where `held_out` is None."""
    held_out: tuple[Pair, ...] | None = None
    """A split of its own that a dataset has for scoring; None where part of `pairs` is to be held out."""
    sidecars: dict[Path, Sidecar] = field(default_factory=dict)
    """By label file: what an export said of it."""
    notes: tuple[str, ...] = ()
    """What was left out, and why."""


def find_labels(
    source: str | Path,
    *,
    root: str | Path | None = None,
    images: Path | None = None,
    taxonomy: str | None = None,
    splits: tuple[str, str] | None = None,
) -> LabelSource:
    """Look for labels in a folder, or open a dataset by its description or name.

    `images` is the folder of the images where they are not where the sidecars say; `taxonomy` is that of label maps
    without sidecars; `splits` names the dataset's splits to train on and to score on (the second may be empty).
    Raises ConfigError, DatasetError and TaxonomyError in words for a person, naming the file.
    """
    folder = Path(source)
    if folder.is_dir():
        if root is not None or splits is not None:
            raise ConfigError("a folder of labels has no root and no splits: give a dataset description", path=folder)
        return _of_folder(folder.resolve(), images, taxonomy)
    if images is not None or taxonomy is not None:
        raise ConfigError("--images and --taxonomy are for a folder of labels; a description says them", path=source)
    return _of_dataset(load_dataset(source, root=root), splits)


# -- a folder ----------------------------------------------------------------------------------------------------


def _of_folder(folder: Path, images: Path | None, taxonomy: str | None) -> LabelSource:
    found = _sidecars(folder)
    if not found:
        if taxonomy is None:
            raise ConfigError(_NO_LABELS, path=folder)
        return _source(folder, taxonomy, _beside(folder, images), {}, ())
    names = Counter(sidecar.taxonomy for sidecar in found.values())
    if taxonomy is not None and taxonomy not in names:
        raise ConfigError(f"the labels are in {', '.join(names)}, not in {taxonomy}", path=folder)
    chosen = taxonomy or next(iter(names))
    if len(names) > 1 and taxonomy is None:
        counts = ", ".join(f"{name} ({count})" for name, count in names.most_common())
        raise ConfigError(f"the labels are in several taxonomies: {counts}; choose one with --taxonomy", path=folder)
    notes, pairs, sidecars = [], [], {}
    videos, lost = 0, []
    for label, sidecar in found.items():
        if sidecar.taxonomy != chosen:
            continue
        if sidecar.frames is not None:
            videos += 1
            continue
        image = _image_of(label, sidecar, folder, images)
        if image is None:
            lost.append(sidecar.source.path)
        elif label.is_file():
            pairs.append(Pair(image, label))
            sidecars[label] = sidecar
    if lost:
        raise DatasetError(
            f"{_counted(len(lost), 'label')} without image, the first of {lost[0]}; "
            "say where the images are (--images DIR)",
            path=folder,
        )
    if videos:
        notes.append(f"{_counted(videos, 'video')} left out: labels of a video have no image files")
    if without := sum(not label.is_file() for label, one in found.items() if one.frames is None):
        notes.append(f"{_counted(without, 'image')} left out: no id picture was exported (class ids, PNG)")
    return _source(folder, chosen, pairs, sidecars, tuple(notes))


def _source(
    folder: Path, taxonomy: str, pairs: Iterable[Pair], sidecars: dict[Path, Sidecar], notes: tuple[str, ...]
) -> LabelSource:
    default_catalog().taxonomy(taxonomy)
    ordered = tuple(sorted(pairs, key=lambda pair: pair.image))
    values = {"format": 1, "name": folder.name or "labels", "taxonomy": taxonomy}
    return LabelSource(folder.name or "labels", str(folder), values, ordered, None, sidecars, notes)


def _sidecars(folder: Path) -> dict[Path, Sidecar]:
    """Sidecars below `folder` by the id picture they speak of, sorted. Other JSON files are none of ours."""
    found = {}
    for path in sorted(folder.rglob("*.json")):
        if is_leftover(path):
            continue
        try:
            sidecar = read_sidecar(path)
        except ConfigError:
            continue
        except OSError as error:
            raise DatasetError(f"cannot be read: {error.strerror or error}", path=path) from error
        found[path.with_name(path.name.removesuffix(".json") + ".png")] = sidecar
    return found


def _image_of(label: Path, sidecar: Sidecar, folder: Path, images: Path | None) -> Path | None:
    """The image that a label was made from: in `images`, where the sidecar says, or beside the label."""
    told = Path(sidecar.source.path)
    below = label.parent.relative_to(folder)
    places = [told] if images is None else [images / below / told.name, images / told.name]
    places += [label.parent / told.name, folder.parent / below / told.name]
    return next((place.resolve() for place in places if place.is_file() and place != label), None)


def _beside(folder: Path, images: Path | None) -> list[Pair]:
    """Images with a PNG of the same name: beside them, or in `folder` for those in `images`."""
    base = (folder if images is None else images).resolve()
    pictures = [path for path in sorted(base.rglob("*")) if is_image_path(path) and path.is_file()]
    pairs = [
        Pair(image, label)
        for image in pictures
        if not is_leftover(image) and (label := folder / image.relative_to(base).with_suffix(".png")) != image
    ]
    found = [pair for pair in pairs if pair.label.is_file()]
    if pictures and not found:
        raise DatasetError(f"the label of {pictures[0].name} is missing: expected a PNG of its name", path=folder)
    if not found:
        raise DatasetError("no images in this folder", path=base)
    return found


# -- a dataset ---------------------------------------------------------------------------------------------------


def _of_dataset(dataset: DatasetDescription, splits: tuple[str, str] | None) -> LabelSource:
    train, held_out = splits or _splits_of(dataset)
    pairs = dataset.pairs(train)
    title = f"{dataset.title or dataset.name}, {train}"
    values = _values(dataset)
    if not held_out:
        return LabelSource(dataset.name, title, values, pairs)
    if held_out == train or dataset.overlaps.get(held_out) == train:
        raise ConfigError(f"split '{held_out}' is part of '{train}': it cannot be held out", path=dataset.path)
    return LabelSource(dataset.name, title, values, pairs, dataset.pairs(held_out))


def _splits_of(dataset: DatasetDescription) -> tuple[str, str]:
    """Train and val where there are both, the only split otherwise. Raises ConfigError: choose."""
    own = [name for name in dataset.splits if name not in dataset.overlaps]
    if "train" in own:
        return "train", "val" if "val" in own else ""
    if len(own) == 1:
        return own[0], ""
    raise ConfigError(f"say which splits to train and to score on{nearest('train', own)}", path=dataset.path)


def _values(dataset: DatasetDescription) -> dict[str, Any]:
    """The description of `dataset` in plain values, without splits."""
    values: dict[str, Any] = {"format": 1, "name": dataset.name, "taxonomy": dataset.taxonomy.name}
    formatted = dataset.formatted
    if formatted is None:
        # Files of colours hold no ids: there the map of ids is the taxonomy's own, which nobody asked for.
        key, table = ("colour_map", dataset.colour_map) if dataset.colour_map else ("id_map", dataset.id_map)
        values[key] = dict(table)
    if dataset.to_universal:
        values["to_universal"] = dict(dataset.to_universal)
    if formatted is not None:
        options = formatted.options
        values["label_format"] = formatted.name
        tables = {"id_map": options.id_map, "colour_map": options.colour_map, "label_names": options.names}
        values |= {key: dict(table) for key, table in tables.items() if table}  # type: ignore[call-overload]
        if options.annotations is not None:
            values["annotations"] = str(options.annotations.resolve())
    return values


def only(source: LabelSource, labels: Iterable[Path]) -> LabelSource:
    """The same source with these label files alone."""
    kept = set(labels)
    return dataclasses.replace(source, pairs=tuple(pair for pair in source.pairs if pair.label in kept))


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"

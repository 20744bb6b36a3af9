"""What a run may begin with, read: tensors, and the class that every row of their head stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mseg_studio.errors import CheckpointError
from mseg_studio.networks.card import CARD_FILE
from mseg_studio.networks.catalog import InstalledModel, open_model_folder
from mseg_studio.networks.checkpoint import check_weights
from mseg_studio.networks.weights_file import read_checkpoint, read_weights
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.training.checkpoint import load_checkpoint, load_newest
from mseg_studio.training.config import TrainConfig
from mseg_studio.training.config_file import config_from_dict
from mseg_studio.training.head import head_of

_PUBLISHED_HEADS = ("universal", "naive")
"""Taxonomies that a checkpoint file which says nothing may have, by their number of rows."""


@dataclass(frozen=True, slots=True)
class StartSource:
    """Weights to begin with."""

    what: str
    """For people."""
    path: Path
    tensors: Mapping[str, Tensor]
    taxonomy: str = ""
    """Taxonomy of the head; empty where that is not known."""
    rows: tuple[str, ...] = ()
    """Class of every row of the head, empty for a row that stands for none or never learned; () if not known."""
    run: TrainConfig | None = None
    """Configuration of the run of ours that made it: a head of all classes did not learn all of them there."""


def read_start(chosen: InstalledModel | Path, *, head_key: str) -> StartSource:
    """Read an installed model, a folder of a model, a run or a checkpoint, or a file of weights.

    `head_key` is the state-dict key of the head's weight. Raises CheckpointError naming the file and what is wrong.
    """
    if isinstance(chosen, InstalledModel):
        return _of_model(chosen)
    folder = chosen if chosen.is_dir() else chosen.parent
    if (folder / CARD_FILE).is_file() and (chosen.is_dir() or open_model_folder(folder).weights_file == chosen):
        return _of_model(open_model_folder(folder))
    if chosen.is_dir():
        return _of_run(chosen)
    if (folder / _MANIFEST).is_file():
        return _of_checkpoint(folder, file=chosen)
    tensors = read_checkpoint(chosen)
    count = len(tensors[head_key]) if head_key in tensors and tensors[head_key].ndim else 0
    for name in _PUBLISHED_HEADS:
        taxonomy = default_catalog().taxonomy(name)
        if taxonomy.num_channels == count:
            return StartSource(f"file {chosen}", chosen, tensors, name, _all_rows(taxonomy))
    return StartSource(f"file {chosen}", chosen, tensors)


_MANIFEST = "manifest.json"


def _of_model(model: InstalledModel) -> StartSource:
    check_weights(model)
    card = model.card
    rows = _all_rows(default_catalog().taxonomy(card.taxonomy))
    if card.trained_classes:
        rows = tuple(name if name in card.trained_classes else "" for name in rows)
    tensors = read_weights(model.weights_file)
    return StartSource(f"model {card.name}", model.weights_file, tensors, card.taxonomy, rows)


def _of_run(folder: Path) -> StartSource:
    """A checkpoint folder, or the best (else the newest) checkpoint of a run."""
    if (folder / _MANIFEST).is_file():
        return _of_checkpoint(folder)
    checkpoints = folder / "checkpoints"
    if (checkpoints / "best" / _MANIFEST).is_file():
        return _of_checkpoint(checkpoints / "best")
    state, complaints = load_newest(checkpoints)
    if state is None:
        why = f": {'; '.join(complaints)}" if complaints else ""
        raise CheckpointError(f"is neither a model, a run with a checkpoint nor a checkpoint{why}", path=folder)
    return _of_checkpoint(checkpoints / f"{state.step:08d}")


def _of_checkpoint(folder: Path, *, file: Path | None = None) -> StartSource:
    """A checkpoint of ours: its averaged weights where it has them, or the tensors of one of its files."""
    state = load_checkpoint(folder)
    config = config_from_dict(state.config)
    head = head_of(config)
    tensors = dict(state.average or state.network) if file is None else read_checkpoint(file)
    return StartSource(f"checkpoint {file or folder}", file or folder, tensors, head.taxonomy.name, head.rows, config)


def _all_rows(taxonomy: Taxonomy) -> tuple[str, ...]:
    names = {info.id: info.name for info in taxonomy.classes}
    return tuple(names.get(number, "") for number in range(taxonomy.num_channels))

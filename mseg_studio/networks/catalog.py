"""The models that are installed: those shipped with the program and those in the user's folder. Torch-free."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from mseg_studio.errors import CheckpointError, ConfigError, nearest, printable
from mseg_studio.networks.card import CARD_FILE, ModelCard, check_model_name, read_card
from mseg_studio.settings import resource_folder, user_folder
from mseg_studio.storage import is_leftover

_WEIGHT_SUFFIXES = {".pth", ".pt", ".tar", ".ckpt", ".safetensors"}


class UnknownModelError(CheckpointError):
    """No model carries the name that was asked for."""


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model folder whose card is in order and whose weights file is there; the weights are checked when loaded."""

    name: str
    folder: Path
    card: ModelCard
    bundled: bool
    """Shipped with the program: cannot be removed."""

    @property
    def weights_file(self) -> Path:
        """The safetensors file."""
        return self.folder / self.card.weights


@dataclass(frozen=True, slots=True)
class BrokenModel:
    """Something in a models folder that cannot be used, and why."""

    name: str
    folder: Path
    reason: str
    bundled: bool


def models_folder() -> Path:
    """Where imported models live; it need not exist yet."""
    return user_folder("models")


def scan_models() -> tuple[InstalledModel | BrokenModel, ...]:
    """Everything in the models folders, shipped models first, by name. A broken folder never hides the others."""
    found = _scan(_bundled_folder(), bundled=True)
    taken = {model.name.casefold() for model in found}
    for model in _scan(models_folder(), bundled=False):
        if model.name.casefold() in taken:
            found.append(BrokenModel(model.name, model.folder, "a model that is shipped has this name", bundled=False))
        else:
            found.append(model)
    return tuple(found)


def installed_models() -> tuple[InstalledModel, ...]:
    """The models that can be loaded, shipped ones first."""
    return tuple(model for model in scan_models() if isinstance(model, InstalledModel))


def find_model(name: str) -> InstalledModel:
    """The model called `name`.

    Raises UnknownModelError (a CheckpointError) with the nearest names, CheckpointError when its folder is broken.
    """
    everything = scan_models()
    for model in everything:
        if model.name == name:
            if isinstance(model, BrokenModel):
                raise CheckpointError(f"model '{name}' is broken: {model.reason}", path=model.folder)
            return model
    known = [model.name for model in everything if isinstance(model, InstalledModel)]
    shown = printable(name[:80])
    raise UnknownModelError(f"no model is called '{shown}'{nearest(shown, known) or '; none is installed'}")


def open_model_folder(folder: Path, *, bundled: bool = False) -> InstalledModel:
    """The model in `folder`, wherever that is. Raises CheckpointError naming the file that is missing or wrong."""
    card_file = folder / CARD_FILE
    if not card_file.is_file():
        raise CheckpointError(f"no {CARD_FILE} in it, so it is no model folder", path=folder)
    try:
        card = read_card(card_file)
    except OSError as error:
        raise CheckpointError(f"cannot be read: {error.strerror or error}", path=card_file) from error
    except ConfigError as error:
        raise CheckpointError(error.reason, path=card_file) from error
    if card.name != folder.name:
        raise CheckpointError(f"is of model '{card.name}', but its folder is called '{folder.name}'", path=card_file)
    model = InstalledModel(card.name, folder, card, bundled)
    if not model.weights_file.is_file():
        raise CheckpointError("the weights that the card names are missing", path=model.weights_file)
    return model


def remove_model(name: str) -> None:
    """Delete an imported model, broken or not.

    Raises UnknownModelError with the nearest names, CheckpointError for a shipped model or when it cannot be deleted.
    """
    everything = scan_models()
    own = {model.name: model.folder for model in everything if model.folder.parent == models_folder()}
    if name not in own:
        if any(model.name == name for model in everything if model.bundled):
            raise CheckpointError(f"model '{name}' is shipped with the program and stays")
        shown = printable(name[:80])
        raise UnknownModelError(f"no imported model is called '{shown}'{nearest(shown, own) or '; none is imported'}")
    folder = own[name]
    try:
        if folder.is_symlink():
            folder.unlink()  # the link goes, what it points to is not ours
        elif not folder.is_dir():
            raise CheckpointError("is no model folder; delete it yourself if you want it gone", path=folder)
        else:
            doomed = folder.replace(
                leftover_folder(folder.parent)
            )  # off every list at once, however long deleting takes
            shutil.rmtree(doomed)
    except OSError as error:
        raise CheckpointError(f"cannot be removed: {error.strerror or error}", path=folder) from error


def check_free_name(name: str) -> None:
    """Raise ConfigError for a name no model may have, CheckpointError when a model has it already."""
    check_model_name(name)
    for model in scan_models():
        if model.name.casefold() == name.casefold():
            hint = "choose another name" if model.bundled else "remove it first or choose another name"
            raise CheckpointError(f"a model called '{model.name}' is there already; {hint}")


def leftover_folder(parent: Path) -> Path:
    """A new path in `parent` for a folder that is being written or deleted; scans pass over it."""
    return parent / f".mseg-part-{secrets.token_hex(6)}"


def _bundled_folder() -> Path | None:
    try:
        return resource_folder("models")
    except ConfigError:
        return None  # a build without shipped models works with imported ones


def _scan(parent: Path | None, *, bundled: bool) -> list[InstalledModel | BrokenModel]:
    found: list[InstalledModel | BrokenModel] = []
    if parent is None:
        return found
    try:
        entries = sorted(parent.iterdir(), key=lambda path: path.name.casefold())
    except FileNotFoundError:
        return found
    except OSError as error:
        reason = f"the folder cannot be listed: {error.strerror or error}"
        return [BrokenModel(printable(parent.name), parent, reason, bundled)]
    for entry in entries:
        if entry.name.startswith(".") or is_leftover(entry):
            continue
        if not entry.is_dir():
            if entry.suffix.lower() in _WEIGHT_SUFFIXES:
                hint = "a weights file, no model folder; use `mseg-studio models import FILE --name NAME`"
                found.append(BrokenModel(entry.name, entry, hint, bundled))
            continue
        try:
            found.append(open_model_folder(entry, bundled=bundled))
        except CheckpointError as error:
            found.append(BrokenModel(entry.name, entry, error.reason, bundled))
    return found

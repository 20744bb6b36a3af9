"""An installed model ready to run: where its network comes from, its taxonomy, and predictors under any recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mseg_studio.errors import CheckpointError, ConfigError
from mseg_studio.inference.calibration import read_record
from mseg_studio.inference.devices import resolve_device, resolve_precision
from mseg_studio.inference.engine import NetworkSource
from mseg_studio.inference.engine_choice import resolve_engine
from mseg_studio.inference.predictor import Predictor
from mseg_studio.inference.recipe import Recipe
from mseg_studio.networks.card import ModelCard
from mseg_studio.networks.catalog import InstalledModel, find_model
from mseg_studio.networks.checkpoint import check_weights, load_network, spec_of
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.taxonomy.model import Taxonomy


@dataclass(frozen=True, eq=False, slots=True)
class LoadedModel:
    """A model whose files are there, and the taxonomy of its channels; engines read the weights when they need them."""

    installed: InstalledModel
    source: NetworkSource
    taxonomy: Taxonomy

    def predictor(self, recipe: Recipe) -> Predictor:
        """A predictor under `recipe`, with the card's sizes where it leaves them open.

        Raises ConfigError for a crop that the network cannot take and for a device, engine or precision that is not
        there, CheckpointError for damaged weights where they are going to be read.
        """
        sized = sized_recipe(recipe, self.installed.card)
        device = resolve_device(recipe.device)
        if resolve_engine(recipe.engine, device, resolve_precision(recipe.precision, device, recipe.engine)) == "torch":
            check_weights(self.installed)
        try:
            return Predictor(self.source, self.source.spec, num_classes=self.source.num_classes, recipe=sized)
        except ValueError as error:
            raise ConfigError(f"model {self.installed.name}: {error}") from error

    def facts(self, predictor: Predictor) -> dict[str, Any]:
        """What the sidecar tells about a result of `predictor`; see `LabelsReady.sidecar`."""
        card = self.installed.card
        calibration = {"calibration": read_record(self.source).id} if predictor.recipe.precision == "int8" else {}
        return {
            "model": {"name": card.name, "network": card.network, "sha256": card.weights_sha256},
            "recipe": predictor.recipe.as_dict(),
            "recipe_hash": predictor.recipe.hash,
            "engine": predictor.engine_name,
            "precision": predictor.recipe.precision,
            "device": predictor.device,
            "certified_share": 1.0,
            "mapping": "projected",
            **calibration,
        }


def sized_recipe(recipe: Recipe, card: ModelCard) -> Recipe:
    """`recipe` with the card's short side and crop where it leaves them open; precision stays as it is."""
    return recipe.resolved(base_size=card.base_size, crop_px=card.crop_px, precision="auto")


def load_model(model: str | InstalledModel) -> LoadedModel:
    """A model by name. Raises CheckpointError (nearest names for an unknown one, no weights), TaxonomyError.

    The weights are not read here: an engine that keeps its own copy never needs them.
    """
    installed = find_model(model) if isinstance(model, str) else model
    card = installed.card
    if not installed.weights_file.is_file():
        raise CheckpointError("the weights that the card names are missing", path=installed.weights_file)
    source = NetworkSource(
        load=lambda: load_network(installed)[0],
        spec=spec_of(installed),
        num_classes=card.num_classes,
        weights_sha256=card.weights_sha256,
        name=card.name,
    )
    return LoadedModel(installed, source, default_catalog().taxonomy(card.taxonomy))

"""An installed model ready to run: its network, its taxonomy, and predictors under any recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from mseg_studio.errors import ConfigError
from mseg_studio.inference.predictor import Predictor
from mseg_studio.inference.recipe import Recipe
from mseg_studio.networks.card import ModelCard
from mseg_studio.networks.catalog import InstalledModel, find_model
from mseg_studio.networks.checkpoint import load_network
from mseg_studio.networks.spec import NetworkSpec
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.taxonomy.model import Taxonomy


@dataclass(frozen=True, eq=False, slots=True)
class LoadedModel:
    """A network with its weights, and the taxonomy of its channels."""

    installed: InstalledModel
    network: nn.Module
    spec: NetworkSpec
    taxonomy: Taxonomy

    def predictor(self, recipe: Recipe) -> Predictor:
        """A predictor under `recipe`, with the card's sizes where it leaves them open.

        The network moves to the predictor's device: use one predictor of a loaded model at a time. Raises ConfigError
        for a crop that the network cannot take and for a device or precision that is not there.
        """
        sized = sized_recipe(recipe, self.installed.card)
        try:
            return Predictor(self.network, self.spec, num_classes=self.installed.card.num_classes, recipe=sized)
        except ValueError as error:
            raise ConfigError(f"model {self.installed.name}: {error}") from error

    def facts(self, predictor: Predictor) -> dict[str, Any]:
        """What the sidecar tells about a result of `predictor`; see `LabelsReady.sidecar`."""
        card = self.installed.card
        return {
            "model": {"name": card.name, "network": card.network, "sha256": card.weights_sha256},
            "recipe": predictor.recipe.as_dict(),
            "recipe_hash": predictor.recipe.hash,
            "engine": predictor.engine_name,
            "precision": predictor.recipe.precision,
            "device": predictor.device,
            "certified_share": 1.0,
            "mapping": "projected",
        }


def sized_recipe(recipe: Recipe, card: ModelCard) -> Recipe:
    """`recipe` with the card's short side and crop where it leaves them open; precision stays as it is."""
    return recipe.resolved(base_size=card.base_size, crop_px=card.crop_px, precision="auto")


def load_model(model: str | InstalledModel) -> LoadedModel:
    """Load a model by name. Raises CheckpointError (nearest names for an unknown one), TaxonomyError."""
    installed = find_model(model) if isinstance(model, str) else model
    taxonomy = default_catalog().taxonomy(installed.card.taxonomy)
    network, spec = load_network(installed)
    return LoadedModel(installed, network, spec, taxonomy)

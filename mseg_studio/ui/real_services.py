"""The services of the running program: worker processes, installed models, shipped taxonomies. Torch-free."""

from __future__ import annotations

import sys
from pathlib import Path

from mseg_studio.inference.client import InferenceClient
from mseg_studio.inference.cost import count, estimate_seconds
from mseg_studio.inference.recipe import Recipe
from mseg_studio.media.client import MediaClient
from mseg_studio.networks.card import ModelCard
from mseg_studio.networks.catalog import find_model, installed_models
from mseg_studio.settings import AppSettings
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.taxonomy.search import search
from mseg_studio.ui.bridges import InferenceBridge, MediaBridge
from mseg_studio.ui.services import ModelChoice, Services
from mseg_studio.ui.workspaces.segment.estimate import Estimate, Predict


def real_services(settings: AppSettings) -> Services:
    """Services of the installed program; nothing is started yet."""
    return Services(
        media=MediaBridge(MediaClient),
        inference=InferenceBridge(lambda on_event: InferenceClient(on_event, threads=settings.threads)),
        catalog=default_catalog(),
        models=_models,
        predict=_predictor(),
        search=lambda taxonomy, query, limit: list(search(taxonomy, query, limit)),
        cameras=_cameras,
    )


def _models() -> list[ModelChoice]:
    return [
        ModelChoice(
            name=model.name,
            taxonomy=model.card.taxonomy,
            num_classes=model.card.num_classes,
            base_size=model.card.base_size,
            crop_px=model.card.crop_px,
            trained_classes=model.card.trained_classes,
            bundled=model.bundled,
        )
        for model in installed_models()
    ]


def _predictor() -> Predict:
    cards: dict[str, ModelCard] = {}

    def predict(name: str, recipe: Recipe, height: int, width: int) -> Estimate:
        if name not in cards:
            cards[name] = find_model(name).card
        card = cards[name]
        sized = recipe.resolved(base_size=card.base_size, crop_px=card.crop_px, precision="float32")
        cost = count(sized, height, width)
        seconds = estimate_seconds(cost, card.network, num_classes=card.num_classes)
        return Estimate(cost.crops, cost.passes, seconds)

    return predict


def _cameras() -> tuple[str, ...]:
    if sys.platform == "linux":
        numbers = sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video*"))
        return tuple(f"camera:{number}" for number in numbers if number.isdigit())[:1]
    # Elsewhere nothing short of opening it says whether there is one; a missing camera answers in words.
    return ("camera:0",)

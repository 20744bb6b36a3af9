"""The services of the running program: worker processes, installed models, shipped taxonomies. Torch-free."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mseg_studio.inference.client import InferenceClient
from mseg_studio.inference.estimate import estimate, learn
from mseg_studio.inference.events import InferenceEvent
from mseg_studio.inference.memory import free_bytes
from mseg_studio.inference.openmp import threads_beside_a_window
from mseg_studio.inference.pace import Pace
from mseg_studio.inference.recipe import Recipe
from mseg_studio.media.client import MediaClient
from mseg_studio.networks.card import ModelCard
from mseg_studio.networks.catalog import find_model, installed_models
from mseg_studio.settings import AppSettings
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.taxonomy.search import search
from mseg_studio.ui.bridges import InferenceBridge, MediaBridge
from mseg_studio.ui.services import ModelChoice, Services
from mseg_studio.ui.workspaces.segment.estimate import Estimate


def real_services(settings: AppSettings) -> Services:
    """Services of the installed program; nothing is started yet."""
    clients: list[InferenceClient] = []

    def make_client(on_event: Callable[[InferenceEvent], None]) -> InferenceClient:
        clients.append(InferenceClient(on_event, threads=settings.threads))
        return clients[-1]

    inference = InferenceBridge(make_client)
    forecast = _Forecast(settings.threads or threads_beside_a_window(), lambda: clients[-1].pid)
    return Services(
        media=MediaBridge(MediaClient),
        inference=inference,
        catalog=default_catalog(),
        models=_models,
        predict=forecast.predict,
        learn=forecast.learn,
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


class _Forecast:
    """What runs will cost in the inference process."""

    def __init__(self, threads: int, process_id: Callable[[], int | None]) -> None:
        self._threads = threads
        self._process_id = process_id
        self._pace = Pace()
        self._cards: dict[str, ModelCard] = {}

    def predict(self, name: str, recipe: Recipe, height: int, width: int) -> Estimate:
        """See `Predict`. Raises MSegStudioError when the model is not installed."""
        if name not in self._cards:
            self._cards[name] = find_model(name).card
        found = estimate(recipe, (height, width), card=self._cards[name], pace=self._pace, threads=self._threads)
        free = free_bytes(self._process_id()) if found.on_cpu else None
        return Estimate(found.cost.crops, found.cost.passes, found.seconds, found.memory_bytes, free)

    def learn(self, facts: Mapping[str, Any], size: tuple[int, int], seconds: float, first: bool) -> None:
        """See `Learn`."""
        learn(self._pace, facts, size, seconds, threads=self._threads, first=first)


def _cameras() -> tuple[str, ...]:
    if sys.platform == "linux":
        numbers = sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video*"))
        return tuple(f"camera:{number}" for number in numbers if number.isdigit())[:1]
    # Elsewhere nothing short of opening it says whether there is one; a missing camera answers in words.
    return ("camera:0",)

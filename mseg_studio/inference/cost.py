"""What a recipe costs before it runs. Torch-free: the window shows it beside Run."""

from __future__ import annotations

from dataclasses import dataclass

from mseg_studio.inference.recipe import Recipe
from mseg_studio.inference.tiling import Tiling, scaled_size

_SECONDS_A_MEGAPIXEL = {"hrnet-w48": 2.7, "hrnet-w18-small": 0.2}
"""Network alone, float32, two cores (performance.md 2)."""
_UNKNOWN_PACE = 1.5
_POST_PACE = 0.12
"""Upsampling, softmax and accumulation of 194 classes."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Work for one image: `crops` windows over all scales, `passes` images through the network (flips counted)."""

    crops: int
    passes: int
    megapixels: float
    """Megapixels through the network: passes x crop area."""


def count(recipe: Recipe, height: int, width: int) -> Cost:
    """Cost of an image of `height` x `width` pixels. The recipe must be resolved (ValueError)."""
    crops = sum(Tiling(*size, recipe_crop_px(recipe)).count for size in grid_sizes(recipe, height, width))
    passes = crops * (2 if recipe.flip else 1)
    return Cost(crops=crops, passes=passes, megapixels=passes * recipe_crop_px(recipe) ** 2 / 1e6)


def grid_sizes(recipe: Recipe, height: int, width: int) -> tuple[tuple[int, int], ...]:
    """(height, width) of the scaled image for every scale. The recipe must be resolved (ValueError)."""
    if recipe.base_size is None:
        raise ValueError("only a resolved recipe has a base size")
    return tuple(scaled_size(height, width, base_size=recipe.base_size, scale=scale) for scale in recipe.scales)


def recipe_crop_px(recipe: Recipe) -> int:
    """The recipe's crop in pixels. The recipe must be resolved (ValueError)."""
    if recipe.crop_px is None:
        raise ValueError("only a resolved recipe has a crop")
    return recipe.crop_px


def estimate_seconds(cost: Cost, network: str, *, num_classes: int = 194) -> float:
    """Seconds that `cost` takes on two ordinary CPU cores in float32: a first guess, to be corrected by real runs."""
    pace = _SECONDS_A_MEGAPIXEL.get(network, _UNKNOWN_PACE)
    return cost.megapixels * (pace + _POST_PACE * num_classes / 194)

"""What a recipe costs before it runs. Torch-free: the window shows it beside Run."""

from __future__ import annotations

from dataclasses import dataclass

from mseg_studio.inference.recipe import Recipe
from mseg_studio.inference.tiling import Tiling, scaled_size


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


class PaceMeter:
    """Seconds a megapixel through the network, learnt from what ran: `seconds` stays None until something has."""

    def __init__(self, seconds_per_megapixel: float | None = None) -> None:
        self._pace = seconds_per_megapixel

    def learn(self, cost: Cost, seconds: float) -> None:
        """Take the time of one finished image; the newest counts half."""
        if cost.megapixels > 0 and seconds > 0:
            pace = seconds / cost.megapixels
            self._pace = pace if self._pace is None else (self._pace + pace) / 2

    def seconds(self, cost: Cost) -> float | None:
        """Seconds that `cost` will take."""
        return None if self._pace is None else self._pace * cost.megapixels

"""How much work a recipe is: crops, passes and megapixels of an image. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

from mseg_studio.inference.recipe import Recipe
from mseg_studio.inference.tiling import Tiling, scaled_size
from mseg_studio.networks.spec import NetworkSpec


@dataclass(frozen=True, slots=True)
class Cost:
    """Work for one image: `crops` windows over all scales, `passes` images through the network (flips counted)."""

    crops: int
    passes: int
    megapixels: float
    """Megapixels through the network: passes x crop area."""


def count(recipe: Recipe, height: int, width: int) -> Cost:
    """Cost of an image of `height` x `width` pixels. The recipe must be resolved (ValueError)."""
    sizes, images = grid_sizes(recipe, height, width), 2 if recipe.flip else 1
    if recipe.whole:  # the few pixels of padding are left out
        return Cost(len(sizes), images * len(sizes), images * sum(h * w for h, w in sizes) / 1e6)
    crops = sum(Tiling(*size, recipe_crop_px(recipe)).count for size in sizes)
    passes = crops * images
    return Cost(crops=crops, passes=passes, megapixels=passes * recipe_crop_px(recipe) ** 2 / 1e6)


def tiling_of(recipe: Recipe, size: tuple[int, int], spec: NetworkSpec) -> Tiling:
    """The windows over a scaled image of `size` (height, width): of the recipe's crop, or one around all of it.

    A window's crop is (tiling.crop_height_px, tiling.crop_width_px); only without `whole` is it surely square. The
    recipe must be resolved (ValueError).
    """
    if recipe.whole:
        return Tiling.whole(*size, size_multiple=spec.size_multiple)
    return Tiling(*size, recipe_crop_px(recipe))


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

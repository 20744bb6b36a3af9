"""How much memory an image will take. Torch-free.

The numbers follow peaks measured in processes of their own. Compiling a model for the first time on a machine takes
twice its weights more, once.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import psutil

from mseg_studio.inference.cost import count, grid_sizes, recipe_crop_px
from mseg_studio.inference.pace import Setup
from mseg_studio.inference.recipe import Recipe
from mseg_studio.inference.tiling import Tiling
from mseg_studio.networks.card import ModelCard

_MB = 1_000_000
_PROCESS = 400 * _MB
"""Python, torch, OpenCV and the compiled passes."""
_SCORE_BYTES = {"half": 2, "int8": 2}
"""Kept logits are bfloat16 where the network computes in no more."""
_GPU_IMAGES = 16
_DECIDED_BYTES = 12
"""A pixel of the image: itself and its label, with copies."""
_SCALED_BYTES = 24
"""A pixel of the scaled image that crops are cut from: three float32 as read, and again channel by channel."""


@dataclass(frozen=True, slots=True)
class _Network:
    """What a network takes."""

    weights: int
    """Bytes of its float32 weights."""
    activations: int
    """Bytes that OpenVINO holds in float32 between the layers, for a pixel of a pass."""
    logits_stride: int = 4


_NETWORKS = {
    "hrnet-w48": _Network(264 * _MB, 970),
    "hrnet-w18-small": _Network(7 * _MB, 358),
    "pspnet-50": _Network(197 * _MB, 680, logits_stride=8),
    "pspnet-101": _Network(273 * _MB, 680, logits_stride=8),
}
_UNKNOWN = _Network(150 * _MB, 700)
_ENGINES = {
    ("torch", "float32"): (2.3, 0.6),
    ("torch", "half"): (3.0, 0.4),
    ("openvino", "float32"): (1.65, 1.0),
    ("openvino", "half"): (1.5, 0.5),
    ("openvino", "int8"): (1.0, 0.5),
}
"""How often an engine holds the weights, and which share of the activations."""


def peak_bytes(recipe: Recipe, size: tuple[int, int], *, card: ModelCard, setup: Setup) -> int:
    """Most memory that an image of `size` (height, width) takes: of the whole process, or on a GPU of the device.

    The recipe must have its sizes (ValueError).
    """
    network = _NETWORKS.get(card.network, _UNKNOWN)
    copies, share = _ENGINES.get((setup.engine, setup.precision), (2.0, 1.0))
    grids = grid_sizes(recipe, *size)
    crop_pixels = max(_crop_pixels(recipe, grid) for grid in grids)
    image = _DECIDED_BYTES * size[0] * size[1] + _SCALED_BYTES * max(height * width for height, width in grids)
    if setup.device != "cpu":
        at_once = min(_GPU_IMAGES, count(recipe, *size).passes) * crop_pixels
        sums = sum(height * width for height, width in grids) * card.num_classes * 4
        return round(network.weights + network.activations * at_once / 2 + sums + image)
    at_once = (2 if recipe.flip else 1) * crop_pixels
    engine = copies * network.weights + share * network.activations * at_once
    return round(_PROCESS + engine + kept_bytes(recipe, size, card=card, setup=setup) + image)


def kept_bytes(recipe: Recipe, size: tuple[int, int], *, card: ModelCard, setup: Setup) -> int:
    """The logits of all crops and their mirror images, before the last upsampling."""
    stride, pixels = _NETWORKS.get(card.network, _UNKNOWN).logits_stride, 0
    for grid in grid_sizes(recipe, *size):
        height, width = grid if recipe.whole else (recipe_crop_px(recipe), recipe_crop_px(recipe))
        crops = 1 if recipe.whole else Tiling(*grid, recipe_crop_px(recipe)).count
        pixels += crops * -(-height // stride) * -(-width // stride)
    images = 2 if recipe.flip else 1
    return images * pixels * card.num_classes * _SCORE_BYTES.get(setup.precision, 4)


def free_bytes(process_id: int | None) -> int:
    """Memory that a process could hold in all: what is free, and what it has already."""
    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(psutil.Error):
        free += psutil.Process(process_id).memory_info().rss if process_id is not None else 0
    return free


def _crop_pixels(recipe: Recipe, grid: tuple[int, int]) -> int:
    return grid[0] * grid[1] if recipe.whole else recipe_crop_px(recipe) ** 2

"""What segmenting an image will cost, said before it runs: crops, passes, seconds and memory. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mseg_studio.inference.cost import Cost, count
from mseg_studio.inference.memory import peak_bytes
from mseg_studio.inference.pace import Pace, Parts, Setup, Work
from mseg_studio.inference.recipe import Recipe, from_dict
from mseg_studio.networks.card import ModelCard
from mseg_studio.settings import available_cores

_GFLOP_A_MEGAPIXEL = {"hrnet-w48": 745.0, "hrnet-w18-small": 37.5, "pspnet-50": 1448.0, "pspnet-101": 2057.0}
"""Multiplications and additions of the network, 194 classes."""
_UNKNOWN_GFLOP = 400.0
_GFLOPS_A_THREAD = {"float32": 80.0, "half": 150.0, "int8": 250.0}
"""What networks reach on an ordinary core: a guess for the first run on a machine."""
_GFLOPS_OF_GPU = {"cuda": 30_000.0, "mps": 3_000.0}
_PASS_S, _RESIZED_S, _IMAGE_S = 0.002, 0.04, 0.005
"""One thread: calling the network, deciding a megapixel of the image at one scale, and what every image costs."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Predicted cost of one image."""

    cost: Cost
    seconds: float
    memory_bytes: int
    """Most that the process holds; on a GPU most that it holds of the device's memory."""
    setup: Setup
    """What the prediction is for."""

    @property
    def on_cpu(self) -> bool:
        """Whether `memory_bytes` is ordinary memory."""
        return self.setup.device == "cpu"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "crops": self.cost.crops,
            "passes": self.cost.passes,
            "megapixels": round(self.cost.megapixels, 3),
            "seconds": round(self.seconds, 3),
            "memory_bytes": self.memory_bytes,
            "engine": self.setup.engine,
            "precision": self.setup.precision,
            "device": self.setup.device,
        }


def estimate(recipe: Recipe, size: tuple[int, int], *, card: ModelCard, pace: Pace, threads: int) -> Estimate:
    """Cost of an image of `size` (height, width) under `recipe`; sizes it leaves open are the card's.

    `threads` 0: as many as torch takes by itself.
    """
    sized = recipe.resolved(base_size=card.base_size, crop_px=card.crop_px, precision="auto")
    cost = count(sized, *size)
    setup = _setup(sized, card, pace, threads)
    seconds = pace.seconds(setup, _work(cost, sized, size), _guess(card, setup))
    return Estimate(cost, seconds, peak_bytes(sized, size, card=card, setup=setup), setup)


def learn(
    pace: Pace, facts: Mapping[str, Any], size: tuple[int, int], seconds: float, *, threads: int, first: bool
) -> None:
    """An image of `size` (height, width) took `seconds`; `facts` are what its sidecar tells about the run.

    `first` says that loading or compiling may be in it.
    """
    recipe = from_dict(facts["recipe"])
    setup = Setup(facts["model"]["name"], facts["engine"], facts["precision"], facts["device"], threads)
    pace.learn(setup, _work(count(recipe, *size), recipe, size), seconds, first=first)


def _work(cost: Cost, recipe: Recipe, size: tuple[int, int]) -> Work:
    return Work(cost.megapixels, cost.passes, len(recipe.scales) * size[0] * size[1] / 1e6)


def _setup(recipe: Recipe, card: ModelCard, pace: Pace, threads: int) -> Setup:
    """What the recipe meant when it ran last; before the first run what it most probably means."""
    asked = {
        "engine": recipe.engine,
        "precision": recipe.precision,
        "device": {"cuda": "cuda:0"}.get(recipe.device, recipe.device),
    }
    fixed = {name: value for name, value in asked.items() if value != "auto"}
    if seen := pace.latest(card.name, threads=threads, **fixed):
        return seen
    usual = {"engine": "openvino", "precision": "float32", "device": "cpu"} | fixed
    if usual["device"] != "cpu":
        usual |= {"engine": "torch", "precision": fixed.get("precision", "half")}
    return Setup(card.name, threads=threads, **usual)


def _guess(card: ModelCard, setup: Setup) -> Parts:
    """Seconds of each part of `Work` on an ordinary machine."""
    threads = setup.threads or available_cores()
    on_cpu = threads * _GFLOPS_A_THREAD.get(setup.precision, _GFLOPS_A_THREAD["float32"])
    rate = _GFLOPS_OF_GPU.get(setup.device.partition(":")[0], on_cpu)
    network = _GFLOP_A_MEGAPIXEL.get(card.network, _UNKNOWN_GFLOP) / rate
    return np.array([network, _PASS_S, _RESIZED_S / threads * card.num_classes / 194, _IMAGE_S])

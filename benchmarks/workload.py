"""What the claims are about: HRNet-W48 and street-small on full HD images, here and as published."""

from __future__ import annotations

import copy
import functools
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from benchmarks import reference
from mseg_studio.inference.devices import resolve_precision
from mseg_studio.inference.engine import Engine, NetworkSource
from mseg_studio.inference.engine_choice import make_engine
from mseg_studio.inference.predictor import Predictor
from mseg_studio.inference.recipe import PAPER_SCALES, Precision, Recipe
from mseg_studio.media.image import read_image
from mseg_studio.networks.catalog import find_model
from mseg_studio.networks.checkpoint import load_network
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.taxonomy.projection import Projection
from tests.goldens.weights import FOLDER, NUM_CLASSES, SPECS, golden_network, pattern_image

Pixels = npt.NDArray[np.uint8]
Model = Literal["w48", "street-small"]
MODELS: tuple[Model, ...] = ("w48", "street-small")

HEIGHT, WIDTH, BASE_SIZE, CROP_PX = 1080, 1920, 360, 473
SCALES = {"single": (1.0,), "multi": PAPER_SCALES}
TARGETS = ("universal", "camvid-11", "wilddash-19", "scannet-20", "voc2012", "pascal-context-60")
"""Output taxonomies of at most 60 classes besides the model's own."""
COMPARED_TARGETS = ("camvid-11", "cityscapes-19", "voc2012", "pascal-context-60")
"""Some that leave classes out, and some that leave out none."""
_CHECKOUT = Path(__file__).resolve().parents[1]
HOME = _CHECKOUT / "out" / "benchmarks"
"""Compiled networks are kept here, so that the next run starts at once, and nothing of it is in the user's folders."""
_SAMPLES = _CHECKOUT.parent / "shared" / "data"
GOLDEN_IMAGE = _SAMPLES / "samples" / "bike_horses.jpg"


class TimedEngine:
    """An engine that adds up the seconds inside the network."""

    def __init__(self, inner: Engine) -> None:
        self._inner = inner
        self.network_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def logits_into(self, crops_NCHW: torch.Tensor, out_NhwC: torch.Tensor) -> None:
        """See `Engine.logits_into`."""
        start = time.perf_counter()
        self._inner.logits_into(crops_NCHW, out_NhwC)
        self.network_s += time.perf_counter() - start


@dataclass(frozen=True, eq=False)
class Workload:
    """One model, here and as published."""

    source: NetworkSource

    def predictor(self, scales: tuple[float, ...], precision: Precision) -> Predictor:
        """A predictor on the CPU; all of one precision share their engine, so that it is made once."""
        recipe = Recipe(base_size=BASE_SIZE, crop_px=CROP_PX, scales=scales, precision=precision)
        return Predictor(
            self.source,
            self.source.spec,
            num_classes=self.source.num_classes,
            recipe=recipe,
            device="cpu",
            make_engine=lambda *_, **__: self.engine(precision),
        )

    @functools.cache  # noqa: B019 - as long as the process
    def engine(self, precision: Precision) -> TimedEngine:
        """The engine that the program itself would take here; for half whatever it means by auto, so where the
        processor does not multiply bfloat16 it is float32."""
        cpu = torch.device("cpu")
        usable = resolve_precision("auto", cpu) if precision == "half" else precision
        return TimedEngine(make_engine(self.source, cpu, usable, threads=torch.get_num_threads(), setting="auto"))

    def labels(self, pixels_HW3: Pixels, scales: tuple[float, ...], precision: Precision) -> Pixels:
        """Class ids (H, W) of an image."""
        scores = self.kept_predictor(scales, precision).predict(pixels_HW3)
        return np.asarray(scores.labels(self.projection("universal")).ids_HW, np.uint8)

    @functools.cache  # noqa: B019 - as long as the process
    def kept_predictor(self, scales: tuple[float, ...], precision: Precision) -> Predictor:
        """The same predictor every time: its buffers are kept between images, as in the program."""
        return self.predictor(scales, precision)

    def published(self, pixels_HW3: Pixels, scales: tuple[float, ...]) -> Pixels:
        """Class ids (H, W) by the published procedure."""
        return reference.segment(self.network, pixels_HW3, base_size=BASE_SIZE, crop_px=CROP_PX, scales=scales)

    @functools.cached_property
    def network(self) -> nn.Module:
        """The network of the published procedure: eager, float32, a copy that no engine has touched."""
        return copy.deepcopy(self.source.load()).eval()

    @staticmethod
    def projection(target: str) -> Projection:
        """From the models' taxonomy to `target`."""
        return default_catalog().projection("universal", target)


@functools.cache
def workload(model: Model) -> Workload:
    """`w48` with golden weights, whose speed is that of any weights, or the shipped `street-small`."""
    if model == "w48":
        spec = SPECS["w48"]
        return Workload(NetworkSource(lambda: golden_network("w48"), spec, NUM_CLASSES, _golden_sha256(), "golden-w48"))
    installed = find_model("street-small")
    network, spec = load_network(installed)
    card = installed.card
    return Workload(NetworkSource(lambda: network, spec, card.num_classes, card.weights_sha256, card.name))


def full_hd() -> Pixels:
    """An image that everybody can make again."""
    return np.asarray(cv2.resize(pattern_image(720, 1280), (WIDTH, HEIGHT)), np.uint8)


def streets(limit: int) -> Iterator[tuple[str, Pixels]]:
    """At most `limit` photos of `street_paths`."""
    for path in street_paths(limit):
        yield path.name, read_image(path).pixels_HW3


def street_paths(limit: int) -> list[Path]:
    """Photos of streets that street-small was not trained on; without them one of our own pictures."""
    frames = sorted((_SAMPLES / "camvid" / "val").glob("*.jpg"))
    paths = [*(_SAMPLES / "samples").glob("0016E5_08159.png"), *frames[:: max(1, len(frames) // max(1, limit - 1))]]
    return (paths or [_CHECKOUT / "docs" / "pictures" / "segment-light.png"])[:limit]


def _golden_sha256() -> str:
    """Stands for the weights: they follow from these files alone."""
    sums = hashlib.sha256()
    for name in ("weights.py", "state_dict_w48.tsv", "head_w48.npz"):
        sums.update((FOLDER / name).read_bytes())
    return sums.hexdigest()

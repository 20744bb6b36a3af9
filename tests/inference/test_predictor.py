from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import reference
from mseg_studio.errors import ConfigError, DeviceMemoryError
from mseg_studio.inference import devices
from mseg_studio.inference.engines.torch_engine import TorchEngine
from mseg_studio.inference.predictor import Predictor
from mseg_studio.inference.recipe import Recipe
from mseg_studio.progress import Cancelled, CancelToken
from mseg_studio.taxonomy.projection import identity
from tests.factories import make_pixels, make_projection, make_taxonomy, tiny_network
from tests.goldens.weights import TINY

CLASSES = 19
LETTERS = make_taxonomy(num_classes=CLASSES)
NETWORK = tiny_network(num_classes=CLASSES)
RECIPE = Recipe(base_size=48, crop_px=33)


def make_predictor(recipe: Recipe = RECIPE, **options) -> Predictor:
    return Predictor(NETWORK, TINY, num_classes=CLASSES, recipe=recipe, device="cpu", **options)


def published(pixels: np.ndarray, recipe: Recipe, weights: np.ndarray | None = None) -> np.ndarray:
    return reference.segment(
        NETWORK, pixels, base_size=recipe.base_size, crop_px=recipe.crop_px, scales=recipe.scales, weights=weights
    )


def agree(labels: np.ndarray, expected: np.ndarray) -> bool:
    """Equal but for one pixel in ten thousand; small images may have three ties that rounding decides."""
    return (labels != expected).sum() <= max(3, labels.size // 10_000)


@pytest.mark.parametrize(
    ("height", "width", "scales"),
    [
        (60, 90, (1.0,)),
        (90, 60, (1.0,)),
        (60, 90, (0.5, 1.0, 1.75)),
        (48, 48, (0.5,)),
        (20, 90, (1.0,)),
        (1, 1, (1.0,)),
        (30, 9, (0.5, 1.0)),
        (300, 400, (1.25,)),
    ],
)
def test_labels_are_those_of_the_published_procedure(height, width, scales):
    pixels = make_pixels(height, width)
    recipe = Recipe(base_size=48, crop_px=33, scales=scales)
    scores = make_predictor(recipe).predict(pixels)
    assert agree(scores.labels(identity(LETTERS)).ids_HW, published(pixels, recipe))
    projection = make_projection(LETTERS, groups=4)
    early = published(pixels, recipe, projection.weights.copy())
    assert agree(scores.labels(projection).ids_HW, early)


@settings(max_examples=8, deadline=None)
@given(st.integers(20, 60), st.integers(20, 60), st.integers(16, 70), st.sampled_from([33, 49]))
def test_any_size_base_and_crop_gives_the_published_labels(height, width, base_size, crop_px):
    pixels = make_pixels(height, width, seed=height)
    recipe = Recipe(base_size=base_size, crop_px=crop_px)
    labels = make_predictor(recipe).predict(pixels).labels(identity(LETTERS)).ids_HW
    assert agree(labels, published(pixels, recipe))


def test_without_flip_the_mirror_image_is_not_asked():
    pixels = make_pixels()
    asked: list[int] = []
    original = NETWORK.strided_logits

    def counted(crops):
        asked.append(len(crops))
        return original(crops)

    NETWORK.strided_logits = counted
    try:
        make_predictor(Recipe(base_size=48, crop_px=33, flip=False)).predict(pixels)
        alone, asked[:] = list(asked), []
        make_predictor().predict(pixels)
    finally:
        del NETWORK.strided_logits
    assert set(alone) == {1}
    assert set(asked) == {2}
    assert len(alone) == len(asked) == 6


def test_progress_counts_every_crop():
    seen = []
    scores = make_predictor(Recipe(base_size=48, crop_px=33, scales=(0.5, 1.0))).predict(
        make_pixels(), on_tile=seen.append
    )
    assert [progress.done for progress in seen] == list(range(1, scores.cost.crops + 1))
    assert {progress.total for progress in seen} == {scores.cost.crops}
    assert seen[-1].seconds_left == 0


def test_cancel_stops_at_the_next_crop():
    token = CancelToken()
    seen = []

    def on_tile(progress):
        seen.append(progress)
        token.cancel()

    with pytest.raises(Cancelled):
        make_predictor().predict(make_pixels(), on_tile=on_tile, cancel=token)
    assert len(seen) == 1


def test_the_same_network_serves_float32_after_half():
    pixels = make_pixels()
    before = make_predictor().predict(pixels).probabilities_PC
    half = make_predictor(Recipe(base_size=48, crop_px=33, precision="half")).predict(pixels).probabilities_PC
    after = make_predictor().predict(pixels).probabilities_PC
    assert torch.equal(before, after)
    assert 0 < (before - half).abs().max() < 0.3


@pytest.mark.parametrize(
    ("recipe", "error", "words"),
    [
        (Recipe(), ValueError, "resolved"),
        (Recipe(base_size=48, crop_px=32), ValueError, "try 33"),
        (Recipe(base_size=48, crop_px=33, precision="int8"), ConfigError, "int8"),
        (Recipe(base_size=48, crop_px=33, device="cuda:99"), ConfigError, "cuda:99 is not there"),
    ],
)
def test_what_cannot_run_is_refused_when_it_is_made(recipe, error, words):
    with pytest.raises(error, match=words):
        Predictor(NETWORK, TINY, num_classes=CLASSES, recipe=recipe)


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_only_rgb_pixels_are_taken(pixels):
    with pytest.raises(ValueError, match="an image is"):
        make_predictor().predict(pixels)


class NarrowEngine:
    """An engine whose device runs out of memory above `limit` images a pass, or always when it is not the CPU."""

    def __init__(self, network, device, precision, *, limit, log):
        self._inner = TorchEngine(network, device=torch.device("cpu"), precision="float32")
        self._limit = limit if device.type != "cpu" else 2
        self._log = log
        self._device = device
        self.name, self.precision, self.device = "narrow", "float32", torch.device("cpu")

    def strided_logits(self, crops_NCHW):
        self._log.append((self._device.type, len(crops_NCHW)))
        if len(crops_NCHW) > self._limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self._inner.strided_logits(crops_NCHW)


@pytest.mark.parametrize(
    ("limit", "passes", "note"),
    [
        (2, [("cuda", 2)], ""),
        (1, [("cuda", 2), ("cuda", 1)], "little memory: one image a pass"),
        (0, [("cuda", 2), ("cuda", 1), ("cuda", 1), ("cpu", 1)], "cuda:0 is out of memory: running on the CPU"),
    ],
)
def test_out_of_memory_goes_down_the_ladder_with_the_same_labels(monkeypatch, limit, passes, note):
    pixels = make_pixels()
    expected = make_predictor().predict(pixels).probabilities_PC
    monkeypatch.setattr(devices, "resolve_device", lambda setting: torch.device("cuda:0"))
    # Scores stay on the CPU here: there is no such device, only an engine that speaks of one.
    monkeypatch.setattr(torch, "zeros", _zeros_on_cpu(torch.zeros))
    monkeypatch.setattr(torch.Tensor, "to", _to_cpu(torch.Tensor.to))
    log: list[tuple[str, int]] = []
    predictor = Predictor(
        NETWORK,
        TINY,
        num_classes=CLASSES,
        recipe=Recipe(base_size=48, crop_px=33, precision="float32"),
        make_engine=lambda network, device, precision: NarrowEngine(network, device, precision, limit=limit, log=log),
    )
    found = predictor.predict(pixels).probabilities_PC
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert list(dict.fromkeys(log)) == list(dict.fromkeys(passes))
    assert predictor.note == note
    log.clear()
    predictor.predict(pixels)
    assert set(log) == {passes[-1]}, "the next image starts on the rung that held"


def test_when_the_last_rung_breaks_it_says_so():
    class Empty(NarrowEngine):
        def strided_logits(self, crops_NCHW):
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate memory")

    predictor = make_predictor(make_engine=lambda *args: Empty(*args, limit=0, log=[]))
    with pytest.raises(DeviceMemoryError, match="CPU ran out of memory"):
        predictor.predict(make_pixels())


def test_other_errors_of_the_engine_are_not_mistaken_for_memory():
    class Wrong(NarrowEngine):
        def strided_logits(self, crops_NCHW):
            raise RuntimeError("shapes do not match")

    predictor = make_predictor(make_engine=lambda *args: Wrong(*args, limit=0, log=[]))
    with pytest.raises(RuntimeError, match="shapes"):
        predictor.predict(make_pixels())


def test_scores_that_cannot_fit_are_refused_before_they_are_asked_for(monkeypatch):
    class Small:
        available = 1000

    monkeypatch.setattr("psutil.virtual_memory", lambda: Small)
    with pytest.raises(DeviceMemoryError, match="smaller base size"):
        make_predictor().predict(make_pixels())


def test_release_device_leaves_a_predictor_that_works():
    predictor = make_predictor()
    before = predictor.predict(make_pixels()).probabilities_PC
    predictor.release_device()
    gc.collect()
    assert torch.equal(predictor.predict(make_pixels()).probabilities_PC, before)


def test_a_network_with_another_number_of_classes_is_noticed():
    predictor = Predictor(NETWORK, TINY, num_classes=5, recipe=RECIPE, device="cpu")
    with pytest.raises(ValueError, match="gives 19 classes, expected 5"):
        predictor.predict(make_pixels())


def _zeros_on_cpu(zeros):
    return lambda *args, **options: zeros(*args, **{**options, "device": "cpu"})


def _to_cpu(to):
    def moved(tensor, *args, **options):
        args = tuple(torch.device("cpu") if isinstance(arg, torch.device) else arg for arg in args)
        return to(tensor, *args, **options)

    return moved

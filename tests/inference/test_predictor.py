from __future__ import annotations

import gc
from dataclasses import replace

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
from mseg_studio.inference.score_keeper import GridKeeper, Layout
from mseg_studio.progress import Cancelled, CancelToken
from mseg_studio.taxonomy.projection import identity
from tests.factories import make_pixels, make_projection, make_taxonomy, tiny_network
from tests.goldens.weights import TINY

CLASSES = 19
LETTERS = make_taxonomy(num_classes=CLASSES)
NETWORK = tiny_network(num_classes=CLASSES)
RECIPE = Recipe(base_size=48, crop_px=33, engine="torch", precision="float32")


def make_predictor(recipe: Recipe = RECIPE, **options) -> Predictor:
    return Predictor(NETWORK, TINY, num_classes=CLASSES, recipe=recipe, device="cpu", **options)


def on_grids(predictor: Predictor, monkeypatch) -> Predictor:
    """A predictor that keeps its scores as one on a GPU does."""

    def keeper(frames, rung):
        work = [predictor._work_of(*frame.shape[:2]) for frame in frames]
        layout = Layout(2 if predictor.recipe.flip else 1, predictor.spec.logits_stride, predictor.num_classes)
        return GridKeeper(work, layout, torch.device("cpu"))

    monkeypatch.setattr(predictor, "_keeper", keeper)
    return predictor


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
    recipe = replace(RECIPE, scales=scales)
    scores = make_predictor(recipe).predict(pixels)
    assert agree(scores.labels(identity(LETTERS)).ids_HW, published(pixels, recipe))
    projection = make_projection(LETTERS, groups=4)
    early = published(pixels, recipe, projection.weights.copy())
    assert agree(scores.labels(projection).ids_HW, early)


@settings(max_examples=8, deadline=None)
@given(st.integers(20, 60), st.integers(20, 60), st.integers(16, 70), st.sampled_from([33, 49]))
def test_any_size_base_and_crop_gives_the_published_labels(height, width, base_size, crop_px):
    pixels = make_pixels(height, width, seed=height)
    recipe = replace(RECIPE, base_size=base_size, crop_px=crop_px)
    scores = make_predictor(recipe).predict(pixels)
    labels, expected = scores.labels(identity(LETTERS)).ids_HW, published(pixels, recipe)
    for y, x in np.argwhere(labels != expected):
        shares = scores.probe(int(x), int(y))
        assert shares[labels[y, x]] - shares[expected[y, x]] < 2e-7, "only ties are decided otherwise"


def test_without_flip_the_mirror_image_is_not_asked():
    pixels = make_pixels()
    asked: list[int] = []
    original = NETWORK.strided_logits

    def counted(crops):
        asked.append(len(crops))
        return original(crops)

    NETWORK.strided_logits = counted
    try:
        make_predictor(replace(RECIPE, flip=False)).predict(pixels)
        alone, asked[:] = list(asked), []
        make_predictor().predict(pixels)
    finally:
        del NETWORK.strided_logits
    assert alone == [2, 2, 2], "two crops a pass"
    assert asked == [2] * 6, "a crop and its mirror image"


def test_progress_counts_every_crop():
    seen = []
    scores = make_predictor(replace(RECIPE, scales=(0.5, 1.0))).predict(make_pixels(), on_tile=seen.append)
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
    before = make_predictor().predict(pixels).probe(20, 30)
    half = make_predictor(replace(RECIPE, precision="half")).predict(pixels).probe(20, 30)
    after = make_predictor().predict(pixels).probe(20, 30)
    np.testing.assert_array_equal(before, after)
    assert 0 < np.abs(before - half).max() < 0.3


@pytest.mark.parametrize("precision", ["float32", "half"])
@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 1.75)])
@pytest.mark.parametrize("flip", [True, False])
def test_logits_kept_on_the_cpu_say_the_same_as_summed_probabilities(monkeypatch, precision, scales, flip):
    pixels, recipe = make_pixels(70, 110), replace(RECIPE, precision=precision, scales=scales, flip=flip)
    kept = make_predictor(recipe).predict(pixels)
    grids = on_grids(make_predictor(recipe), monkeypatch).predict(pixels)
    for projection in (identity(LETTERS), make_projection(LETTERS, groups=4)):
        assert agree(kept.labels(projection).ids_HW, grids.labels(projection).ids_HW)
    np.testing.assert_allclose(kept.probe(41, 23), grids.probe(41, 23), atol=1e-6)


@pytest.mark.parametrize("crops", [1, 3, 16])
def test_frames_that_share_passes_get_their_own_answers(monkeypatch, crops):
    frames = [make_pixels(60, 90, seed=1), make_pixels(40, 40, seed=2), make_pixels(60, 90, seed=3)]
    alone = [make_predictor().predict(frame).labels(identity(LETTERS)).ids_HW for frame in frames]
    for predictor in (make_predictor(), on_grids(make_predictor(), monkeypatch)):
        monkeypatch.setattr(predictor, "_ladder", (replace(predictor._ladder[0], images_a_pass=2 * crops),))
        seen = []
        together = predictor.predict_many(frames, on_tile=seen.append)
        assert seen[-1].done == seen[-1].total == sum(one.cost.crops for one in together)
        for found, expected in zip(together, alone, strict=True):
            assert agree(found.labels(identity(LETTERS)).ids_HW, expected)


def test_memory_of_scores_that_nobody_holds_is_used_again():
    predictor = make_predictor()
    kept = predictor.predict(make_pixels(seed=1))
    before = kept.labels(identity(LETTERS)).ids_HW.copy()
    second = predictor.predict(make_pixels(seed=2))
    assert second.logits_LC.data_ptr() != kept.logits_LC.data_ptr()
    np.testing.assert_array_equal(kept.labels(identity(LETTERS)).ids_HW, before)
    place, other_size = second.logits_LC.data_ptr(), second.at_size(30, 40)
    del second
    assert predictor.predict(make_pixels(seed=3)).logits_LC.data_ptr() != place, "the other size is read from it"
    del other_size
    assert predictor.predict(make_pixels(seed=3)).logits_LC.data_ptr() == place


@pytest.mark.parametrize(
    ("recipe", "error", "words"),
    [
        (Recipe(), ValueError, "resolved"),
        (Recipe(base_size=48, crop_px=32), ValueError, "try 33"),
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

    def __init__(self, source, device, precision, *, limit, log):
        self._inner = TorchEngine(source.load(), device=torch.device("cpu"), precision="float32")
        self._limit = limit if device.type != "cpu" else 2
        self._log = log
        self._device = device
        self.name, self.precision, self.device = "narrow", "float32", torch.device("cpu")
        self.logits_dtype = torch.float32

    def logits_into(self, crops_NCHW, out_NhwC):
        self._log.append((self._device.type, len(crops_NCHW)))
        if len(crops_NCHW) > self._limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self._inner.logits_into(crops_NCHW, out_NhwC)

    def close(self):
        self._log.append((self._device.type, 0))


@pytest.mark.parametrize(
    ("limit", "passes", "note"),
    [
        (16, [("cuda", 12)], ""),
        (2, [("cuda", 12), ("cuda", 2)], "little memory: one crop a pass"),
        (1, [("cuda", 12), ("cuda", 2), ("cuda", 1)], "little memory: one image a pass"),
        (
            0,
            [("cuda", 12), ("cuda", 2), ("cuda", 1), ("cuda", 1), ("cuda", 0), ("cpu", 1)],
            "cuda:0 is out of memory: running on the CPU",
        ),
    ],
)
def test_out_of_memory_goes_down_the_ladder_with_the_same_labels(monkeypatch, limit, passes, note):
    pixels = make_pixels()
    expected = make_predictor().predict(pixels).probe(20, 30)
    monkeypatch.setattr(devices, "resolve_device", lambda setting: torch.device("cuda:0"))
    # Everything stays on the CPU: there is no such device here, only an engine that speaks of one.
    for place, name in ((torch, "zeros"), (torch, "empty")):
        monkeypatch.setattr(place, name, _on_cpu(getattr(place, name)))
    monkeypatch.setattr(torch.Tensor, "to", _to_cpu(torch.Tensor.to))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    log: list[tuple[str, int]] = []
    predictor = Predictor(
        NETWORK,
        TINY,
        num_classes=CLASSES,
        recipe=replace(RECIPE, device="auto"),
        make_engine=lambda source, device, precision: NarrowEngine(source, device, precision, limit=limit, log=log),
    )
    found = predictor.predict(pixels).probe(20, 30)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert list(dict.fromkeys(log)) == list(dict.fromkeys(passes))
    assert predictor.note == note
    log.clear()
    predictor.predict(pixels)
    assert set(log) == {passes[-1]}, "the next image starts on the rung that held"


def test_when_the_last_rung_breaks_it_says_so():
    class Empty(NarrowEngine):
        def logits_into(self, crops_NCHW, out_NhwC):
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate memory")

    predictor = make_predictor(make_engine=lambda *args: Empty(*args, limit=0, log=[]))
    with pytest.raises(DeviceMemoryError, match="CPU ran out of memory"):
        predictor.predict(make_pixels())


def test_other_errors_of_the_engine_are_not_mistaken_for_memory():
    class Wrong(NarrowEngine):
        def logits_into(self, crops_NCHW, out_NhwC):
            raise RuntimeError("shapes do not match")

    predictor = make_predictor(make_engine=lambda *args: Wrong(*args, limit=0, log=[]))
    with pytest.raises(RuntimeError, match="shapes"):
        predictor.predict(make_pixels())


def test_scores_that_do_not_fit_into_memory_are_kept_in_a_file(monkeypatch, tmp_path):
    class Small:
        available = 1000

    monkeypatch.setenv("MSEG_STUDIO_HOME", str(tmp_path))
    pixels = make_pixels()
    expected = make_predictor().predict(pixels).labels(identity(LETTERS)).ids_HW
    monkeypatch.setattr("psutil.virtual_memory", lambda: Small)
    predictor = make_predictor()
    np.testing.assert_array_equal(predictor.predict(pixels).labels(identity(LETTERS)).ids_HW, expected)
    assert "temporary file" in predictor.note
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_scores_that_fit_nowhere_are_refused_before_they_are_asked_for(monkeypatch, tmp_path):
    class Small:
        available = free = 1000

    monkeypatch.setenv("MSEG_STUDIO_HOME", str(tmp_path))
    monkeypatch.setattr("psutil.virtual_memory", lambda: Small)
    monkeypatch.setattr("psutil.disk_usage", lambda path: Small)
    with pytest.raises(DeviceMemoryError, match="smaller base size"):
        make_predictor().predict(make_pixels())


def test_release_device_leaves_a_predictor_that_works():
    predictor = make_predictor()
    before = predictor.predict(make_pixels()).probe(20, 30)
    predictor.release_device()
    gc.collect()
    np.testing.assert_array_equal(predictor.predict(make_pixels()).probe(20, 30), before)


def test_a_taxonomy_asked_for_while_the_next_frame_runs_takes_other_memory():
    predictor, projection = make_predictor(), make_projection(LETTERS, groups=4)
    expected = [make_predictor().predict(make_pixels(seed=n)).labels(projection).ids_HW for n in (1, 2)]
    first = predictor.predict(make_pixels(seed=1))
    running = predictor.steps(make_pixels(seed=2))
    next(running)
    for _ in range(3):
        np.testing.assert_array_equal(first.labels(projection).ids_HW, expected[0])
    while True:
        try:
            next(running)
        except StopIteration as end:
            np.testing.assert_array_equal(end.value.labels(projection).ids_HW, expected[1])
            return


def test_a_network_with_another_number_of_classes_is_noticed():
    predictor = Predictor(NETWORK, TINY, num_classes=5, recipe=RECIPE, device="cpu")
    with pytest.raises(ValueError, match="gives 19 classes, expected 5"):
        predictor.predict(make_pixels())


def _on_cpu(maker):
    return lambda *args, **options: maker(*args, **{**options, "device": "cpu"})


def _to_cpu(to):
    def moved(tensor, *args, **options):
        args = tuple(torch.device("cpu") if isinstance(arg, torch.device) else arg for arg in args)
        return to(tensor, *args, **options)

    return moved

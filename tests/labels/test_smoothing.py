from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mseg_studio.errors import ConfigError
from mseg_studio.labels import compiled
from mseg_studio.labels.measures import CERTIFICATION_MARGIN
from mseg_studio.labels.score_map import ScoreMap
from mseg_studio.labels.smoothing import CUT_DISTANCE, Smoother, distance
from mseg_studio.taxonomy.model import Taxonomy
from tests.labels.factories import make_dense, make_projection, make_taxonomy

CLASSES = 12
LETTERS = make_taxonomy("letters", classes=CLASSES)
GROUPS = make_projection(LETTERS, make_taxonomy("groups", classes=3), {i: i % 3 for i in range(11)})


def drifting(count: int, *, taxonomy: Taxonomy = LETTERS, seed: int = 0, height: int = 16, width: int = 24) -> list:
    """Dense frames of one scene: each a tenth of the way from the one before to a new one."""
    frames = [make_dense(taxonomy, height, width, seed=seed)]
    for number in range(1, count):
        frames.append(0.9 * frames[-1] + 0.1 * make_dense(taxonomy, height, width, seed=seed + number))
    return [(frame / frame.sum(axis=0)).astype(np.float32) for frame in frames]


def dense_mean(frames: list, weight: float) -> list:
    """The mean by the book, in float64."""
    steps = itertools.accumulate(frames, lambda past, now: weight * past + (1 - weight) * now.astype(np.float64))
    return list(steps)


def dense_of(scores: ScoreMap) -> np.ndarray:
    dense = np.zeros((scores.height, scores.width, scores.taxonomy.num_channels))
    np.put_along_axis(dense, scores.class_ids_HWk.astype(np.intp), scores.probabilities_HWk.astype(np.float64), axis=2)
    return dense.transpose(2, 0, 1)


@given(st.floats(0.05, 0.95), st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_with_all_classes_it_is_the_dense_mean(weight: float, seed: int) -> None:
    frames = drifting(6, seed=seed)
    smoother = Smoother(weight)
    for frame, expected in zip(frames, dense_mean(frames, weight), strict=True):
        smoothed = smoother.next(ScoreMap.from_dense(frame, taxonomy=LETTERS, k=CLASSES))
        assert smoothed.residual_HW.max() < 1e-3
        # float16 in, float16 out
        np.testing.assert_allclose(dense_of(smoothed), expected, atol=2**-11)


@given(st.floats(0.05, 0.95), st.integers(0, 99), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_certified_labels_are_those_of_the_dense_mean(weight: float, seed: int, k: int) -> None:
    frames = drifting(6, seed=seed)
    smoother = Smoother(weight)
    for frame, mean in zip(frames, dense_mean(frames, weight), strict=True):
        smoothed = smoother.next(ScoreMap.from_dense(frame, taxonomy=LETTERS, k=k))
        assert smoothed.k == k
        labels, certified = smoothed.project(GROUPS)
        expected = GROUPS.project(mean.astype(np.float32)).argmax(axis=0)
        np.testing.assert_array_equal(labels.ids_HW[certified], expected[certified])
        lost = 1 - np.sort(mean, axis=0)[-k:].sum(axis=0)
        assert (smoothed.residual_HW >= lost - CERTIFICATION_MARGIN).all()


def test_a_still_picture_stays_as_it_is() -> None:
    scores = ScoreMap.from_dense(make_dense(LETTERS, 9, 7), taxonomy=LETTERS, k=4)
    smoother = Smoother(0.7)
    for _ in range(5):
        smoothed = smoother.next(scores)
        np.testing.assert_array_equal(smoothed.class_ids_HWk, scores.class_ids_HWk)
        np.testing.assert_array_equal(smoothed.probabilities_HWk, scores.probabilities_HWk)
        np.testing.assert_array_equal(smoothed.residual_HW, scores.residual_HW)


def test_a_flicker_of_one_frame_is_gone() -> None:
    steady = np.tile(np.array([0.7, 0.3, 0.0], np.float32).reshape(3, 1, 1), (1, 16, 16))
    flicker = steady.copy()
    flicker[:, 3, 3] = (0.3, 0.7, 0.0)
    three = make_taxonomy("three", classes=3)
    smoother = Smoother(0.6)
    shown = [
        smoother.next(ScoreMap.from_dense(frame, taxonomy=three, k=2)).class_ids_HWk[3, 3, 0]
        for frame in (steady, flicker, steady)
    ]
    assert shown == [0, 0, 0]


def test_what_came_before_a_cut_is_forgotten() -> None:
    before, after = (make_dense(LETTERS, 40, 40, seed=seed, sharpness=12) for seed in (1, 2))
    smoother = Smoother(0.9)
    scores = ScoreMap.from_dense(after, taxonomy=LETTERS, k=3)
    smoother.next(ScoreMap.from_dense(before, taxonomy=LETTERS, k=3))
    np.testing.assert_array_equal(smoother.next(scores).class_ids_HWk, scores.class_ids_HWk)


def test_a_slow_change_is_no_cut_even_when_it_goes_far() -> None:
    frames = drifting(40, height=40, width=40)
    flat = [frame.reshape(CLASSES, -1).T for frame in frames]
    assert max(distance(a, b) for a, b in itertools.pairwise(flat)) < CUT_DISTANCE < distance(flat[0], flat[-1])
    smoother = Smoother(0.9)
    last = [smoother.next(ScoreMap.from_dense(frame, taxonomy=LETTERS, k=CLASSES)) for frame in frames][-1]
    np.testing.assert_allclose(dense_of(last), dense_mean(frames, 0.9)[-1], atol=1e-3)


def test_a_frame_of_another_size_starts_anew() -> None:
    smoother = Smoother(0.5)
    for size in ((8, 8), (9, 8), (8, 8)):
        scores = ScoreMap.from_dense(make_dense(LETTERS, *size, seed=size[0]), taxonomy=LETTERS, k=3)
        assert smoother.next(scores) is scores


@given(arrays(np.float32, (9, 4), elements=st.floats(0, 1, width=32)))
@settings(max_examples=200, deadline=None)
def test_half_is_what_numpy_makes_of_it(values: np.ndarray) -> None:
    out = np.zeros(values.shape, np.uint16)
    compiled.write_half(out, values, 1, 8)
    np.testing.assert_array_equal(out.view(np.float16)[1:8], values.astype(np.float16)[1:8])
    assert not out[[0, 8]].any()


def test_half_of_what_lies_between_two_halves_and_at_the_edges() -> None:
    halves = np.arange(0x3C01, dtype=np.uint16).view(np.float16).astype(np.float32)
    between = (halves[1:] + halves[:-1]) / 2
    values = np.concatenate([halves, between, np.nextafter(between, 0), np.nextafter(between, 1)]).reshape(-1, 1)
    out = np.zeros(values.shape, np.uint16)
    compiled.write_half(out, values, 0, len(values))
    np.testing.assert_array_equal(out.view(np.float16), values.astype(np.float16))


def test_ids_above_255_and_an_image_larger_than_a_band() -> None:
    wide = make_taxonomy("wide", [0, 254, 300, 301])
    frames = drifting(3, taxonomy=wide, height=300, width=300)
    smoother = Smoother(0.5)
    last = [smoother.next(ScoreMap.from_dense(frame, taxonomy=wide, k=4)) for frame in frames][-1]
    assert last.class_ids_HWk.dtype == np.uint16
    np.testing.assert_allclose(dense_of(last), dense_mean(frames, 0.5)[-1], atol=2**-11)


@pytest.mark.parametrize("weight", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_weight_that_is_none_is_told(weight: float) -> None:
    with pytest.raises(ConfigError, match=r"the weight of the past is .*, expected more than 0 and less than 1"):
        Smoother(weight)


def test_evaluation_cannot_smooth() -> None:
    code = "import sys, pkgutil, importlib, mseg_studio.evaluation as room, mseg_studio.cli.evaluate\n\
for found in pkgutil.iter_modules(room.__path__): importlib.import_module(f'{room.__name__}.{found.name}')\n\
assert 'mseg_studio.labels.smoothing' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

"""Readings of score maps against brute force over dense probabilities in float64."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.errors import TaxonomyError
from mseg_studio.labels.readout import MEASURES, NO_MASS, PLAIN, Measure, Readout
from mseg_studio.labels.score_map import ScoreMap
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.projection import Projection, identity
from tests.labels.factories import make_dense, make_projection, make_taxonomy, scenes

Scene = tuple[Taxonomy, Projection, np.ndarray]
ROUNDING = 2 / 65535


def sums_of(dense: np.ndarray, projection: Projection, only: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(ids, q (K, H, W) float64) of the classes that take part."""
    ids = np.array(only or [info.id for info in projection.target.classes])
    q = (projection.weights.astype(np.float64) @ dense.reshape(len(dense), -1).astype(np.float64))[ids]
    return ids, q.reshape(len(ids), *dense.shape[1:])


def brute_measures(q: np.ndarray) -> dict[Measure, np.ndarray]:
    """The three measures of q (K, H, W) by the book."""
    total = q.sum(axis=0)
    some = total >= NO_MASS
    p = q / np.where(some, total, 1)
    first, second = (np.sort(np.concatenate([np.zeros_like(p[:1]), p]), axis=0)[n] for n in (-1, -2))
    logs = np.log(np.where(p > 0, p, 1))
    entropy = -(p * logs).sum(axis=0) / np.log(len(q)) if len(q) > 1 else np.zeros_like(total)
    return {
        "confidence": np.where(some, first, 0),
        "margin": np.where(some, first - second, 0),
        "entropy": np.where(some | (len(q) == 1), entropy, 1),
    }


def expand(scores: ScoreMap) -> np.ndarray:
    """(C, H, W) float64 of what a score map keeps."""
    dense = np.zeros((scores.height, scores.width, scores.taxonomy.num_channels))
    np.put_along_axis(dense, scores.class_ids_HWk.astype(np.intp), scores.probabilities_HWk.astype(np.float64), axis=2)
    return dense.transpose(2, 0, 1)


@st.composite
def read_scenes(draw: st.DrawFn) -> tuple[Scene, tuple[int, ...], float]:
    """A scene, classes of its target that take part (none: all) and a least confidence."""
    scene = draw(scenes())
    ids = [info.id for info in scene[1].target.classes]
    only = tuple(sorted(draw(st.sets(st.sampled_from(ids)))))
    return scene, only, draw(st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]))


@given(read_scenes(), st.sampled_from(MEASURES))
@settings(max_examples=150, deadline=None)
def test_with_all_classes_kept_it_is_the_brute_force_answer(
    asked: tuple[Scene, tuple[int, ...], float], measure: Measure
) -> None:
    (source, projection, dense), only, least = asked
    scores = ScoreMap.from_dense(dense, taxonomy=source, k=64)
    reading = scores.read(projection, Readout(only, least, measure))
    ids, q = sums_of(expand(scores), projection, only)
    expected = brute_measures(q)
    assert reading.measure_HW is not None
    np.testing.assert_allclose(reading.measure_HW / 65535, expected[measure], atol=ROUNDING)
    labels = ids[q.argmax(axis=0)]
    if len(ids) < len(projection.target):
        labels = np.where(q.any(axis=0), labels, projection.target.ignore_id)
    labels = np.where(expected["confidence"] < least, projection.target.ignore_id, labels)
    clear = np.abs(expected["confidence"] - least) > 1 / 65535  # compared as it is kept
    np.testing.assert_array_equal(reading.labels.ids_HW[clear], labels[clear])


@given(read_scenes(), st.integers(1, 6))
@settings(max_examples=150, deadline=None)
def test_certified_labels_are_those_of_all_classes(asked: tuple[Scene, tuple[int, ...], float], k: int) -> None:
    (source, projection, dense), only, least = asked
    scores = ScoreMap.from_dense(dense, taxonomy=source, k=k)
    certified = scores._read(projection, Readout(only, least))[1]
    reading = scores.read(projection, Readout(only, least))
    assert reading.certified_share == pytest.approx(certified.mean())
    ids, q = sums_of(dense, projection, only)
    sure = brute_measures(q)["confidence"]
    expected = np.where(sure < least, projection.target.ignore_id, ids[q.argmax(axis=0)])
    clear = certified & (np.abs(sure - least) > 1 / 65535)
    np.testing.assert_array_equal(reading.labels.ids_HW[clear], expected[clear])


@given(read_scenes(), st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_what_was_dropped_never_makes_it_surer(asked: tuple[Scene, tuple[int, ...], float], k: int) -> None:
    (source, projection, dense), only, _ = asked
    scores = ScoreMap.from_dense(dense, taxonomy=source, k=k)
    ids, q = sums_of(dense, projection, only)
    _, kept = sums_of(expand(scores), projection, only)
    residual = scores.residual_HW.astype(np.float64)
    mass = kept.sum(axis=0) + residual
    steady = mass > 0.01  # float16 says little about less
    expected = brute_measures(q)
    for measure in ("confidence", "margin"):
        found = scores.read(projection, Readout(only, measure=measure)).measure_HW / 65535
        if measure == "confidence" and len(ids) > 1:
            assert (found <= expected[measure] + 5e-3)[steady].all()
        if len(ids) > 1:
            assert (np.abs(found - expected[measure]) <= residual / np.maximum(mass, 1e-12) + 5e-3)[steady].all()


def test_confidence_is_true_where_every_class_takes_part() -> None:
    source = make_taxonomy("source", classes=30)
    dense = make_dense(source, 9, 11, sharpness=1.0)
    scores = ScoreMap.from_dense(dense, taxonomy=source, k=4)
    found = scores.read(identity(source), Readout(measure="confidence")).measure_HW
    np.testing.assert_allclose(found / 65535, dense.max(axis=0), atol=1e-3)


def test_a_plain_reading_is_the_projection() -> None:
    source = make_taxonomy("source", classes=9)
    projection = make_projection(source, make_taxonomy("target", classes=3), {i: i % 3 for i in range(8)})
    scores = ScoreMap.from_dense(make_dense(source, 20, 20), taxonomy=source, k=3)
    labels, certified = scores.project(projection)
    reading = scores.read(projection, PLAIN)
    measured = scores.read(projection, Readout(measure="entropy"))
    np.testing.assert_array_equal(reading.labels.ids_HW, labels.ids_HW)
    np.testing.assert_array_equal(measured.labels.ids_HW, labels.ids_HW)
    assert reading.certified_share == measured.certified_share == certified.mean()
    assert reading.measure_HW is None


ONE_PIXEL = make_taxonomy("source", classes=6)


@pytest.mark.parametrize(
    ("only", "least", "label", "certified", "confidence", "margin", "entropy"),
    [
        # Class 0 has 0.4, class 1 0.3, class 2 0.2; 0.1 was dropped.
        ((), 0.0, 0, True, 0.4, 0.1, None),
        ((), 0.5, 255, True, 0.4, 0.1, None),
        ((), 0.39, 0, True, 0.4, 0.1, None),
        ((0, 1), 0.0, 0, False, 0.5, 0.125, None),
        ((0, 1), 0.45, 0, False, 0.5, 0.125, None),
        ((0, 1), 0.7, 255, True, 0.5, 0.125, None),
        ((2, 4), 0.0, 2, True, 2 / 3, 2 / 3, 0.9182958),
        ((2,), 0.9, 2, True, 1.0, 1.0, 0.0),
        ((4, 5), 0.0, 255, False, 0.0, 0.0, 1.0),
        ((4,), 0.5, 255, False, 0.0, 0.0, 0.0),
    ],
)
def test_one_pixel(
    only: tuple[int, ...],
    least: float,
    label: int,
    certified: bool,
    confidence: float,
    margin: float,
    entropy: float | None,
) -> None:
    ids = np.array([[[0, 1, 2]]], np.uint8)
    probabilities = np.array([[[0.4, 0.3, 0.2]]], np.float16)
    scores = ScoreMap(ids, probabilities, np.array([[0.1]], np.float16), ONE_PIXEL)
    for measure, expected in (("confidence", confidence), ("margin", margin), ("entropy", entropy)):
        reading = scores.read(identity(ONE_PIXEL), Readout(only, least, measure))
        assert reading.labels.ids_HW[0, 0] == label
        assert reading.certified_share == certified
        if expected is not None:
            assert reading.measure_HW[0, 0] / 65535 == pytest.approx(expected, abs=1e-3)


def test_ids_above_255_with_a_restriction() -> None:
    source, target = make_taxonomy("source", [0, 254, 300]), make_taxonomy("target", [1, 400])
    scores = ScoreMap.from_dense(make_dense(source, 4, 4), taxonomy=source)
    projection = make_projection(source, target, {0: 1, 254: 400})
    labels = scores.read(projection, Readout((400,), measure="margin")).labels
    assert labels.ids_HW.dtype == np.uint16
    assert set(np.unique(labels.ids_HW)) == {400}
    assert set(np.unique(scores.read(projection, Readout((1, 400), 1.0)).labels.ids_HW)) == {65535}


def test_a_class_that_the_taxonomy_lacks_is_told() -> None:
    source = make_taxonomy("source")
    scores = ScoreMap.from_dense(make_dense(source, 2, 2), taxonomy=source)
    with pytest.raises(TaxonomyError, match="taxonomy 'source' has no class with id 77"):
        scores.read(identity(source), Readout((0, 77)))


def test_a_large_image_is_read_in_bands() -> None:
    source = make_taxonomy("source", classes=4)
    dense = make_dense(source, 400, 700, sharpness=0.5)
    scores = ScoreMap.from_dense(dense, taxonomy=source)
    reading = scores.read(identity(source), Readout((1, 3), measure="confidence"))
    ids, q = sums_of(expand(scores), identity(source), (1, 3))
    np.testing.assert_array_equal(reading.labels.ids_HW, ids[q.argmax(axis=0)])
    np.testing.assert_allclose(reading.measure_HW / 65535, q.max(axis=0) / q.sum(axis=0), atol=ROUNDING)


def test_score_maps_import_no_compiler_until_one_is_read() -> None:
    code = "import sys, mseg_studio.labels.score_map, mseg_studio.labels.measures, mseg_studio.labels.export; \
assert not {'torch', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

"""The compiled passes against plain torch: any tiling, band, thread count and number of classes gives the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.inference import strided
from mseg_studio.inference.accumulate import CropAccumulator
from mseg_studio.inference.cost import Cost
from mseg_studio.inference.grids import GridScores
from mseg_studio.inference.plan import logit_size, plan_of
from mseg_studio.inference.strided import StridedScores
from mseg_studio.inference.tiling import Tiling
from mseg_studio.inference.warm_up import warm_up
from mseg_studio.labels.comparison import compare
from mseg_studio.labels.readout import MEASURES, Readout
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.taxonomy.projection import Projection, identity
from tests.factories import make_projection, make_taxonomy

NO_COST = Cost(0, 0, 0.0)
STRIDE = 4


def make_scores(
    tilings: list[Tiling],
    height: int,
    width: int,
    *,
    classes: int = 12,
    images: int = 2,
    seed: int = 0,
    spread: float = 4,
    dtype: torch.dtype = torch.float32,
) -> tuple[StridedScores, GridScores]:
    """Scores of the same logits, kept in both ways."""
    generator = torch.Generator().manual_seed(seed)
    grid_sizes = tuple((tiling.height, tiling.width) for tiling in tilings)
    zeros = torch.zeros((sum(h * w for h, w in grid_sizes), classes))
    grids = GridScores(zeros, grid_sizes, height, width, NO_COST)
    kept = []
    for scale, tiling in enumerate(tilings):
        accumulator = CropAccumulator(grids.grid(scale), tiling)
        for window in tiling.windows():
            shape = (images, *logit_size(tiling, STRIDE), classes)
            # Smooth, as of a network: neighbours mostly agree, so that what is decided early is tested too.
            base = torch.randn((images, 1, 1, classes), generator=generator) * spread
            logits = (base + torch.randn(shape, generator=generator)).to(dtype)
            accumulator.add(logits.float(), window)
            kept.append(logits.reshape(-1, classes))
    plan = plan_of(tuple(tilings), height=height, width=width, images=images, logits_stride=STRIDE)
    return StridedScores(torch.cat(kept), plan, grid_sizes, height, width, NO_COST), grids


def is_argmax(labels_HW: np.ndarray, grids: GridScores, projection: Projection) -> None:
    """Every label is a class whose probability is the largest but for rounding."""
    expected = grids.labels(projection).ids_HW
    differing = np.argwhere(labels_HW != expected)
    assert len(differing) <= max(3, labels_HW.size // 100), "ties are rare"
    for y, x in differing:
        sums = projection.weights @ grids.probe(int(x), int(y))
        assert sums[labels_HW[y, x]] >= sums[expected[y, x]] - 2e-6


sides = st.integers(1, 60)
tilings = st.lists(
    st.builds(Tiling, sides, sides, st.sampled_from([9, 17, 33]), st.sampled_from([0, 0, 25])), min_size=1, max_size=3
)


@settings(max_examples=40, deadline=None)
@given(
    tilings, st.integers(1, 90), st.integers(1, 90), st.integers(1, 2), st.integers(1, 40), st.sampled_from([0.1, 5])
)
def test_labels_are_those_of_plain_torch(found_tilings, height, width, images, classes, spread):
    options = {"classes": classes, "images": images, "spread": spread, "seed": height + width}
    kept, grids = make_scores(found_tilings, height, width, **options)
    projection = identity(make_taxonomy(num_classes=classes))
    is_argmax(kept.labels(projection).ids_HW, grids, projection)


@settings(max_examples=25, deadline=None)
@given(tilings, st.integers(1, 70), st.integers(1, 70), st.integers(1, 5), st.sampled_from([0.1, 2, 8]))
def test_projected_labels_are_those_of_plain_torch(found_tilings, height, width, groups, spread):
    kept, grids = make_scores(found_tilings, height, width, spread=spread, seed=width)
    projection = make_projection(make_taxonomy(num_classes=12), groups=groups)
    is_argmax(kept.labels(projection).ids_HW, grids, projection)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("only", [(), (1, 2), (3,)])
def test_measures_are_those_of_plain_torch(measure, only):
    kept, grids = make_scores([Tiling(30, 44, 17), Tiling(45, 66, 17)], 60, 88, spread=1.5)
    for projection in (
        identity(make_taxonomy(num_classes=12)),
        make_projection(make_taxonomy(num_classes=12), groups=4),
    ):
        readout = Readout(only=only, measure=measure, min_confidence=0.3)
        found, expected = kept.read(projection, readout), grids.read(projection, readout)
        difference = np.abs(found.measure_HW.astype(int) - expected.measure_HW.astype(int))
        assert difference.max() <= 2
        assert (found.labels.ids_HW == expected.labels.ids_HW).mean() > 0.999
        assert set(np.unique(found.labels.ids_HW)) <= {*(only or projection.class_ids), 255}


@pytest.mark.parametrize("only", [(), (1, 2), (3,)])
@pytest.mark.parametrize("drop", [0, 1, 5])
def test_projected_and_mapped_labels_are_those_of_plain_torch(drop, only):
    kept, grids = make_scores([Tiling(30, 44, 17), Tiling(45, 66, 17)], 60, 88, spread=1.5)
    projection = make_projection(make_taxonomy(num_classes=12), groups=4, drop=drop)
    found, expected = compare(kept, projection, only=only), compare(grids, projection, only=only)
    assert (found.differing_HW == expected.differing_HW).mean() > 0.999
    assert (found.mapped.ids_HW == expected.mapped.ids_HW).mean() > 0.999
    assert np.abs(found.no_target_HW.astype(int) - expected.no_target_HW.astype(int)).max() <= 1
    lost = list(projection.only(only).unmapped)
    for x, y in ((0, 0), (87, 59), (40, 31)):
        mass = float(grids.probe(x, y)[lost].sum())
        assert abs(found.no_target_HW[y, x] / 255 - mass) <= 0.51 / 255 + 1e-4
    assert (found.no_target_share > 0) == bool(lost)


def test_without_a_measure_only_the_labels_are_read():
    kept, _ = make_scores([Tiling(30, 44, 17)], 60, 88)
    projection = identity(make_taxonomy(num_classes=12))
    reading = kept.read(projection, Readout(only=(2, 5)))
    assert reading.measure_HW is None
    assert set(np.unique(reading.labels.ids_HW)) <= {2, 5}
    unsure = kept.read(projection, Readout(min_confidence=1.0))
    assert (unsure.labels.ids_HW == 255).mean() > 0.9
    assert unsure.measure_HW is None


def test_where_nothing_maps_the_first_class_is_the_answer():
    kept, _ = make_scores([Tiling(20, 30, 17)], 40, 60, classes=4)
    target = Taxonomy("late", (ClassInfo(3, "three", (0, 0, 0)), ClassInfo(9, "nine", (9, 9, 9))))
    nothing = Projection(make_taxonomy(num_classes=4), target, np.zeros((10, 4), np.float32))
    assert (kept.labels(nothing).ids_HW == 3).all()
    reading = kept.read(nothing, Readout(measure="entropy"))
    assert (reading.measure_HW == 65535).all()


def test_holes_of_a_taxonomy_never_win():
    taxonomy = Taxonomy("holes", tuple(ClassInfo(i, f"class {i}", (i, i, i)) for i in (0, 1, 4, 5)))
    kept, _ = make_scores([Tiling(20, 30, 17)], 40, 60, classes=6)
    kept.logits_LC[:, 2:4] = 50
    assert set(np.unique(kept.labels(identity(taxonomy)).ids_HW)) <= {0, 1, 4, 5}
    kept.logits_LC[:, 2:4] = -50  # a ScoreMap sums to 1: what is no class has no probability there
    assert set(np.unique(kept.top_k(taxonomy).class_ids_HWk)) == {0, 1, 4, 5}


def test_more_than_255_classes_give_16_bit_ids():
    kept, grids = make_scores([Tiling(12, 14, 17)], 24, 28, classes=300, spread=2)
    projection = identity(make_taxonomy(num_classes=300))
    labels = kept.labels(projection)
    assert labels.ids_HW.dtype == np.uint16
    is_argmax(labels.ids_HW, grids, projection)


@pytest.mark.parametrize("k", [1, 4, 12, 40])
def test_top_k_are_those_of_plain_torch(k):
    taxonomy = make_taxonomy(num_classes=12)
    kept, grids = make_scores([Tiling(30, 44, 17), Tiling(15, 22, 17)], 75, 110, spread=1)
    found = kept.top_k(taxonomy, k=k, recipe_hash="r", model_sha256="m")
    expected = grids.top_k(taxonomy, k=k)
    assert (found.class_ids_HWk == expected.class_ids_HWk).mean() > 0.999
    for ours, theirs in (
        (found.probabilities_HWk, expected.probabilities_HWk),
        (found.residual_HW, expected.residual_HW),
    ):
        np.testing.assert_allclose(ours.astype(float), theirs.astype(float), atol=1e-3)
    assert (found.recipe_hash, found.model_sha256) == ("r", "m")


def test_top_k_of_certain_pixels_has_every_class_once():
    kept, _ = make_scores([Tiling(9, 9, 17)], 18, 18, classes=16, spread=1)
    kept.logits_LC[:, :] = -200
    kept.logits_LC[:, 3] = 200
    found = kept.top_k(make_taxonomy(num_classes=16), k=16)
    assert (np.sort(found.class_ids_HWk, axis=-1) == np.arange(16)).all()
    assert (found.class_ids_HWk[..., 0] == 3).all()


def test_the_probe_reads_one_pixel():
    kept, grids = make_scores([Tiling(30, 44, 17), Tiling(15, 22, 17)], 75, 110)
    for x, y in [(0, 0), (109, 74), (31, 17)]:
        np.testing.assert_allclose(kept.probe(x, y), grids.probe(x, y), atol=1e-6)
        assert kept.probe(x, y).sum() == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="outside"):
        kept.probe(110, 0)


def test_another_size_is_read_from_the_logits_at_once():
    kept, grids = make_scores([Tiling(30, 44, 17), Tiling(15, 22, 17)], 75, 110)
    projection = identity(make_taxonomy(num_classes=12))
    other = kept.at_size(41, 63)
    assert (other.height, other.width) == (41, 63)
    is_argmax(other.labels(projection).ids_HW, grids.at_size(41, 63), projection)


def test_extreme_logits_stay_probabilities():
    kept, grids = make_scores([Tiling(20, 30, 33)], 40, 60, classes=194, spread=4000)
    kept.logits_LC[:, 7] = -1e4  # the rows of classes that a head never learnt
    assert np.isfinite(kept.probe(10, 10)).all()
    assert kept.probe(10, 10)[7] < 1e-30
    reading = kept.read(identity(make_taxonomy(num_classes=194)), Readout(measure="entropy"))
    assert reading.measure_HW.max() <= 65535
    assert grids.height == reading.labels.ids_HW.shape[0]


def test_bfloat16_logits_are_read_as_they_are():
    kept, grids = make_scores([Tiling(30, 44, 17), Tiling(15, 22, 17)], 75, 110, dtype=torch.bfloat16)
    assert kept.logits_LC.dtype == torch.bfloat16
    projection = make_projection(make_taxonomy(num_classes=12), groups=4)
    is_argmax(kept.labels(projection).ids_HW, grids, projection)
    np.testing.assert_allclose(kept.probe(31, 17), grids.probe(31, 17), atol=1e-6)


def test_threads_and_bands_do_not_change_the_answer(monkeypatch):
    tilings_found = [Tiling(90, 70, 33), Tiling(45, 35, 33)]
    taxonomy = make_taxonomy(num_classes=12)
    answers = []
    for threads, cache in ((1, 1 << 17), (2, 1 << 17), (7, 1 << 17), (2, 1), (1, 1 << 24)):
        kept, _ = make_scores(tilings_found, 180, 140, spread=1)
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        plan = kept.plan._replace(cache_floats=cache)
        kept = StridedScores(kept.logits_LC, plan, kept.grid_sizes, 180, 140, NO_COST)
        answers.append((kept.labels(identity(taxonomy)).ids_HW, kept.top_k(taxonomy).probabilities_HWk))
    for labels, top in answers[1:]:
        np.testing.assert_array_equal(labels, answers[0][0])
        np.testing.assert_array_equal(top, answers[0][1])


@pytest.mark.parametrize("kept_bytes", [0, 12 * 4 * 100, 1 << 28])
def test_what_is_kept_for_the_next_taxonomy_does_not_change_the_answer(monkeypatch, kept_bytes):
    monkeypatch.setattr(strided, "_KEPT_BYTES", kept_bytes)
    kept, grids = make_scores([Tiling(30, 44, 17), Tiling(45, 66, 17)], 60, 88, spread=1)
    everything = identity(make_taxonomy(num_classes=12))
    projections = [make_projection(make_taxonomy(num_classes=12), groups=groups) for groups in (12, 4, 2)]
    for projection in (everything, *projections, everything.only([1, 5, 7]), projections[1].only([0, 2])):
        is_argmax(kept.labels(projection).ids_HW, grids, projection)
    assert len(kept._plan_with_kept.kept_scores) <= kept_bytes // 48
    if kept_bytes > 1 << 20:
        assert 0 < len(kept._plan_with_kept.kept_scores) <= len(kept._winners[0])


def test_what_is_decided_early_is_most_of_a_smooth_picture():
    kept, _ = make_scores([Tiling(30, 44, 65)], 60, 88, images=1, spread=20)
    assert (kept._winners[0] >= 0).mean() > 0.9


def test_other_logits_are_refused():
    kept, _ = make_scores([Tiling(9, 9, 17)], 18, 18)
    with pytest.raises(ValueError, match="12 channels"):
        kept.labels(identity(make_taxonomy(num_classes=5)))
    with pytest.raises(ValueError, match="float32 or bfloat16"):
        StridedScores(torch.zeros((5, 3), dtype=torch.float64), kept.plan, kept.grid_sizes, 18, 18, NO_COST)


def test_warming_up_needs_no_image():
    warm_up()

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

from mseg_studio.errors import CheckpointError, ConfigError, TaxonomyError
from mseg_studio.inference.engines.torch_engine import TorchEngine
from mseg_studio.inference.recipe import Recipe
from mseg_studio.inference.session import ScoresGoneError, Session
from mseg_studio.labels.readout import Readout
from mseg_studio.progress import Cancelled, CancelToken
from mseg_studio.settings import user_folder
from tests.factories import make_pixels

SMALL = Recipe(base_size=48, crop_px=49, device="cpu", engine="torch", precision="float32")


@pytest.fixture
def passes(monkeypatch) -> list[int]:
    """Images of every forward pass."""
    seen: list[int] = []
    original = TorchEngine.logits_into

    def counted(self, crops_NCHW, out_NhwC):
        seen.append(len(crops_NCHW))
        original(self, crops_NCHW, out_NhwC)

    monkeypatch.setattr(TorchEngine, "logits_into", counted)
    return seen


def run(session: Session, *, generation: int = 1, recipe: Recipe = SMALL, target: str = "universal", **options):
    values = {"model": "street-small", "on_progress": lambda progress: None, "cancel": CancelToken()}
    pixels = options.pop("pixels", make_pixels(60, 80))
    return session.segment(pixels, generation=generation, recipe=recipe, target=target, **(values | options))


@pytest.mark.parametrize("target", ["camvid-11", "cityscapes-19", "pascal-context-60", "voc2012", "ade20k-150"])
def test_a_switch_equals_a_fresh_run_and_runs_no_network(passes, target):
    session = Session()
    run(session)
    ran = len(passes)
    assert ran
    switched = session.project(target, generation=1)
    assert len(passes) == ran
    fresh = run(Session(), target=target)
    assert (switched.labels.ids_HW == fresh.labels.ids_HW).mean() >= 0.9999
    assert switched.labels.taxonomy.name == target
    again = session.project("universal", generation=1)
    assert len(passes) == 2 * ran
    assert again.labels.ids_HW.shape == (60, 80)


def test_another_readout_runs_no_network_and_is_kept(passes):
    session = Session()
    run(session, target="camvid-11", readout=Readout((0, 2), 0.5, "entropy"))
    ran = len(passes)
    first = session.project("camvid-11", Readout((0, 2), 0.5, "entropy"), generation=1)
    assert set(np.unique(first.labels.ids_HW)) <= {0, 2, 255}
    assert (first.measure_HW.dtype, first.measure_HW.shape) == (np.uint8, (60, 80))
    assert first.facts["readout"]["min_confidence"] == 0.5
    plain = session.project("camvid-11", generation=1)
    assert plain.measure_HW is None
    assert "readout" not in plain.facts
    assert not np.array_equal(plain.labels.ids_HW, first.labels.ids_HW)
    again = session.project("camvid-11", Readout((2, 0), 0.5, "entropy"), generation=1)
    assert again.labels is first.labels
    assert len(passes) == ran
    with pytest.raises(TaxonomyError, match="taxonomy 'camvid-11' has no class with id 50"):
        session.project("camvid-11", Readout((50,)), generation=1)


def test_only_the_last_ways_of_reading_a_frame_are_kept():
    session = Session()
    run(session)
    first = session.project("universal", generation=1).labels
    for step in range(20):
        assert session.project("universal", generation=1).labels is first, "it is always the last but one"
        session.project("universal", Readout(min_confidence=step / 20), generation=1)
    assert len(session._current.readings) <= 8
    for step in range(9):
        session.project("universal", Readout(min_confidence=step / 100), generation=1)
    assert session.project("universal", generation=1).labels is not first


def test_a_class_that_is_not_there_is_told_before_the_network_runs(passes):
    with pytest.raises(TaxonomyError, match="no class with id 300"):
        run(Session(), readout=Readout((300,)))
    assert not passes


def test_only_the_current_frame_is_kept():
    session = Session()
    run(session, generation=1)
    run(session, generation=2)
    session.project("camvid-11", generation=2)
    with pytest.raises(ScoresGoneError):
        session.project("camvid-11", generation=1)


def test_release_device_drops_the_scores_and_keeps_the_model():
    session = Session()
    before = run(session).labels.ids_HW
    session.release_device()
    with pytest.raises(ScoresGoneError):
        session.project("camvid-11", generation=1)
    np.testing.assert_array_equal(run(session).labels.ids_HW, before)


def test_the_probe_gives_the_five_most_probable_in_both_taxonomies():
    session = Session()
    labels = run(session).labels
    model_top, target_top, uncovered = session.probe(10, 20, "camvid-11", generation=1)
    assert model_top[0][0] == labels.ids_HW[20, 10]
    assert [share for _, _, share in model_top] == sorted((share for _, _, share in model_top), reverse=True)
    assert len(model_top) == len(target_top) == 5
    assert 0 <= uncovered <= 1
    assert sum(share for _, _, share in target_top) + uncovered <= 1.001
    with pytest.raises(ScoresGoneError, match="outside"):
        session.probe(80, 20, "camvid-11", generation=1)


def test_facts_are_those_of_the_sidecar():
    facts = run(Session()).facts
    assert facts["model"]["name"] == "street-small"
    assert facts["recipe"]["precision"] == facts["precision"] == "float32"
    assert len(facts["recipe_hash"]) == 64
    assert (facts["engine"], facts["device"], facts["mapping"]) == ("torch", "cpu", "projected")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"model": "street-smal"}, CheckpointError),
        ({"target": "camvid"}, TaxonomyError),
        ({"recipe": Recipe(base_size=48, crop_px=48)}, ConfigError),
        ({"recipe": Recipe(device="cuda:77")}, ConfigError),
    ],
)
def test_what_is_not_there_is_an_error_in_words(options, error):
    with pytest.raises(error):
        run(Session(), **options)


def test_a_cancelled_run_leaves_nothing_to_project():
    session, token = Session(), CancelToken()
    run(session)
    with pytest.raises(Cancelled):
        run(session, generation=2, cancel=token, on_progress=lambda progress: token.cancel())
    with pytest.raises(ScoresGoneError):
        session.project("camvid-11", generation=2)


def test_another_recipe_on_the_same_model():
    session = Session()
    plain = run(session).labels.ids_HW
    half = run(session, recipe=Recipe(base_size=48, crop_px=49, precision="half", device="cpu")).labels.ids_HW
    assert (plain == half).mean() > 0.9
    np.testing.assert_array_equal(run(session).labels.ids_HW, plain)


@pytest.mark.parametrize("target", ["camvid-11", "cityscapes-19", "voc2012", "ade20k-150", "universal"])
@pytest.mark.parametrize("only", [(), (0, 2)])
def test_projecting_and_mapping_are_compared_as_plain_numpy_does(passes, target, only):
    session = Session()
    own = run(session).labels
    ran = len(passes)
    found = session.compare(target, only, generation=1)
    assert len(passes) == ran
    dense = session._current.dense
    projection = session._current.projection(target).only(only)
    full = np.array([[dense.probe(x, y) for x in range(80)] for y in range(60)])
    lost = full[..., list(projection.unmapped)].sum(axis=-1)
    assert np.abs(found.no_target_HW / 255 - lost).max() <= 0.51 / 255 + 2e-5
    assert found.no_target_share == pytest.approx(lost.mean(), abs=2e-5)
    ids = np.array(projection.class_ids)
    sums = full @ projection.weights[ids].T
    best = np.sort(sums, axis=-1)
    clear = best[..., -1] - best[..., -2] > 1e-5
    assert clear.mean() > 0.5 or only, "of some classes the model knows nothing"
    projected, mapped = ids[sums.argmax(axis=-1)], projection.lookup[own.ids_HW]
    np.testing.assert_array_equal(found.projected.ids_HW[clear], projected[clear])
    own_best = np.sort(full, axis=-1)
    sure = own_best[..., -1] - own_best[..., -2] > 1e-5
    np.testing.assert_array_equal(projection.lookup[full.argmax(axis=-1)][sure], mapped[sure])
    np.testing.assert_array_equal(np.where(mapped > 254, 255, mapped), found.mapped.ids_HW)
    assert found.own_counts == tuple(own.counts())
    if target == "universal" and not only:
        assert not found.pairs and not found.no_target_share


def test_a_comparison_needs_the_scores():
    session = Session()
    run(session, generation=1)
    run(session, generation=2)
    assert session.compare("camvid-11", generation=2).projected.taxonomy.name == "camvid-11"
    with pytest.raises(ScoresGoneError):
        session.compare("camvid-11", generation=1)
    with pytest.raises(TaxonomyError, match="no class with id 50"):
        session.compare("camvid-11", (50,), generation=2)


def test_labels_of_a_table_that_changed_on_disk_are_read_anew():
    session = Session()
    run(session)
    path = user_folder("taxonomies") / "mine.yaml"
    write_pair(path, "road", "sky")
    before = session.project("mine", generation=1).labels
    assert session.project("mine", generation=1).labels is before
    write_pair(path, "sky", "road")
    after = session.project("mine", generation=1).labels
    np.testing.assert_array_equal(after.ids_HW, 1 - before.ids_HW)
    assert session.compare("mine", generation=1).projected.ids_HW is after.ids_HW


def write_pair(path, first: str, second: str) -> None:
    """A taxonomy of two classes, each one universal class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    classes = "\n".join(f"- {{id: {i}, name: {name} only, rgb: [9, 9, {i}]}}" for i, name in enumerate((first, second)))
    links = "\n".join(f"  {name}: {name} only" for name in (first, second))
    path.write_text(f"format: 1\nname: {path.stem}\nignore_id: 255\nclasses:\n{classes}\nfrom_universal:\n{links}\n")
    os.utime(path, ns=(next(_TIMES), next(_TIMES)))


_TIMES = itertools.count(10**18, 10**9)
"""Files written within one tick of the clock still differ."""

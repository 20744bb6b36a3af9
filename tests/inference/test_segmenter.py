from __future__ import annotations

import json

import numpy as np
import pytest

from mseg_studio import Segmenter
from mseg_studio.errors import CheckpointError, ConfigError, ExportError, ImageReadError, TaxonomyError
from mseg_studio.inference.recipe import Recipe
from mseg_studio.labels.readout import MEASURES, Readout
from mseg_studio.labels.score_store import ScoreStore
from mseg_studio.media.image import read_label_ids, write_rgb_png
from mseg_studio.taxonomy.catalog import default_catalog
from tests.factories import make_pixels

SMALL = Recipe(base_size=48, crop_px=49)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter("street-small", recipe=SMALL, device="cpu")


def test_a_picture_in_another_taxonomy(segmenter, tmp_path):
    write_rgb_png(tmp_path / "photo.png", make_pixels(60, 80))
    result = segmenter.segment(tmp_path / "photo.png", taxonomy="cityscapes-19")
    assert result.labels.shape == (60, 80)
    assert result.labels.dtype == np.uint8
    assert result.taxonomy.name == "cityscapes-19"
    assert result.scores.class_ids_HWk.shape == (60, 80, 16)
    assert result.scores.taxonomy.name == "universal"
    universal = result.project("universal")
    np.testing.assert_array_equal(universal.labels, segmenter.segment(make_pixels(60, 80)).labels)
    assert "cityscapes-19" in segmenter.taxonomies
    assert segmenter.taxonomies[0] == "universal"


def test_labels_are_compared_with_what_mapping_would_give(segmenter):
    result = segmenter.segment(make_pixels(60, 80), taxonomy="voc2012")
    found = result.compare()
    np.testing.assert_array_equal(found.projected.ids_HW, result.labels)
    np.testing.assert_array_equal(
        found.mapped.ids_HW,
        result.project("universal").label_map.mapped(default_catalog().projection("universal", "voc2012")).ids_HW,
    )
    sure = result.project("voc2012", only=["person", "car"], min_confidence=0.9).compare()
    assert set(np.unique(sure.projected.ids_HW)) <= {found.projected.taxonomy.id_of(name) for name in ("person", "car")}
    assert result.project("universal").compare().differing_share == 0


def test_scores_certify_what_a_fresh_run_gives(segmenter):
    result = segmenter.segment(make_pixels(60, 80), taxonomy="camvid-11")
    labels, certified = result.scores.project(default_catalog().projection("universal", "camvid-11"))
    assert (labels.ids_HW == result.labels)[certified].all()


def test_save_writes_ids_with_a_sidecar_and_scores(segmenter, tmp_path):
    write_rgb_png(tmp_path / "photo.png", make_pixels(60, 80))
    result = segmenter.segment(str(tmp_path / "photo.png"), taxonomy="camvid-11")
    path = result.save(tmp_path / "labels.png")
    np.testing.assert_array_equal(read_label_ids(path), result.labels)
    sidecar = json.loads((tmp_path / "labels.json").read_text())
    assert sidecar["taxonomy"] == "camvid-11"
    assert sidecar["source"].endswith("photo.png")
    with ScoreStore(result.save(tmp_path / "scores.h5")) as store:
        np.testing.assert_array_equal(store.frame(0).class_ids_HWk, result.scores.class_ids_HWk)
    with pytest.raises(ExportError, match=r"\.png"):
        result.save(tmp_path / "labels.jpg")
    with pytest.raises(ExportError, match="nowhere"):
        result.save(tmp_path / "nowhere" / "labels.png")


def test_only_some_classes_and_how_sure_they_are(segmenter, tmp_path):
    pixels = make_pixels(60, 80)
    whole = segmenter.segment(pixels, taxonomy="camvid-11")
    part = segmenter.segment(pixels, taxonomy="camvid-11", only=["road", "Building"], min_confidence=0.7)
    ids = {whole.taxonomy.id_of(name) for name in ("Road", "Building")}
    assert set(np.unique(part.labels)) <= ids | {255}
    confidence = part.measure("confidence")
    assert (confidence.shape, confidence.dtype) == ((60, 80), np.float32)
    np.testing.assert_array_equal(part.labels == 255, confidence < np.float32(round(0.7 * 65535) / 65535))
    assert confidence.min() >= 0.5, "one of two classes has half of their probability"
    again = whole.project("camvid-11", only=["building", "road"], min_confidence=0.7)
    np.testing.assert_array_equal(again.labels, part.labels)
    assert again.facts["readout"] == part.facts["readout"]
    plain = part.project("camvid-11")
    np.testing.assert_array_equal(plain.labels, whole.labels)
    assert "readout" not in plain.facts
    np.testing.assert_array_equal(whole.project("camvid-11", only="sky").labels, whole.taxonomy.id_of("Sky"))
    assert (whole.measure("margin") <= whole.measure("confidence")).all()
    part.save(tmp_path / "part.png")
    assert json.loads((tmp_path / "part.json").read_text())["readout"]["min_confidence"] == 0.7
    with pytest.raises(TaxonomyError, match="no class 'raod'; did you mean Road"):
        whole.project("camvid-11", only=["raod"])
    for options in ({"min_confidence": 2}, {"min_confidence": "much"}):
        with pytest.raises(ConfigError, match="the least confidence is"):
            whole.project("camvid-11", **options)
    for name in ("certainty", None):
        with pytest.raises(ConfigError, match="measure"):
            whole.measure(name)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("only", [(), (0, 2, 8), (3,)])
def test_kept_scores_of_all_classes_read_as_the_dense_ones(segmenter, measure, only):
    dense = segmenter.segment(make_pixels(60, 80)).dense
    projection = default_catalog().projection("universal", "camvid-11")
    readout = Readout(only, 0.3, measure)
    whole = dense.read(projection, readout)
    kept = dense.top_k(projection.source, k=194).read(projection, readout)
    # float16 keeps 11 bits, and nothing below 6e-8: of little on the chosen classes little can be said.
    steady = kept_mass(dense.top_k(projection.source, k=194), projection.only(only)) > 0.02
    assert steady.mean() > 0.5
    difference = np.abs(whole.measure_HW.astype(int) - kept.measure_HW)[steady]
    assert difference.max() <= 65535 * 4e-3
    same = whole.labels.ids_HW == kept.labels.ids_HW
    assert same[steady].mean() > 0.99


def kept_mass(scores, projection):
    """(H, W) probability on the classes that take part."""
    mapped = projection.lookup[scores.class_ids_HWk] != projection.target.ignore_id
    return (scores.probabilities_HWk.astype(np.float64) * mapped).sum(axis=2)


def test_errors_are_the_documented_ones(segmenter, tmp_path):
    with pytest.raises(CheckpointError, match="street-small"):
        Segmenter("street-smal")
    with pytest.raises(ConfigError, match="balanced"):
        Segmenter(recipe="balance")
    with pytest.raises(ConfigError, match="cuda:9"):
        Segmenter(recipe=SMALL, device="cuda:9")
    with pytest.raises(TaxonomyError, match="camvid-11"):
        segmenter.segment(make_pixels(), taxonomy="camvid-12")
    with pytest.raises(ImageReadError, match=r"none\.png"):
        segmenter.segment(tmp_path / "none.png")
    with pytest.raises(ValueError, match="uint8"):
        segmenter.segment(np.zeros((4, 4)))


@pytest.mark.parametrize("wrong", [None, 5, b"photo.png", [[1, 2]]])
def test_what_is_no_picture_is_told_in_words(segmenter, wrong):
    with pytest.raises(TypeError, match="a picture is a path, an RGB array"):
        segmenter.segment(wrong)


def test_what_is_no_recipe_is_told_in_words():
    with pytest.raises(TypeError, match="a recipe is live, fast, balanced, paper or a Recipe, got 3"):
        Segmenter("street-small", recipe=3)


def test_a_prompt_shows_one_line(segmenter):
    result = segmenter.segment(make_pixels(60, 80), taxonomy="camvid-11")
    assert repr(result) == "<Segmentation 80 x 60 in camvid-11 by street-small>"

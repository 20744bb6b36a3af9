from __future__ import annotations

import dataclasses
import json
import random

import psutil
import pytest

from mseg_studio.inference.estimate import estimate, learn
from mseg_studio.inference.memory import free_bytes
from mseg_studio.inference.pace import Pace, Setup
from mseg_studio.inference.recipe import PAPER_SCALES, Recipe, preset
from mseg_studio.networks.catalog import find_model

HD = (1080, 1920)
SMALL = find_model("street-small").card
LARGE = dataclasses.replace(SMALL, name="large", network="hrnet-w48", base_size=360, crop_px=473)


@pytest.fixture
def pace(tmp_path):
    return Pace(tmp_path / "pace.json")


def predict(recipe, pace, *, card=SMALL, size=HD, threads=2):
    return estimate(recipe, size, card=card, pace=pace, threads=threads)


def facts_of(recipe, *, card=SMALL, engine="openvino", precision="half", device="cpu"):
    sized = recipe.resolved(base_size=card.base_size, crop_px=card.crop_px, precision=precision)
    return {
        "model": {"name": card.name, "network": card.network, "sha256": ""},
        "recipe": sized.as_dict(),
        "engine": engine,
        "precision": precision,
        "device": device,
    }


@pytest.mark.parametrize(
    ("base_size", "scales", "crops"),
    [(360, PAPER_SCALES, 9), (720, PAPER_SCALES, 38), (1080, PAPER_SCALES, 77), (360, (1.0,), 1)],
)
def test_the_published_modes_at_full_hd(pace, base_size, scales, crops):
    found = predict(Recipe(base_size=base_size, crop_px=713, scales=scales), pace)
    assert (found.cost.crops, found.cost.passes) == (crops, 2 * crops)
    assert found.seconds > 0
    assert json.loads(json.dumps(found.as_dict()))["crops"] == crops


def test_sizes_that_are_left_open_are_those_of_the_card(pace):
    open_sizes = predict(preset("balanced"), pace)
    assert open_sizes == predict(Recipe(base_size=SMALL.base_size, crop_px=SMALL.crop_px), pace)


def test_a_guess_grows_with_the_work_and_the_network(pace):
    fast, paper = preset("fast"), preset("paper")
    assert predict(fast, pace).seconds < predict(fast, pace, card=LARGE).seconds
    assert 10 < predict(paper, pace, card=LARGE).seconds / predict(fast, pace, card=LARGE).seconds < 30
    assert predict(paper, pace, threads=8).seconds < predict(paper, pace, threads=1).seconds / 3
    gpu = dataclasses.replace(paper, device="cuda")
    assert predict(gpu, pace).seconds < predict(paper, pace).seconds


@pytest.mark.parametrize("seed", range(10))
def test_three_frames_are_enough_for_a_quarter(pace, seed):
    """A machine of any pace, whose first frame loads and compiles and where other things run."""
    rng = random.Random(seed)
    true_s = predict(preset("balanced"), pace).seconds * 10 ** rng.uniform(-1.5, 1.5)
    for run in range(3):
        loading_s = 8.0 if run == 0 else 0.0
        seconds = true_s * rng.uniform(0.85, 1.15) + loading_s
        learn(pace, facts_of(preset("balanced")), HD, seconds, threads=2, first=run == 0)
    assert predict(preset("balanced"), pace).seconds == pytest.approx(true_s, rel=0.25)


def test_a_recipe_is_predicted_as_it_ran_last(pace):
    recipe = preset("balanced")
    learn(pace, facts_of(recipe, engine="torch", precision="float32"), HD, 4.0, threads=2, first=False)
    learn(pace, facts_of(recipe), HD, 0.5, threads=2, first=False)
    assert predict(recipe, pace).setup == Setup("street-small", "openvino", "half", "cpu", 2)
    assert predict(recipe, pace).seconds == pytest.approx(0.5)
    exact = dataclasses.replace(recipe, precision="float32")
    assert predict(exact, pace).seconds == pytest.approx(4.0)
    assert predict(dataclasses.replace(recipe, device="cuda"), pace).setup.device == "cuda:0"
    learn(pace, facts_of(recipe, engine="torch", device="cuda:0"), HD, 0.01, threads=2, first=False)
    assert predict(dataclasses.replace(recipe, device="cuda"), pace).seconds == pytest.approx(0.01)


def test_real_runs_are_learned_and_their_answers_tell_what_they_ran_on(pace):
    from mseg_studio.inference.loaded_model import load_model
    from tests.factories import make_pixels

    model = load_model("street-small")
    recipe = Recipe(base_size=64, crop_px=65, device="cpu")
    predictor = model.predictor(recipe)
    predictor.predict(make_pixels(64, 96))
    facts = model.facts(predictor)
    for _ in range(3):
        learn(pace, facts, (64, 96), 0.125, threads=1, first=False)
    found = predict(recipe, pace, size=(64, 96), threads=1)
    assert found.seconds == pytest.approx(0.125)
    assert (found.setup.engine, found.setup.precision) == (predictor.engine_name, predictor.precision)


def test_memory_grows_with_kept_scores_and_passes(pace):
    single, paper = predict(preset("balanced"), pace, card=LARGE), predict(preset("paper"), pace, card=LARGE)
    kept = 20 * 2 * 119**2 * 194 * 4
    scaled = (1.75**2 - 1) * 360 * 640 * 24
    assert paper.memory_bytes - single.memory_bytes == pytest.approx(kept + scaled, rel=0.02)
    half = predict(dataclasses.replace(preset("paper"), precision="half"), pace, card=LARGE)
    assert half.memory_bytes < paper.memory_bytes - 0.9 * kept / 2
    fast = predict(preset("fast"), pace, card=LARGE)
    assert fast.memory_bytes < single.memory_bytes
    large_frame = predict(preset("balanced"), pace, card=LARGE, size=(4320, 7680))
    assert large_frame.memory_bytes > single.memory_bytes + 31_000_000 * 6


def test_a_gpu_keeps_grids(pace):
    found = predict(dataclasses.replace(preset("paper"), device="cuda"), pace, card=LARGE)
    grids = sum((360 * s) * (640 * s) for s in PAPER_SCALES) * 194 * 4
    assert not found.on_cpu
    assert found.memory_bytes > grids


def test_free_memory_counts_what_the_process_has_already():
    alone = free_bytes(None)
    assert alone > 0
    own = psutil.Process().memory_info().rss
    assert free_bytes(psutil.Process().pid) == pytest.approx(alone + own, abs=500_000_000)
    assert free_bytes(2**22 + 1) > 0, "a process that has ended has nothing"

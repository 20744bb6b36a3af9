"""A fine-tuning from its plan to the numbers before and after it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mseg_studio.datasets.description import load_dataset
from mseg_studio.errors import CheckpointError, ConfigError, RunFailed
from mseg_studio.evaluation.evaluate import evaluate, predict_with
from mseg_studio.evaluation.metrics import metrics
from mseg_studio.evaluation.protocol import choose_protocol
from mseg_studio.inference.loaded_model import load_model
from mseg_studio.inference.recipe import preset
from mseg_studio.networks.catalog import find_model
from mseg_studio.progress import Cancelled, CancelToken, Progress
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.training import worker
from mseg_studio.training.before_after import score
from mseg_studio.training.fine_tune import FineTuneWishes, begin, plan_fine_tune
from mseg_studio.training.fine_tune_scores import ClassScore, Scores, are_current, as_text, read_scores
from tests.training.factory import make_dataset

pytestmark = pytest.mark.timeout(240)

SETTINGS = (
    *("steps=2", "batch=2", "augment.crop_px=65", "augment.short_side=null", "threads=1", "workers=1"),
    *("validate_every=2", "save_every=2", "optim.warmup_steps=0", "loss.class_weight_power=0.0"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tuning of two steps."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("fine-tuned")
        patch.setenv("MSEG_STUDIO_HOME", str(place / "home"))
        description = make_dataset(place / "data", images=3)
        plan = plan_fine_tune(str(description), "street-small", FineTuneWishes(name="tuned", settings=SETTINGS))
        folder = begin(plan, place / "run").path
        assert worker.main([str(folder)]) == 0
    return folder


def test_both_models_are_scored_alike_and_the_numbers_are_kept(run: Path) -> None:
    said: list[str] = []
    scores = score(run, device="cpu", on_progress=lambda progress: said.append(progress.what))
    assert {"Before: scoring images", "After: scoring images"} <= set(said)
    assert scores.before["model"] == "street-small" and scores.after["model"] == "tuned"
    assert scores.before["images"] == scores.after["images"] == 3
    assert set(scores.before["iou"]) == set(scores.after["iou"]) == {"Sky", "Road", "Car"}
    assert scores.before["recipe_hash"] == scores.after["recipe_hash"]
    assert scores.before["model_sha256"] != scores.after["model_sha256"]
    assert read_scores(run) == scores and are_current(run)
    assert not list((run / "fine-tune").glob(".mseg-part-*")), "the exported model was only for scoring"
    # The number before is that of the command for everybody, over the classes that the labels have.
    dataset, model = load_dataset(run / "fine-tune" / "labels.yaml"), load_model(find_model("street-small"))
    protocol = choose_protocol(dataset, default_catalog().taxonomy("universal"))
    predictor = model.predictor(preset("balanced").for_published_numbers())
    *_, found = evaluate(dataset, "held-out", protocol=protocol, predict=predict_with(predictor, protocol))
    plain = metrics(found.matrix, absent="skip", classes=("Sky", "Road", "Car"))
    assert scores.before["iou"] == pytest.approx(dict(plain.iou), abs=1e-3)

    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(result | {"time": 1.0}))
    assert not are_current(run)
    said.clear()
    again = score(run, device="cpu", on_progress=lambda progress: said.append(progress.what))
    assert set(said) == {"After: scoring images"}, "the start is the same one: its numbers are known"
    assert again.before == scores.before and again.after["iou"] == scores.after["iou"] and are_current(run)


def test_what_cannot_be_scored_says_why(run: Path, tmp_path: Path) -> None:
    plan = run / "fine-tune" / "plan.json"
    kept = plan.read_text()
    try:
        plan.write_text(json.dumps(json.loads(kept) | {"model_sha256": "0" * 64}))
        with pytest.raises(CheckpointError, match="another one than the run started with"):
            score(run)
        plan.unlink()
        with pytest.raises(ConfigError, match="this run is no fine-tuning"):
            score(run)
    finally:
        plan.write_text(kept)
    with pytest.raises(ConfigError, match=r"no config.yaml"):
        score(tmp_path)
    description = make_dataset(tmp_path / "data", images=3)
    fresh = begin(plan_fine_tune(str(description), "street-small"), tmp_path / "fresh")
    with pytest.raises(RunFailed, match="no checkpoint to score yet"):
        score(fresh.path)


def test_a_scoring_that_is_stopped_keeps_nothing(run: Path) -> None:
    token = CancelToken()
    before = read_scores(run)
    (run / "fine-tune" / "scores.json").unlink(missing_ok=True)

    def stop(progress: Progress) -> None:
        if progress.done == 1:
            token.cancel()

    with pytest.raises(Cancelled):
        score(run, device="cpu", cancel=token, on_progress=stop)
    assert read_scores(run) is None
    assert before is None or before.after["model"] == "tuned"


def numbers(miou: float, **iou: float) -> dict[str, object]:
    return {"miou": miou, "iou": iou, "images": 1, "taxonomy": "camvid-11", "model": "old"}


def test_the_table_and_the_sentence() -> None:
    scores = Scores(numbers(0.5, Car=0.2, Sky=0.9, Road=0.4), numbers(0.6, Car=0.5, Sky=0.8, Road=0.402), 9, 1.0)
    assert [one.name for one in scores.classes()] == ["Car", "Road", "Sky"]
    assert "mIoU 50.0 % before, 60.0 % after, on 1 held-out image: 1 of 3 classes better, 1 worse" in scores.words()
    lines = as_text(scores).splitlines()
    assert lines[0].split() == ["class", "before", "after", "change"]
    assert lines[1].split() == ["Car", "20.0", "50.0", "+30.0"]
    assert lines[5].split() == ["mIoU", "50.0", "60.0", "+10.0"]
    assert ClassScore("x", None, 0.5).change is None


def test_a_model_that_got_worse_is_called_worse() -> None:
    better, same, worse = (Scores(numbers(0.5, Car=0.5), numbers(miou, Car=miou), 9, 1.0) for miou in (0.6, 0.502, 0.4))
    assert better.advice == ""
    assert same.advice.startswith("It is no better than before: keep old")
    assert worse.advice.startswith("It got worse: keep old") and worse.advice in as_text(worse)

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from mseg_studio.inference.events import LabelsReady
from mseg_studio.inference.recipe import preset
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.readout import Readout
from mseg_studio.ui.bridges import Prediction
from mseg_studio.ui.widgets import ElidedLabel
from mseg_studio.ui.workspaces.segment.batch import BatchRun
from mseg_studio.ui.workspaces.segment.choice import Choice
from mseg_studio.ui.workspaces.segment.estimate import Estimate, Estimator, counted, short_duration
from mseg_studio.ui.workspaces.segment.items import FrameKey
from mseg_studio.ui.workspaces.segment.results import Result, ResultStore
from tests.ui.fakes import FINE

CHOICE = Choice("street-small", "balanced", "universal")


def prediction(seed: int) -> Prediction:
    ids = np.random.default_rng(seed).integers(0, 8, (40, 50), np.uint8)
    labels = LabelMap(ids, FINE)
    event = LabelsReady(seed, labels, "street-small", {}, 0.1, network_ran=True)
    return Prediction(event, tuple(labels.counts()), zlib.compress(ids.tobytes(), 1))


def test_what_is_kept_comes_back_equal() -> None:
    store, got = ResultStore(), []
    key, kept = FrameKey("a.png"), prediction(1)
    store.put(key, CHOICE, kept)
    store.recall(QObject(), key, CHOICE, lambda _key, result: got.append(result))
    result: Result = got[0]
    assert np.array_equal(result.labels.ids_HW, kept.event.labels.ids_HW)
    assert result.counts == kept.counts and not result.network_ran
    assert not store.has(key, Choice("street-small", "fast", "universal"))


def test_a_measure_is_kept_with_its_labels_and_counts_in_the_budget() -> None:
    ids = np.zeros((40, 50), np.uint8)
    measure = np.random.default_rng(1).integers(0, 256, (40, 50), np.uint8)
    labels, readout = LabelMap(ids, FINE), Readout(measure="margin")
    event = LabelsReady(1, labels, "street-small", {}, 0.1, True, readout, measure)
    packed = zlib.compress(measure.tobytes(), 1)
    kept = Prediction(event, tuple(labels.counts()), zlib.compress(ids.tobytes(), 1), packed)
    store, got = ResultStore(budget_bytes=2 * len(packed)), []
    for name in ("a.png", "b.png"):
        store.put(FrameKey(name), CHOICE, kept)
    assert not store.has(FrameKey("a.png"), CHOICE)
    assert store.measure_of(FrameKey("b.png"), CHOICE) == "margin"
    store.recall(QObject(), FrameKey("b.png"), CHOICE, lambda _key, result: got.append(result))
    assert got[0].measure == "margin" and np.array_equal(got[0].measure_HW, measure)
    assert store.measure_of(FrameKey("b.png"), replace(CHOICE, min_confidence=0.5)) is None


def test_the_ones_not_looked_at_for_longest_go_first() -> None:
    size = len(prediction(0).packed)
    store = ResultStore(budget_bytes=int(3.5 * size))
    for number in range(3):
        store.put(FrameKey("v.mp4", number), CHOICE, prediction(number))
    store.recall(QObject(), FrameKey("v.mp4", 0), CHOICE, lambda _key, _result: None)
    store.put(FrameKey("v.mp4", 3), CHOICE, prediction(3))
    assert [store.has(FrameKey("v.mp4", number), CHOICE) for number in range(4)] == [True, False, True, True]


def test_a_batch_takes_the_item_on_screen_first_and_forgets_none() -> None:
    batch, done = BatchRun(5), {1}
    order = []
    for prefer in (3, 3, 0, 0, 0):
        index = batch.next(prefer=prefer, is_done=done.__contains__)
        if index is None:
            break
        if index == 2 and 2 not in order:
            batch.give_back(index)
        else:
            done.add(index)
        order.append(index)
    assert order == [3, 0, 2, 2, 4]
    assert batch.next(prefer=0, is_done=done.__contains__) is None
    assert batch.summary(1).startswith("4 items segmented") and "1 failed" in batch.summary(1)


def test_the_first_run_of_a_recipe_and_of_a_process_is_told_apart() -> None:
    learned: list[tuple[object, ...]] = []
    estimator = Estimator(lambda *_: Estimate(1, 2, 3.0), lambda *run: learned.append(run))
    facts = {"engine": "torch"}
    for name in ("balanced", "balanced", "paper", "balanced"):
        estimator.learn("m", preset(name), 1080, 1920, seconds=0.5, facts=facts)
    assert learned[0] == (facts, (1080, 1920), 0.5, True)
    assert [run[-1] for run in learned] == [True, False, True, True]
    estimator.forget_process()
    estimator.learn("m", preset("balanced"), 1080, 1920, seconds=0.5, facts=facts)
    assert learned[-1][-1] is True


def test_an_estimate_in_words_says_what_is_known() -> None:
    assert Estimate(2, 4, 0.06).texts()[0] == "2 crops · 4 passes · ~0.1 s"
    assert Estimate(22, 44, 83.0, 1_240_000_000).texts() == (
        "22 crops · 44 passes · ~1:23 min · 1.2 GB",
        "22 crops · 44 passes · ~1:23 min",
        "44 passes · ~1:23 min",
        "~1:23 min",
    )


def test_a_label_shows_the_longest_text_there_is_room_for(qtbot: QtBot) -> None:
    label = ElidedLabel()
    qtbot.addWidget(label)
    label.show()
    label.setText("2 crops · 4 passes · ~0.1 s", "4 passes · ~0.1 s", "~0.1 s")
    for text in ("2 crops · 4 passes · ~0.1 s", "4 passes · ~0.1 s", "~0.1 s"):
        label.resize(label.fontMetrics().horizontalAdvance(text) + 1, 20)
        assert (QLabel.text(label), label.text()) == (text, "2 crops · 4 passes · ~0.1 s")
    assert label.toolTip() == label.text()
    label.resize(20, 20)
    assert QLabel.text(label).endswith("…")


def test_memory_that_will_not_do_is_told() -> None:
    assert "6.1 GB" in Estimate(22, 44, 83.0, 6_100_000_000, 3_000_000_000).warning
    assert Estimate(22, 44, 83.0, 2_900_000_000, 3_000_000_000).warning == ""
    assert Estimate(22, 44, 83.0, 6_100_000_000).warning == ""


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.01, "0.1 s"), (1.26, "1.3 s"), (12.4, "12 s"), (185, "3:05 min"), (7800, "2:10 h")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert short_duration(seconds) == words


def test_numbers_in_words() -> None:
    words = [counted(1, "crop"), counted(2, "pass"), counted(3, "entry"), counted(20000, "image")]
    assert words == ["1 crop", "2 passes", "3 entries", "20,000 images"]

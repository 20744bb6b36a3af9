from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mseg_studio.inference.client import InferenceClient
from mseg_studio.inference.events import (
    ComparisonReady,
    EngineReady,
    InferenceDied,
    InferenceFailed,
    LabelsReady,
    ProbeReady,
    RequestCancelled,
    SegmentProgress,
)
from mseg_studio.inference.recipe import Recipe
from mseg_studio.labels.readout import PLAIN, Readout
from mseg_studio.media.frame import Frame, FrameRef
from mseg_studio.workers.outcome import Reply
from tests.factories import make_frame

SMALL = Recipe(base_size=48, crop_px=49, device="cpu")
SLOW = Recipe(base_size=720, crop_px=49, device="cpu")
"""Hundreds of small tiles: long enough to be cancelled, quick to stop."""


class Listened:
    """A client and its events."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue = queue.SimpleQueue()
        self.client = InferenceClient(self.events.put, threads=1)

    def next(self, kind: type | tuple[type, ...], timeout_s: float = 60.0):
        while True:
            event = self.events.get(timeout=timeout_s)
            if isinstance(event, kind):
                return event

    def answer(self, generation: int):
        """The event that ends the request of `generation`."""
        while True:
            event = self.next((LabelsReady, InferenceFailed, RequestCancelled))
            if event.generation == generation:
                return event

    def labels(self, generation: int) -> LabelsReady:
        event = self.answer(generation)
        assert isinstance(event, LabelsReady), event
        return event

    def segment(self, frame: Frame, recipe: Recipe = SMALL, target: str = "universal") -> int:
        return self.client.segment(frame, model="street-small", recipe=recipe, target=target)


@pytest.fixture(scope="module")
def worker() -> Iterator[Listened]:
    """One process for the tests that leave it in order."""
    listened = Listened()
    listened.client.start()
    yield listened
    listened.client.close()


@pytest.fixture
def fresh() -> Iterator[Callable[[], Listened]]:
    made: list[Listened] = []

    def make() -> Listened:
        made.append(Listened())
        made[-1].client.start()
        return made[-1]

    yield make
    for listened in made:
        listened.client.close()


def test_ready_segment_switch_probe(worker):
    ready = worker.next(EngineReady)
    assert ready.device == "cpu"
    device, engine, precision = ready.label.split(" · ")
    assert (device, engine in ("torch", "openvino"), precision in ("float32", "half")) == ("CPU", True, True)
    frame = make_frame(60, 80)
    first = worker.segment(frame)
    progress = worker.next(SegmentProgress)
    assert progress.generation == first
    done = worker.labels(first)
    assert done.network_ran
    assert done.labels.ids_HW.shape == (60, 80)
    assert done.labels.taxonomy.name == "universal"
    assert done.sidecar["model"]["name"] == done.model == "street-small"
    switched = worker.labels(worker.client.project("camvid-11"))
    assert switched.generation > first
    assert not switched.network_ran
    assert switched.labels.taxonomy.name == "camvid-11"
    asked = worker.client.probe(3, 4)
    probed = worker.next(ProbeReady)
    assert (probed.generation, probed.x, probed.y) == (asked, 3, 4)
    assert probed.model_top[0][0] == done.labels.ids_HW[4, 3]
    assert probed.target_top[0][0] == switched.labels.ids_HW[4, 3]


def test_a_readout_travels_with_its_labels(worker):
    frame = make_frame(60, 80)
    asked = Readout((0, 2, 8), 0.6, "confidence")
    options = {"model": "street-small", "recipe": SMALL, "target": "camvid-11"}
    first = worker.labels(worker.client.segment(frame, **options, readout=asked))
    assert first.readout == asked
    assert (first.measure_HW.dtype, first.measure_HW.shape) == (np.uint8, (60, 80))
    unlabeled = first.labels.ids_HW == 255
    assert first.measure_HW[unlabeled].max() <= 153 <= first.measure_HW[~unlabeled].min()
    assert first.sidecar["readout"]["only"][0]["id"] == 0
    plain = worker.labels(worker.client.project("camvid-11"))
    assert not plain.network_ran
    assert (plain.readout, plain.measure_HW) == (PLAIN, None)
    assert not np.array_equal(plain.labels.ids_HW, first.labels.ids_HW)
    margin = worker.labels(worker.client.project("camvid-11", readout=Readout((0, 2, 8), 0.6, "margin")))
    assert not margin.network_ran
    np.testing.assert_array_equal(margin.labels.ids_HW, first.labels.ids_HW)
    assert (margin.measure_HW <= first.measure_HW).all()
    failed = worker.answer(worker.client.project("camvid-11", readout=Readout((11,))))
    assert isinstance(failed, InferenceFailed)
    assert failed.message == "taxonomy 'camvid-11' has no class with id 11"


def test_the_newest_frame_wins(worker):
    generations = [worker.segment(make_frame(60, 80, seed=seed), SLOW) for seed in range(4)]
    last = worker.segment(make_frame(50, 70))
    ended = {}
    while len(ended) < 5:
        event = worker.next((LabelsReady, InferenceFailed, RequestCancelled))
        ended[event.generation] = event
    assert all(isinstance(ended[generation], RequestCancelled) for generation in generations)
    assert ended[last].labels.ids_HW.shape == (50, 70)


def test_cancel_is_told_at_once_and_the_process_lives(worker):
    pid = worker.client.pid
    generation = worker.segment(make_frame(60, 80), SLOW)
    worker.next(SegmentProgress)
    started_s = time.monotonic()
    worker.client.cancel()
    assert isinstance(worker.answer(generation), RequestCancelled)
    assert time.monotonic() - started_s < 0.2
    assert worker.labels(worker.segment(make_frame(40, 40))).labels.ids_HW.shape == (40, 40)
    assert worker.client.pid == pid


def test_calls_return_at_once(worker):
    large = Frame(np.zeros((2000, 3000, 3), np.uint8))
    started_s = time.monotonic()
    generation = worker.segment(large)
    worker.client.project("camvid-11")
    worker.client.probe(1, 1)
    worker.client.cancel()
    assert time.monotonic() - started_s < 0.1
    assert isinstance(worker.answer(generation), RequestCancelled)


@pytest.mark.parametrize(
    ("model", "target", "recipe", "code", "words"),
    [
        ("street-smal", "universal", SMALL, "UnknownModelError", "did you mean street-small"),
        ("street-small", "camvid", SMALL, "UnknownTaxonomyError", "did you mean camvid"),
        ("street-small", "universal", Recipe(base_size=48, crop_px=48), "ConfigError", "try 49"),
        ("street-small", "universal", Recipe(device="cuda:9"), "ConfigError", "cuda:9 is not there"),
    ],
)
def test_errors_arrive_in_words(worker, model, target, recipe, code, words):
    failed = worker.answer(worker.client.segment(make_frame(), model=model, recipe=recipe, target=target))
    assert isinstance(failed, InferenceFailed)
    assert failed.code == code
    assert words in failed.message
    assert "\n" not in failed.message


def test_a_project_after_release_device_runs_the_frame_again(worker):
    before = worker.labels(worker.segment(make_frame(60, 80)))
    worker.client.release_device()
    again = worker.labels(worker.client.project("universal"))
    assert again.network_ran
    np.testing.assert_array_equal(again.labels.ids_HW, before.labels.ids_HW)


def test_lost_scores_come_back_in_the_readout_asked_for(worker):
    asked = Readout((0, 2), 0.5, "confidence")
    worker.labels(worker.segment(make_frame(60, 80), target="camvid-11"))
    before = worker.labels(worker.client.project("camvid-11", readout=asked))
    worker.client.release_device()
    again = worker.labels(worker.client.project("camvid-11", readout=asked))
    assert again.network_ran
    assert again.readout == asked
    np.testing.assert_array_equal(again.labels.ids_HW, before.labels.ids_HW)
    np.testing.assert_array_equal(again.measure_HW, before.measure_HW)


def test_project_before_any_frame_fails_in_words(fresh):
    listened = fresh()
    failed = listened.answer(listened.client.project("camvid-11"))
    assert isinstance(failed, InferenceFailed)
    assert "segment it" in failed.message


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_process_is_told_and_comes_back(fresh):
    listened = fresh()
    frame = Frame(make_frame(60, 80).pixels_HW3, FrameRef(Path("a.png")))
    generation = listened.segment(frame, SLOW)
    listened.next(SegmentProgress)
    os.kill(listened.client.pid, signal.SIGKILL)
    failed = listened.answer(generation)
    assert isinstance(failed, InferenceFailed)
    assert failed.code == "WorkerDied"
    died = listened.next(InferenceDied)
    assert died.restart_in_s <= 1
    assert "\n" not in died.message
    listened.next(EngineReady)
    assert listened.labels(listened.segment(frame)).labels.ids_HW.shape == (60, 80)


def test_the_client_imports_no_torch():
    code = "import sys, mseg_studio.inference.client, mseg_studio.inference.jobs, mseg_studio.inference.batch, \
mseg_studio.inference.cost; assert not {'torch', 'numba', 'PySide6'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_comparison_crosses_the_wire_whole(worker):
    worker.labels(worker.segment(make_frame(60, 80)))
    switched = worker.labels(worker.client.project("camvid-11"))
    asked = worker.client.compare("camvid-11")
    ready = worker.next(ComparisonReady)
    found = ready.comparison
    assert ready.generation == asked > switched.generation
    np.testing.assert_array_equal(found.projected.ids_HW, switched.labels.ids_HW)
    assert (found.mapped.mapping, found.source.name) == ("hard", "universal")
    assert found.no_target_HW.shape == (60, 80)
    assert found.no_target_share == pytest.approx(found.no_target_HW.mean() / 255, abs=1 / 255)
    assert sum(found.own_shares.values()) == pytest.approx(1)
    assert found.differing_share == pytest.approx(found.differing_HW.mean())
    part = worker.client.compare("camvid-11", only=(2, 0))
    ready = worker.next(ComparisonReady)
    assert ready.generation == part
    assert set(np.unique(ready.comparison.projected.ids_HW)) <= {0, 2}


def test_a_comparison_that_cannot_be_is_told(worker):
    worker.labels(worker.segment(make_frame(60, 80)))
    generation = worker.client.compare("camvid-11", only=(99,))
    failed = worker.next(InferenceFailed)
    assert (failed.generation, failed.code) == (generation, "TaxonomyError")
    worker.client.release_device()
    generation = worker.client.compare("camvid-11")
    failed = worker.next(InferenceFailed)
    assert (failed.generation, failed.code) == (generation, "ScoresGoneError")


def test_a_table_that_went_while_the_answer_came_is_a_failure_in_words(worker):
    worker.labels(worker.segment(make_frame(60, 80)))
    generation = worker.client.compare("camvid-11")
    ready = worker.next(ComparisonReady)
    ids = ready.comparison.projected.ids_HW
    fields = {
        "target": "gone",
        "source": "universal",
        "own_counts": [],
        "pairs": [],
        "no_target_share": 0,
        "seconds": 0,
    }
    arrays = {"projected": ids, "mapped": ids, "no_target": ready.comparison.no_target_HW}
    worker.client._comparisons.add(generation)
    worker.client._on_reply(Reply(generation, "result", fields, arrays))
    failed = worker.next(InferenceFailed)
    assert failed.generation == generation and "'gone'" in failed.message

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mseg_studio.errors import DeviceMemoryError, ExportError, ImageReadError
from mseg_studio.inference import pipeline
from mseg_studio.inference.jobs import ItemFailed, Job, SegmentedFrame
from mseg_studio.inference.pipeline import ReadAhead, WriteBehind, read_ahead, segment_here
from mseg_studio.inference.recipe import Recipe
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.readout import Reading
from mseg_studio.media.frame import Frame, FrameRef
from mseg_studio.media.source import SourceItem
from mseg_studio.progress import Cancelled, CancelToken
from tests.factories import make_pixels, make_projection, make_taxonomy

LETTERS = make_taxonomy(num_classes=4)


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@contextlib.contextmanager
def _soon(call):
    """`call` is called a moment after the block began; its thread is gone when the block is left."""
    timer = threading.Timer(0.05, call)
    timer.start()
    try:
        yield
    finally:
        timer.join()


class Dense:
    """Scores whose winner is a function of the pixels."""

    def __init__(self, pixels_HW3):
        self.ids_HW = (pixels_HW3[..., 0] % 3).astype(np.uint8)

    def labels(self, projection):
        return LabelMap(self.ids_HW, projection.target)

    def read(self, projection, readout):
        return Reading(self.labels(projection))


class FakePredictor:
    """Notes how its frames came; `memory` is how many it can take at once."""

    device = "cpu"

    def __init__(self, *, memory: int = 100) -> None:
        self.memory = memory
        self.asked: list[int] = []

    def steps(self, pixels_HW3, *, cancel=None):
        self.asked.append(1)
        return Dense(pixels_HW3)
        yield

    def predict_many(self, frames, *, cancel=None):
        if len(frames) > self.memory:
            raise DeviceMemoryError("too many")
        self.asked.append(len(frames))
        return [Dense(pixels) for pixels in frames]


def job_of(predictor) -> Job:
    return Job(predictor, make_projection(LETTERS), {})


def broken() -> Frame:
    raise ImageReadError("broken")


def items_of(count: int, *, sizes=(8,), broken_at=()):
    for index in range(count):
        frame = Frame(make_pixels(8, sizes[index % len(sizes)], seed=index))
        load = broken if index in broken_at else partial(dataclasses.replace, frame)
        yield SourceItem(FrameRef(Path("film"), index), load)


def seen(events):
    return [
        (event.ref.index, None) if isinstance(event, ItemFailed) else event.labels.ids_HW.tobytes() for event in events
    ]


# -- frames that share passes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames_a_pass", [2, 3, 7, 20])
@pytest.mark.parametrize("broken_at", [(), (0,), (3, 4), (6,)])
def test_frames_that_share_passes_give_the_same_answers_in_order(frames_a_pass, broken_at):
    alone = list(segment_here(job_of(FakePredictor()), items_of(7, broken_at=broken_at), frames_a_pass=1))
    predictor = FakePredictor()
    together = segment_here(job_of(predictor), items_of(7, broken_at=broken_at), frames_a_pass=frames_a_pass)
    assert seen(together) == seen(alone)
    assert sum(predictor.asked) == 7 - len(broken_at)
    assert len(predictor.asked) < 7 - len(broken_at)


def test_a_gpu_gets_as_many_frames_as_fill_it():
    predictor = FakePredictor()
    predictor.device, predictor.recipe = "cuda:0", Recipe(base_size=8, crop_px=33)
    assert len(list(segment_here(job_of(predictor), items_of(9)))) == 9
    assert predictor.asked == [4, 4, 1]  # each has a mirror image
    predictor.recipe, predictor.asked = Recipe(base_size=100, crop_px=33), []
    assert len(list(segment_here(job_of(predictor), items_of(2)))) == 2
    assert predictor.asked == [1, 1]


def test_frames_of_another_size_do_not_share():
    predictor = FakePredictor()
    assert len(list(segment_here(job_of(predictor), items_of(6, sizes=(8, 8, 9)), frames_a_pass=4))) == 6
    assert predictor.asked == [2, 1, 2, 1]


def test_frames_that_do_not_fit_together_go_one_by_one():
    predictor = FakePredictor(memory=1)
    events = list(segment_here(job_of(predictor), items_of(4), frames_a_pass=4))
    assert [type(event) for event in events] == [SegmentedFrame] * 4
    assert predictor.asked == [1, 1, 1, 1]


def test_what_is_no_item_keeps_its_place():
    items = list(items_of(3))
    mixed = [items[0], "skipped", items[1], items[2], "broken"]
    events = list(segment_here(job_of(FakePredictor()), mixed, frames_a_pass=4))
    assert [event if isinstance(event, str) else "frame" for event in events] == [
        "frame",
        "skipped",
        "frame",
        "frame",
        "broken",
    ]


# -- reading ahead ---------------------------------------------------------------------------------------------------


def test_reading_ahead_keeps_order_errors_and_bounds():
    made: list[int] = []
    taken = 0
    most = 0

    def pieces():
        for number in range(50):
            made.append(number)
            yield number, 1

    with ReadAhead(pieces()) as ahead:
        for expected, number in enumerate(ahead):
            assert number == expected
            time.sleep(0.001)
            most = max(most, len(made) - taken)
            taken += 1
    assert taken == 50
    # those that wait, the one in the thread's hands, and the one taken
    assert 2 <= most <= pipeline.DEPTH + 2


def test_large_pieces_are_not_read_far_ahead():
    made: list[int] = []

    def pieces():
        for number in range(10):
            made.append(number)
            yield number, pipeline.BUDGET_BYTES

    with ReadAhead(pieces()) as ahead:
        for number in ahead:
            time.sleep(0.005)
            assert len(made) <= number + 2


def test_an_item_that_cannot_be_read_says_so_when_it_is_loaded():
    with read_ahead(items_of(4, broken_at=(1,))) as ahead:
        events = list(segment_here(job_of(FakePredictor()), ahead))
    assert [type(event) for event in events] == [SegmentedFrame, ItemFailed, SegmentedFrame, SegmentedFrame]
    assert "broken" in str(events[1].error)


def test_an_error_of_the_reader_itself_comes_after_what_was_read():
    def pieces():
        yield 1, 0
        raise ExportError("the folder is gone")

    got = []
    with pytest.raises(ExportError, match="gone"), ReadAhead(pieces()) as ahead:
        got.extend(ahead)
    assert got == [1]


def test_a_reader_that_waits_hears_cancel():
    cancel, go = CancelToken(), threading.Event()

    def pieces():
        go.wait(10)
        yield 1, 0

    started_s = time.monotonic()
    with _soon(cancel.cancel), pytest.raises(Cancelled), ReadAhead(pieces(), cancel=cancel) as ahead:
        try:
            next(iter(ahead))
        finally:
            assert time.monotonic() - started_s < 1
            go.set()


def test_a_reader_that_is_left_early_stops():
    made = []

    def pieces():
        for number in range(1000):
            made.append(number)
            yield number, 0

    with ReadAhead(pieces()) as ahead:
        assert next(iter(ahead)) == 0
    assert len(made) < 10


# -- writing behind --------------------------------------------------------------------------------------------------


def test_writing_behind_keeps_order_and_bounds_and_ends_with_all_done():
    done: list[int] = []
    started: list[int] = []

    def write(number: int) -> None:
        time.sleep(0.002)
        done.append(number)

    with WriteBehind() as writer:
        for number in range(30):
            started.append(number)
            writer.put(partial(write, number))
            assert len(started) - len(done) <= pipeline.DEPTH + 1
    assert done == list(range(30))


def test_an_error_of_the_writer_comes_at_once_and_nothing_more_is_written():
    done: list[int] = []

    def write(number: int) -> None:
        if number == 3:
            raise ExportError("disk full")
        done.append(number)

    put = 0
    with pytest.raises(ExportError, match="disk full"), WriteBehind() as writer:
        for number in range(100):
            writer.put(partial(write, number))
            put += 1
    assert done == [0, 1, 2]
    assert put <= 3 + pipeline.DEPTH + 1


def test_the_last_error_is_not_lost():
    def write() -> None:
        time.sleep(0.05)
        raise ExportError("disk full")

    with pytest.raises(ExportError, match="disk full"), WriteBehind() as writer:
        writer.put(write)


def test_an_error_of_the_caller_drops_what_was_not_begun():
    done: list[int] = []
    held = threading.Event()

    with _soon(held.set), pytest.raises(KeyError), WriteBehind() as writer:
        writer.put(lambda: held.wait(10))
        writer.put(lambda: done.append(1))
        raise KeyError
    assert len(done) <= 1


def test_pieces_with_a_result_of_their_own_stop_nothing():
    def fail() -> int:
        raise ExportError("this one")

    with WriteBehind() as writer:
        futures = [writer.submit(fail), writer.submit(lambda: 7)]
        assert writer.result(futures[1]) == 7
        with pytest.raises(ExportError, match="this one"):
            writer.result(futures[0])


def test_a_piece_larger_than_the_budget_is_waited_for():
    done: list[int] = []
    with WriteBehind() as writer:
        writer.put(lambda: (time.sleep(0.03), done.append(1)), size_bytes=pipeline.BUDGET_BYTES + 1)
        assert done == [1]


def test_a_writer_that_is_waited_for_hears_cancel():
    cancel, held = CancelToken(), threading.Event()
    with _soon(cancel.cancel), pytest.raises(Cancelled), WriteBehind(cancel=cancel) as writer:
        try:
            for _ in range(10):
                writer.put(lambda: held.wait(10))
        finally:
            held.set()

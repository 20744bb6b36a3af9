"""Framing, slots, waiting requests and the restart rule, each alone."""

from __future__ import annotations

import multiprocessing
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mseg_studio.workers import framing
from mseg_studio.workers.framing import ProtocolError, pack, unpack
from mseg_studio.workers.restart import RestartPolicy
from mseg_studio.workers.slots import Slot
from mseg_studio.workers.waiting import Submitted, Waiting

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_messages_come_back_equal(fields):
    message = {**fields, "type": "x"}
    assert unpack(pack(message)) == message


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"[]", b"{}", b'{"type": 3}', b'"type"', b"null", b"[" * 100_000, b'{"type": "x"']
)
def test_broken_messages_are_refused(data):
    with pytest.raises(ProtocolError):
        unpack(data)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"bytes", {1, 2}])
def test_values_that_are_no_json_are_refused(value):
    with pytest.raises(ProtocolError):
        pack({"type": "x", "value": value})


def test_oversized_messages_are_refused_on_both_sides(monkeypatch):
    monkeypatch.setattr(framing, "MAX_MESSAGE_BYTES", 100)
    with pytest.raises(ProtocolError, match="at most 100"):
        pack({"type": "x" * 200})
    here, there = multiprocessing.Pipe()
    with here, there:
        there.send_bytes(b"x" * 200)
        with pytest.raises(OSError, match="bad message length"):
            framing.receive(here)


DTYPES = ["bool", "uint8", "uint16", "int32", "int64", "float16", "float32"]


@given(st.lists(st.tuples(st.lists(st.integers(0, 6), max_size=4), st.sampled_from(DTYPES)), max_size=5))
def test_slots_give_back_what_was_written(shapes):
    generator = np.random.default_rng(len(shapes))
    arrays = {str(index): generator.integers(0, 2, shape).astype(dtype) for index, (shape, dtype) in enumerate(shapes)}
    writer = Slot.create()
    reader = Slot.attach(os.dup(writer.descriptor))
    try:
        described = unpack(pack({"type": "x", "arrays": writer.write(arrays)}))["arrays"]
        copies = reader.copies(described)
    finally:
        reader.close()
        writer.close()
    assert copies.keys() == arrays.keys()
    for name, array in arrays.items():
        assert copies[name].dtype == array.dtype
        np.testing.assert_array_equal(copies[name], array)


GOOD = {"name": "x", "offset": 0, "shape": [4], "dtype": "uint8"}


@pytest.mark.parametrize(
    "change",
    [
        {"offset": 4096},
        {"offset": -64},
        {"offset": 3},
        {"offset": None},
        {"offset": 1 << 60},
        {"shape": [1 << 20]},
        {"shape": [-1]},
        {"shape": [1 << 33, 1 << 33]},
        {"shape": "4"},
        {"shape": [True]},
        {"shape": [1] * 9},
        {"dtype": "object"},
        {"dtype": "float128"},
        {"dtype": None},
        {"name": None},
    ],
)
def test_descriptions_that_lie_are_refused(change):
    slot = Slot.create()
    try:
        slot.write({"x": np.zeros(4, np.uint8)})
        with pytest.raises(ProtocolError):
            slot.views([{**GOOD, **change}])
        with pytest.raises(ProtocolError):
            slot.views(["x"])
    finally:
        slot.close()


def test_views_are_read_only_and_outlive_growth_and_close():
    slot = Slot.create()
    view = slot.views(slot.write({"x": np.arange(10, dtype=np.int32)}))["x"]
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    slot.write({"y": np.ones(3_000_000, np.float32)})
    slot.close()
    assert view.shape == (10,)


def test_arrays_of_objects_are_refused():
    slot = Slot.create()
    try:
        with pytest.raises(ProtocolError, match="object"):
            slot.write({"x": np.array([{}])})
    finally:
        slot.close()


def test_waiting_by_priority_then_age():
    waiting = Waiting()
    for request_id, priority in ((1, 0), (2, 5), (3, 0), (4, 5)):
        waiting.add(Submitted(request_id, "x", priority=priority))
    assert waiting.remove(3).request_id == 3
    assert waiting.remove(3) is None
    order = [waiting.next().request_id for _ in range(3)]
    assert order == [2, 4, 1]
    assert waiting.next() is None


@given(st.lists(st.sampled_from([None, "a", "b"]), max_size=30))
def test_a_lane_keeps_only_its_newest(lanes):
    waiting = Waiting()
    replaced = []
    for request_id, lane in enumerate(lanes):
        older = waiting.add(Submitted(request_id, "x", lane=lane))
        if older is not None:
            assert older.lane == lane
            replaced.append(older.request_id)
    kept = [request.request_id for request in waiting.clear()]
    newest = {lane: request_id for request_id, lane in enumerate(lanes) if lane}
    expected = [request_id for request_id, lane in enumerate(lanes) if lane is None or newest[lane] == request_id]
    assert kept == expected
    assert sorted(kept + replaced) == list(range(len(lanes)))


def test_back_off_grows_and_an_answer_resets_it():
    policy = RestartPolicy()
    assert [policy.died("", was_ready=True) for _ in range(4)] == [0.2, 1.0, 5.0, 5.0]
    policy.succeeded()
    assert policy.died("", was_ready=True) == 0.2
    assert not policy.hopeless


def test_failed_starts_in_a_row_are_hopeless():
    policy = RestartPolicy()
    for _ in range(5):
        assert not policy.hopeless
        policy.died("", was_ready=False)
    assert policy.hopeless
    policy.try_again()
    assert not policy.hopeless


def test_three_deaths_set_an_input_aside():
    policy = RestartPolicy()
    for _ in range(3):
        assert not policy.is_set_aside("a")
        policy.died("a", was_ready=True)
    assert policy.is_set_aside("a")
    assert not policy.is_set_aside("b")
    policy.forgive("a")
    assert not policy.is_set_aside("a")

"""The columns of a log are what reading it line by line gives, however it grew."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.training import metrics_table
from mseg_studio.training.metrics_lines import read_alike, shape_of
from mseg_studio.training.metrics_log import MetricsReader
from mseg_studio.training.metrics_table import Metrics, MetricsTable

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, 10),
    st.floats(1e-9, 1e-3),
    st.integers(-(10**25), 10**25),
    st.integers(0, 10**6),
)
ROUNDED = NUMBERS.map(lambda number: round(number, 5) if isinstance(number, float) else number)


@st.composite
def events(draw: Any) -> dict[str, Any]:
    step = draw(st.integers(0, 60))
    kind = draw(st.sampled_from(["step"] * 12 + ["validation", "save", "resume", "iou", "start"]))
    event: dict[str, Any] = {"event": kind, "step": step, "time": draw(ROUNDED)}
    if kind == "step":
        event |= {"loss": draw(NUMBERS), "lr": draw(NUMBERS)}
        if draw(st.integers(0, 9)) == 0:
            event["note"] = draw(st.sampled_from(["ä", "x", '"', None, True]))
        names = draw(st.sampled_from([(), ("camvid", 'b"dd'), ("camvid", 'b"dd'), ("camvid",)]))
        if names:
            event["loss_by_dataset"] = {name: draw(NUMBERS) for name in names}
    elif kind == "validation":
        event |= {"loss": draw(NUMBERS), "miou": draw(NUMBERS), "iou": {"road": draw(NUMBERS)}}
    return event


def lines_of(found: list[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(event, ensure_ascii=False).encode() for event in found]


broken = st.sampled_from(
    [b"", b"{", b'{"event": "step"}', b'{"event": "step", "step": 1.5, "loss": 1}', b"\xff", b"[1]"]
)
logs = st.lists(
    st.one_of(events().map(lambda event: lines_of([event])[0]), events().map(lambda e: lines_of([e])[0]), broken),
    max_size=60,
)


def expected(path: Path) -> tuple[list[dict[str, float]], list[dict[str, Any]]]:
    """Numbers of the steps, and the other events."""
    reader = MetricsReader(path)
    reader.poll()
    rows = []
    for event in (event for event in reader.events if event["event"] == "step"):
        flat = {key: value for key, value in event.items() if isinstance(value, int | float) and value is not True}
        flat |= {f"loss_by_dataset/{name}": value for name, value in event.get("loss_by_dataset", {}).items()}
        rows.append({key: float(value) for key, value in flat.items()})
    return rows, [event for event in reader.events if event["event"] != "step"]


def rows_of(metrics: Metrics) -> list[dict[str, float]]:
    table = {"step": metrics.step, **metrics.columns}
    rows = [{name: float(column[i]) for name, column in table.items()} for i in range(len(metrics.step))]
    return [{name: value for name, value in row.items() if not math.isnan(value)} for row in rows]


@given(logs, st.lists(st.integers(0, 4000), max_size=4), st.booleans())
@settings(max_examples=150, deadline=None)
def test_equal_to_the_reader_of_lines_however_it_grew(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], cuts: list[int], quick: bool
) -> None:
    path = tmp_path_factory.mktemp("log") / "metrics.jsonl"
    data = b"".join(line + b"\n" for line in lines)
    kept = metrics_table._QUICK_BYTES
    metrics_table._QUICK_BYTES = 1 << 30 if quick else 0
    try:
        table = MetricsTable(path)
        table.poll()
        for cut in [*sorted(cut for cut in cuts if cut < len(data)), len(data)]:
            path.write_bytes(data[:cut]) if not path.exists() else _append(path, data, cut)
            table.poll()
    finally:
        metrics_table._QUICK_BYTES = kept
    rows, others = expected(path)
    metrics = table.metrics()
    assert rows_of(metrics) == rows
    assert len(metrics.validations) == sum(event["event"] == "validation" for event in others)
    assert list(metrics.others) == [e for e in others if e["event"] not in ("validation", "iou")]


def _append(path: Path, data: bytes, cut: int) -> None:
    with path.open("ab") as stream:
        stream.write(data[path.stat().st_size : cut])


@given(NUMBERS)
@settings(max_examples=2000, deadline=None)
def test_a_number_is_what_python_makes_of_it_or_left_to_python(value: float) -> None:
    event = {"event": "step", "step": 1, "loss": value}
    line = json.dumps(event).encode()
    shape = shape_of(event, line)
    assert shape is not None
    into = np.empty((1, 2))
    rows, end = read_alike(np.frombuffer(line + b"\n", np.uint8), 0, shape, into)
    assert (rows == 0 and end == 0) or float(into[0, 1]) == float(value)


def test_usual_numbers_are_read_the_quick_way() -> None:
    random = np.random.default_rng(3)
    found = [
        {
            "event": "step",
            "step": i,
            "time": 1.76e9 + random.random(),
            "loss": random.random() * 3,
            "lr": 1e-4 / (i + 1),
        }
        for i in range(2000)
    ]
    lines = lines_of(found)
    shape = shape_of(found[0], lines[0])
    assert shape is not None
    good = 0
    for event, line in zip(found, lines, strict=True):
        into = np.empty((1, 4))
        rows, _end = read_alike(np.frombuffer(line + b"\n", np.uint8), 0, shape, into)
        good += rows
        assert not rows or into[0].tolist() == [event["step"], event["time"], event["loss"], event["lr"]]
    assert good > 1950


@pytest.mark.parametrize("text", ["01", "1.", ".5", "+1", "-", "1e", "1e+", "NaN", "0x1", "1 ", '"1"', "1.5.5"])
def test_what_is_no_number_is_left_to_python(text: str) -> None:
    event = {"event": "step", "step": 1, "loss": 0.5}
    shape = shape_of(event, json.dumps(event).encode())
    assert shape is not None
    line = json.dumps(event).replace("0.5", text).encode() + b"\n"
    assert read_alike(np.frombuffer(line, np.uint8), 0, shape, np.empty((1, 2))) == (0, 0)


def test_what_was_handed_out_does_not_change_when_a_resume_drops_it(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"".join(b'{"event": "step", "step": %d, "loss": %d}\n' % (i, i) for i in range(100)))
    table = MetricsTable(path)
    assert table.poll()
    before = table.metrics()
    with path.open("ab") as stream:
        stream.write(b'{"event": "resume", "step": 49}\n')
        stream.write(b"".join(b'{"event": "step", "step": %d, "loss": -1}\n' % i for i in range(50, 80)))
    assert table.poll() and not table.poll()
    after = table.metrics()
    assert before.column("loss").tolist() == list(range(100))
    assert after.column("loss").tolist() == [*range(50), *[-1] * 30]
    assert after.others[0]["event"] == "resume"


def test_a_damaged_resume_of_a_step_beyond_all_numbers_drops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"event": "step", "step": 3, "loss": 0.5}\n{"event": "resume", "step": 1' + "0" * 400 + "}\n")
    table = MetricsTable(path)
    table.poll()
    assert table.metrics().column("loss").tolist() == [0.5]


def test_another_file_in_its_place_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"event": "step", "step": 1, "loss": 1}\n' * 3)
    table = MetricsTable(path)
    table.poll()
    (tmp_path / "new").write_text('{"event": "step", "step": 9, "loss": 2}\n' * 5)
    os.replace(tmp_path / "new", path)
    assert table.poll()
    assert table.metrics().step.tolist() == [9] * 5


def test_classes_that_a_validation_line_had_no_room_for(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    found = [
        {"event": "iou", "step": 5, "dataset": "camvid", "iou": {"road": 0.1}},
        {"event": "iou", "step": 5, "iou": {"road": 0.9}},
        {"event": "iou", "step": 5, "iou": {"sky": None}},
        {"event": "validation", "step": 5, "time": 1.0, "loss": 0.4, "miou": 0.5, "miou_by_dataset": {"camvid": 0.5}},
        {"event": "validation", "step": 9, "time": 2.0, "loss": 0.3, "miou": 0.6, "iou": {"road": 0.8}},
    ]
    path.write_bytes(b"\n".join(lines_of(found)) + b"\n")
    table = MetricsTable(path)
    table.poll()
    metrics = table.metrics()
    first, second = metrics.validations
    assert first.iou["road"] == 0.9 and math.isnan(first.iou["sky"]) and first.miou_by_dataset == {"camvid": 0.5}
    assert second.iou == {"road": 0.8} and metrics.best == second


def test_a_million_lines_are_read_within_seconds(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    line = b'{"event": "step", "step": %d, "time": 1763800000.25, "loss": 0.%06d, "lr": 0.00417, "data_wait": 0.03}\n'
    path.write_bytes(b"".join([line % (i, i % 999983) for i in range(1_000_000)]))
    MetricsTable(path).poll()  # what reads many lines at once is compiled by now
    started = time.perf_counter()
    table = MetricsTable(path)
    table.poll()
    seconds = time.perf_counter() - started
    assert table.metrics().column("loss")[123456] == 0.123456
    assert seconds < 6, "2 s on a calm machine"

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.training.metrics_log import MetricsLog, MetricsReader, read_metrics, validation_events


def _step(step: int) -> dict[str, object]:
    return {"event": "step", "step": step, "loss": 1.0 / (step + 1)}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with contextlib.closing(MetricsLog(path)) as log:
        for step in range(3):
            log.append(_step(step))
    assert read_metrics(path) == [_step(step) for step in range(3)]


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(0, 400), max_size=8))
def test_a_growing_file_gives_every_event_once(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]) -> None:
    path = tmp_path_factory.mktemp("run") / "metrics.jsonl"
    data = "".join(json.dumps(_step(n)) + "\n" for n in range(8)).encode()
    reader, seen, written = MetricsReader(path), [], 0
    for cut in [*sorted(cuts), len(data)]:
        path.write_bytes(data[: max(written, min(cut, len(data)))])
        written = max(written, min(cut, len(data)))
        seen += reader.poll()
    assert seen == reader.events == [_step(n) for n in range(8)]


def test_a_torn_line_is_passed_over_and_nothing_is_glued_to_it(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(json.dumps(_step(0)).encode() + b'\n{"event": "st')
    with contextlib.closing(MetricsLog(path)) as log:
        log.append(_step(1))
    assert read_metrics(path) == [_step(0), _step(1)]


def test_a_resume_drops_later_steps(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    resume = {"event": "resume", "step": 2}
    with contextlib.closing(MetricsLog(path)) as log:
        for event in (_step(1), _step(2), _step(3), resume, {**_step(3), "loss": 9.0}):
            log.append(event)
    assert read_metrics(path) == [_step(1), _step(2), resume, {**_step(3), "loss": 9.0}]


def test_a_name_that_is_no_utf8_comes_back(tmp_path: Path) -> None:
    event = {"event": "skipped", "step": 3, "names": [os.fsdecode(b"tiny/caf\xe9.png")]}
    with contextlib.closing(MetricsLog(tmp_path / "metrics.jsonl")) as log:
        log.append(event)
    assert read_metrics(tmp_path / "metrics.jsonl") == [event]


@pytest.mark.parametrize("line", [b"[1]\n", b"\xff\xfe\n", b'{"event": "step"}\n', b"\n"])
def test_a_strange_line_is_passed_over(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(line + json.dumps(_step(4)).encode() + b"\n")
    assert read_metrics(path) == [_step(4)]


def test_no_file_is_no_event(tmp_path: Path) -> None:
    assert MetricsReader(tmp_path / "metrics.jsonl").poll() == []


@pytest.mark.parametrize("event", [{"text": "x" * 4096}, {"loss": float("nan")}])
def test_lines_that_do_not_fit_are_refused(tmp_path: Path, event: dict[str, object]) -> None:
    with contextlib.closing(MetricsLog(tmp_path / "metrics.jsonl")) as log, pytest.raises(ValueError, match=r"."):
        log.append(event)
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_told_with_the_file() -> None:
    with contextlib.closing(MetricsLog(Path("/dev/full"))) as log, pytest.raises(OSError, match=r"No space.*/dev/full"):
        log.append(_step(1))


def test_a_line_that_is_written_in_part_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a disk does that fills up in the middle of it."""
    path = tmp_path / "metrics.jsonl"
    write = os.write
    with contextlib.closing(MetricsLog(path)) as log:
        log.append(_step(1))
        monkeypatch.setattr("os.write", lambda descriptor, data: write(descriptor, data[:5]))
        with pytest.raises(OSError, match="No space"):
            log.append(_step(2))
        monkeypatch.undo()
        log.append(_step(3))
    assert path.read_bytes().count(b"\n") == 2
    assert read_metrics(path) == [_step(1), _step(3)]


def test_a_validation_of_many_classes_has_its_classes_in_lines_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    iou = {f"class {n:03}": n / 1000 for n in range(194)} | {"nothing": float("nan")}
    events = validation_events(loss=1.0, miou=0.5, by_dataset={"a": {"miou": 0.4}, "b": {"miou": 0.7}}, iou=iou)
    with contextlib.closing(MetricsLog(path)) as log:
        for event in events:
            log.append({**event, "step": 1, "time": 1.0})
    *parts, last = read_metrics(path)
    assert len(parts) >= 2
    assert {event["event"] for event in parts} == {"iou"}
    assert last["event"] == "validation"
    assert last["miou_by_dataset"] == {"a": 0.4, "b": 0.7}
    joined = {name: value for event in parts for name, value in event["iou"].items()}
    assert joined == {name: value for name, value in iou.items() if name != "nothing"}


def test_a_validation_of_few_classes_is_one_line() -> None:
    (event,) = validation_events(loss=float("nan"), miou=0.5, by_dataset={"a": {"miou": 0.5}}, iou={"sky": 0.123456})
    assert event == {"event": "validation", "miou": 0.5, "iou": {"sky": 0.12346}}

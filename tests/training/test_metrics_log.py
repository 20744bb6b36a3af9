from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.training.metrics_log import MetricsLog, MetricsReader, read_metrics


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

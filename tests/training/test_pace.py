from __future__ import annotations

import pytest

from mseg_studio.training import pace
from mseg_studio.training.pace import Pace
from tests.training.factory import make_config


class _Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(pace.time, "monotonic", lambda: self.now_s)


def test_images_a_second_and_the_share_of_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock(monkeypatch)
    timed = Pace(make_config(batch=4))
    for took_s, wait_s in ((3.0, 1.0), (1.0, 0.0)):
        clock.now_s += 50  # saving between two steps
        timed.begin()
        clock.now_s += took_s
        timed.step_done(wait_s=wait_s)
    assert timed.lap() == (2.0, 0.25)
    assert timed.lap() == (0.0, 0.0)


def test_the_time_left_counts_steps_and_validations(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock(monkeypatch)
    timed = Pace(make_config(steps=100, validate_every=30))
    assert timed.seconds_left(0) is None
    for took_s in (60.0, 2.0, 2.0):  # the first step also builds everything
        clock.now_s += took_s
        timed.step_done(wait_s=0.0)
    assert timed.seconds_left(50) == pytest.approx(100.0)
    clock.now_s += 10
    timed.validation_done()
    assert timed.seconds_left(50) == pytest.approx(100.0 + 3 * 10), "after 60, after 90 and at the end"
    assert timed.seconds_left(100) == 0

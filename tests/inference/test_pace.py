from __future__ import annotations

import json
import random
import stat

import numpy as np
import pytest

from mseg_studio.inference.pace import Pace, Setup, Work

SETUP = Setup("m", "torch", "float32", "cpu", 2)
GUESS = np.array([0.2, 0.002, 0.04, 0.005])
SMALL = Work(0.4476, 2, 0.5)
BALANCED = Work(0.8949, 4, 2.0736)
PAPER = Work(9.8440, 44, 12.4416)
MANY_CROPS = Work(40.0, 77, 8.3)


def noisy(rng: random.Random, work: Work, truth: np.ndarray) -> float:
    """A run on a machine where other things run: 10 % up and down, now and then twice as long."""
    return float(work.parts @ truth) * rng.uniform(0.9, 1.1) * (2.0 if rng.random() < 0.1 else 1.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "pace.json"


def test_before_any_run_the_guess_counts(path):
    assert Pace(path).seconds(SETUP, PAPER, GUESS) == pytest.approx(float(PAPER.parts @ GUESS))
    assert not path.exists()


@pytest.mark.parametrize("seed", range(20))
def test_within_a_quarter_after_three_frames_the_first_of_which_compiles(path, seed):
    rng = random.Random(seed)
    truth = GUESS * [rng.uniform(0.1, 8) for _ in GUESS]
    pace = Pace(path)
    expected = float(BALANCED.parts @ truth)
    pace.learn(SETUP, BALANCED, expected + 12, first=True)
    for run in range(2):
        pace.learn(SETUP, BALANCED, expected * (1.1, 0.9)[run])
    assert pace.seconds(SETUP, BALANCED, GUESS) == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize("seed", range(20))
def test_one_busy_moment_in_three_runs_does_no_harm(path, seed):
    rng = random.Random(seed)
    pace = Pace(path)
    runs = [0.9, 1.1, 6.0]
    rng.shuffle(runs)
    for run in runs:
        pace.learn(SETUP, SMALL, run)
    assert pace.seconds(SETUP, SMALL, GUESS) == pytest.approx(1, rel=0.25)


@pytest.mark.parametrize("seed", range(20))
def test_runs_of_two_kinds_tell_about_others(path, seed):
    rng = random.Random(seed)
    truth = GUESS * [rng.uniform(1, 3) for _ in GUESS] * rng.uniform(0.1, 10)
    pace = Pace(path)
    for work in (SMALL, PAPER):
        for _ in range(5):
            pace.learn(SETUP, work, noisy(rng, work, truth))
    assert pace.seconds(SETUP, BALANCED, GUESS) == pytest.approx(float(BALANCED.parts @ truth), rel=0.35)
    assert pace.seconds(SETUP, MANY_CROPS, GUESS) == pytest.approx(float(MANY_CROPS.parts @ truth), rel=0.6)


def test_runs_of_one_kind_carry_over_to_others_in_proportion(path):
    pace = Pace(path)
    for _ in range(3):
        pace.learn(SETUP, BALANCED, 3 * float(BALANCED.parts @ GUESS))
    assert pace.seconds(SETUP, PAPER, GUESS) == pytest.approx(3 * float(PAPER.parts @ GUESS))


def test_a_first_run_alone_raises_the_guess_but_little_and_lowers_it_at_once(path):
    guessed = float(SMALL.parts @ GUESS)
    slow, fast = Pace(path), Pace(path.with_name("other.json"))
    slow.learn(SETUP, SMALL, 100 * guessed, first=True)
    fast.learn(SETUP, SMALL, guessed / 100, first=True)
    assert slow.seconds(SETUP, SMALL, GUESS) == pytest.approx(3 * guessed)
    assert fast.seconds(SETUP, SMALL, GUESS) == pytest.approx(guessed / 100)


def test_a_first_run_of_a_later_day_is_not_believed(path):
    Pace(path).learn(SETUP, SMALL, 1.0)
    later = Pace(path)
    later.learn(SETUP, SMALL, 50.0, first=True)
    assert later.seconds(SETUP, SMALL, GUESS) == pytest.approx(1.0)


def test_a_lasting_change_is_followed(path):
    pace = Pace(path)
    for seconds in (1.0,) * 5 + (4.0,) * 3:
        pace.learn(SETUP, SMALL, seconds)
    assert pace.seconds(SETUP, SMALL, GUESS) == pytest.approx(4.0)


def test_what_was_learned_is_there_tomorrow_and_setups_stay_apart(path):
    other = Setup("m", "openvino", "half", "cpu", 2)
    Pace(path).learn(SETUP, SMALL, 1.0)
    Pace(path).learn(other, SMALL, 0.25)
    again = Pace(path)
    assert again.seconds(SETUP, SMALL, GUESS) == pytest.approx(1.0)
    assert again.seconds(other, SMALL, GUESS) == pytest.approx(0.25)
    assert again.latest("m") == other
    assert again.latest("m", precision="float32") == SETUP
    assert again.latest("m", threads=3) is None
    assert again.latest("n") is None


def test_two_programs_at_once_keep_what_the_other_learned(path):
    one, two = Pace(path), Pace(path)
    other = Setup("n", "torch", "float32", "cpu", 2)
    one.learn(SETUP, SMALL, 1.0)
    two.learn(other, SMALL, 2.0)
    assert Pace(path).latest("m") == SETUP
    assert Pace(path).latest("n") == other


def test_a_run_like_those_before_writes_nothing(path):
    pace = Pace(path)
    for _ in range(5):
        pace.learn(SETUP, SMALL, 1.0)
    path.unlink()
    pace.learn(SETUP, SMALL, 1.05)
    assert not path.exists()


def test_the_record_does_not_grow_without_end(path):
    pace = Pace(path)
    for number in range(100):
        pace.learn(Setup(f"m{number}", "torch", "half", "cpu", 1), SMALL, 1.0)
        pace.learn(SETUP, Work(1.0 + number, 2, 1.0), 1.0)
    found = json.loads(path.read_text())["setups"]
    assert len(found) == 64
    assert len(found[SETUP.key]) == 12


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"format": 2, "setups": {}}',
        b'{"format": 1, "setups": {"a": []}}',
        b'{"format": 1, "setups": {"a|b|c|d|1": [{"seconds": []}]}}',
        b'{"format": 1, "setups": {"a|b|c|d|1": [{"megapixels": 1, "passes": 1, "resized_megapixels": 1, '
        b'"seconds": [NaN], "cold": false}]}}',
        b'{"format": 1, "setups": [1]}',
        b"null",
    ],
)
def test_a_damaged_record_is_begun_anew(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    pace = Pace(path)
    assert pace.latest("a") is None
    pace.learn(SETUP, SMALL, 1.0)
    assert Pace(path).latest("m") == SETUP


def test_where_nothing_can_be_written_it_is_learned_for_this_run(tmp_path):
    closed = tmp_path / "file"
    closed.write_text("no folder")
    closed.chmod(stat.S_IRUSR)
    pace = Pace(closed / "cache" / "pace.json")
    pace.learn(SETUP, SMALL, 1.0)
    assert pace.seconds(SETUP, SMALL, GUESS) == pytest.approx(1.0)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_times_that_cannot_be_are_left_out(path, seconds):
    pace = Pace(path)
    pace.learn(SETUP, SMALL, seconds)
    assert pace.latest("m") is None

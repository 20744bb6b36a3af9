from __future__ import annotations

import pytest

from mseg_studio.training.failure import Death, Failure, advice, death_words, first_failure


def failed(reason: str, time: float, *, lost_others: bool | None = None) -> dict:
    ended = {"status": "failed", "reason": reason, "step": 3, "time": time}
    return {"pid": 1, "ended": ended if lost_others is None else ended | {"lost_others": lost_others}}


def test_the_first_rank_is_the_cause():
    assert first_failure({0: failed("later", 9.0), 1: failed("first", 8.0)}, {}) == Failure(1, "first")


def test_a_rank_that_lost_the_others_is_no_cause():
    ranks = {0: failed("gone", 1.0, lost_others=True), 1: {"pid": 2}}
    found = first_failure(ranks, {1: Death(1.3, -9)})
    assert found == Failure(1, "killed by signal 9: probably out of memory or killed by hand")
    assert first_failure({0: failed("gone", 1.0, lost_others=True)}, {}) == Failure(0, "gone")


@pytest.mark.parametrize("words", ["Connection closed by peer [127.0.0.1]:3", "NCCL error: unhandled system error"])
def test_failures_of_talking_count_as_such_where_the_rank_does_not_say(words):
    ranks = {0: failed(f"RuntimeError: {words}", 1.0), 2: failed("out of memory", 2.0)}
    assert first_failure(ranks, {}) == Failure(2, "out of memory")
    said = {0: failed(f"RuntimeError: {words}", 1.0, lost_others=False), 2: failed("out of memory", 2.0)}
    assert first_failure(said, {}).rank == 0


def test_ranks_that_ended_well_or_go_on_are_no_failure():
    ranks = {0: {"pid": 1}, 1: {"pid": 2, "ended": {"status": "stopped", "reason": "", "time": 1.0}}}
    assert first_failure(ranks, {}) is None


def test_a_rank_that_said_its_end_did_not_die():
    ranks = {0: {"pid": 1, "ended": {"status": "finished", "reason": "", "time": 1.0}}}
    assert first_failure(ranks, {0: Death(1.0)}) is None


@pytest.mark.parametrize(
    ("death", "words"),
    [
        (Death(0.0), "probably out of memory or killed by hand"),
        (Death(0.0, -9), "killed by signal 9: probably out of memory or killed by hand"),
        (Death(0.0, -9, out_of_memory=True), "killed by the system (signal 9) because memory ran out"),
        (Death(0.0, -11, out_of_memory=True), "signal 11"),
        (Death(0.0, -7), "shared memory"),
        (Death(0.0, 3), "exit code 3"),
        (Death(0.0, -40), "killed by signal 40"),
    ],
)
def test_deaths_in_words(death, words):
    assert words in death_words(death)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("killed by signal 9: probably out of memory or killed by hand", "fewer processes"),
        ("out of memory: lower batch (CUDA out of memory. Tried to allocate 2 GiB)", "accumulate"),
        ("OutOfMemoryError: CUDA out of memory", "bfloat16"),
        ("[Errno 28] No space left on device", "Make room"),
        ("/data/a.png: cannot be read: No such file or directory", "dataset check"),
        ("the loss was no number in 10 steps in a row; last with ['a.png']", "optim.lr"),
        ("the training images or labels changed since the last checkpoint", "Put the files back"),
        ("steps, seed changed since the last checkpoint; start a new run for that", "Clone the run"),
        ("something nobody thought of", "log/rank3.txt"),
    ],
)
def test_what_to_do(reason, words):
    assert words in advice("failed", reason, 3)


def test_nothing_is_advised_where_nothing_is_wrong():
    assert advice("running", "", None) == "" == advice("stopped", "asked to stop", None)
    assert "newest checkpoint" in advice("lost", "", None)

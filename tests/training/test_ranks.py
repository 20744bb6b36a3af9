from __future__ import annotations

import os
import sys

import pytest
import torch

from mseg_studio.errors import ConfigError, RunFailed
from mseg_studio.training.ranks import Ranks
from tests.training.processes import codes, ranks_of
from tests.training.thread_ranks import in_threads

_PLACE = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


@pytest.fixture(autouse=True)
def _no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _PLACE:
        monkeypatch.delenv(name, raising=False)


def test_without_a_launcher_there_is_one_process() -> None:
    ranks = Ranks.start("cpu")
    assert (ranks.rank, ranks.world, ranks.device) == (0, 1, torch.device("cpu"))
    assert ranks.is_first
    assert ranks.any(True)
    assert not ranks.any(False)
    assert ranks.gather({"a": 1}) == [{"a": 1}]
    assert torch.equal(ranks.sum(torch.ones(2)), torch.ones(2))
    assert ranks.first_tells(lambda: 5) == 5
    ranks.barrier()
    ranks.close()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"RANK": "2", "WORLD_SIZE": "2"}, "expected a rank from 0 to 1"),
        ({"RANK": "0"}, "WORLD_SIZE='', expected a number"),
        ({"RANK": "zero", "WORLD_SIZE": "2"}, "RANK='zero', expected a number; start the run with torchrun"),
    ],
)
def test_a_broken_environment_is_refused(monkeypatch: pytest.MonkeyPatch, place: dict[str, str], message: str) -> None:
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        Ranks.start("cpu")


def test_one_gpu_is_not_for_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(_PLACE, "0202", strict=True):
        monkeypatch.setenv(name, value)
    for device, message in (("cuda:1", "one GPU for 2 processes"), ("mps", "serves one process")):
        with pytest.raises(ConfigError, match=message):
            Ranks.start(device)


@pytest.mark.parametrize(("seen", "local_rank", "expected"), [(2, 1, "cuda:1"), (1, 1, "cuda:0"), (8, 0, "cuda:0")])
def test_gpus_are_dealt_out_by_local_rank(
    monkeypatch: pytest.MonkeyPatch, seen: int, local_rank: int, expected: str
) -> None:
    """A process that sees a single GPU of its machine was given that one by the scheduler."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: seen)
    chosen: list[torch.device] = []
    monkeypatch.setattr("torch.cuda.set_device", chosen.append)
    monkeypatch.setattr("torch.distributed.init_process_group", lambda *given, **more: None)
    for name, value in zip(_PLACE, (str(local_rank), "2", str(local_rank), "2"), strict=True):
        monkeypatch.setenv(name, value)
    assert Ranks.start("auto").device == torch.device(expected)
    assert chosen == [torch.device(expected)]


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    for name, value in zip(_PLACE, "2323", strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="3 processes on this machine and 2 GPUs"):
        Ranks.start("cuda")


def test_torchrun_gives_no_process_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The only GPU that they see is the same one: NCCL would refuse it much later, in words of its own."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    for name, value in zip(_PLACE, "1212", strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="2 processes on this machine and 1 GPU: start at most 1"):
        Ranks.start("auto")


def test_what_the_first_cannot_do_fails_everywhere_alike() -> None:
    def act(ranks: Ranks) -> str:
        def break_off() -> None:
            raise ConfigError("no such class", path="data.yaml")

        try:
            ranks.first_tells(break_off)
        except (ConfigError, RunFailed) as error:
            return f"{type(error).__name__} {error}"
        return "went on"

    one, two = in_threads(2, act)
    assert one == "ConfigError data.yaml: no such class"
    assert two == "RunFailed rank 0 failed: data.yaml: no such class"


_PROGRAM = """
import torch
from mseg_studio.training.ranks import RankLost, Ranks
ranks = Ranks.start("cpu")
me = ranks.rank
assert ranks.world == 3
assert ranks.gather({"rank": me, "text": "é" * me}) == [{"rank": n, "text": "é" * n} for n in range(3)]
assert ranks.any(me == 2) and not ranks.any(False)
assert ranks.sum(torch.tensor([float(me), 1.0])).tolist() == [3.0, 3.0]
assert [part.tolist() for part in ranks.all_of(torch.tensor([me]))] == [[0], [1], [2]]
own = torch.tensor([me + 7])
ranks.copy_from_first(own)
assert own.item() == 7
assert ranks.first_tells(lambda: "said") == "said"
if me == 1:
    import os
    os._exit(9)
try:
    while True:
        ranks.barrier()
except RankLost as error:
    assert "another process of the run is gone" in str(error)
    os_exit = __import__("os")._exit
    os_exit(4)
"""


@pytest.mark.skipif(os.name != "posix", reason="gloo")
def test_real_processes_agree_and_notice_when_one_is_gone() -> None:
    with ranks_of(["-c", _PROGRAM], world=3) as processes:
        assert codes(processes) == [4, 9, 4], sys.executable

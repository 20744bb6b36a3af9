"""Runs that are really stopped, killed, starved of disk or given broken files, in real processes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mseg_studio.errors import RunFailed
from mseg_studio.progress import CancelToken
from mseg_studio.training.checkpoint import load_newest
from mseg_studio.training.loop import MAX_BAD_STEPS, TrainLoop
from mseg_studio.training.metrics_log import MetricsLog, read_metrics
from mseg_studio.training.ranks import Ranks
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.worker import EXIT_STOPPED
from tests.training.factory import make_config, make_dataset
from tests.training.processes import LIMIT_S, codes, free_port, ranks_of, wait_for
from tests.training.thread_ranks import in_threads

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@contextlib.contextmanager
def _torchrun(folder: RunFolder) -> Iterator[subprocess.Popen[bytes]]:
    """The line of a run on two processes; everything it started is gone at the end."""
    line = ["-m", "torch.distributed.run", f"--master-port={free_port()}", "--nproc-per-node=2"]
    environment = {name: value for name, value in os.environ.items() if name != "MSEG_STUDIO_SUPERVISOR"}
    process = subprocess.Popen(
        [sys.executable, *line, "-m", "mseg_studio.training.worker", str(folder.path)], env=environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for rank in range(2):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if "ended" not in _rank(folder, rank):
                    os.kill(_rank(folder, rank)["pid"], signal.SIGKILL)


def _rank(folder: RunFolder, rank: int) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(folder.rank_file(rank).read_text(encoding="utf-8"))
    return values


def _result(folder: RunFolder) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(folder.result_file.read_text(encoding="utf-8"))
    return values


def _events(folder: RunFolder, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_metrics(folder.metrics_file) if event["event"] == kind]


def _phase(folder: RunFolder) -> str:
    if not folder.progress_file.exists():
        return ""
    return str(json.loads(folder.progress_file.read_text(encoding="utf-8"))["phase"])


def _train_here(folder: RunFolder, stop: CancelToken | None = None) -> bool:
    with contextlib.closing(MetricsLog(folder.metrics_file)) as log:
        return TrainLoop(folder, folder.config(), log=log).run(stop or CancelToken())


def test_torchrun_is_stopped_inside_a_validation_and_the_run_continued(tmp_path: Path) -> None:
    """Everything is saved, the validation is done again, and the end is said by every rank."""
    description = make_dataset(tmp_path / "data", images=30, size=(150, 200))
    config = make_config(description, steps=4, validate_every=3, save_every=100, log_every=1)
    folder = RunFolder.create(tmp_path / "run", config)
    with _torchrun(folder) as process:
        wait_for(lambda: _phase(folder) == "validating", "a validation")
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) != 0
    assert (_result(folder)["status"], _result(folder)["step"]) == ("stopped", 3)
    assert [_rank(folder, rank)["ended"]["status"] for rank in range(2)] == ["stopped", "stopped"]
    assert _events(folder, "validation") == []
    assert [event["step"] for event in _events(folder, "save")] == [3]
    launch = json.loads(folder.launch_file.read_text(encoding="utf-8"))
    assert (launch["world_size"], launch["engine"], launch["pid"]) == (2, "torchrun", _rank(folder, 0)["pid"])
    with _torchrun(folder) as process:
        assert process.wait(LIMIT_S) == 0
    assert (_result(folder)["status"], _result(folder)["step"]) == ("finished", 4)
    assert [event["step"] for event in _events(folder, "validation")] == [3, 4]
    assert [_rank(folder, rank)["ended"]["status"] for rank in range(2)] == ["finished", "finished"]


def test_a_killed_rank_ends_the_others_and_that_is_no_orderly_stop(tmp_path: Path) -> None:
    """torchrun sends SIGTERM to the ranks that are left: they must not take it for a wish of the person."""
    config = make_config(make_dataset(tmp_path / "data"), steps=100_000, validate_every=100_000, log_every=1)
    folder = RunFolder.create(tmp_path / "run", config)
    with _torchrun(folder) as process:
        wait_for(lambda: bool(_events(folder, "step")), "a step")
        killed_at = time.time()
        os.kill(_rank(folder, 1)["pid"], signal.SIGKILL)
        assert process.wait(LIMIT_S) != 0
    ended = _rank(folder, 0)["ended"]
    assert (ended["status"], ended["lost_others"]) == ("failed", True)
    assert "another process of the run is gone" in ended["reason"]
    assert ended["time"] - killed_at < 15
    assert "ended" not in _rank(folder, 1)
    assert not folder.result_file.exists(), "only who sees all ranks knows what happened"


def test_a_broken_image_is_told_by_the_rank_that_read_it(tmp_path: Path) -> None:
    description = make_dataset(tmp_path / "data", images=4)
    config = make_config(description, steps=100_000, validate_every=100_000, batch=2)
    config = dataclasses.replace(config, loss=dataclasses.replace(config.loss, class_weight_power=0.0))
    broken = tmp_path / "data" / "train" / "a_2.png"
    broken.write_bytes(broken.read_bytes()[:200])
    folder = RunFolder.create(tmp_path / "run", config)
    with ranks_of(["-m", "mseg_studio.training.worker", str(folder.path)], world=2) as processes:
        assert codes(processes) == [1, 1]
    ends = [_rank(folder, rank)["ended"] for rank in range(2)]
    own = [rank for rank in range(2) if not ends[rank]["lost_others"]]
    assert own
    for rank in own:
        assert ends[rank]["status"] == "failed"
        assert str(broken) in ends[rank]["reason"]
    assert min(range(2), key=lambda rank: ends[rank]["time"]) in own, "the first that failed is the cause"
    assert folder.result_file.exists() == (0 in own)


def test_a_full_disk_leaves_the_old_checkpoint_and_says_where_room_is_needed(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: every checkpoint is larger than it, every line shorter."""
    config = make_config(make_dataset(tmp_path / "data"), steps=9, validate_every=9, save_every=4)
    folder = RunFolder.create(tmp_path / "run", config)
    stop = CancelToken()
    with contextlib.closing(MetricsLog(folder.metrics_file)) as log:
        loop = TrainLoop(folder, config, log=log)
        loop._write_step = lambda outcome: None  # type: ignore[method-assign]
        loop._save_here = _then(loop._save_here, stop.cancel)  # type: ignore[method-assign]
        assert not loop.run(stop)
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)); "
        "from mseg_studio.training.worker import leave, main; leave(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", limited, str(folder.path)], stderr=subprocess.PIPE, timeout=LIMIT_S)
    assert done.returncode == 1
    result = _result(folder)
    assert (result["status"], result["step"]) == ("failed", 8)
    for part in (str(folder.checkpoints), "step 8 could not be written", "the one of step 4 stays", "Make room"):
        assert part in result["reason"]
    assert sorted(os.listdir(folder.checkpoints)) == ["00000004", "latest"], "nothing half written is left"
    assert _train_here(folder)
    assert [event["step"] for event in _events(folder, "save")] == [4, 8, 9]


def _then(act: Any, after: Any) -> Any:
    def both(*arguments: Any) -> Any:
        act(*arguments)
        after()

    return both


def test_a_loss_that_is_no_number_is_skipped_and_given_up_alike_by_all(tmp_path: Path) -> None:
    """A learning rate beyond reason makes it so, on two ranks."""
    config = make_config(make_dataset(tmp_path / "data"), steps=40, log_every=1)
    optim = dataclasses.replace(config.optim, optimizer="sgd", lr=1e30, warmup_steps=0, clip_norm=None)
    folder = RunFolder.create(tmp_path / "run", dataclasses.replace(config, optim=optim))

    def train(ranks: Ranks) -> str:
        writer = contextlib.closing(MetricsLog(folder.metrics_file)) if ranks.is_first else contextlib.nullcontext()
        with writer as log, pytest.raises(RunFailed) as caught:
            TrainLoop(folder, folder.config(), log=log, ranks=ranks).run(CancelToken())
        return str(caught.value)

    one, two = in_threads(2, train)
    assert one == two
    assert f"no number in {MAX_BAD_STEPS} steps in a row, last with tiny/" in one
    skipped = _events(folder, "skipped")
    assert [event["in_a_row"] for event in skipped] == list(range(1, MAX_BAD_STEPS + 1))
    assert {len(event["names"]) for event in skipped} == {config.batch}, "the samples of all ranks"
    state, _ = load_newest(folder.checkpoints)
    if state is not None:
        assert all(bool(value.isfinite().all()) for value in state.network.values())


def test_a_stop_that_one_rank_alone_was_asked_for_is_everybodys(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", make_config(make_dataset(tmp_path / "data"), validate_every=100))

    def train(ranks: Ranks) -> tuple[bool, int]:
        stop = CancelToken()
        writer = contextlib.closing(MetricsLog(folder.metrics_file)) if ranks.is_first else contextlib.nullcontext()
        with writer as log:
            loop = TrainLoop(folder, folder.config(), log=log, ranks=ranks)
            if ranks.rank == 1:
                loop._train_step = _then(loop._train_step, stop.cancel)  # type: ignore[method-assign]
            return loop.run(stop), loop.step

    assert in_threads(2, train) == [(False, 1), (False, 1)]
    state, _ = load_newest(folder.checkpoints)
    assert state is not None
    assert state.step == 1


def test_a_worker_whose_supervisor_died_saves_and_ends(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path / "data"), steps=100_000, validate_every=100_000)
    folder = RunFolder.create(tmp_path / "run", config)
    environment = {**os.environ, "MSEG_STUDIO_SUPERVISOR": f"{os.getpid()}:1.0"}
    line = [sys.executable, "-m", "mseg_studio.training.worker", str(folder.path)]
    assert subprocess.run(line, env=environment, timeout=LIMIT_S).returncode == EXIT_STOPPED
    assert _result(folder)["status"] == "stopped"
    assert not folder.launch_file.exists(), "the supervisor writes that"

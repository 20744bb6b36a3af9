"""`python -m mseg_studio.training.worker FOLDER [--config RECIPE.yaml]`: start or continue the run of a folder.

Alone it is the whole run; under torchrun it is one rank of it. Exit codes: 0 finished, 1 failed,
75 stopped by a signal with everything saved (start it again to go on).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from mseg_studio.errors import MSegStudioError
from mseg_studio.inference.openmp import wait_quietly
from mseg_studio.progress import Cancelled, CancelToken
from mseg_studio.training.config_file import load_config
from mseg_studio.training.metrics_log import MetricsLog
from mseg_studio.training.run_folder import RankEnd, RunFolder
from mseg_studio.training.run_processes import SUPERVISOR_ENV, supervisor_is_gone

if TYPE_CHECKING:
    from mseg_studio.training.loop import TrainLoop
    from mseg_studio.training.ranks import Ranks

EXIT_STOPPED = 75
"""EX_TEMPFAIL: schedulers requeue it."""
_SIGNALS = ("SIGTERM", "SIGINT", "SIGUSR2")
_ASK_SUPERVISOR_S = 1.0
_EXIT = {"finished": 0, "failed": 1, "stopped": EXIT_STOPPED}


def main(arguments: Sequence[str]) -> int:
    """Run the folder's configuration to its end or to a signal; the result is in result.json."""
    parser = argparse.ArgumentParser(prog="python -m mseg_studio.training.worker", description="Train a network.")
    parser.add_argument("folder", type=Path, help="folder of the run")
    parser.add_argument("--config", type=Path, help="configuration of a new run; without it the folder's own is used")
    options = parser.parse_args(arguments)
    try:
        if options.config is not None:
            folder = RunFolder.create(options.folder, load_config(options.config))
        else:
            folder = RunFolder.open(options.folder)
    except (MSegStudioError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    stop = _Stop()
    with _signals_set(stop):
        return _EXIT[_Rank(folder, stop).run().status]


class _Stop(CancelToken):
    """Set by a signal, and when whoever watches over the run is dead: nobody else would end it."""

    def __init__(self) -> None:
        super().__init__()
        self._asked_s = time.monotonic()

    @property
    def cancelled(self) -> bool:
        """Whether a signal came or the supervisor is gone; the latter is looked at once a second."""
        now_s = time.monotonic()
        if now_s - self._asked_s > _ASK_SUPERVISOR_S:
            self._asked_s = now_s
            if supervisor_is_gone():
                self.cancel()
        return super().cancelled

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` when `cancelled`."""
        if self.cancelled:
            raise Cancelled


@contextlib.contextmanager
def _signals_set(stop: CancelToken) -> Iterator[None]:
    """SIGTERM, Ctrl-C and SIGUSR2 (from schedulers) ask for a stop inside the block; the step under way ends first."""

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        stop.cancel()

    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, ask_to_stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Rank:
    """This process's part of a run, and what it says about itself."""

    def __init__(self, folder: RunFolder, stop: CancelToken) -> None:
        self._folder, self._stop = folder, stop
        self._rank = _environment_number("RANK", 0)
        self._world = _environment_number("WORLD_SIZE", 1)
        self._device = ""
        self._loop: TrainLoop | None = None
        self._ranks: Ranks | None = None

    def run(self) -> RankEnd:
        """Train and say how it ended, whatever happens; a killed process says nothing."""
        try:
            self._announce()
            end, ranks = self._train()
            self._tell(f"{end.status} at step {end.step}")
            if ranks.is_first:
                self._write_result(end)
            self._write_end(end)
            # Nobody leaves before all have said how it ended: launchers end the others after the first exit.
            ranks.barrier()
            ranks.close()
        except Exception as error:  # noqa: BLE001 - the last place where a failure can be told
            end = self._failure(error)
            sys.stderr.write(f"rank {self._rank}: {end.reason}\n")
            with contextlib.suppress(OSError):  # a full disk is told on standard error alone
                self._tell(traceback.format_exc().rstrip())
                self._write_end(end)
                # One that failed by itself and is first speaks for all; else the first that failed has to be found.
                if self._rank == 0 and not end.lost_others:
                    self._write_result(end, rank=0)
        return end

    def _announce(self) -> None:
        """Say which process this is, before anything slow: whoever watches can find it from now on."""
        config = self._folder.config()
        self._device = config.device
        if self._rank == 0:
            self._folder.result_file.unlink(missing_ok=True)
            self._folder.forget_ranks(beyond=self._world)
            if SUPERVISOR_ENV not in os.environ and "SLURM_PROCID" not in os.environ:
                self._folder.write_launch(world_size=self._world, engine="torchrun" if self._world > 1 else "single")
        self._folder.write_rank(self._rank, device=self._device)

    def _train(self) -> tuple[RankEnd, Ranks]:
        wait_quietly()  # before torch is imported
        from mseg_studio.training.loop import TrainLoop
        from mseg_studio.training.ranks import Ranks

        config = self._folder.config()
        self._ranks = ranks = Ranks.start(config.device)
        self._device = str(ranks.device)
        self._folder.write_rank(self._rank, device=self._device)
        with contextlib.ExitStack() as stack:
            log = None
            if ranks.is_first:
                log = stack.enter_context(contextlib.closing(MetricsLog(self._folder.metrics_file)))
            try:
                self._loop = TrainLoop(self._folder, config, log=log, ranks=ranks, stop=self._stop)
                self._tell(f"rank {self._rank} of {self._world}, from step {self._loop.step} on {self._device}")
                finished = self._loop.run(self._stop)
            except Cancelled:  # while loading, in all processes alike; nothing was trained since the last checkpoint
                finished = False
        if finished:
            return RankEnd("finished", "all steps done", self._step), ranks
        return RankEnd("stopped", "asked to stop; everything is saved", self._step), ranks

    def _failure(self, error: Exception) -> RankEnd:
        lost = False
        if self._ranks is not None:
            from mseg_studio.training.ranks import RankLost

            lost = isinstance(error, RankLost)
        return RankEnd("failed", _reason(error), self._step, lost_others=lost)

    @property
    def _step(self) -> int:
        """Steps done: those of the newest checkpoint where it ended before that was loaded."""
        if self._loop is not None:
            return self._loop.step
        return max((int(path.name) for path in self._folder.checkpoints.glob("*") if path.name.isdigit()), default=0)

    def _write_end(self, end: RankEnd) -> None:
        self._folder.write_rank(self._rank, device=self._device, ended=end)

    def _write_result(self, end: RankEnd, **more: Any) -> None:
        best = self._loop.best if self._loop is not None else None
        self._folder.write_result(end.status, reason=end.reason, step=end.step, best=best, **more)

    def _tell(self, line: str) -> None:
        self._folder.append_log(self._rank, line)


def _reason(error: Exception) -> str:
    """One line for people."""
    if isinstance(error, MSegStudioError):
        return str(error)
    first = (str(error).splitlines() or [""])[0]
    if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error):
        return f"out of memory: lower batch or augment.crop_px, or raise accumulate ({first})"
    return f"{type(error).__name__}: {first}"


def _environment_number(name: str, default: int) -> int:
    """A rank as the launcher says it; what is wrong with it is told when the processes meet."""
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else default


def leave(code: int) -> NoReturn:
    """End the process of a rank with `code`. Signals no longer count: all it had to say is written."""
    for word in _SIGNALS:
        if hasattr(signal, word):
            signal.signal(getattr(signal, word), signal.SIG_IGN)
    sys.stdout.flush()
    sys.stderr.flush()
    if code == _EXIT["failed"]:
        # A rank that failed must be gone at once, so that the others notice: nothing of torch may wait for them here.
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
